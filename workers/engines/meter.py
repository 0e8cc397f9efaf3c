"""Reads along as the lines of an answer pass, and knows what the answer cost and whether it is over. Pure."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from broker import facts
from workers.engines import failure


class _Chunk(msgspec.Struct):
    """The few keys of Ollama's lines that we look at. Unknown keys are skipped without decoding them."""

    done: bool | None = None
    done_reason: str | None = None
    error: Any = None
    load_duration: float | None = None  # durations are nanoseconds, absent when zero
    prompt_eval_count: float | None = None
    prompt_eval_duration: float | None = None
    eval_count: float | None = None
    eval_duration: float | None = None
    embeddings: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Chunk).decode


class Meter:
    """Follows one answer. Times are seconds since the request left."""

    def __init__(self, kind: str, model: str) -> None:
        self._kind = kind
        self._model = model
        self._last = _Chunk()
        self._lines = 0
        self._first_s = 0.0
        self._last_s = 0.0
        self._truncated = False
        self.done = False

    def read(self, line: bytes, after_s: float) -> None:
        """The next line came. Raises ``EngineFailure`` for an error line and for one that is no JSON object."""
        try:
            chunk = _decode(line)
        except (msgspec.MsgspecError, ValueError):
            raise failure.EngineFailure('garbage', f'the engine sent {_excerpt(line)}') from None
        if chunk.error:
            raise failure.from_error(error_text(chunk.error))
        if not self._lines:
            self._first_s = after_s
        self._lines += 1
        self._last_s = after_s
        self.done = chunk.done is True or (self._kind == 'embed' and len(bytes(chunk.embeddings)) > 0)
        if self.done:
            self._last = chunk

    def closing_line(self) -> bytes:
        """The last line of an answer whose engine forgot it; from now on the usage says ``truncated``."""
        self._truncated = True
        self._last = _Chunk(done=True, done_reason='stop', eval_count=self._lines)
        now = datetime.now(UTC).isoformat(timespec='microseconds').replace('+00:00', 'Z')
        empty = {'message': {'role': 'assistant', 'content': ''}} if self._kind == 'chat' else {'response': ''}
        chunk: dict[str, Any] = {'model': self._model, 'created_at': now, **empty, 'done': True, 'done_reason': 'stop'}
        if self._lines:
            chunk['eval_count'] = self._lines
        return msgspec.json.encode(chunk)

    @property
    def good(self) -> bool:
        """Whether the engine did what was asked, so far."""
        return self._lines > 0

    @property
    def usage(self) -> facts.Usage:
        """What is known so far; a line counts as one token until the engine's own numbers are there."""
        last = self._last
        return facts.Usage(
            prompt_tokens=count(last.prompt_eval_count),
            output_tokens=count(last.eval_count) if self.done or self._truncated else self._lines,
            load_s=seconds(last.load_duration),
            prompt_s=seconds(last.prompt_eval_duration),
            decode_s=seconds(last.eval_duration),
            first_token_s=self._first_s,
            total_s=self._last_s,
            done_reason=(last.done_reason or '')[:100],
            truncated=self._truncated,
        )


def count(number: float | None) -> int:
    """A number of things as an engine says it, within what can be sent and stored."""
    return int(min(max(number or 0.0, 0.0), 2.0**53))


def seconds(nanoseconds: float | None) -> float:
    """Nanoseconds as an engine says them in seconds, within what can be sent."""
    return min(max(nanoseconds or 0.0, 0.0) / 1e9, 1e9)


def error_text(error: Any) -> str:
    """The text of an ``error`` value; Ollama sends strings, proxies in front of it sometimes objects."""
    if isinstance(error, str):
        return error
    return msgspec.json.encode(error).decode()


def _excerpt(line: bytes) -> str:
    text = line[:80].decode(errors='replace')
    return repr(text) + (' …' if len(line) > 80 else '')
