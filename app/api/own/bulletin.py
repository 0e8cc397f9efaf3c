"""The newest facts, for all that follow them live: each reader takes what is new at its own pace.

Nothing is queued for a reader, so a slow one costs nothing and holds nobody up; one that falls behind what is kept here
asks the queue. Pure but for the waiting.
"""

import asyncio
from collections import deque
from typing import NamedTuple

from broker import facts

KEPT = 5_000


class Entry(NamedTuple):
    """A fact as it is sent."""

    seq: int
    name: str
    data: bytes


class Bulletin:
    """Facts as they pass."""

    def __init__(self, kept: int = KEPT) -> None:
        self._entries: deque[Entry] = deque(maxlen=kept)
        self._news = asyncio.Event()

    @property
    def head(self) -> int:
        """The newest seq here; 0 before the first."""
        return self._entries[-1].seq if self._entries else 0

    def push(self, fact: facts.AnyFact) -> None:
        """A fact happened. After a gap nothing older is kept, since what is here has none."""
        if self._entries and fact.seq != self._entries[-1].seq + 1:
            if fact.seq <= self._entries[-1].seq and fact.seq > self._entries[0].seq:
                return
            self._entries.clear()
        self._entries.append(entry(fact))
        news, self._news = self._news, asyncio.Event()
        news.set()

    def after(self, seq: int, limit: int) -> list[Entry] | None:
        """The facts after ``seq``, oldest first; None when they do not reach back that far."""
        if not self._entries or seq < self._entries[0].seq - 1:
            return None
        first = seq - self._entries[0].seq + 1
        return [self._entries[place] for place in range(first, min(first + limit, len(self._entries)))]

    async def news(self, timeout_s: float) -> bool:
        """Wait for the next fact; False when none came in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return False
        return True


def entry(fact: facts.AnyFact) -> Entry:
    """A fact as it is sent."""
    return Entry(fact.seq, type(fact).__name__, facts.encode(fact))
