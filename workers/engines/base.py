"""What a worker asks of an engine, in the words of both."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from broker import errand, facts, vitals
from workers.engines.answer import Answer
from workers.engines.tending import Progress


class EngineState(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine can do now. ``problem`` is '', 'unreachable' or 'no_models'."""

    engine: str  # 'ollama' or 'demo': who answers
    version: str = ''
    models: tuple[facts.ModelInfo, ...] = ()
    problem: str = ''
    lasting: tuple[str, ...] = ()  # models in memory that stay there until somebody unloads them
    loaded: tuple[vitals.Loaded, ...] = ()  # what takes memory now, and until when; it changes all the time


class Engine(Protocol):
    """Something that answers. All engines behave alike; the conformance suite says how."""

    name: str

    async def describe(self) -> EngineState:
        """What there is now. Never raises for a server that is away: that is a state."""

    def check_again_s(self) -> float:
        """In how many seconds ``describe`` is worth asking again."""

    def run(self, kind: str, model: str, body: bytes, path: str = '') -> AbstractAsyncContextManager[Answer]:
        """Start one answer: ``async with engine.run(…) as answer: async for line in answer: …``.

        Leaving the context closes whatever is open upstream, at once. Iterating raises ``EngineFailure``.
        ``path`` is for kind 'raw', see ``raw``.
        """

    def canary(self, model: str) -> AbstractAsyncContextManager[Answer] | None:
        """The least that this model, which is in memory, can answer; None where that would show nothing."""

    def tend(self, order: errand.Order) -> AsyncIterator[Progress]:
        """Load, unload, pull or remove a model; iterate to the end. Raises ``EngineFailure``."""

    async def aclose(self) -> None:
        """Let go of all connections."""
