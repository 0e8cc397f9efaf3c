"""The way of facts into the recorder, beside the app's own feed, which it can neither stop nor slow down.

What the feed brings is only pushed here. Whatever is missing, at the start, after a gap, after a rebuild, is fetched
from the queue, so every fact is recorded once and in order.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from analytics import errors, recorder
from broker import facts

MAX_WAITING = 10_000  # facts in memory; beyond it they are fetched again instead
CATCH_UP = 10_000  # facts in one transaction while catching up
GATHER_S = 0.25  # facts of this long share a transaction
MAX_PAUSE_S = 30.0
FLUSH_S = 1.0

log = logging.getLogger('corral.analytics')


class Page(Protocol):
    """What the queue answers to "facts after": some facts in order, and the newest seq there is."""

    @property
    def facts(self) -> Sequence[facts.AnyFact]: ...
    @property
    def head(self) -> int: ...


class Pump:
    """Start ``run()`` as a task and ``push`` every fact. ``fetch(seq)`` asks the queue for the facts after ``seq``.

    ``recorded()`` is called on the event loop after new facts are on disk, at most every ``gather_s``.
    """

    def __init__(
        self,
        sink: recorder.Recorder,
        fetch: Callable[[int], Awaitable[Page]],
        recorded: Callable[[], None] = lambda: None,
        *,
        gather_s: float = GATHER_S,
    ) -> None:
        self._sink = sink
        self._fetch = fetch
        self._recorded = recorded
        self._gather_s = gather_s
        self._waiting: list[facts.AnyFact] = []
        self._missed = True  # the queue may have facts that were not pushed
        self._news = asyncio.Event()
        sink.store.on_rebuild = self.nudge

    def push(self, fact: facts.AnyFact) -> None:
        """A fact happened. Never blocks, never raises."""
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append(fact)
        else:
            self._missed = True
        self._news.set()

    def nudge(self) -> None:
        """Look whether the queue has facts that were not pushed."""
        self._missed = True
        self._news.set()

    async def flush(self) -> None:
        """Record what is still missing, as far as that goes within ``FLUSH_S``. For the end, after ``run``."""
        with contextlib.suppress(Exception):  # it is fetched after the next start
            async with asyncio.timeout(FLUSH_S):
                self._missed = True
                await self._record_waiting()

    async def run(self) -> None:
        """Record for ever. Trouble with the file or the queue is tried again, with growing pauses."""
        self._news.set()
        pause_s = self._gather_s
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                done = await self._record_waiting()
            except Exception as error:  # the pump must live as long as the app
                log.warning('facts not recorded yet: %r', error, exc_info=True, extra={'action': 'pump'})
                done = False
            pause_s = self._gather_s if done else min(max(pause_s * 2, 0.5), MAX_PAUSE_S)
            if not done:
                self._news.set()
            await asyncio.sleep(pause_s)

    async def _record_waiting(self) -> bool:
        batch, self._waiting = self._waiting, []
        missed, self._missed = self._missed, False  # pushing may set it again at any await below
        before = self._sink.last_seq()
        done = False
        try:
            try:
                missed = not await self._sink.record(batch) or missed
            except errors.Gap:
                missed = True
            done = not missed or await self._catch_up()
        finally:
            self._missed = self._missed or not done
        if self._sink.last_seq() != before:
            self._recorded()
        return done

    async def _catch_up(self) -> bool:
        while True:
            after = self._sink.after()
            missing, head = await self._fetch_missing(after)
            if head < self._sink.last_seq():
                await self._sink.start_over('its facts are newer than the queue: that queue was begun anew')
                continue
            if not await self._sink.record(missing, fetched_after=after):
                return False
            if not missing or self._sink.last_seq() >= head:
                return True
            self._recorded()

    async def _fetch_missing(self, seq: int) -> tuple[list[facts.AnyFact], int]:
        """The next facts that the file lacks, as many pages as make a good transaction."""
        missing: list[facts.AnyFact] = []
        while True:
            page = await self._fetch(seq)
            missing += page.facts
            if not page.facts or page.facts[-1].seq >= page.head or len(missing) >= CATCH_UP:
                return missing, page.head
            seq = page.facts[-1].seq
