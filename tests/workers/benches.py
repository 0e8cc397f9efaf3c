"""The two engines as a test sees them: the same questions, each set up in its own way."""

import json
from typing import Any

from tests.standin import Script, StandIn
from workers.engines.answer import Deadlines
from workers.engines.base import Engine
from workers.engines.demo import DemoEngine
from workers.engines.failure import EngineFailure
from workers.engines.ollama import OllamaEngine

QUICK = {'chars_per_s': 1e6}


class Bench:
    """An engine and one model of it whose next answer can be scripted."""

    model: str

    def engine(self, **deadlines: float) -> Engine:
        raise NotImplementedError

    def ask(self, kind: str = 'chat', *, fields: dict[str, Any] | None = None, **script: Any) -> bytes:
        """A body for ``kind``. ``script``: text, chars_per_s, first_token_s, fail_after, hang_after, end_after."""
        raise NotImplementedError

    def said(self) -> list[bytes] | None:
        """The lines that went out last, where somebody else than the engine knows them."""
        return None


class DemoBench(Bench):
    model = 'demo'

    def engine(self, **deadlines: float) -> Engine:
        return DemoEngine(deadlines=Deadlines(**deadlines))

    def ask(self, kind: str = 'chat', *, fields: dict[str, Any] | None = None, **script: Any) -> bytes:
        demo = dict(QUICK)
        if 'fail_after' in script:
            demo['fail'] = {'after': script.pop('fail_after'), 'code': 'engine_error', 'detail': 'it broke'}
        return body(kind, self.model, {'demo': demo | script}, fields)


class OllamaBench(Bench):
    model = 'scripted:latest'

    def __init__(self, standin: StandIn) -> None:
        self.standin = standin

    def engine(self, **deadlines: float) -> Engine:
        return OllamaEngine(self.standin.url, deadlines=Deadlines(**deadlines))

    def ask(self, kind: str = 'chat', *, fields: dict[str, Any] | None = None, **script: Any) -> bytes:
        made = Script(capabilities=('completion', 'embedding'))
        for key, fault in (('fail_after', 'error'), ('hang_after', 'hang'), ('end_after', 'no_done')):
            if key in script:
                made.fault, made.after, made.error = fault, script.pop(key), 'it broke'
        for key, value in script.items():
            setattr(made, key, value)
        self.standin.models[self.model] = made
        return body(kind, self.model, {}, fields)

    def said(self) -> list[bytes] | None:
        return self.standin.served[-1].lines


def body(kind: str, model: str, options: dict[str, Any], fields: dict[str, Any] | None = None) -> bytes:
    asked: dict[str, Any] = {
        'chat': {'messages': [{'role': 'user', 'content': 'What is a queue?'}]},
        'generate': {'prompt': 'What is a queue?'},
        'embed': {'input': ['one', 'two']},
    }[kind]
    given = fields or {}
    return json.dumps({'model': model} | asked | given | {'options': options | given.get('options', {})}).encode()


async def collect(engine: Engine, kind: str, model: str, asked: bytes, path: str = ''):
    """The lines, the usage, and the failure or None."""
    lines: list[bytes] = []
    async with engine.run(kind, model, asked, path) as answer:
        try:
            async for line in answer:
                lines.append(line)
        except EngineFailure as failure:
            return lines, answer.usage, failure
        return lines, answer.usage, None


def text_of(lines: list[bytes]) -> str:
    """What the answer says."""
    chunks = [json.loads(line) for line in lines]
    return ''.join(chunk['message']['content'] if 'message' in chunk else chunk['response'] for chunk in chunks)
