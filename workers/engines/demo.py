"""The built-in engine: canned answers in Ollama's own format, at a human speed, without any network.

It lets a machine without Ollama try everything. Tests script it through the request, see ``demo_script``.
"""

import asyncio
import hashlib
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from broker import errand
from workers.engines import demo_script, demo_text, raw
from workers.engines.answer import Answer, Deadlines
from workers.engines.base import EngineState
from workers.engines.demo_models import DemoModels
from workers.engines.failure import EngineFailure
from workers.engines.tending import Progress

_DIMENSIONS = 64
_NO_RAW = 'The demo answers chat, generate and embed only; connect an Ollama to use other paths.'
_MIN_SLEEP_S = 0.002  # faster speeds send several chunks per wake-up


class DemoEngine:
    """Answers at once in the language of the question. It sends what an Ollama with a model ``demo`` would."""

    name = 'demo'

    def __init__(
        self,
        *,
        chars_per_s: float = 250.0,
        first_token_s: float = 0.0,
        deadlines: Deadlines | None = None,
        models: DemoModels | None = None,
    ) -> None:
        self.models = models or DemoModels()
        self._chars_per_s = chars_per_s
        self._first_token_s = first_token_s
        self._deadlines = deadlines or Deadlines()

    async def aclose(self) -> None:
        """Nothing to close."""

    def check_again_s(self) -> float:
        """It never changes."""
        return 3600.0

    async def describe(self) -> EngineState:
        """Its own model, always there, and those that it plays to have."""
        return EngineState(engine=self.name, version='1', models=self.models.infos(), loaded=self.models.loaded())

    def run(self, kind: str, model: str, body: bytes, path: str = '') -> Answer:
        """The canned answer to ``body``."""
        return Answer(self._lines(kind, model, body, path), kind=kind, model=model, deadlines=self._deadlines)

    def canary(self, model: str) -> None:
        """Its health is ours."""

    def tend(self, order: errand.Order) -> AsyncIterator[Progress]:
        """It plays that, too."""
        return self.models.tend(order)

    async def _lines(self, kind: str, model: str, body: bytes, path: str) -> AsyncGenerator[bytes, None]:
        if not self.models.has(model):
            raise EngineFailure('model_not_found', f"model '{model}' not found")
        self.models.used(model)
        if kind == 'raw':
            raw.check(path)
            yield raw.head(501, {'content-type': 'application/json'})
            error = {'message': _NO_RAW, 'type': 'server_error'} if path.startswith('/v1/') else _NO_RAW
            for line in raw.lines(msgspec.json.encode({'error': error})):
                yield line
            return
        request = _request(body)
        script = demo_script.read(request.get('options'))
        if kind == 'embed':
            yield _line(_embedding(model, request))
            return
        if kind not in ('chat', 'generate'):
            raise EngineFailure('bad_request', f'there is no kind of job called {kind}')
        question = _question(kind, request)
        if question is None:
            reason = 'unload' if request.get('keep_alive') == 0 else 'load'
            yield _line(_chunk(kind, model, '') | {'done': True, 'done_reason': reason})
            return
        async for line in self._speak(kind, model, request, question, script):
            yield line

    async def _speak(
        self, kind: str, model: str, request: dict[str, Any], question: str, script: demo_script.Script
    ) -> AsyncGenerator[bytes, None]:
        began = time.perf_counter()
        first_token_s = self._first_token_s if script.first_token_s is None else script.first_token_s
        if first_token_s:
            await asyncio.sleep(first_token_s)
        parts, reason = _parts(question, request, script)
        pace = _Pace(script.chars_per_s or self._chars_per_s)
        for part in demo_text.pieces(demo_text.thoughts(question)) if request.get('think') else ():
            await pace.wait()
            yield _line(_chunk(kind, model, '', thinking=part))
            pace.said(part)
        spoke = time.perf_counter()
        for index, part in enumerate(parts):
            await _misbehave(script, index)
            if script.end_after is not None and index >= script.end_after:
                return
            await pace.wait()
            yield _line(_chunk(kind, model, part))
            pace.said(part)
        await _misbehave(script, len(parts))
        if script.tool_calls:
            yield _line(_chunk(kind, model, '', tool_calls=script.tool_calls))
        now = time.perf_counter()
        yield _line(
            _chunk(kind, model, '')
            | {
                'done': True,
                'done_reason': reason,
                'total_duration': _ns(now - began),
                'load_duration': 1,
                'prompt_eval_count': max(1, len(demo_text.pieces(question))),
                'prompt_eval_duration': _ns(spoke - began),
                'eval_count': len(parts),
                'eval_duration': _ns(now - spoke),
            }
        )


class _Pace:
    """Speaks at a steady speed: late wake-ups do not add up."""

    def __init__(self, chars_per_s: float) -> None:
        self._clock = asyncio.get_running_loop().time
        self._chars_per_s = chars_per_s
        self._next_at = self._clock()
        self._unbroken = 0  # chunks since others had a turn

    async def wait(self) -> None:
        ahead_s = self._next_at - self._clock()
        self._unbroken += 1
        if ahead_s >= _MIN_SLEEP_S or self._unbroken >= 50:
            self._unbroken = 0
            await asyncio.sleep(max(0.0, ahead_s))

    def said(self, part: str) -> None:
        self._next_at += demo_text.width(part) / self._chars_per_s


async def _misbehave(script: demo_script.Script, sent: int) -> None:
    if script.fail is not None and sent >= script.fail.after:
        raise EngineFailure(script.fail.code, script.fail.detail, retryable=script.fail.retryable)
    if script.hang_after is not None and sent >= script.hang_after:
        await asyncio.Event().wait()


def _request(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError) as error:
        raise EngineFailure('bad_request', str(error)) from None


def _question(kind: str, request: dict[str, Any]) -> str | None:
    """What the user asked last; None when the request only loads the model."""
    if kind == 'generate':
        prompt = request.get('prompt')
        return prompt if isinstance(prompt, str) and prompt else None
    messages = request.get('messages') or []
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise EngineFailure('bad_request', 'messages must be a list of objects')
    if not messages:
        return None
    asked = [message.get('content') for message in messages if message.get('role') == 'user']
    return str((asked[-1] if asked else messages[-1].get('content')) or '')


def _parts(question: str, request: dict[str, Any], script: demo_script.Script) -> tuple[list[str], str]:
    text = demo_text.answer(question) if script.text is None else script.text
    if request.get('format') == 'json' and script.text is None:
        text = msgspec.json.encode({'demo': True, 'question': question}).decode()
    text = text.removeprefix(_begun(request))
    if script.length is not None:
        text = (text * (script.length // max(1, len(text)) + 1))[: script.length]
    parts = demo_text.pieces(text)
    limit = request.get('options', {}).get('num_predict') if isinstance(request.get('options'), dict) else None
    if isinstance(limit, int) and 0 < limit < len(parts):
        return parts[:limit], 'length'
    return parts, 'stop'


def _begun(request: dict[str, Any]) -> str:
    """What is said already of an answer that is to go on: the conversation ends with it."""
    messages = request.get('messages')
    last = messages[-1] if isinstance(messages, list) and messages else {}
    return str(last.get('content') or '') if isinstance(last, dict) and last.get('role') == 'assistant' else ''


def _chunk(kind: str, model: str, text: str, **more: Any) -> dict[str, Any]:
    said = {'message': {'role': 'assistant', 'content': text, **more}} if kind == 'chat' else {'response': text, **more}
    return {'model': model, 'created_at': _timestamp(), **said, 'done': False}


def _embedding(model: str, request: dict[str, Any]) -> dict[str, Any]:
    given = request.get('input')
    texts = [given] if isinstance(given, str) else given or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise EngineFailure('bad_request', 'invalid input type')
    texts = [text for text in texts if text or len(texts) > 1]
    return {
        'model': model,
        'embeddings': [_vector(text) for text in texts],
        'total_duration': 1_000_000,
        'load_duration': 1,
        'prompt_eval_count': sum(len(demo_text.pieces(text)) for text in texts),
    }


def _vector(text: str) -> list[float]:
    digest = hashlib.shake_256(text.encode(errors='surrogatepass')).digest(2 * _DIMENSIONS)
    values = [int.from_bytes(digest[i : i + 2]) - 32767.5 for i in range(0, len(digest), 2)]
    norm = math.sqrt(sum(value * value for value in values))
    return [round(value / norm, 8) for value in values]


def _line(chunk: dict[str, Any]) -> bytes:
    return msgspec.json.encode(chunk)


def _ns(seconds: float) -> int:
    return max(1, round(seconds * 1e9))


def _timestamp() -> str:
    return datetime.now(UTC).strftime('%Y-%m-%dT%H:%M:%S.%f000Z')
