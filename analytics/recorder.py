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
    facts.JobPriorityChanged: 'priority_changes',
    facts.JobCancelRequested: 'cancel_requests',
    facts.JobCompleted: 'jobs_ended',
    facts.JobDied: 'jobs_ended',
    facts.JobCancelled: 'jobs_ended',
    facts.WorkerJoined: 'worker_joins',
    facts.WorkerChanged: 'worker_changes',
    facts.WorkerLeft: 'worker_leaves',
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

    async def record(self, batch: Sequence[facts.AnyFact]) -> bool:
        """Record facts in order; the ones up to ``last_seq()`` are ignored. True when all of them are on disk now.

        Raises ``errors.Gap`` when facts are missing in between: nothing of this batch was recorded.
        """
        try:
            await self.store.reopen()
            new = _gapless(batch, self.last_seq())
            if new:
                await self.store.insert(rows(new), new[-1].seq)
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
    tables: dict[str, dict[str, list[object]]] = {}
    for fact in batch:
        columns = tables.setdefault(TABLES[type(fact)], {})
        for name, value in _row(fact).items():
            columns.setdefault(name, []).append(value)
    return tables


def _row(fact: facts.AnyFact) -> dict[str, object]:
    row: dict[str, object] = {}
    for name in fact.__struct_fields__:
        value = getattr(fact, name)
        if name == 'at':  # a reserved word in DuckDB
            row['happened_at'] = _sane(value)
        elif name == 'models':
            row['models'] = ', '.join(model.name for model in value)
        elif isinstance(value, facts.Usage):
            row |= {field: _sane(getattr(value, field)) for field in value.__struct_fields__}
        else:
            row[name] = _sane(value)
    if isinstance(fact, facts.JobEnded):
        row['outcome'] = OUTCOMES[type(fact)]
        row.setdefault('code', '')
        row.setdefault('detail', '')
    return row


def _sane(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else 0.0
    if isinstance(value, int) and not isinstance(value, bool):
        return max(-MAX_INTEGER, min(value, MAX_INTEGER))
    return value


def _gapless(batch: Sequence[facts.AnyFact], last_seq: int) -> list[facts.AnyFact]:
    new: list[facts.AnyFact] = []
    for fact in batch:
        expected = last_seq + len(new) + 1
        if fact.seq > expected:
            raise errors.Gap(expected, fact.seq)
        if fact.seq == expected:
            new.append(fact)
    return new
