"""The order of the waiting jobs: level by level, fair inside a level, and nobody waits for ever.

1. A higher priority goes first.
2. Inside a level the user who has used least lately goes first (``share.Ledger``).
3. A user's own jobs go first come, first served.
4. A job that has waited longer than the bound is *overdue*: of every few starts that it could have had one goes to
   the job that has waited longest, whatever its priority. Not all of them, or a day's backlog would push the chat
   aside.

Jobs that need the same runner (a model loaded with the same options) stand in one lane. Every step costs O(log n) in
the jobs, and one look at each lane and level in use. ``playback`` plays the same order through on the side.
"""

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from broker.durations import Durations
from broker.heap import PriorityHeap
from broker.job import Job
from broker.share import Ledger

MAX_LANES = 32  # of one model; runners beyond that share one


class Fairness(NamedTuple):
    """``overdue_after_s``: the bound on waiting. ``overdue_every``: of so many starts one is for the overdue.

    ``affinity_wait_s``: how long jobs that need no loading may go before one whose turn it is and that needs it.
    """

    overdue_after_s: float = 600.0
    overdue_every: int = 3
    affinity_wait_s: float = 20.0


Since = tuple[float, int]  # when a job was queued, and its order


class Turn(NamedTuple):
    """Whose turn it is in one lane, comparable between lanes: the smallest is next of all."""

    regular: bool  # False for an overdue job
    minus_priority: int
    rank: float
    order: int
    job_id: str
    user: str
    lane: str


def prefers(warm: Turn | None, turn: Turn, passed_s: float, fairness: Fairness) -> bool:
    """Whether a job that needs no loading goes before the one whose turn it is and that does.

    Only inside a level, and only until the other one has been passed over for too long.
    """
    return (
        warm is not None
        and turn.regular
        and warm.minus_priority == turn.minus_priority
        and passed_s < fairness.affinity_wait_s
    )


class Waiting:
    """All jobs that could start now if a worker were free. Users who are held leave no candidate behind."""

    def __init__(self, fairness: Fairness, ledger: Ledger, durations: Durations) -> None:
        self.fairness = fairness
        self.ledger = ledger
        self.durations = durations
        self.lanes: dict[str, Lane] = {}
        self._lanes_of: Counter[str] = Counter()  # by model
        self._shared: dict[str, str] = {}  # the lane of a job that does not stand in its own runner's
        self._candidates: list[Lane] = []  # those that ``best`` chose among
        self._held: set[str] = set()
        self._skipped: set[int] = set()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, job: Job) -> None:
        """Put ``job`` where it belongs."""
        name = job.runner or job.model
        if name not in self.lanes:
            if self._lanes_of[job.model] >= MAX_LANES:
                name = self._shared[job.job_id] = f'{job.model} …'
            if name not in self.lanes:
                self.lanes[name] = Lane(name, job.model, self.ledger, self._held, self._skipped)
                self._lanes_of[job.model] += 1
        self.lanes[name].add(job)
        self._count += 1

    def remove(self, job: Job) -> None:
        """Take ``job`` out."""
        lane = self.lane_of(job)
        lane.remove(job)
        self._shared.pop(job.job_id, None)
        self._count -= 1
        if not lane.oldest.users:
            del self.lanes[lane.name]
            self._lanes_of[job.model] -= 1
            if not self._lanes_of[job.model]:
                del self._lanes_of[job.model]

    def lane_of(self, job: Job) -> 'Lane':
        """Where a waiting job stands."""
        return self.lanes[self._shared.get(job.job_id) or job.runner or job.model]

    def started(self, job: Job, now: float, *, overdue: bool = False) -> float:
        """Take ``job`` out because it starts, ``overdue`` or not, and charge its user what such a job usually costs:
        that is returned.
        """
        lane = self.lane_of(job)
        for other in self._candidates or [lane]:
            other.passed = 0 if overdue else other.passed + 1
        self._candidates = []
        lane.passed_since = 0.0
        self.remove(job)
        work_s = self.durations.mean_s(job.model)
        self.charge(job.user, work_s, now)
        return work_s

    def charge(self, user: str, work_s: float, now: float) -> None:
        """Somebody used so much; a negative amount takes an estimate back."""
        self.ledger.charge(user, work_s, now)
        if work_s < 0.0:  # who has to wait longer is found out when it is their turn
            for lane in self.lanes.values():
                lane.credited(user)

    def hold(self, user: str) -> None:
        """This user's jobs may not start for now, and do not stand in anybody's way."""
        if user not in self._held:
            self._held.add(user)
            self._moved(user)

    def let_go(self, user: str) -> None:
        """They may start again, from where they stood."""
        if user in self._held:
            self._held.remove(user)
            self._moved(user)

    def skip(self, priorities: frozenset[int]) -> None:
        """Jobs of these priorities, and only of these, may not start for now. (While there are any, nobody is overdue:
        the oldest job may be one of them.)
        """
        self._skipped.clear()
        self._skipped.update(-priority for priority in priorities)

    def best(self, can_run: Callable[[str], bool], now: float) -> Turn | None:
        """Whose turn it is among the jobs of the models that ``can_run`` accepts."""
        candidates, first = [], None
        for lane in self.lanes.values():
            if can_run(lane.model) and (turn := lane.turn(self.fairness, now)) is not None:
                candidates.append(lane)
                if first is None or turn < first:
                    first = turn
        self._candidates = candidates
        return first

    def instead(self, turn: Turn, lanes: Iterable['Lane'], now: float) -> Turn | None:
        """The job of one of these lanes, which need no loading, that goes before the one whose turn it is."""
        lane = self.lanes[turn.lane]
        turns = [
            other for each in lanes if (other := each.turn_at(turn.minus_priority)) is not None and each is not lane
        ]
        warm = min(turns, default=None)
        passed_s = now - lane.passed_since if lane.passed_since else 0.0
        if not prefers(warm, turn, passed_s, self.fairness):
            return None
        lane.passed_since = lane.passed_since or now
        return warm

    def held(self) -> Iterator[str]:
        """The ids of what users who are held have waiting, each user's oldest first."""
        for user in sorted(self._held):
            jobs = (lane.oldest.users[user].in_order() for lane in self.lanes.values() if user in lane.oldest.users)
            yield from (job_id for _, job_id in heapq.merge(*jobs))

    def skipped(self) -> Iterator[str]:
        """The ids of what waits in priorities that are skipped, without what is held as well."""
        for lane in self.lanes.values():
            for level in sorted(self._skipped & lane.levels.keys()):
                for user, jobs in lane.levels[level].users.items():
                    if user not in self._held:
                        yield from (job_id for _, job_id in jobs.in_order())

    def count(self, *, user: str | None = None, model: str | None = None) -> int:
        """How many wait: all, those of a user, or those for a model."""
        if model is not None:
            return sum(lane.count for lane in self.lanes.values() if lane.model == model)
        if user is not None:
            return sum(len(lane.oldest.users[user]) for lane in self.lanes.values() if user in lane.oldest.users)
        return self._count

    def models(self) -> list[str]:
        """The models somebody waits for."""
        return list(self._lanes_of)

    def _moved(self, user: str) -> None:
        for lane in self.lanes.values():
            lane.moved(user)


class Lane:
    """The jobs that need one runner: by level, and by age."""

    def __init__(self, name: str, model: str, ledger: Ledger, held: set[str], skipped: set[int]) -> None:
        self.name = name
        self.model = model
        self.options = name.removeprefix(model)  # with which the model has to be loaded
        self._ledger = ledger
        self.held = held
        self.skipped = skipped
        self.levels: dict[int, _Line] = {}
        self.oldest = _Line(held, lambda user: 0.0)
        self._none_older = math.inf  # than this time none of its jobs was queued: saves a look at ``oldest`` each turn
        self.count = 0  # of its jobs
        self.passed = 0  # starts that its jobs could have had since one of them went to somebody overdue
        self.passed_since = 0.0  # since when jobs that need no loading go before its own, 0 when none did

    def add(self, job: Job) -> None:
        since = (job.queued_at, job.order)
        if -job.priority not in self.levels:
            self.levels[-job.priority] = _Line(self.held, self._ledger.rank)
        self.levels[-job.priority].add(job, since)
        self.oldest.add(job, since)
        self._none_older = min(self._none_older, job.queued_at)
        self.count += 1

    def remove(self, job: Job) -> None:
        self.oldest.remove(job)
        self.count -= 1
        level = self.levels[-job.priority]
        level.remove(job)
        if not level.users:
            del self.levels[-job.priority]

    def moved(self, user: str) -> None:
        self._none_older = -math.inf
        self.oldest.moved(user)
        self.credited(user)

    def credited(self, user: str) -> None:
        if user in self.oldest.users:
            for level in self.levels.values():
                level.moved(user)

    def turn(self, fairness: Fairness, now: float) -> Turn | None:
        """Whose turn it is here, None when all that is left is held or skipped."""
        if (
            not self.skipped
            and now - self._none_older > fairness.overdue_after_s
            and self.passed + 1 >= fairness.overdue_every
        ):
            oldest = self.oldest.first()
            if oldest is None:
                return None
            (_, (queued_at, order)), job_id, user = oldest
            if now - queued_at > fairness.overdue_after_s:
                return Turn(False, 0, queued_at, order, job_id, user, self.name)
            self._none_older = queued_at
        for minus_priority in sorted(self.levels) if len(self.levels) > 1 else self.levels:
            if (turn := self.turn_at(minus_priority)) is not None:
                return turn
        return None

    def turn_at(self, minus_priority: int) -> Turn | None:
        """Whose turn it is here at this level."""
        level = self.levels.get(minus_priority)
        if level is None or minus_priority in self.skipped or (found := level.first()) is None:
            return None
        (rank, (_, order)), job_id, user = found
        return Turn(True, minus_priority, rank, order, job_id, user, self.name)


class _Line:
    """A heap of users, each with a heap of jobs, first come, first served."""

    def __init__(self, held: set[str], rank: Callable[[str], float]) -> None:
        self._held = held
        self._rank = rank
        self.users: dict[str, PriorityHeap[Since]] = {}
        self._front: PriorityHeap[tuple[float, Since]] = PriorityHeap()
        self._moved: set[str] = set()  # users whose place in front has to be looked at
        self._found: tuple[tuple[float, Since], str, str] | None = None  # what ``first`` said last

    def add(self, job: Job, since: Since) -> None:
        self.users.setdefault(job.user, PriorityHeap()).push(job.job_id, since)
        self.moved(job.user)

    def remove(self, job: Job) -> None:
        jobs = self.users[job.user]
        jobs.remove(job.job_id)
        if not jobs:
            del self.users[job.user]
        self.moved(job.user)

    def moved(self, user: str) -> None:
        """The user's rank is lower or their first job another one now, or they were held or let go.

        What that means for the front is found out when somebody asks: most lines are not asked between two changes.
        """
        self._moved.add(user)

    def first(self) -> tuple[tuple[float, Since], str, str] | None:
        """The user's rank and the job's place, its id, its user."""
        if self._found is not None and not self._moved and self._found[0][0] == self._rank(self._found[2]):
            return self._found
        self._found = None
        while self._moved:
            self._place(self._moved.pop())
        while (found := self._front.first()) is not None and found[0][0] != self._rank(found[1]):
            self._place(found[1])  # charged since
        if found is None:
            return None
        key, user = found
        self._found = key, self.users[user].peek()[1], user
        return self._found

    def _place(self, user: str) -> None:
        if user in self.users and user not in self._held:
            self._front.push(user, (self._rank(user), self.users[user].peek()[0]))
        elif user in self._front:
            self._front.remove(user)
