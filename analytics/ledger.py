"""The one thing the app needs of this room: open it, push facts, ask questions, be told when answers changed."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Self

from analytics import answers, curves, dictionary, errors, misses, outlet, pump, queries, recorder, spread
from broker import facts

log = logging.getLogger('corral.analytics')
MANY = 10  # steps of rolling up; more than that is said


class Ledger:
    """Made by ``await Ledger.open(path, broker.facts_after)``, which also starts recording; ended by ``close()``.

    Questions raise ``errors.Unavailable`` and ``errors.Rebuilding``; nothing else here raises.
    """

    def __init__(self, sink: recorder.Recorder, fetch: Callable[[int], Awaitable[pump.Page]]) -> None:
        self._sink = sink
        self._pump = pump.Pump(sink, fetch, self._tell)
        self._watchers: dict[int, Callable[[], object]] = {}
        self._next_watcher = 0
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def open(
        cls,
        path: Path,
        fetch: Callable[[int], Awaitable[pump.Page]],
        *,
        watts: Mapping[str, float] | None = None,
        keep_s: float = 0.0,
    ) -> Self:
        """Open the file and begin to record; ``fetch(seq)`` gets the facts after ``seq`` from the queue.

        ``watts`` is what a busy worker draws, by its name, a label of it, or ``default``. Single jobs stay for
        ``keep_s`` seconds, 0 is for ever.
        """
        await asyncio.to_thread(outlet.sweep, path.parent)
        ledger = cls(await recorder.Recorder.open(path, watts=watts, keep_s=keep_s), fetch)
        ledger._tasks = [
            asyncio.create_task(ledger._pump.run(), name='analytics-pump'),
            asyncio.create_task(ledger._roll_up(), name='analytics-roll-up'),
        ]
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

    async def summary(self, *, since: float, until: float, only: answers.Filter = answers.ALL) -> answers.Summary:
        """See ``queries.summary``."""
        return await queries.summary(self._sink.store, since=since, until=until, only=only)

    async def compare(self, *, since: float, until: float, only: answers.Filter = answers.ALL) -> answers.Comparison:
        """See ``queries.compare``."""
        return await queries.compare(self._sink.store, since=since, until=until, only=only)

    async def per_minute(
        self, *, since: float, until: float, step_s: float = 60.0, only: answers.Filter = answers.ALL
    ) -> list[answers.Point]:
        """See ``curves.per_minute``."""
        return await curves.per_minute(self._sink.store, since=since, until=until, step_s=step_s, only=only)

    async def spread(
        self, *, since: float, until: float, step_s: float = 3600.0, only: answers.Filter = answers.ALL
    ) -> list[spread.Spread]:
        """See ``spread.spread``: medians and 95 % over time."""
        return await spread.spread(self._sink.store, since=since, until=until, step_s=step_s, only=only)

    async def by_priority(
        self, *, since: float, until: float, only: answers.Filter = answers.ALL
    ) -> list[answers.PrioritySummary]:
        """See ``queries.by_priority``."""
        return await queries.by_priority(self._sink.store, since=since, until=until, only=only)

    async def by_model(
        self, *, since: float, until: float, only: answers.Filter = answers.ALL
    ) -> list[answers.ModelSummary]:
        """See ``queries.by_model``."""
        return await queries.by_model(self._sink.store, since=since, until=until, only=only)

    async def groups(
        self, dimension: str, *, since: float, until: float, only: answers.Filter = answers.ALL
    ) -> list[answers.Group]:
        """See ``queries.groups``: by model, user, worker, priority, kind, engine or source."""
        return await queries.groups(self._sink.store, dimension, since=since, until=until, only=only)

    async def by_hour_of_week(
        self, *, since: float, until: float, zone: str = '', only: answers.Filter = answers.ALL
    ) -> list[answers.Hour]:
        """See ``curves.by_hour_of_week``."""
        return await curves.by_hour_of_week(self._sink.store, since=since, until=until, zone=zone, only=only)

    async def failures(
        self, *, since: float, until: float, only: answers.Filter = answers.ALL
    ) -> list[answers.Failure]:
        """See ``queries.failures``."""
        return await queries.failures(self._sink.store, since=since, until=until, only=only)

    async def queue_depth(
        self, *, since: float, until: float, step_s: float = 60.0, models: tuple[str, ...] = ()
    ) -> list[answers.Depth]:
        """See ``curves.queue_depth``, and ``curves.depth_until`` for what follows the last fact."""
        points = await curves.queue_depth(self._sink.store, since=since, until=until, step_s=step_s, models=models)
        state = self._sink.standing()
        return curves.depth_until(points, state, now=time.time(), step_s=step_s, models=models) if state else points

    async def saturation(
        self, *, since: float, until: float, step_s: float = 60.0, workers: tuple[str, ...] = ()
    ) -> list[answers.Saturation]:
        """See ``curves.saturation``, and ``curves.saturation_until`` for what follows the last fact."""
        points = await curves.saturation(self._sink.store, since=since, until=until, step_s=step_s, workers=workers)
        state, now = self._sink.standing(), time.time()
        return curves.saturation_until(points, state, now=now, step_s=step_s, workers=workers) if state else points

    async def eta(
        self, *, since: float, until: float, step_s: float = 3600.0, only: answers.Filter = answers.ALL
    ) -> answers.Eta:
        """See ``curves.eta``."""
        return await curves.eta(self._sink.store, since=since, until=until, step_s=step_s, only=only)

    async def misses(self, *, since: float, until: float, only: answers.Filter = answers.ALL) -> misses.Misses:
        """See ``misses.misses``: how far predictions were off."""
        return await misses.misses(self._sink.store, since=since, until=until, only=only)

    async def model_speed(
        self, *, since: float, until: float, step_s: float = 3600.0, only: answers.Filter = answers.ALL
    ) -> list[answers.ModelPoint]:
        """See ``curves.model_speed``."""
        return await curves.model_speed(self._sink.store, since=since, until=until, step_s=step_s, only=only)

    async def usage(
        self, *, since: float, until: float, models: bool = False, only: answers.Filter = answers.ALL
    ) -> list[answers.Usage]:
        """See ``queries.usage``."""
        return await queries.usage(self._sink.store, since=since, until=until, models=models, only=only)

    async def waits(self, *, since: float, until: float, only: answers.Filter = answers.ALL) -> answers.Waits:
        """See ``queries.waits``."""
        return await queries.waits(self._sink.store, since=since, until=until, only=only)

    async def job_time(self, job_id: str) -> answers.JobTime | None:
        """See ``queries.job_time``."""
        return await queries.job_time(self._sink.store, job_id)

    async def runs(self, *, since: float, until: float, limit: int) -> list[answers.Run]:
        """See ``queries.runs``."""
        return await queries.runs(self._sink.store, since=since, until=until, limit=limit)

    async def first_end(self) -> float | None:
        """See ``queries.first_end``."""
        return await queries.first_end(self._sink.store)

    async def choices(self, *, since: float, until: float) -> answers.Choices:
        """See ``queries.choices``."""
        return await queries.choices(self._sink.store, since=since, until=until)

    async def query(
        self, sql: str, *, limit_rows: int = 1000, limit_bytes: int = 4_000_000, timeout_s: float = 10.0
    ) -> answers.Result:
        """What a SELECT of a user gives. Raises ``errors.Refused``, with line and column where there is a place."""
        return await self._sink.store.query(sql, limit_rows=limit_rows, limit_bytes=limit_bytes, timeout_s=timeout_s)

    def schema(self) -> list[answers.Table]:
        """The tables that ``query`` may read, and what their columns say."""
        return dictionary.tables()

    def export(self, table: str, form: outlet.Form, *, since: float, until: float) -> AsyncIterator[bytes]:
        """See ``outlet.table``."""
        store = self._sink.store
        return outlet.table(store, table, form, since=since, until=until, folder=store.path.parent)

    async def close(self) -> None:
        """Stop recording and let go of the file. What was not recorded is fetched after the next start."""
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._tasks:
            await self._pump.flush()
        await self._sink.close()

    async def _roll_up(self) -> None:
        """Make what sums the file lacks, beside all else: those of a file that was brought up to date are many."""
        begun, steps = time.monotonic(), 0
        try:
            while await self._sink.store.roll_on():
                steps += 1
                if steps == MANY:
                    text = 'sums of past jobs are being made; questions over long times take longer until then'
                    log.info(text, extra={'action': 'roll'})
        except errors.AnalyticsError:  # recording goes on from there, and says why
            self._pump.nudge()
            return
        if steps >= MANY:
            log.info('the sums of past jobs are made, in %.0f s', time.monotonic() - begun, extra={'action': 'roll'})

    def _tell(self) -> None:
        for callback in list(self._watchers.values()):
            try:
                callback()
            except Exception:  # one page that fails must not stop the others, or the recording
                log.exception('a watcher of analytics failed', extra={'action': 'watch'})
