"""All facts in their order, folded, and the checker that names the promise it saw broken.

I1 every acknowledged job is there and comes to an end · I2 one job for a key, for a tick · I3 one end, nothing after
it · I4 the end belongs to the last start · I5 the counts of starts, failures and losses · I6 nobody starts before
somebody who goes first (``turns``) · I7 nobody waits for ever while there is room (``turns``) · I8 who used less goes
first, and what is charged is what was used (``shares``) · I9 rate limits in every window (``admissions``) · I10 no
more runs than slots · I11 streams are gapless and end as stored (``wire``) · I12 what was cancelled neither starts nor
speaks · I13 the queue is bounded · I14 permits of caps come back · I15 the facts, folded, are the stored rows · I16
nothing is said before it is stored (``wire``) · I17 without room nothing is taken, and a sentence says so (``disk``) ·
I18 only what may go is deleted, and it is gone (``deletions``) · I19 a dead job is done again once, as it was.
"""

from collections import Counter
from typing import Protocol

from broker import facts, protocol
from broker.actions import Persist
from broker.job import FINAL, HELD_BY_WORKER, Job, State
from broker.rules import Rules
from tests.broker.sim.deletions import Deletions
from tests.broker.sim.folded import Asked, Folded
from tests.broker.sim.turns import Turns
from tests.broker.sim.violation import Violation


class Rows(Protocol):
    """The store, as far as it is compared with the facts."""

    def job(self, job_id: str) -> Job | None: ...

    def answer(self, job_id: str) -> list[bytes]: ...

    def body(self, job_id: str) -> bytes: ...

    def pauses(self) -> list[protocol.PauseInfo]: ...

    def batch(self, batch_id: str) -> protocol.Batch | None: ...

    def schedules(self) -> list[protocol.Schedule]: ...


class History:
    """Takes every change when it is stored, in order; raises Violation when one must not be."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.facts: list[facts.AnyFact] = []
        self.jobs: dict[str, Folded] = {}
        self.waiting: dict[str, Folded] = {}  # those that wait for a slot only
        self.running: dict[str, Folded] = {}
        self.queued: dict[str, Folded] = {}  # those that take room
        self.pauses: set[tuple[str, str]] = set()
        self.draining: set[tuple[str, str]] = set()
        self.workers: dict[str, facts.WorkerJoined | facts.WorkerChanged] = {}
        self.batches: dict[str, protocol.Batch] = {}
        self.schedules: dict[str, protocol.Schedule] = {}
        self.ticks: dict[tuple[str, float], str] = {}
        self.keys: dict[tuple[str, str], str] = {}
        # By job and epoch, lines of an answer that was finished. More than one: an Assign that came twice, and late,
        # makes the worker begin once more what is settled already; nobody listens then.
        self.produced: dict[tuple[str, int], set[int]] = {}
        self.replays: dict[str, str] = {}  # by dead job: the one that does it again
        self.bodies: dict[str, bytes | None] = {}
        self.deletions = Deletions(self)
        self.turns = Turns(self)
        self.saw: Counter[str] = Counter()  # rare things that happened

    @property
    def ends(self) -> dict[str, facts.JobEnded]:
        """The last fact about each job that ended."""
        return {name: job.end for name, job in self.jobs.items() if job.end is not None}

    def booted(self, at: float) -> None:
        """A new broker begins, at this time of its clock: nothing that was waiting lies in its future."""
        latest = at
        for job in reversed(self.jobs.values()):
            if job.state not in FINAL:
                job.restored(at, latest, self.rules.retry.max_s)
                latest = job.queued_at
        self.turns.booted(at)

    def add(self, change: Persist) -> None:
        """One more change."""
        fact = change.fact
        if fact.seq != len(self.facts) + 1:
            raise Violation('I15', f'seq {fact.seq} follows {len(self.facts)}')
        self.facts.append(fact)
        self.saw[type(fact).__name__] += 1
        match fact:
            case facts.JobQueued():
                self._queued(fact, change)
            case facts.JobFact():
                self._job_fact(fact)
            case facts.WorkerJoined() | facts.WorkerChanged():
                self.workers[fact.worker] = fact
            case facts.WorkerLeft():
                self.workers.pop(fact.worker, None)
            case facts.Paused():
                self.pauses.add((fact.scope, fact.name))
                if fact.draining:
                    self.draining.add((fact.scope, fact.name))
            case facts.Resumed():
                self.pauses.discard((fact.scope, fact.name))
                self.draining.discard((fact.scope, fact.name))
            case facts.Drained():
                self._drained(fact)
            case _:
                self._other(fact)
        if change.schedule is not None:
            self._ticked(change)

    # jobs

    def _queued(self, fact: facts.JobQueued, change: Persist) -> None:
        if fact.job_id in self.jobs:
            raise Violation('I3', f'{fact.job_id} was queued twice')
        assert change.job is not None
        row = change.job
        job = Folded(fact, Asked(row.order, row.terms.after, row.max_failures, row.idempotency_key))
        if job.asked.key and self.keys.setdefault((job.user, job.asked.key), job.name) != job.name:
            raise Violation('I2', f'{job.name} and {self.keys[job.user, job.asked.key]} have the same key')
        self._bounded(job)
        self.bodies[job.name] = change.body
        if fact.replay_of:
            self._again(job, fact.replay_of)
        self.jobs[job.name] = job
        self._sorted(job, was=None)
        if job.parent:
            self._in_batch(job)

    def _again(self, job: Folded, dead: str) -> None:
        """I19: a dead job is done again once, and as it was."""
        before = self.jobs.get(dead)
        if before is None or before.state is not State.DEAD:
            raise Violation('I19', f'{job.name} does {dead} again, which is {before and before.state}')
        if self.replays.setdefault(dead, job.name) != job.name:
            raise Violation('I19', f'{job.name} and {self.replays[dead]} both do {dead} again')
        for what in ('kind', 'model', 'runner', 'user', 'priority', 'size'):
            if getattr(job, what) != getattr(before, what):
                raise Violation('I19', f'{job.name} does {dead} again with another {what}')
        if self.bodies[job.name] != self.bodies[dead]:
            raise Violation('I19', f'{job.name} does {dead} again and asks something else')
        self.saw['done again'] += 1

    def _bounded(self, new: Folded) -> None:
        rules, queued = self.rules, self.queued.values()
        if len(self.queued) >= rules.max_waiting:
            raise Violation('I13', f'{len(self.queued)} jobs wait already')
        if 0 < rules.max_waiting_per_user <= sum(job.user == new.user for job in queued):
            raise Violation('I13', f'too many jobs of {new.user} wait already')
        if 0 < rules.max_waiting_bytes < new.size + sum(job.size for job in queued):
            raise Violation('I13', f'{new.size} bytes more than may wait')

    def full_for(self, user: str, size: int) -> bool:
        """Whether a job of this user and size has to be refused."""
        rules, queued = self.rules, self.queued.values()
        return (
            len(self.queued) >= rules.max_waiting
            or 0 < rules.max_waiting_per_user <= sum(job.user == user for job in queued)
            or 0 < rules.max_waiting_bytes < size + sum(job.size for job in queued)
        )

    def _job_fact(self, fact: facts.JobFact) -> None:
        job = self.jobs[fact.job_id]
        was = job.state
        if isinstance(fact, facts.JobStarted):
            if was in FINAL:
                raise Violation('I12' if was is State.CANCELLED else 'I3', f'{job.name} starts, and is {was}')
            self.turns.started(job, fact)
        if job.asked.after:
            self._unblocks(job, fact)
        job.take(fact, self.rules.max_losses)
        self._count(job, fact, was)
        self._sorted(job, was)
        if isinstance(fact, facts.JobPriorityChanged):
            self.turns.moved(job)
        if isinstance(fact, facts.JobStarted):
            self._caps(job)
        elif was in HELD_BY_WORKER and job.state not in HELD_BY_WORKER:
            self.turns.shares.ran(job.user, fact.at, fact.at - job.started_at)

    def _unblocks(self, job: Folded, fact: facts.JobFact) -> None:
        """A chain: nobody starts, or is let go, before all that it comes after are completed."""
        missing = [other for other in job.asked.after if self.jobs[other].state is not State.COMPLETED]
        if missing and isinstance(fact, facts.JobUnblocked | facts.JobStarted):
            raise Violation('I6', f'{job.name} goes on, and comes after {missing}')

    def _sorted(self, job: Folded, was: State | None) -> None:
        if was is State.WAITING and job.state is not State.WAITING:
            del self.waiting[job.name]
            self.turns.left(job)
        places = (
            (self.waiting, job.state is State.WAITING),
            (self.running, job.state in HELD_BY_WORKER),
            (self.queued, job.waits),
        )
        for place, here in places:
            if here:
                place[job.name] = job
            else:
                place.pop(job.name, None)

    def _caps(self, new: Folded) -> None:
        limits = self.rules.limits
        if 0 < limits.running < len(self.running):
            raise Violation('I14', f'{len(self.running)} jobs run, and {limits.running} may')
        of_user = sum(job.user == new.user for job in self.running.values())
        if 0 < limits.user_running < of_user:
            raise Violation('I14', f'{of_user} jobs of {new.user} run, and {limits.user_running} may')
        on_worker = sum(job.worker == new.worker for job in self.running.values())
        if on_worker > self.workers[new.worker].slots:
            raise Violation('I10', f'{on_worker} jobs run on {new.worker}')

    def _count(self, job: Folded, fact: facts.JobFact, was: State) -> None:
        match fact:
            case facts.JobRequeued():
                self.saw[fact.reason] += 1
            case facts.JobDied():
                self.saw[f'dead: {fact.code}'] += 1
            case facts.JobCompleted() if was is State.CANCELLING:
                raise Violation('I12', f'{job.name} was cancelled, and completed')

    # what drains, batches, schedules

    def _drained(self, fact: facts.Drained) -> None:
        """It was asked for, and nothing of it runs."""
        what = (fact.scope, fact.name)
        if what not in self.draining:
            raise Violation('I15', f'{what} is drained, and nobody asked for it')
        self.draining.discard(what)
        if left := [job.name for job in self.running.values() if what in of_job(job)]:
            raise Violation('I15', f'{what} is said to be drained, and {left} run')

    def _in_batch(self, job: Folded) -> None:
        batch = self.batches.get(job.parent)
        if batch is None or batch.ended_at or batch.user != job.user:
            raise Violation('I15', f'{job.name} is in a batch that takes none of {job.user}')
        if self.counted(job.parent).total() > batch.total:
            raise Violation('I13', f'more than {batch.total} jobs in {job.parent}')

    def counted(self, batch_id: str) -> Counter[State]:
        """The states of a batch's jobs."""
        return Counter(job.state for job in self.jobs.values() if job.parent == batch_id)

    def _other(self, fact: facts.AnyFact) -> None:
        match fact:
            case facts.BatchOpened(batch_id=name):
                self.batches[name] = protocol.Batch(batch_id=name, total=fact.total, user=fact.user)
            case facts.BatchEnded(batch_id=name):
                self._batch_ended(fact)
            case facts.ScheduleRemoved():
                del self.schedules[fact.schedule_id]
            case facts.ScheduleSkipped():
                self.saw[f'tick {fact.reason}'] += 1

    def _batch_ended(self, fact: facts.BatchEnded) -> None:
        """What still runs is being cancelled, and counts as that."""
        batch, states = self.batches[fact.batch_id], self.counted(fact.batch_id)
        if batch.ended_at:
            raise Violation('I3', f'the batch {fact.batch_id} ends twice')
        told = (fact.completed, fact.dead, fact.cancelled)
        true = (states[State.COMPLETED], states[State.DEAD], states[State.CANCELLED] + states[State.CANCELLING])
        if told != true or sum(true) != states.total():
            raise Violation('I15', f'the batch {fact.batch_id} ended with {told}, and its jobs are {states}')
        self.batches[fact.batch_id] = protocol.Batch(
            batch_id=fact.batch_id, total=batch.total, user=batch.user, ended_at=fact.at
        )

    def _ticked(self, change: Persist) -> None:
        """I2 for ticks: each makes one job at most, and none is left out without a word."""
        schedule = change.schedule
        assert schedule is not None
        name, before = schedule.schedule_id, self.schedules.get(schedule.schedule_id)
        self.schedules[name] = schedule
        if isinstance(change.fact, facts.JobQueued):
            other = self.ticks.setdefault((name, schedule.last_tick), change.fact.job_id)
            if other != change.fact.job_id or before is None or before.last_tick > schedule.last_tick:
                raise Violation('I2', f'the tick {schedule.last_tick} of {name} made {other}, {change.fact.job_id}')
            self.saw['tick ran'] += 1

    # the reckoning

    def compare(self, store: Rows) -> None:
        """I15: the folded facts and the stored rows say the same."""
        self.deletions.compare(store)
        for name, job in self.jobs.items():
            if name not in self.deletions.gone and (problem := job.differs_from(store.job(name))):
                raise Violation('I15', f'{name}: {problem}')
        stored = {((pause.scope, pause.name), pause.draining) for pause in store.pauses()}
        if stored != {(pause, pause in self.draining) for pause in self.pauses}:
            raise Violation('I15', f'pauses {self.pauses}, draining {self.draining}, stored {stored}')
        if {each.schedule_id: each for each in store.schedules()} != self.schedules:
            raise Violation('I15', 'the stored schedules are others')
        for name, batch in self.batches.items():
            self._compare_batch(batch, store.batch(name))

    def _compare_batch(self, batch: protocol.Batch, stored: protocol.Batch | None) -> None:
        if stored is None and self.deletions.is_gone(batch):
            return
        states = self.counted(batch.batch_id)
        cancelled = states[State.CANCELLED]
        if batch.ended_at:  # what was told to stop then counts as cancelled, and comes to that end
            cancelled += states[State.CANCELLING]
        mine = (batch.ended_at, states.total(), states[State.COMPLETED], states[State.DEAD], cancelled)
        if stored is None or mine != (
            stored.ended_at,
            stored.submitted,
            stored.completed,
            stored.dead,
            stored.cancelled,
        ):
            raise Violation('I15', f'{batch.batch_id}: facts say {mine}, the store {stored}')

    def reckon(self, acknowledged: set[str], store: Rows, *, finished: bool) -> None:
        """After healing: every acknowledged job came to one end, with the answer of its last run."""
        self.compare(store)
        if lost := acknowledged - self.jobs.keys():
            raise Violation('I1', f'acknowledged and lost: {lost}')
        if not finished:
            left = {name: str(job.state) for name, job in self.jobs.items() if job.state not in FINAL}
            raise Violation('I1', f'never ended: {left}')
        for name, fact in self.ends.items():
            if name in self.deletions.gone:
                continue
            answer = store.answer(name)
            if answer != [line(name, fact.epoch, number) for number in range(len(answer))]:
                raise Violation('I11', f'the answer of {name} is {answer}')
            if isinstance(fact, facts.JobCompleted) and len(answer) not in self.produced.get((name, fact.epoch), ()):
                raise Violation('I11', f'the answer of {name} lacks its end')


def of_job(job: Folded) -> set[tuple[str, str]]:
    """What a pause of which concerns this job, while it runs."""
    scopes = {'model': job.model, 'priority': str(job.priority), 'user': job.user, 'worker': job.worker}
    return {('all', ''), *scopes.items()}


def line(job_id: str, epoch: int, number: int) -> bytes:
    """The line that every worker gives here: it tells a wrong one from the right one."""
    return b'%s/%d/%d' % (job_id.encode(), epoch, number)
