"""The jobs that wait, in lanes by priority and in the order in which a page shows them; cheap with 100,000 of them.

Pure. A lane's order is: what waits, what has a time of its own to wait for, what other jobs hold back; inside that by
priority and arrival. The broker's own order of the next few hundred is laid over it by whoever reads (``front``).
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from app.views import JobView
from broker.job import State

LANES = ('real', 'high', 'normal', 'low')  # the first goes first
PRIORITIES = {'real': range(13, 16), 'high': range(8, 13), 'normal': range(4, 8), 'low': range(4)}
CHOICE = {'real': 15, 'high': 10, 'normal': 5, 'low': 1}  # what a job gets that is put into the lane
RANKS = {State.WAITING: 0, State.DELAYED: 1, State.BLOCKED: 2}

Key = tuple[int, int, float, str]  # rank, -priority, time, job id
Match = Callable[[JobView], bool]


def lane_of(priority: int) -> str:
    """The lane of a priority 0–15."""
    return 'low' if priority < 4 else 'normal' if priority < 8 else 'high' if priority < 13 else 'real'


class Lineup:
    """Who waits. ``version`` rises with every change."""

    def __init__(self) -> None:
        self.version = 0
        self.models: Counter[str] = Counter()
        self.users: Counter[str] = Counter()
        self.states: Counter[str] = Counter()
        self._places: dict[str, tuple[str, Key, JobView]] = {}
        self._notes: dict[str, tuple[str, str, str]] = {}
        self._lanes: dict[str, list[Key]] = {lane: [] for lane in LANES}

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._places

    def take(self, job: JobView) -> None:
        """A job is new or has changed: it gets its place, or leaves when it does not wait (any more)."""
        old = self._places.get(job.job_id)
        if not job.waits:
            if old is not None:
                self._drop(job.job_id)
            return
        lane, key = lane_of(job.priority), _key(job)
        if old is not None and old[:2] == (lane, key):
            self._places[job.job_id] = (lane, key, job)
            return
        if old is not None:
            self._drop(job.job_id)
        insort(self._lanes[lane], key)
        self._count(job.job_id, (job.model, job.user, job.state), lane, key, job)

    def begin(self, jobs: Sequence[JobView]) -> None:
        """These are all there are."""
        self.__dict__.update(vars(Lineup()) | {'version': self.version + 1})
        for job in jobs:
            if job.waits:
                lane, key = lane_of(job.priority), _key(job)
                self._lanes[lane].append(key)
                self._count(job.job_id, (job.model, job.user, job.state), lane, key, job)
        for keys in self._lanes.values():
            keys.sort()

    def total(self, lane: str) -> int:
        """So many jobs are in this lane."""
        return len(self._lanes[lane])

    def jobs(self, lane: str) -> Iterator[JobView]:
        """All of a lane in its own order."""
        return (self._places[key[3]][2] for key in self._lanes[lane])

    def part(self, lane: str, front: Sequence[str], start: int, stop: int) -> list[JobView]:
        """The jobs ``start`` … ``stop`` of a lane when those of ``front`` go first."""
        first = list(front[start:stop])
        left = stop - start - len(first)
        if left > 0:
            keys = self._lanes[lane]
            skipped = sorted(bisect_left(keys, self._places[job_id][1]) for job_id in front)
            at = max(0, start - len(front))
            for place in skipped:
                if place > at:
                    break
                at += 1
            gone = set(front)
            rest = (keys[index][3] for index in range(at, len(keys)))
            first += islice((job_id for job_id in rest if job_id not in gone), left)
        return [self._places[job_id][2] for job_id in first]

    def front(self, lane: str, order: Sequence[str]) -> list[str]:
        """Those of ``order`` (job ids) that wait in this lane."""
        found = ((job_id, self._places.get(job_id)) for job_id in order)
        return [job_id for job_id, place in found if place is not None and place[0] == lane and place[1][0] == 0]

    def matching(self, lane: str, front: Sequence[str], match: Match) -> list[str]:
        """The ids of the jobs of a lane that ``match``, those of ``front`` first."""
        gone = set(front)
        first = [job_id for job_id in front if match(self._places[job_id][2])]
        return first + [job.job_id for job in self.jobs(lane) if job.job_id not in gone and match(job)]

    def job(self, job_id: str) -> JobView | None:
        """A job that waits."""
        place = self._places.get(job_id)
        return place[2] if place is not None else None

    def _count(self, job_id: str, notes: tuple[str, str, str], lane: str, key: Key, job: JobView) -> None:
        self.version += 1
        self._places[job_id] = (lane, key, job)
        self._notes[job_id] = notes
        for counter, name in zip((self.models, self.users, self.states), notes, strict=True):
            counter[name] += 1

    def _drop(self, job_id: str) -> None:
        self.version += 1
        lane, key, _ = self._places.pop(job_id)
        keys = self._lanes[lane]
        del keys[bisect_left(keys, key)]
        for counter, name in zip((self.models, self.users, self.states), self._notes.pop(job_id), strict=True):
            counter[name] -= 1
            if not counter[name]:
                del counter[name]


def _key(job: JobView) -> Key:
    rank = RANKS[job.state]
    return rank, 0 if rank == 1 else -job.priority, job.due_at if rank == 1 else job.queued_at, job.job_id
