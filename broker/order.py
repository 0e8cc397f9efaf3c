"""The order of the waiting jobs: level by level, fair inside a level, and nobody waits for ever.

1. A higher priority goes first.
2. Inside a level the user who has used least lately goes first (``share.Ledger``).
3. A user's own jobs go first come, first served.
4. A job that has waited longer than the bound is *overdue*: of every few starts of its model one goes to the job that
   has waited longest, whatever its priority. Not all of them, or a day's backlog would push the chat aside.

Every step costs O(log n) in the jobs, and one look at each model and level in use.
"""

import heapq
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

from broker.heap import PriorityHeap
from broker.job import Job
from broker.share import Estimates, Ledger


class Fairness(NamedTuple):
    """``overdue_after_s``: the bound on waiting. ``overdue_every``: of so many starts one is for the overdue."""

    overdue_after_s: float = 600.0
    overdue_every: int = 3


class Turn(NamedTuple):
    """Whose turn it is in one model, comparable between models: the smallest is next of all."""

    regular: bool  # False for an overdue job
    minus_priority: int
    rank: float
    order: int
    job_id: str
    user: str


class Waiting:
    """All jobs that could start now if a worker were free."""

    def __init__(self, fairness: Fairness, ledger: Ledger, estimates: Estimates) -> None:
        self._fairness = fairness
        self._ledger = ledger
        self._estimates = estimates
        self._models: dict[str, _Model] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, job: Job) -> None:
        """Put ``job`` where it belongs."""
        if job.model not in self._models:
            self._models[job.model] = _Model(self._ledger)
        self._models[job.model].add(job)
        self._count += 1

    def remove(self, job: Job) -> None:
        """Take ``job`` out."""
        model = self._models[job.model]
        model.remove(job)
        self._count -= 1
        if not model.oldest:
            del self._models[job.model]

    def started(self, job: Job, now: float) -> float:
        """Take ``job`` out because it starts, and charge its user what such a job usually costs: that is returned."""
        model = self._models[job.model]
        regular = model.turn(self._fairness, now).regular
        model.since_overdue = model.since_overdue + 1 if regular else 0
        self.remove(job)
        work_s = self._estimates.of(job.model)
        self.charge(job.user, work_s, now)
        return work_s

    def charge(self, user: str, work_s: float, now: float) -> None:
        """Somebody used so much; a negative amount takes an estimate back."""
        self._ledger.charge(user, work_s, now)
        for model in self._models.values():
            model.moved(user)

    def best(self, can_run: Callable[[str], bool], now: float) -> str | None:
        """The id of the job that should start next among the models that ``can_run`` accepts."""
        turns = [model.turn(self._fairness, now) for name, model in self._models.items() if can_run(name)]
        return min(turns).job_id if turns else None

    def in_order(self, models: Callable[[str], bool], now: float) -> Iterator[str]:
        """The ids in the order in which they would start if all of them started now, each charged as it does."""
        ranks = _Ranks(self._ledger, now)
        plans = {name: _Plan(model, self._fairness, ranks, now) for name, model in self._models.items() if models(name)}
        while turns := [(turn, name) for name, plan in plans.items() if (turn := plan.turn()) is not None]:
            turn, name = min(turns)
            plans[name].take(turn)
            ranks.charge(turn.user, self._estimates.of(name))
            yield turn.job_id

    def models(self) -> list[str]:
        """The models somebody waits for."""
        return list(self._models)

    def ahead_of(self, job: Job, models: Callable[[str], bool], at_most: int, now: float) -> int:
        """How many jobs of these models start before ``job``; counting ends at ``at_most``."""
        order = itertools.islice(self.in_order(lambda model: model == job.model or models(model), now), at_most)
        return next((place for place, job_id in enumerate(order) if job_id == job.job_id), at_most)


class _Model:
    """The jobs of one model: by level, and by age."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.levels: dict[int, _Level] = {}
        self.oldest: PriorityHeap[tuple[float, int, str]] = PriorityHeap()
        self.since_overdue = 0

    def add(self, job: Job) -> None:
        self.oldest.push(job.job_id, (job.queued_at, job.order, job.user))
        self.levels.setdefault(-job.priority, _Level(self._ledger)).add(job)

    def remove(self, job: Job) -> None:
        self.oldest.remove(job.job_id)
        level = self.levels[-job.priority]
        level.remove(job)
        if not level.users:
            del self.levels[-job.priority]

    def moved(self, user: str) -> None:
        for level in self.levels.values():
            level.moved(user)

    def turn(self, fairness: Fairness, now: float) -> Turn:
        """Whose turn it is here."""
        (queued_at, order, user), job_id = self.oldest.peek()
        if is_overdue(fairness, queued_at, self.since_overdue, now):
            return Turn(False, 0, queued_at, order, job_id, user)
        minus_priority = min(self.levels)
        return Turn(True, minus_priority, *self.levels[minus_priority].first())


class _Level:
    """The jobs of one model and priority: a heap of users, each with a heap of jobs."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.users: dict[str, PriorityHeap[int]] = {}
        self.by_rank: PriorityHeap[tuple[float, int]] = PriorityHeap()

    def add(self, job: Job) -> None:
        self.users.setdefault(job.user, PriorityHeap()).push(job.job_id, job.order)
        self.moved(job.user)

    def remove(self, job: Job) -> None:
        jobs = self.users[job.user]
        jobs.remove(job.job_id)
        if not jobs:
            del self.users[job.user]
            self.by_rank.remove(job.user)
        else:
            self.moved(job.user)

    def moved(self, user: str) -> None:
        """The user's rank or first job is another one now."""
        if user in self.users:
            self.by_rank.push(user, (self._ledger.rank(user), self.users[user].peek()[0]))

    def first(self) -> tuple[float, int, str, str]:
        """The job that goes next: its user's rank, its order, its id, its user."""
        (rank, _), user = self.by_rank.peek()
        return (rank, *self.users[user].peek(), user)


class _Plan:
    """One model's starts to come, played through on the side: the real heaps are only read."""

    def __init__(self, model: _Model, fairness: Fairness, ranks: '_Ranks', now: float) -> None:
        self._model = model
        self._fairness = fairness
        self._ranks = ranks
        self._now = now
        self._gone: set[str] = set()
        self._levels = [(minus_priority, model.levels[minus_priority]) for minus_priority in sorted(model.levels)]
        self._users: list[tuple[float, int, str, str]] = []  # rank, order, job id, user: of the level in hand
        self._jobs: dict[str, Iterator[tuple[int, str]]] = {}
        self._level = 0
        self._oldest = model.oldest.in_order()
        self._elder = next(self._oldest, None)
        self._since_overdue = model.since_overdue

    def turn(self) -> Turn | None:
        """Whose turn it is here, None when nobody is left."""
        while self._elder is not None and self._elder[1] in self._gone:
            self._elder = next(self._oldest, None)
        if self._elder is None:
            return None
        (queued_at, order, user), job_id = self._elder
        if is_overdue(self._fairness, queued_at, self._since_overdue, self._now):
            return Turn(False, 0, queued_at, order, job_id, user)
        while not (found := self._first_of_level()):
            level = self._levels[self._level][1]
            self._level += 1
            self._jobs = {user: jobs.in_order() for user, jobs in level.users.items()}
            for user in level.users:
                self._next_of(user)
        return Turn(True, self._levels[self._level - 1][0], *found)

    def take(self, turn: Turn) -> None:
        """It starts."""
        self._gone.add(turn.job_id)
        self._since_overdue = self._since_overdue + 1 if turn.regular else 0

    def _first_of_level(self) -> tuple[float, int, str, str] | None:
        while self._users:
            rank, order, job_id, user = self._users[0]
            now_rank = self._ranks.of(user)
            if job_id in self._gone:
                heapq.heappop(self._users)
                self._next_of(user)
            elif rank != now_rank:  # charged meanwhile
                heapq.heapreplace(self._users, (now_rank, order, job_id, user))
            else:
                return rank, order, job_id, user
        return None

    def _next_of(self, user: str) -> None:
        for order, job_id in self._jobs[user]:
            if job_id not in self._gone:
                heapq.heappush(self._users, (self._ranks.of(user), order, job_id, user))
                return


class _Ranks:
    """The ledger's ranks with charges on top that nobody else sees."""

    def __init__(self, ledger: Ledger, now: float) -> None:
        self._ledger = ledger
        self._now = now
        self._changed: dict[str, float] = {}

    def of(self, user: str) -> float:
        return self._changed.get(user, self._ledger.rank(user))

    def charge(self, user: str, work_s: float) -> None:
        self._changed[user] = self._ledger.after(self.of(user), work_s, self._now)


def is_overdue(fairness: Fairness, queued_at: float, since_overdue: int, now: float) -> bool:
    """Whether the job that has waited longest goes now, before all others of its model."""
    return now - queued_at > fairness.overdue_after_s and since_overdue + 1 >= fairness.overdue_every
