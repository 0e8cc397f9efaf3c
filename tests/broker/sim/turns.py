"""I6 and I7: at every start, whose turn it was, by the documented order read the naive way.

Eligible is who waits (not delayed, blocked, paused, limited) and has a worker that is free and can run the model. Of
these: the higher priority; inside a level who used less (I8); then first come, first served. Two rules come before:

- a job that needs no loading may go before one of its own level that needs it, for ``affinity_wait_s`` at most;
- an overdue job goes first when its lane has been passed over ``overdue_every - 1`` times since the last overdue one
  (never while a level is paused). "Wait ≤ bound while capacity > 0" cannot hold as it stands, for a queue may be longer
  than its bound; what holds, and is checked as I7, is this share of the starts, to the oldest first, and that no slot
  stays empty while somebody could have it.

A limit that opens is noticed by the next tick. So there are those who could start for sure (``must``), and those who
perhaps could (``may``); only the former can be wronged.
"""

import fnmatch
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from broker import facts
from broker.core import BrokerCore
from tests.broker.sim.admissions import SLACK_S, Admissions
from tests.broker.sim.folded import Folded
from tests.broker.sim.shares import Shares
from tests.broker.sim.violation import Violation

if TYPE_CHECKING:
    from tests.broker.sim.history import History


class Seen(NamedTuple):
    """What the broker knew when it decided a start: free slots and what is loaded by worker, ranks by user, who had
    said that they leave, and when it had looked at the clock last for limits that open.
    """

    free: dict[str, int]
    loaded: dict[str, dict[str, str]]
    ranks: dict[str, float]
    draining: frozenset[str]
    noticed: float


class Passed:
    """How often jobs of a lane could have started and others did, since the last overdue one: at least, at most."""

    def __init__(self) -> None:
        self.low = self.high = 0
        self.since = 0.0  # since when jobs that need no loading go first


class Turns:
    """Looks at every start, with what the broker knew when it decided it."""

    def __init__(self, history: 'History') -> None:
        self._history = history
        self._seen: dict[int, Seen] = {}
        self._lanes: dict[str, Passed] = {}
        self.draining: set[str] = set()
        self.noticed = 0.0
        self.admissions = Admissions(history.rules.limits)
        self.shares = Shares()

    def booted(self, at: float) -> None:
        """A new broker begins."""
        self._seen.clear()
        self._lanes.clear()
        self.draining.clear()
        self.noticed = at
        self.admissions.booted(at)
        ended = [
            (job.user, min(job.ended_at, at), job.ended_at - job.started_at)
            for job in self._history.jobs.values()
            if job.end is not None and job.started_at and job.name not in self._history.deletions.gone
        ]
        self.shares.booted(ended)

    def watch(self, core: BrokerCore) -> None:
        """Note what this broker knows whenever it decides a start."""
        queue = core._queue
        start = queue.start

        def watched(job, worker, now, **how):  # type: ignore[no-untyped-def]
            free, loaded = free_slots(core)
            users = {other.user for other in queue.jobs.values()}
            ranks = {user: queue.ledger.rank(user) for user in users}
            self._seen[queue.seq + 1] = Seen(free, loaded, ranks, frozenset(self.draining), self.noticed)
            start(job, worker, now, **how)

        queue.start = watched  # type: ignore[method-assign]

    def left(self, job: Folded) -> None:
        """It waits no more; a lane without jobs is forgotten."""
        if all(other.lane != job.lane for other in self._history.waiting.values()):
            self._lanes.pop(job.lane, None)

    def moved(self, job: Folded) -> None:
        """It was taken out and put back with another priority."""
        if all(other.lane != job.lane or other is job for other in self._history.waiting.values()):
            self._lanes.pop(job.lane, None)

    # a start

    def started(self, job: Folded, fact: facts.JobStarted) -> None:
        """Raise Violation when it was not this job's turn."""
        seen, now = self._seen.pop(fact.seq, None), fact.at
        if job.name not in self._history.waiting:
            raise Violation('I6', f'{job.name} starts, and is {job.state}')
        if seen is not None:  # otherwise this history is not of a world that looks
            self._fits(job, fact, seen)
            self.shares.agree(seen.ranks, Counter(each.user for each in self._history.running.values()), now)
            self._order(job, seen, now)
        self.admissions.started(job.user, job.model, now)

    def _fits(self, job: Folded, fact: facts.JobStarted, seen: Seen) -> None:
        name, now = fact.worker, fact.at
        if self._paused(job) or ('worker', name) in self._history.pauses:
            raise Violation('I6', f'{job.name} starts on {name} and one of them is paused')
        if name in seen.draining or not self._can(name, job.model):
            raise Violation('I6', f'{name} gets {job.name} and does not take {job.model}')
        if job.deadline_at and now >= job.deadline_at:
            raise Violation('I6', f'{job.name} starts {now - job.deadline_at:.3f} s after its deadline')
        if fact.resident != (seen.loaded[name].get(f'{job.model}:latest') == _options(job)):
            raise Violation('I6', f'{job.name} was said to be loaded on {name}: {fact.resident}')

    def _order(self, job: Folded, seen: Seen, now: float) -> None:
        able = {name for name, free in seen.free.items() if free > 0 and ('worker', name) not in self._history.pauses}
        must = [each for each in self._eligible(able, seen.noticed, sure=True) if each is not job]
        may = self._eligible(able, now, sure=False)
        if job not in may:
            may.append(job)  # whether it was limited the admissions say
        unsure = [each for each in may if each not in must and each is not job]
        must.append(job)
        overdue = self._overdue(job, must, may, now)
        if not overdue:
            self._regular(job, must, able, seen, now, unsure=bool(unsure))
        for lane in {each.lane for each in may}:
            passed = self._lanes.setdefault(lane, Passed())
            sure = any(each.lane == lane for each in must)
            if overdue == 'yes':
                passed.low, passed.high = 0, 0 if sure else passed.high
            else:
                passed.low, passed.high = 0 if overdue else passed.low + sure, passed.high + 1
        self._lanes[job.lane].since = 0.0

    def _overdue(self, job: Folded, must: list[Folded], may: list[Folded], now: float) -> str:
        """Whether the job went before others because it was overdue: '', 'yes' or 'perhaps'; I7."""
        history = self._history
        if any(scope == 'priority' for scope, _ in history.pauses):
            return ''
        fairness = history.rules.fairness
        oldest: dict[str, Folded] = {}
        for each in sorted(must, key=lambda each: each.asked.order):
            if now - each.queued_at > fairness.overdue_after_s:
                oldest.setdefault(each.lane, each)
        lanes = {lane: self._lanes.get(lane) or Passed() for lane in oldest}
        due = [each for lane, each in oldest.items() if lanes[lane].low + 1 >= fairness.overdue_every]
        mine = oldest.get(job.lane)
        if mine is job and lanes[job.lane].high + 1 >= fairness.overdue_every:
            first = min((each.asked.order for each in due), default=job.asked.order)
            if first < job.asked.order:
                raise Violation('I7', f'{job.name} goes as overdue before an older one')
            history.saw['ageing changed an order'] += any(each.priority > job.priority for each in must)
            return 'yes' if job in due else 'perhaps'
        unsure = [each for each in may if each not in must]
        if due and not unsure:
            raise Violation('I7', f'{job.name} goes before {min(due, key=lambda each: each.asked.order).name}, overdue')
        return ''

    def _regular(
        self, job: Folded, must: list[Folded], able: set[str], seen: Seen, now: float, *, unsure: bool
    ) -> None:
        first = min(must, key=lambda each: (-each.priority, seen.ranks[each.user], each.asked.order))
        if first is job:
            return
        if first.priority > job.priority:
            raise Violation('I6', f'{job.name} starts before {first.name} of priority {first.priority}')
        if unsure:
            return
        if first.lane != job.lane and self._warm(job, able, seen):
            self._affinity(job, first, able, seen, now)
        elif seen.ranks[first.user] < seen.ranks[job.user]:
            raise Violation('I8', f'{job.name} of {job.user} starts before {first.name} of {first.user}')
        else:
            raise Violation('I6', f'{job.name} starts before {first.name}, which came first')

    def _affinity(self, job: Folded, first: Folded, able: set[str], seen: Seen, now: float) -> None:
        history, passed = self._history, self._lanes.setdefault(first.lane, Passed())
        if self._warm(first, able, seen):
            raise Violation('I6', f'{job.name} starts before {first.name}, and both are loaded')
        passed.since = passed.since or now
        bound_s = history.rules.fairness.affinity_wait_s
        if now - passed.since >= bound_s:
            raise Violation('I6', f'{first.name} needs loading and is passed over for more than {bound_s} s')
        history.saw['affinity'] += 1

    # who could

    def idle(self, core: BrokerCore) -> None:
        """I7: raise Violation when somebody could start and a slot is free for them, and nothing happens."""
        history = self._history
        if not history.waiting:
            return
        free, _ = free_slots(core)
        able = {name for name, slots in free.items() if slots > 0 and ('worker', name) not in history.pauses}
        for job in self._eligible(able, self.noticed, sure=True):
            gate = core._queue.gate
            leaked = gate._total > len(history.running)
            raise Violation('I14' if leaked else 'I7', f'{job.name} could start and does not')

    def _eligible(self, able: set[str], now: float, *, sure: bool) -> list[Folded]:
        """Those whose limits are open now, for sure or perhaps."""
        models: dict[str, bool] = {}
        found = []
        for job in self._history.waiting.values():
            if job.model not in models:
                models[job.model] = any(self._can(name, job.model) for name in able)
            if models[job.model] and not self._paused(job) and not self._capped(job):
                early, late = self.admissions.opens(job.user, job.model)
                if (late + SLACK_S if sure else early - SLACK_S) <= now:
                    found.append(job)
                elif self.admissions.holds_from_before(job.user, job.model, now):
                    self._history.saw['limited over a restart'] += 1
        return found

    def _paused(self, job: Folded) -> bool:
        scopes = {('all', ''), ('model', job.model), ('user', job.user), ('priority', str(job.priority))}
        return bool(scopes & self._history.pauses)

    def _capped(self, job: Folded) -> bool:
        limits, running = self._history.rules.limits, self._history.running
        if 0 < limits.running <= len(running):
            return True
        return 0 < limits.user_running <= sum(other.user == job.user for other in running.values())

    def _can(self, name: str, model: str) -> bool:
        worker = self._history.workers.get(name)
        if worker is None or worker.problem == 'breaker_open':
            return False
        if not any(info.name == model and not info.problem for info in worker.models):
            return False
        for group in self._history.rules.groups:
            if any(fnmatch.fnmatchcase(model, pattern) for pattern in group.models):
                return bool(set(group.labels) & set(worker.labels))
        return True

    def _warm(self, job: Folded, able: set[str], seen: Seen) -> bool:
        return any(
            self._can(name, job.model) and seen.loaded[name].get(f'{job.model}:latest') == _options(job)
            for name in able
        )


def free_slots(core: BrokerCore) -> tuple[dict[str, int], dict[str, dict[str, str]]]:
    """By worker, the slots that a job could have now, and what is loaded."""
    free, loaded = {}, {}
    for worker in core._queue.fleet:
        free[worker.ready.worker] = worker.free
        loaded[worker.ready.worker] = dict(worker.backend.loaded)
    return free, loaded


def _options(job: Folded) -> str:
    return job.runner.removeprefix(job.model)
