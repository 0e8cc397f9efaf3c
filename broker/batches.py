"""Jobs that belong together: how far each open batch is, and when it is over."""

import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator

import msgspec

from broker import protocol
from broker.intake import is_job_id
from broker.job import HELD_BY_WORKER, Job, State

REMEMBERED = 2_000  # batches that ended lately: more than one turn of the broker can end
MAX_TOTAL = 1_000_000
MAX_NAME = 300  # characters

_ENDS = {State.COMPLETED: 'completed', State.DEAD: 'dead', State.CANCELLED: 'cancelled'}


class Batches:
    """The batches that go on, with their counts, and the jobs of each that are alive."""

    def __init__(self) -> None:
        self._open: dict[str, protocol.Batch] = {}
        self._alive: dict[str, dict[str, None]] = {}  # by batch, in order of arrival
        self._idle: dict[str, float] = {}  # since when an open batch has no job that is alive
        self._stopping: set[str] = set()  # open ones that are being cancelled
        self._ended: OrderedDict[str, protocol.Batch] = OrderedDict()

    def restore(self, batches: Iterable[protocol.Batch], jobs: Iterable[Job], now: float) -> None:
        """Take over what an earlier broker left: its open batches, counted, and the jobs that are alive."""
        for batch in batches:
            self.open(batch, now)
        for job in jobs:
            if job.parent in self._alive:
                self._alive[job.parent][job.job_id] = None
                self._idle.pop(job.parent, None)

    def open(self, batch: protocol.Batch, now: float) -> None:
        """It begins."""
        self._idle[batch.batch_id] = now
        self._open[batch.batch_id] = batch
        self._alive[batch.batch_id] = {}

    def is_open(self, batch_id: str) -> bool:
        """Whether it goes on."""
        return batch_id in self._open

    def get(self, batch_id: str) -> protocol.Batch:
        """An open batch."""
        return self._open[batch_id]

    def find(self, batch_id: str) -> protocol.Batch | None:
        """A batch that goes on or has ended lately."""
        return self._open.get(batch_id) or self._ended.get(batch_id)

    def last_first(self, batch_id: str) -> Iterator[str]:
        """The jobs of an open batch that have not ended, the last that came first."""
        return reversed(self._alive[batch_id])

    def stop(self, batch_id: str) -> bool:
        """An open batch is to be cancelled and takes no more; whether that is new."""
        new = batch_id not in self._stopping
        self._stopping.add(batch_id)
        return new

    def why_not(self, batch_id: str, user: str) -> str:
        """Why this user may not put one more job into this batch, '' when they may."""
        batch = self._open.get(batch_id)
        if batch is None or batch.user != user:
            return 'parent must be a batch of yours that is open'
        if batch_id in self._stopping:
            return 'the batch is being cancelled; open another one'
        if batch.submitted >= batch.total:
            return f'the batch has all its {batch.total} jobs; open another one for more'
        return ''

    def idle_since(self, batch_id: str) -> float:
        """Since when an open batch has had no job that is alive; infinity while it has one, or is over."""
        return self._idle.get(batch_id, math.inf)

    def joined(self, job: Job) -> None:
        """A job of an open batch was accepted."""
        self._idle.pop(job.parent, None)
        self._alive[job.parent][job.job_id] = None
        self._count(job.parent, submitted=1)

    def moved(self, job: Job, was: State) -> None:
        """A job changed its state."""
        if job.parent not in self._open:
            return
        now_held, was_held = job.state in HELD_BY_WORKER, was in HELD_BY_WORKER
        if now_held != was_held:
            self._count(job.parent, running=1 if now_held else -1)
        if job.state in _ENDS:
            del self._alive[job.parent][job.job_id]
            self._count(job.parent, **{_ENDS[job.state]: 1})

    def left(self, batch_id: str, now: float) -> bool:
        """A job of a batch has ended; whether that leaves an open one with none that is alive."""
        if self._alive.get(batch_id, True):
            return False
        self._idle[batch_id] = now
        return True

    def is_over(self, batch_id: str) -> bool:
        """Whether an open batch has nothing to come any more."""
        batch = self._open.get(batch_id)
        return batch is not None and batch.completed + batch.dead + batch.cancelled == batch.total

    def end(self, batch_id: str, now: float) -> protocol.Batch:
        """It is over; as it ended. What still runs of it was told to stop, and counts as cancelled."""
        batch = self._open.pop(batch_id)
        self._stopping.discard(batch_id)
        self._idle.pop(batch_id, None)
        stopping = len(self._alive.pop(batch_id))
        ended = msgspec.structs.replace(batch, ended_at=now, running=0, cancelled=batch.cancelled + stopping)
        self._ended[batch_id] = ended
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)
        return ended

    def check(self, jobs: Iterable[Job]) -> None:
        """Raise AssertionError when the counts are not those of the jobs. For tests."""
        assert self._stopping <= self._open.keys()
        alive: dict[str, dict[str, None]] = {batch_id: {} for batch_id in self._open}
        running = dict.fromkeys(self._open, 0)
        for job in jobs:
            if job.parent in alive:
                alive[job.parent][job.job_id] = None
                running[job.parent] += job.state in HELD_BY_WORKER
        assert alive == self._alive
        assert self._idle.keys() == {batch_id for batch_id, jobs in alive.items() if not jobs}
        for batch_id, batch in self._open.items():
            ended = batch.completed + batch.dead + batch.cancelled
            assert batch.running == running[batch_id]
            assert batch.submitted == ended + len(alive[batch_id]) <= batch.total
            assert ended < batch.total, 'all have ended, and the batch goes on'

    def _count(self, batch_id: str, **changes: int) -> None:
        batch = self._open[batch_id]
        counts = {name: getattr(batch, name) + change for name, change in changes.items()}
        self._open[batch_id] = msgspec.structs.replace(batch, **counts)


def problem_with(request: protocol.OpenBatch) -> str:
    """Why this cannot be a batch, '' when it can."""
    rules = (
        (is_job_id(request.batch_id), 'batch_id must be 32 hexadecimal digits'),
        (1 <= request.total <= MAX_TOTAL, f'total must be 1 to {MAX_TOTAL} jobs'),
        (max(len(request.name), len(request.user)) <= MAX_NAME, f'name and user may have {MAX_NAME} characters'),
    )
    return next((text for sound, text in rules if not sound), '')
