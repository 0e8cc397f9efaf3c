"""Facts into rows, each exactly once, however often and from wherever they are fed."""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from analytics import errors, store
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
MAX_INTEGER = 2**63 - 1  # a number beyond it is nonsense from an engine; it must not stop all that comes after


class Recorder:
    """Feeds the analytics file. Start feeding after ``last_seq()``, and again there after every gap.

    Trouble with the file never reaches the caller: a broken one is set aside, ``last_seq()`` is 0 again, and the next
    facts are refused as a gap, so that all of them are fed anew. ``problem`` says why nothing can be recorded now.
    """

    def __init__(self, opened: store.Store, problem: str = '') -> None:
        self.store = opened
        self.problem = problem

    @classmethod
    async def open(cls, path: Path) -> Self:
        """A recorder on the file ``path``. A file that cannot be used now is tried again with every ``record``."""
        try:
            return cls(await store.Store.open(path))
        except errors.Unavailable as error:
            log.error('%s', error, extra={'action': 'open_analytics'})
            return cls(store.Store(path), str(error))

    def last_seq(self) -> int:
        """The ``seq`` of the newest fact on disk; 0 in a new or rebuilt file: feed all facts again."""
        return self.store.last_seq

    async def record(self, batch: Sequence[facts.AnyFact], *, fetched_after: int | None = None) -> bool:
        """Record facts in order; the ones up to ``last_seq()`` are ignored. True when all of them are on disk now.

        ``fetched_after``: the queue gave these as all that it has after this number, so what is missing in front of
        them it keeps no longer, and that is no gap.
        Raises ``errors.Gap`` when facts are missing in between: nothing of this batch was recorded.
        """
        try:
            await self.store.reopen()
            last_seq = self.last_seq()
            forgotten = fetched_after == last_seq and bool(batch) and batch[0].seq > last_seq + 1
            new = _gapless(batch, batch[0].seq - 1 if forgotten else last_seq)
            if new:
                await self.store.insert(rows(new), after=last_seq, last_seq=new[-1].seq)
            if forgotten:
                log.info('the queue keeps no facts before %s', batch[0].seq, extra={'action': 'record'})
        except errors.Gap:
            raise
        except errors.AnalyticsError as error:
            if str(error) != self.problem:
                log.error('%s', error, extra={'action': 'record'})
            self.problem = '' if isinstance(error, errors.Rebuilding) else str(error)
            return False
        self.problem = ''
        return True

    async def start_over(self, reason: str) -> None:
        """Set the file aside and begin a new one, because its facts are not this queue's."""
        try:
            await self.store.start_over(reason)
        except errors.AnalyticsError as error:
            self.problem = str(error)

    async def close(self) -> None:
        """Let go of the file."""
        await self.store.close()


def rows(batch: Sequence[facts.AnyFact]) -> dict[str, dict[str, list[object]]]:
    """Facts as columns by table."""
    kinds: dict[type[facts.Fact], list[facts.AnyFact]] = {}
    for fact in batch:
        kinds.setdefault(type(fact), []).append(fact)
    tables: dict[str, dict[str, list[object]]] = {}
    for kind, some in kinds.items():
        table = tables.setdefault(TABLES[kind], {})
        for name, column in _columns(kind, some).items():
            table.setdefault(name, []).extend(column)
    return tables


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
        return [value if isinstance(value, (int, float)) and math.isfinite(value) else 0.0 for value in values]
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
