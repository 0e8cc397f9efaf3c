"""The answer of one run, put together from the engine's NDJSON lines in whatever order they come."""

from collections.abc import Iterable

import msgspec

MAX_EARLY = 400  # batches kept while a gap before them is being read


class _Message(msgspec.Struct):
    content: str = ''
    thinking: str | None = None


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

    @property
    def text(self) -> str:
        """The answer so far."""
        return _joined(self._text)

    @property
    def thinking(self) -> str:
        """The thinking so far."""
        return _joined(self._thinking)

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
        self._append(fresh)
        while self._early:
            first = min(self._early)
            if first > self.lines:
                break
            early = self._early.pop(first)[self.lines - first :]
            self._append(early)
            fresh += early
        if fresh and now is None:
            self._rate_from = None  # a burst from the log says nothing about the speed
        elif fresh and now is not None:
            self._last_at = now
            if self._rate_from is None:
                self._rate_from = (now, self.tokens)
        return fresh

    def _append(self, lines: Iterable[bytes]) -> None:
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


def _joined(parts: list[str]) -> str:
    if len(parts) > 1:
        parts[:] = [''.join(parts)]
    return parts[0] if parts else ''
