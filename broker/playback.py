"""The starts to come, played through on the side with the order that dispatches. The real heaps are only read."""

import heapq
import itertools
from collections.abc import Callable, Iterator

from broker.heap import PriorityHeap
from broker.order import Lane, Since, Turn, Waiting, prefers


class Playback:
    """Jobs in the order in which they would start, each charged to its user as it does.

    Without those of users who are held and of levels that are skipped.
    """

    def __init__(self, waiting: Waiting, now: float) -> None:
        self._waiting = waiting
        self._now = now
        self._ranks = _Ranks(waiting, now)
        self._plans = {name: _Plan(lane, waiting, self._ranks, now) for name, lane in waiting.lanes.items()}
        self._elders = [plan for plan in self._plans.values() if plan.elder() is not None]
        self._turns: dict[str, Turn] = {}  # as last looked at: what others take can only put a regular turn off
        for name, plan in self._plans.items():
            self._look(name, plan)

    def next(
        self, can_run: Callable[[str], bool], is_warm: Callable[[Lane], bool] = lambda lane: False, after_s: float = 0.0
    ) -> Turn | None:
        """Whose turn it is among the models that ``can_run`` accepts, ``after_s`` seconds from now, taken out.

        ``is_warm``: the lanes that need no loading on the slot that is free then.
        """
        turn = self._elder(can_run) or self._regular(can_run)
        if turn is None:
            return None
        if turn.regular and not is_warm(self._plans[turn.lane].lane):
            warm = self._regular(lambda model: True, is_warm)
            plan = self._plans[turn.lane]
            if warm is not None and prefers(warm, turn, plan.passed_s(self._now + after_s), self._waiting.fairness):
                plan.pass_over(self._now + after_s)
                turn = warm
        self._take(turn)
        return turn

    def lane(self, turn: Turn) -> Lane:
        """Where that job stands."""
        return self._plans[turn.lane].lane

    def _take(self, turn: Turn) -> None:
        plan = self._plans[turn.lane]
        plan.take(turn)
        self._ranks.charge(turn.user, self._waiting.durations.mean_s(plan.lane.model))
        for elder in self._elders:
            elder.passed = elder.passed + 1 if turn.regular else 0
        self._look(turn.lane, plan)

    def _elder(self, can_run: Callable[[str], bool]) -> Turn | None:
        """The overdue job that goes now."""
        every = self._waiting.fairness.overdue_every
        ready = (
            elder
            for plan in self._elders
            if plan.passed + 1 >= every and can_run(plan.lane.model) and (elder := plan.elder()) is not None
        )
        return min(ready, default=None)

    def _regular(
        self, can_run: Callable[[str], bool], is_warm: Callable[[Lane], bool] = lambda lane: True
    ) -> Turn | None:
        while True:
            candidates = (
                turn
                for name, turn in self._turns.items()
                if can_run(self._plans[name].lane.model) and is_warm(self._plans[name].lane)
            )
            first = min(candidates, default=None)
            if first is None or self._look(first.lane, self._plans[first.lane]) == first:
                return first

    def _look(self, name: str, plan: '_Plan') -> Turn | None:
        turn = plan.turn()
        if turn is None:
            self._turns.pop(name, None)
        else:
            self._turns[name] = turn
        return turn


def in_order(waiting: Waiting, models: Callable[[str], bool], now: float) -> Iterator[str]:
    """The ids in the order in which they would start if all of them started now."""
    playback = Playback(waiting, now)
    while (turn := playback.next(models)) is not None:
        yield turn.job_id


class _Plan:
    """One lane's starts to come."""

    def __init__(self, lane: Lane, waiting: Waiting, ranks: '_Ranks', now: float) -> None:
        self.lane = lane
        self.passed = lane.passed
        self._passed_since = lane.passed_since
        self._overdue_after_s = waiting.fairness.overdue_after_s
        self._ranks = ranks
        self._now = now
        self._gone: set[str] = set()
        self._levels = sorted(lane.levels.keys() - lane.skipped)
        self._level = -1
        self._users: list[tuple[float, Since, str, str]] = []  # rank, place, job id, user: of the level in hand
        self._jobs: dict[str, Iterator[tuple[Since, str]]] = {}
        self._elders = self._overdue()
        self._elder = next(self._elders, None)

    def passed_s(self, now: float) -> float:
        """How long jobs that need no loading have gone before its own."""
        return now - self._passed_since if self._passed_since else 0.0

    def pass_over(self, now: float) -> None:
        """One more does."""
        self._passed_since = self._passed_since or now

    def elder(self) -> Turn | None:
        """The job that is overdue for longest."""
        while self._elder is not None and self._elder[1] in self._gone:
            self._elder = next(self._elders, None)
        if self._elder is None:
            return None
        (queued_at, order), job_id, user = self._elder
        return Turn(False, 0, queued_at, order, job_id, user, self.lane.name)

    def turn(self) -> Turn | None:
        """Whose regular turn it is here, None when nobody is left."""
        while (found := self._first_of_level()) is None:
            self._level += 1
            if self._level >= len(self._levels):
                return None
            self._enter(self._levels[self._level])
        rank, (_, order), job_id, user = found
        return Turn(True, self._levels[self._level], rank, order, job_id, user, self.lane.name)

    def take(self, turn: Turn) -> None:
        """It starts."""
        self._gone.add(turn.job_id)
        self._passed_since = 0.0

    def _overdue(self) -> Iterator[tuple[Since, str, str]]:
        """The jobs that are overdue, oldest first."""
        first = self.lane.oldest.first()
        if first is None or self.lane.skipped or not self._is_late(first[0][1]):
            return
        lines = [_of_user(user, jobs) for user, jobs in self.lane.oldest.users.items() if user not in self.lane.held]
        yield from itertools.takewhile(lambda elder: self._is_late(elder[0]), heapq.merge(*lines))

    def _is_late(self, since: Since) -> bool:
        return self._now - since[0] > self._overdue_after_s

    def _enter(self, level: int) -> None:
        line = self.lane.levels[level]
        users = {user: jobs for user, jobs in line.users.items() if user not in self.lane.held}
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

    def __init__(self, waiting: Waiting, now: float) -> None:
        self._ledger = waiting.ledger
        self._now = now
        self._changed: dict[str, float] = {}

    def of(self, user: str) -> float:
        rank = self._changed.get(user)
        return self._ledger.rank(user) if rank is None else rank

    def charge(self, user: str, work_s: float) -> None:
        self._changed[user] = self._ledger.after(self.of(user), work_s, self._now)


def _of_user(user: str, jobs: PriorityHeap[Since]) -> Iterator[tuple[Since, str, str]]:
    return ((since, job_id, user) for since, job_id in jobs.in_order())
