"""The answer of one run, put together from the engine's NDJSON lines in whatever order they come."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from app.messages import ToolCall

MOST_TOOLS = 50  # calls in one line
MOST_ARGUMENTS = 20_000  # characters
MAX_EARLY = 400  # batches kept while a gap before them is being read


class _Message(msgspec.Struct):
    content: str = ''
    thinking: str | None = None
    tool_calls: list[Any] | None = None


class _Line(msgspec.Struct):
    message: _Message | None = None  # chat
    response: str = ''  # generate
    thinking: str | None = None
    done: bool = False


_decode = msgspec.json.Decoder(_Line).decode


class Answer:
    """Text and thinking of one epoch. ``lines`` counts those taken, without a gap, from index 0."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.lines = 0
        self.tokens = 0
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._early: dict[int, tuple[bytes, ...]] = {}
        self._rate_from: tuple[float, int] | None = None  # when the first live token came, tokens until then
        self._last_at = 0.0
        self.began_at = 0.0  # when its first line came; 0 where that was not heard live
        self._tools: list[ToolCall] = []
        self._thought_from = self._thought_to = 0.0

    @property
    def text(self) -> str:
        """The answer so far."""
        return _joined(self._text)

    @property
    def thinking(self) -> str:
        """The thinking so far."""
        return _joined(self._thinking)

    @property
    def tools(self) -> tuple[ToolCall, ...]:
        """The tools that the model wants to be called, in order."""
        return tuple(self._tools)

    @property
    def thought_s(self) -> float:
        """How long it thought, as far as that was heard live."""
        return max(0.0, self._thought_to - self._thought_from) if self._thought_from else 0.0

    @property
    def gap(self) -> bool:
        """Whether lines are missing before some that came."""
        return bool(self._early)

    @property
    def tokens_per_s(self) -> float:
        """Tokens per second since the first one that was seen live; 0 while unknown."""
        if self._rate_from is None or self._last_at - self._rate_from[0] < 0.2:
            return 0.0
        return (self.tokens - self._rate_from[1]) / (self._last_at - self._rate_from[0])

    def take(self, index: int, lines: tuple[bytes, ...], now: float | None) -> list[bytes]:
        """Take lines ``index`` … (``now`` is None for lines that were read, not heard live).

        Returns what the answer grew by, in order: with a gap nothing, and what waited behind it once it is closed.
        """
        if index > self.lines:
            if len(self._early) < MAX_EARLY:
                self._early[index] = lines
            return []
        fresh = list(lines[self.lines - index :])
        if now is not None and self.lines == 0 and fresh:
            self.began_at = now
        self._append(fresh, now)
        while self._early:
            first = min(self._early)
            if first > self.lines:
                break
            early = self._early.pop(first)[self.lines - first :]
            self._append(early, now)
            fresh += early
        if fresh and now is None:
            self._rate_from = None  # a burst from the log says nothing about the speed
        elif fresh and now is not None:
            self._last_at = now
            if self._rate_from is None:
                self._rate_from = (now, self.tokens)
        return fresh

    def _append(self, lines: Iterable[bytes], now: float | None) -> None:
        for raw in lines:
            self.lines += 1
            try:
                line = _decode(raw)
            except (msgspec.MsgspecError, UnicodeError):
                continue  # the engine's own garbage; it counts as a line and has no text
            content = line.message.content if line.message else line.response
            thinking = (line.message.thinking if line.message else line.thinking) or ''
            if content:
                self._text.append(content)
            if thinking:
                self._thinking.append(thinking)
            if content or thinking:
                self.tokens += 1
            if now is not None and (thinking or (content and len(self._text) < 2)):
                self._thought_to = now  # until the first word of the answer
                self._thought_from = self._thought_from or (now if thinking else 0.0)
            if line.message is not None and line.message.tool_calls:
                self._tools += filter(None, map(_tool, line.message.tool_calls[:MOST_TOOLS]))


async def whole(epoch: int, lines: Sequence[bytes]) -> Answer:
    """The answer that all these lines make, put together in a thread: with very many that takes a second."""
    answer = Answer(epoch)
    await asyncio.to_thread(answer.take, 0, tuple(lines), None)
    return answer


def _tool(call: Any) -> ToolCall | None:
    """A tool call as Ollama writes it; None for what is none."""
    function = call.get('function') if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get('name'), str):
        return None
    arguments = function.get('arguments')
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False, indent=2)
    return ToolCall(name=function['name'][:200], arguments=text[:MOST_ARGUMENTS])


def _joined(parts: list[str]) -> str:
    if len(parts) > 1:
        parts[:] = [''.join(parts)]
    return parts[0] if parts else ''
