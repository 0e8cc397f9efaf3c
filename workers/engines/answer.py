"""One answer on its way out of an engine: raw lines with deadlines, measured as they pass."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Self

import msgspec

from broker import facts
from workers.engines.failure import EngineFailure
from workers.engines.meter import Meter
from workers.engines.raw import RawMeter

MAX_LINE_BYTES = 4 * 1024 * 1024
_TAIL_S = 0.5  # after the last line, how long the engine may take to end the stream by itself


class Deadlines(msgspec.Struct, frozen=True, kw_only=True):
    """How long an answer may take, seconds."""

    first_token_s: float = 300.0
    idle_s: float = 120.0
    total_s: float = 3600.0


class Answer:
    """Iterate it for the engine's NDJSON lines, byte for byte, without the newline; ``usage`` grows meanwhile.

    ``lines`` is the engine's own generator; closing it must close what is open upstream. The last line always says
    that the answer is done: where the engine ends without, that line is added and ``usage.truncated`` set. Of kind
    'raw' the lines are ours, see ``raw``, and end with the engine's connection.
    """

    def __init__(self, lines: AsyncGenerator[bytes, None], *, kind: str, model: str, deadlines: Deadlines) -> None:
        self._lines = lines
        self._kind = kind
        self._deadlines = deadlines
        self._meter = RawMeter() if kind == 'raw' else Meter(kind, model)

    @property
    def good(self) -> bool:
        """Whether a model gave something that was asked for; of kind 'raw' only the end tells."""
        return self._meter.good

    @property
    def usage(self) -> facts.Usage:
        """What the answer cost so far."""
        return self._meter.usage

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._lines.aclose()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        clock = asyncio.get_running_loop().time
        started = clock()
        end, idle = started + self._deadlines.total_s, started + self._deadlines.first_token_s
        code = 'first_token_timeout'
        while (line := await self._next(code, idle, end)) is not None:
            now = clock()
            if len(line) > MAX_LINE_BYTES:
                raise EngineFailure('line_too_long', f'a line has {len(line)} bytes, more than {MAX_LINE_BYTES}')
            self._meter.read(line, now - started)
            yield line
            if self._meter.done:
                await self._tail()
                return
            code, idle = 'idle_timeout', now + self._deadlines.idle_s
        if self._kind == 'embed':
            raise EngineFailure('garbage', 'the engine sent no embeddings')
        if isinstance(self._meter, Meter):
            yield self._meter.closing_line()
        else:
            self._meter.end()

    async def _next(self, code: str, idle: float, end: float) -> bytes | None:
        try:
            async with asyncio.timeout_at(min(idle, end)) as deadline:
                return await anext(self._lines, None)
        except TimeoutError:
            if deadline.when() == end:
                raise EngineFailure('total_timeout', f'not done after {self._deadlines.total_s:g} s') from None
            waited = self._deadlines.first_token_s if code == 'first_token_timeout' else self._deadlines.idle_s
            raise EngineFailure(code, f'nothing came for {waited:g} s', retryable=True) from None

    async def _tail(self) -> None:
        # Let the response end by itself, so that the connection can serve the next one.
        try:
            async with asyncio.timeout(_TAIL_S):
                async for _ in self._lines:
                    pass
        except (TimeoutError, EngineFailure):
            pass
