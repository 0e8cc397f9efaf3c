"""Ollama as soon as it is there, the demo until then."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import msgspec

from broker import errand
from workers.engines.answer import Answer
from workers.engines.base import EngineState
from workers.engines.demo import DemoEngine
from workers.engines.demo_models import MODEL
from workers.engines.ollama import OllamaEngine
from workers.engines.tending import Progress


class AutoEngine:
    """Both engines as one. The demo's model is always there, after the real ones."""

    name = 'auto'

    def __init__(self, ollama: OllamaEngine, demo: DemoEngine) -> None:
        self._ollama = ollama
        self._demo = demo
        self._away = True  # Ollama

    async def aclose(self) -> None:
        """Close both."""
        await self._ollama.aclose()
        await self._demo.aclose()

    def check_again_s(self) -> float:
        """As often as Ollama is worth asking."""
        return self._ollama.check_again_s()

    async def describe(self) -> EngineState:
        """Ollama's state with the demo's model added; the demo's own while Ollama is away or has no model."""
        real, demo = await self._ollama.describe(), await self._demo.describe()
        self._away = real.problem == 'unreachable'
        if real.models:  # what the demo plays to have might have the name of a real one
            return msgspec.structs.replace(real, models=real.models + demo.models[:1])
        problem = 'no_models' if real.problem == 'no_models' else ''  # the demo answers: being away is no problem
        return msgspec.structs.replace(demo, problem=problem)

    def run(self, kind: str, model: str, body: bytes, path: str = '') -> AbstractAsyncContextManager[Answer]:
        """By the name of the model."""
        return self._of(model).run(kind, model, body, path)

    def canary(self, model: str) -> AbstractAsyncContextManager[Answer] | None:
        """By the name of the model."""
        return self._of(model).canary(model)

    def tend(self, order: errand.Order) -> AsyncIterator[Progress]:
        """Ollama's affair where there is one, also while it has no model yet."""
        return (self._demo if self._away or order.model == MODEL else self._ollama).tend(order)

    def _of(self, model: str) -> DemoEngine | OllamaEngine:
        played = self._away and self._demo.models.has(model)
        return self._demo if model == MODEL or played else self._ollama
