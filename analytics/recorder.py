"""Facts into rows, each exactly once, however often and from wherever they are fed."""

import contextlib
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import msgspec

from analytics import errors, quantiles, store, timekeeper
from broker import facts

log = logging.getLogger('corral.analytics')

TABLES: dict[type[facts.Fact], str] = {
    facts.JobQueued: 'queued',
    facts.JobStarted: 'starts',
    facts.JobRequeued: 'requeues',
    facts.JobDue: 'dues',
    facts.JobUnblocked: 'unblocks',
    facts.JobShared: 'shares',
    facts.JobPriorityChanged: 'priority_changes',
    facts.JobCancelRequested: 'cancel_requests',
    facts.JobCompleted: 'jobs_ended',
    facts.JobDied: 'jobs_ended',
    facts.JobCancelled: 'jobs_ended',
    facts.WorkerJoined: 'worker_joins',
    facts.WorkerChanged: 'worker_changes',
    facts.WorkerRetired: 'worker_retirements',
    facts.WorkerLeft: 'worker_leaves',
    facts.Paused: 'pauses',
    facts.Resumed: 'resumes',
    facts.Drained: 'drains',
    facts.BatchOpened: 'batches_opened',
    facts.BatchEnded: 'batches_ended',
    facts.ScheduleSet: 'schedules_set',
    facts.ScheduleRemoved: 'schedules_removed',
    facts.ScheduleSkipped: 'schedule_skips',
}
OUTCOMES: dict[type[facts.Fact], str] = {
    facts.JobCompleted: 'completed',
    facts.JobDied: 'failed',
    facts.JobCancelled: 'cancelled',
}
CLOCK_BYTES = 40  # the timekeeper's state is kept when so many bytes of it come to each fact since the last time
DIGITS = 6  # of a second: what is finer is noise, takes half as much room again and is slower to read
MAX_INTEGER = 2**63 - 1  # a number beyond it is nonsense from an engine; it must not stop all that comes after


class Recorder:
    """Feeds the analytics file. Start feeding after ``last_seq()``, and again there after every gap.

    Trouble with the file never reaches the caller: a broken one is set aside, ``last_seq()`` is 0 again, and the next
    facts are refused as a gap, so that all of them are fed anew. ``problem`` says why nothing can be recorded now.
    """

    def __init__(self, opened: store.Store, problem: str = '', *, watts: Mapping[str, float] | None = None) -> None:
        self.store = opened
        self.problem = problem
        self._watts = watts or {}
        self._clock: timekeeper.Timekeeper | None = None  # None: as the file says
        self._kept_seq = 0  # the state of the clock after this fact is in the file …
        self._clock_size = 0  # … and has so many bytes

    @classmethod
    async def open(cls, path: Path, *, watts: Mapping[str, float] | None = None, keep_s: float = 0.0) -> Self:
        """A recorder on the file ``path``. A file that cannot be used now is tried again with every ``record``."""
        try:
            opened = cls(await store.Store.open(path, keep_s=keep_s), watts=watts)
        except errors.Unavailable as error:
            log.error('%s', error, extra={'action': 'open_analytics'})
            return cls(store.Store(path, keep_s=keep_s), str(error), watts=watts)
        with contextlib.suppress(errors.AnalyticsError):  # the first record says why
            await opened._wind()
        return opened

    def last_seq(self) -> int:
        """The ``seq`` of the newest fact on disk; 0 in a new or rebuilt file: feed all facts again."""
        return self.store.last_seq

    def after(self) -> int:
        """Facts after this one are wanted: those that are not on disk, and some that the timekeeper has forgotten."""
        return self.last_seq() if self._clock is None else min(self.last_seq(), self._clock.state.seq)

    def standing(self) -> timekeeper.State | None:
        """What the timekeeper knows after the newest fact; None while facts are being recorded, or before."""
        clock = self._clock
        return clock.state if clock is not None and clock.state.seq == self.last_seq() and clock.state.at else None

    async def record(self, batch: Sequence[facts.AnyFact], *, fetched_after: int | None = None) -> bool:
        """Record facts in order; the ones up to ``after()`` are ignored. True when all of them are on disk now.

        ``fetched_after``: the queue gave these as all that it has after this number, so what is missing in front of
        them it keeps no longer, and that is no gap.
        Raises ``errors.Gap`` when facts are missing in between: nothing of this batch was recorded.
        """
        try:
            await self.store.reopen()
            clock = await self._wind()
            after = self.after()
            forgotten = fetched_after == after and bool(batch) and batch[0].seq > after + 1
            new = _gapless(batch, batch[0].seq - 1 if forgotten else after)
            if new:
                await self._record(clock, new)
            if forgotten:
                log.info('the queue keeps no facts before %s', batch[0].seq, extra={'action': 'record'})
        except errors.Gap:
            raise
        except errors.AnalyticsError as error:
            self._clock = None
            if str(error) != self.problem:
                log.error('%s', error, extra={'action': 'record'})
            self.problem = '' if isinstance(error, errors.Rebuilding) else str(error)
            return False
        self.problem = ''
        return True

    async def _record(self, clock: timekeeper.Timekeeper, new: list[facts.AnyFact]) -> None:
        """The clock hears all of these; those that are on disk already are not written again."""
        last_seq = self.last_seq()
        known = [fact for fact in new if fact.seq <= last_seq]
        if known:
            clock.feed(known)
            new = new[len(known) :]
        if not new:
            return
        self._clock = None  # when this fails or is cancelled, it has heard what is not on disk
        times, curves = clock.feed(new)
        tables = rows(new, times)
        for table, lines in curves.items():
            if lines:
                tables[table] = dict(zip(CURVES[table], map(list, zip(*lines, strict=True)), strict=True))
        kept = None
        if (clock.state.seq - self._kept_seq) * CLOCK_BYTES >= self._clock_size:
            data = clock.to_bytes()
            self._clock_size = len(data)
            kept = (clock.state.seq, data)
        await self.store.insert(tables, after=last_seq, last_seq=new[-1].seq, clock=kept)
        self._clock = clock
        if kept:
            self._kept_seq = kept[0]

    async def _wind(self) -> timekeeper.Timekeeper:
        """The timekeeper, as it was left."""
        if self._clock is None or self._clock.state.seq > self.last_seq():
            seq, data = await self.store.clock()
            try:
                kept = timekeeper.Timekeeper.from_bytes(data, self._watts) if seq else None
            except msgspec.MsgspecError as error:
                await self.store.start_over(f'its clock cannot be read: {error}')
                seq, data, kept = 0, b'', None
            self._clock = kept or timekeeper.Timekeeper(watts=self._watts)
            self._kept_seq, self._clock_size = seq, len(data)
        return self._clock

    async def start_over(self, reason: str) -> None:
        """Set the file aside and begin a new one, because its facts are not this queue's."""
        try:
            await self.store.start_over(reason)
        except errors.AnalyticsError as error:
            self.problem = str(error)

    async def close(self) -> None:
        """Let go of the file, after the timekeeper's state is in it."""
        clock, last_seq = self._clock, self.last_seq()
        if clock is not None and clock.state.seq == last_seq != self._kept_seq:
            with contextlib.suppress(errors.AnalyticsError):  # then it hears some facts again after the next start
                await self.store.insert({}, after=last_seq, last_seq=last_seq, clock=(last_seq, clock.to_bytes()))
        await self.store.close()


CURVES = {
    'depth': ('happened_at', 'span_s', 'model', 'waited_job_s', 'most'),
    'slots': ('happened_at', 'span_s', 'worker', 'slot_s', 'busy_s'),
}


def rows(
    batch: Sequence[facts.AnyFact], times: Sequence[timekeeper.Times] | None = None
) -> dict[str, dict[str, list[object]]]:
    """Facts as columns by table. ``times`` are those of the jobs that end, in order."""
    kinds: dict[type[facts.Fact], list[facts.AnyFact]] = {}
    for fact in batch:
        kinds.setdefault(type(fact), []).append(fact)
    tables: dict[str, dict[str, list[object]]] = {}
    for kind, some in kinds.items():
        table = tables.setdefault(TABLES[kind], {})
        for name, column in _columns(kind, some).items():
            table.setdefault(name, []).extend(column)
    if 'jobs_ended' in tables:
        ends = [fact for fact in batch if isinstance(fact, facts.JobEnded)]
        told = dict(zip([fact.seq for fact in ends], times or [timekeeper.Times() for _ in ends], strict=True))
        tables['jobs_ended'] |= _times(tables['jobs_ended'], told)
    return tables


def _times(ended: dict[str, list[object]], told: dict[int, timekeeper.Times]) -> dict[str, list[object]]:
    """What the timekeeper and the buckets of a histogram add to each end."""
    in_order = [told[seq] for seq in ended['seq']]  # type: ignore[index]
    columns: dict[str, list[object]] = {
        name: _sane([getattr(times, name) for times in in_order]) for name in timekeeper.Times.__struct_fields__
    }
    responses = zip(ended['happened_at'], ended['queued_at'], strict=True)
    columns['response_b'] = [quantiles.bucket_of(end - begin) for end, begin in responses]  # type: ignore[operator]
    columns['wait_b'] = [quantiles.bucket_of(waited_s) for waited_s in ended['waited_s']]  # type: ignore[arg-type]
    columns['first_token_b'] = [quantiles.bucket_of(passed) for passed in ended['first_token_s']]  # type: ignore[arg-type]
    return columns


def _columns(kind: type[facts.Fact], some: list[facts.AnyFact]) -> dict[str, list[object]]:
    """All facts of one kind, field by field, which is several times as fast as fact by fact."""
    columns: dict[str, list[object]] = {}
    for name in kind.__struct_fields__:
        values = [getattr(fact, name) for fact in some]
        if name == 'models':
            columns[name] = [', '.join(model.name for model in models) for models in values]
        elif name == 'labels':
            columns[name] = [', '.join(labels) for labels in values]
        elif name == 'usage':
            for field in facts.Usage.__struct_fields__:
                columns[field] = _sane([getattr(usage, field) for usage in values])
        else:
            columns['happened_at' if name == 'at' else name] = _sane(values)  # "at" is a reserved word in DuckDB
    if kind in OUTCOMES:
        columns['outcome'] = [OUTCOMES[kind]] * len(some)
        columns.setdefault('code', [''] * len(some))
        columns.setdefault('detail', [''] * len(some))
        columns.setdefault('trace', [''] * len(some))
    return columns


def _sane(values: list[object]) -> list[object]:
    first = values[0]
    if isinstance(first, float):
        numbers = (value if isinstance(value, (int, float)) and math.isfinite(value) else 0.0 for value in values)
        return [round(value, DIGITS) for value in numbers]
    if isinstance(first, int) and not isinstance(first, bool):
        return [max(-MAX_INTEGER, min(value, MAX_INTEGER)) if isinstance(value, int) else 0 for value in values]
    return values


def _gapless(batch: Sequence[facts.AnyFact], last_seq: int) -> list[facts.AnyFact]:
    new: list[facts.AnyFact] = []
    for fact in batch:
        expected = last_seq + len(new) + 1
        if fact.seq > expected:
            raise errors.Gap(expected, fact.seq)
        if fact.seq == expected:
            new.append(fact)
    return new
