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

from broker.forecast import Durations
from broker.heap import PriorityHeap
from broker.job import Job
from broker.share import Ledger


class Fairness(NamedTuple):
    """``overdue_after_s``: the bound on waiting. ``overdue_every``: of so many starts one is for the overdue."""

    overdue_after_s: float = 600.0
    overdue_every: int = 3


Since = tuple[float, int]  # when a job was queued, and its order


class Turn(NamedTuple):
    """Whose turn it is in one model, comparable between models: the smallest is next of all."""

    regular: bool  # False for an overdue job
    minus_priority: int
    rank: float
    order: int
    job_id: str
    user: str


class Waiting:
    """All jobs that could start now if a worker were free. Users who are held leave no candidate behind."""

    def __init__(self, fairness: Fairness, ledger: Ledger, durations: Durations) -> None:
        self._fairness = fairness
        self._ledger = ledger
        self._durations = durations
        self._models: dict[str, _Model] = {}
        self._held: set[str] = set()
        self._skipped: set[int] = set()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, job: Job) -> None:
        """Put ``job`` where it belongs."""
        if job.model not in self._models:
            self._models[job.model] = _Model(self._ledger, self._held, self._skipped)
        self._models[job.model].add(job)
        self._count += 1

    def remove(self, job: Job) -> None:
        """Take ``job`` out."""
        model = self._models[job.model]
        model.remove(job)
        self._count -= 1
        if not model.oldest.users:
            del self._models[job.model]

    def started(self, job: Job, now: float) -> float:
        """Take ``job`` out because it starts, and charge its user what such a job usually costs: that is returned."""
        model = self._models[job.model]
        turn = model.turn(self._fairness, now)
        model.since_overdue = 0 if turn is not None and not turn.regular else model.since_overdue + 1
        self.remove(job)
        work_s = self._durations.of(job.model).mean_s
        self.charge(job.user, work_s, now)
        return work_s

    def charge(self, user: str, work_s: float, now: float) -> None:
        """Somebody used so much; a negative amount takes an estimate back."""
        self._ledger.charge(user, work_s, now)
        if work_s < 0.0:  # who has to wait longer is found out when it is their turn
            for model in self._models.values():
                model.credited(user)

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

    def best(self, can_run: Callable[[str], bool], now: float) -> str | None:
        """The id of the job that should start next among the models that ``can_run`` accepts."""
        turns = [
            turn
            for name, model in self._models.items()
            if can_run(name) and (turn := model.turn(self._fairness, now)) is not None
        ]
        return min(turns).job_id if turns else None

    def in_order(self, models: Callable[[str], bool], now: float) -> Iterator[str]:
        """The ids in the order in which they would start if all of them started now, each charged as it does.

        Without those of users who are held.
        """
        ranks = _Ranks(self._ledger, now)
        plans = {name: _Plan(model, self._fairness, ranks, now) for name, model in self._models.items() if models(name)}
        turns = [(turn, name) for name, plan in plans.items() if (turn := plan.turn()) is not None]
        heapq.heapify(turns)
        while turns:
            turn, name = turns[0]
            turn_now = plans[name].turn()
            if turn_now is None:
                heapq.heappop(turns)
            elif turn_now != turn:  # what others take can only put it off, so the top one is enough to look at
                heapq.heapreplace(turns, (turn_now, name))
            else:
                plans[name].take(turn)
                ranks.charge(turn.user, self._durations.of(name).mean_s)
                yield turn.job_id

    def held(self) -> Iterator[str]:
        """The ids of what users who are held have waiting, each user's oldest first."""
        for user in sorted(self._held):
            jobs = (
                model.oldest.users[user].in_order() for model in self._models.values() if user in model.oldest.users
            )
            yield from (job_id for _, job_id in heapq.merge(*jobs))

    def skipped(self) -> Iterator[str]:
        """The ids of what waits in priorities that are skipped, without what is held as well."""
        for model in self._models.values():
            for level in sorted(self._skipped & model.levels.keys()):
                for user, jobs in model.levels[level].users.items():
                    if user not in self._held:
                        yield from (job_id for _, job_id in jobs.in_order())

    def models(self) -> list[str]:
        """The models somebody waits for."""
        return list(self._models)

    def ahead_of(self, job: Job, models: Callable[[str], bool], at_most: int, now: float) -> int:
        """How many jobs of these models start before ``job``; counting ends at ``at_most``."""
        order = itertools.islice(self.in_order(lambda model: model == job.model or models(model), now), at_most)
        return next((place for place, job_id in enumerate(order) if job_id == job.job_id), at_most)

    def _moved(self, user: str) -> None:
        for model in self._models.values():
            model.moved(user)


class _Model:
    """The jobs of one model: by level, and by age."""

    def __init__(self, ledger: Ledger, held: set[str], skipped: set[int]) -> None:
        self._ledger = ledger
        self.held = held
        self.skipped = skipped
        self.levels: dict[int, _Line] = {}
        self.oldest = _Line(held, lambda user: 0.0)
        self.since_overdue = 0

    def add(self, job: Job) -> None:
        since = (job.queued_at, job.order)
        if -job.priority not in self.levels:
            self.levels[-job.priority] = _Line(self.held, self._ledger.rank)
        self.levels[-job.priority].add(job, since)
        self.oldest.add(job, since)

    def remove(self, job: Job) -> None:
        self.oldest.remove(job)
        level = self.levels[-job.priority]
        level.remove(job)
        if not level.users:
            del self.levels[-job.priority]

    def moved(self, user: str) -> None:
        self.oldest.moved(user)
        self.credited(user)

    def credited(self, user: str) -> None:
        if user in self.oldest.users:
            for level in self.levels.values():
                level.moved(user)

    def turn(self, fairness: Fairness, now: float) -> Turn | None:
        """Whose turn it is here, None when all that is left is held or skipped."""
        oldest = self.oldest.first()
        if oldest is None:
            return None
        (_, (queued_at, order)), job_id, user = oldest
        if not self.skipped and is_overdue(fairness, queued_at, self.since_overdue, now):
            return Turn(False, 0, queued_at, order, job_id, user)
        for minus_priority in sorted(self.levels.keys() - self.skipped):
            found = self.levels[minus_priority].first()
            if found is not None:
                (rank, (_, order)), job_id, user = found
                return Turn(True, minus_priority, rank, order, job_id, user)
        return None


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


class _Plan:
    """One model's starts to come, played through on the side: the real heaps are only read."""

    def __init__(self, model: _Model, fairness: Fairness, ranks: '_Ranks', now: float) -> None:
        self._model = model
        self._fairness = fairness
        self._ranks = ranks
        self._now = now
        self._gone: set[str] = set()
        self._levels = sorted(model.levels.keys() - model.skipped)
        self._level = -1
        self._users: list[tuple[float, Since, str, str]] = []  # rank, place, job id, user: of the level in hand
        self._jobs: dict[str, Iterator[tuple[Since, str]]] = {}
        self._since_overdue = model.since_overdue
        self._elders = self._overdue()
        self._elder = next(self._elders, None)

    def turn(self) -> Turn | None:
        """Whose turn it is here, None when nobody is left."""
        while self._elder is not None and self._elder[1] in self._gone:
            self._elder = next(self._elders, None)
        if self._elder is not None and self._since_overdue + 1 >= self._fairness.overdue_every:
            (queued_at, order), job_id, user = self._elder
            return Turn(False, 0, queued_at, order, job_id, user)
        while (found := self._first_of_level()) is None:
            self._level += 1
            if self._level >= len(self._levels):
                return None
            self._enter(self._model.levels[self._levels[self._level]])
        rank, (_, order), job_id, user = found
        return Turn(True, self._levels[self._level], rank, order, job_id, user)

    def take(self, turn: Turn) -> None:
        """It starts."""
        self._gone.add(turn.job_id)
        self._since_overdue = self._since_overdue + 1 if turn.regular else 0

    def _overdue(self) -> Iterator[tuple[Since, str, str]]:
        """The jobs that are overdue, oldest first."""
        first = self._model.oldest.first()
        if first is None or self._model.skipped or not self._is_late(first[0][1]):
            return
        lines = [
            _of_user(user, jobs) for user, jobs in self._model.oldest.users.items() if user not in self._model.held
        ]
        yield from itertools.takewhile(lambda elder: self._is_late(elder[0]), heapq.merge(*lines))

    def _is_late(self, since: Since) -> bool:
        return self._now - since[0] > self._fairness.overdue_after_s

    def _enter(self, level: _Line) -> None:
        users = {user: jobs for user, jobs in level.users.items() if user not in self._model.held}
        self._jobs = {user: jobs.in_order() for user, jobs in users.items()}
        for user in users:
            self._next_of(user)

    def _first_of_level(self) -> tuple[float, Since, str, str] | None:
        while self._users:
            rank, since, job_id, user = self._users[0]
            rank_now = self._ranks.of(user)
            if job_id in self._gone:
                heapq.heappop(self._users)
                self._next_of(user)
            elif rank != rank_now:  # charged meanwhile
                heapq.heapreplace(self._users, (rank_now, since, job_id, user))
            else:
                return rank, since, job_id, user
        return None

    def _next_of(self, user: str) -> None:
        for since, job_id in self._jobs[user]:
            if job_id not in self._gone:
                heapq.heappush(self._users, (self._ranks.of(user), since, job_id, user))
                return


class _Ranks:
    """The ledger's ranks with charges on top that nobody else sees."""

    def __init__(self, ledger: Ledger, now: float) -> None:
        self._ledger = ledger
        self._now = now
        self._changed: dict[str, float] = {}

    def of(self, user: str) -> float:
        rank = self._changed.get(user)
        return self._ledger.rank(user) if rank is None else rank

    def charge(self, user: str, work_s: float) -> None:
        self._changed[user] = self._ledger.after(self.of(user), work_s, self._now)


def _of_user(user: str, jobs: PriorityHeap[Since]) -> Iterator[tuple[Since, str, str]]:
    return ((since, job_id, user) for since, job_id in jobs.in_order())


def is_overdue(fairness: Fairness, queued_at: float, since_overdue: int, now: float) -> bool:
    """Whether the job that has waited longest goes now, before all others of its model."""
    return now - queued_at > fairness.overdue_after_s and since_overdue + 1 >= fairness.overdue_every
