"""The one thing the app needs of this room: open it, push facts, ask questions, be told when answers changed."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self

from analytics import pump, queries, recorder
from broker import facts

log = logging.getLogger('corral.analytics')


class Ledger:
    """Made by ``await Ledger.open(path, broker.facts_after)``, which also starts recording; ended by ``close()``.

    Questions raise ``errors.Unavailable`` and ``errors.Rebuilding``; nothing else here raises.
    """

    def __init__(self, sink: recorder.Recorder, fetch: Callable[[int], Awaitable[pump.Page]]) -> None:
        self._sink = sink
        self._pump = pump.Pump(sink, fetch, self._tell)
        self._watchers: dict[int, Callable[[], object]] = {}
        self._next_watcher = 0
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, path: Path, fetch: Callable[[int], Awaitable[pump.Page]]) -> Self:
        """Open the file and begin to record; ``fetch(seq)`` gets the facts after ``seq`` from the queue."""
        ledger = cls(await recorder.Recorder.open(path), fetch)
        ledger._task = asyncio.create_task(ledger._pump.run(), name='analytics-pump')
        return ledger

    def push(self, fact: facts.AnyFact) -> None:
        """A fact happened. Never blocks and never raises; facts that were not pushed are fetched."""
        self._pump.push(fact)

    def last_seq(self) -> int:
        """The newest fact that is on disk."""
        return self._sink.last_seq()

    @property
    def problem(self) -> str:
        """Why nothing can be recorded now; '' when all is well."""
        return self._sink.problem

    def watch(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call ``callback`` on the event loop after new facts are on disk, a few times a second at most.

        What is returned ends that.
        """
        key, self._next_watcher = self._next_watcher, self._next_watcher + 1
        self._watchers[key] = callback

        def remove() -> None:
            self._watchers.pop(key, None)

        return remove

    async def summary(self, *, since: float, until: float) -> queries.Summary:
        """See ``queries.summary``."""
        return await queries.summary(self._sink.store, since=since, until=until)

    async def per_minute(self, *, since: float, until: float, step_s: float = 60.0) -> list[queries.Point]:
        """See ``queries.per_minute``."""
        return await queries.per_minute(self._sink.store, since=since, until=until, step_s=step_s)

    async def by_priority(self, *, since: float, until: float) -> list[queries.PrioritySummary]:
        """See ``queries.by_priority``."""
        return await queries.by_priority(self._sink.store, since=since, until=until)

    async def by_model(self, *, since: float, until: float) -> list[queries.ModelSummary]:
        """See ``queries.by_model``."""
        return await queries.by_model(self._sink.store, since=since, until=until)

    async def close(self) -> None:
        """Stop recording and let go of the file. What was not recorded is fetched after the next start."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            await self._pump.flush()
        await self._sink.close()

    def _tell(self) -> None:
        for callback in list(self._watchers.values()):
            try:
                callback()
            except Exception:  # one page that fails must not stop the others, or the recording
                log.exception('a watcher of analytics failed', extra={'action': 'watch'})
