"""What is alive, and the steps that a job can take. Each step is recorded as exactly one fact.

The parts around it decide: ``clients`` and ``staff`` when somebody asks or reports, ``dispatch`` when a slot is free.
"""

import math
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Sequence
from copy import copy
from typing import NamedTuple

import msgspec

from broker import facts, intake, protocol, telling
from broker.actions import Action, Peer, Persist, Publish, Send, SendJob
from broker.batches import Batches
from broker.chains import Chains
from broker.durations import Durations, Traits, traits_of
from broker.fleet import Fleet, Run, Worker
from broker.job import FINAL, HELD_BY_WORKER, TRANSITIONS, Job, Move, State
from broker.keys import Keys
from broker.limits import Gate, Started
from broker.order import Waiting
from broker.pauses import Pauses
from broker.playback import in_order
from broker.rules import Rules
from broker.share import Ledger, Work
from broker.standing import Standings
from broker.timers import Timers

REMEMBER_ENDED_S = 60.0  # a repeated Submit of a job that has just ended is still known for one

End = type[facts.JobCompleted] | type[facts.JobDied] | type[facts.JobCancelled]


class Ended(NamedTuple):
    """What is still known about a job that is alive no more."""

    at: float
    state: State
    user: str

    @property
    def completed(self) -> bool:
        """Whether it ended well."""
        return self.state is State.COMPLETED


class Queue:
    """The jobs that are not final, the workers, and everything that is counted about them."""

    def __init__(self, rules: Rules, *, last_seq: int, last_order: int) -> None:
        self.rules = rules
        self.seq = last_seq
        self.order = last_order
        self.jobs: dict[str, Job] = {}
        self.ledger = Ledger()
        self.durations = Durations()
        self.waiting = Waiting(rules.fairness, self.ledger, self.durations)
        self.gate = Gate(rules.limits)
        self.pauses = Pauses()
        self.backlog: Counter[str] = Counter()  # by user: jobs that wait, are delayed or blocked
        self.delayed = 0
        self.waiting_bytes = 0  # of the bodies of what waits
        self.runs: dict[str, Run] = {}
        self.fleet = Fleet(rules.groups)
        self.timers = Timers()
        self.ended: OrderedDict[str, Ended] = OrderedDict()  # lately: the store may not know it yet
        self.chains = Chains()
        self.keys = Keys()
        self.batches = Batches()
        self._to_follow: deque[Job] = deque()  # ended, and those who come after them do not know it yet
        self.standings = Standings(
            self.jobs,
            self.waiting,
            self.fleet,
            gate=self.gate,
            pauses=self.pauses,
            durations=self.durations,
        )
        self.changed = True  # who waits where may be another than was told
        self._out: list[Action] = []

    def restore(
        self,
        jobs: Iterable[Job],
        now: float,
        work: Iterable[Work],
        starts: Iterable[Started],
        paused: Iterable[protocol.PauseInfo],
        *,
        open_batches: Iterable[protocol.Batch],
    ) -> None:
        """Take over what an earlier broker left; see ``BrokerCore.restore``."""
        self.gate.restore(starts, now)
        for pause in paused:
            self.pauses.add(pause.scope, pause.name, draining=pause.draining)
        self.waiting.skip(self.pauses.priorities())
        for done in work:
            self.ledger.charge(done.user, done.work_s, min(done.at, now))
            self.durations.learn(Traits(done.model, done.user), done.work_s)
        jobs, latest = list(jobs), now
        for job in reversed(jobs):  # nothing lies in the future, and nobody came later than those behind them
            latest = job.queued_at = min(job.queued_at, latest)
            job.started_at = min(job.started_at, now)
        for job in jobs:
            if job.failures and job.state is State.DELAYED:
                retry = self.rules.retry.of(job.terms.retry_base_s, job.terms.retry_max_s)
                job.due_at = min(job.due_at, now + retry.max_s)
            self.jobs[job.job_id] = job
            self.keys.add(job)
            if job.state is State.CANCELLING:
                self.keys.ended(job)
            if job.state in HELD_BY_WORKER:
                run = self.hold(job, session='', now=now)
                run.cancelling = job.state is State.CANCELLING
                self.gate.holds(job.user)
            else:
                self._enter(job)
        self._restore_links(open_batches, now)
        for user in {job.user for job in self.jobs.values()}:
            self.limit(user, now)

    def change(self, rules: Rules, starts: Iterable[Started], now: float) -> None:
        """Go by other rules from now on; only limits and bounds may differ."""
        self.rules = rules
        self.gate.change(rules.limits, starts, now)
        for user in {job.user for job in self.jobs.values()}:
            self.limit(user, now)
        self.changed = True

    # reading

    def knows(self, job_id: str) -> bool:
        """Whether a job of this id is alive or ended within the last minute."""
        return job_id in self.jobs or job_id in self.ended

    @property
    def queued(self) -> int:
        """Jobs that wait, now, for a later time or for other jobs."""
        return len(self.waiting) + self.delayed + len(self.chains)

    def check(self) -> None:
        """Raise AssertionError when the parts do not agree with each other. For tests."""
        states = {job_id: job.state for job_id, job in self.jobs.items()}
        assert not FINAL & set(states.values()), 'a final job is still alive'
        queued = set(in_order(self.waiting, lambda _: True, 0.0)) | {*self.waiting.held(), *self.waiting.skipped()}
        assert queued == {job_id for job_id, state in states.items() if state is State.WAITING}
        assert len(self.waiting) == len(queued)
        assert self.delayed == sum(state is State.DELAYED for state in states.values())
        alive = Counter(job.user for job in self.jobs.values() if job.state not in HELD_BY_WORKER)
        assert alive == self.backlog
        idle = [job for job in self.jobs.values() if job.state not in HELD_BY_WORKER]
        assert self.waiting_bytes == sum(job.body_bytes for job in idle)
        self.chains.check(job_id for job_id, state in states.items() if state is State.BLOCKED)
        self.batches.check(self.jobs.values())
        self.keys.check(self.jobs)
        self.gate.check(Counter(run.job.user for run in self.runs.values()))
        assert self.runs.keys() == {job_id for job_id, state in states.items() if state in HELD_BY_WORKER}
        for job_id, run in self.runs.items():
            assert run.job is self.jobs[job_id] and run.epoch == run.job.epoch
            assert run.cancelling == (run.job.state is State.CANCELLING)
        for worker in self.fleet:
            assert all(self.runs.get(job_id) is run for job_id, run in worker.runs.items())

    # telling

    def take(self) -> list[Action]:
        """All actions since the last call, in order."""
        out, self._out = self._out, []
        return out

    def do(self, action: Action) -> None:
        """Have something done."""
        self._out.append(action)

    def send(self, peer: Peer, message: protocol.Reply | protocol.ToWorker) -> None:
        """Have something told to somebody."""
        self._out.append(Send(peer, message))

    def tell_worker(self, worker: Worker) -> None:
        """Have everybody told how this worker is."""
        worker.told_token_at = worker.last_token_at
        info = msgspec.structs.replace(worker.info(), models=())
        self._out.append(Publish(protocol.TOPIC_STAFF, protocol.WorkerOut(worker=info)))

    def tell_run(self, run: Run, message: protocol.ToWorker) -> None:
        """Have something told to the worker that holds this run, if it is there."""
        worker = self.fleet.named(run.worker)
        if worker is not None and worker.ready.session == run.session:
            self.send(worker.peer, message)

    def assign(self, worker: Worker, run: Run) -> None:
        """Give the worker the run, once more where it did not get it."""
        job = run.job
        message = protocol.Assign(
            job_id=job.job_id, epoch=run.epoch, kind=job.kind, model=job.model, path=job.terms.path
        )
        self._out.append(SendJob(worker.peer, message, job.terms.after))

    def next_seq(self) -> int:
        """The number of the next fact."""
        self.seq += 1
        return self.seq

    def record(
        self,
        fact: facts.AnyFact,
        job: Job | None = None,
        *,
        body: bytes | None = None,
        answer: tuple[bytes, ...] | None = None,
        schedule: protocol.Schedule | None = None,
    ) -> None:
        """Have a fact, and the job as it is now, stored and then told to everybody."""
        self._out.append(Persist(fact, copy(job) if job is not None else None, body, answer, schedule))

    # a job that waits

    def accept(
        self,
        job: Job,
        request: protocol.Submit,
        now: float,
        *,
        missing: Sequence[str] = (),
        schedule: protocol.Schedule | None = None,
    ) -> None:
        """It is new. ``missing`` are those that it comes after; ``schedule`` made it."""
        self.jobs[job.job_id] = job
        self.keys.add(job)
        if job.state is State.BLOCKED:
            self.chains.add(job.job_id, missing)
        self._enter(job)
        self.limit(job.user, now)
        if job.parent:
            self.batches.joined(job)
        self.record(telling.queued(job, request, self.next_seq()), job, body=request.body, schedule=schedule)
        self.changed = True

    def unblock(self, job: Job, now: float) -> None:
        """All that it comes after are completed."""
        self.chains.remove(job.job_id)
        self.move(job, Move.UNBLOCK)
        self.waiting.add(job)
        self.record(facts.JobUnblocked(seq=self.next_seq(), at=now, job_id=job.job_id), job)

    def doom(self, job: Job, before: str, state: State, now: float) -> None:
        """One that it comes after will not be completed."""
        job.code, job.detail = 'predecessor', f'the job {before} that it comes after is {state}'
        self.withdraw(job, Move.DIE, facts.JobDied, now)

    def share(self, job: Job, change: int, now: float) -> None:
        """One caller more, or one less, waits for it."""
        job.claims += change
        self.record(facts.JobShared(seq=self.next_seq(), at=now, job_id=job.job_id, claims=job.claims), job)

    def due(self, job: Job, now: float) -> None:
        """Its delay is over."""
        self.delayed -= 1
        self.move(job, Move.DUE)
        self.waiting.add(job)
        self.record(facts.JobDue(seq=self.next_seq(), at=now, job_id=job.job_id), job)

    def withdraw(self, job: Job, move: Move, end: End, now: float) -> None:
        """It waited, was delayed or blocked, and ends without a run."""
        if job.state is State.WAITING:
            self.waiting.remove(job)
        elif job.state is State.DELAYED:
            self.delayed -= 1
            self.timers.off('job', job.job_id)
        else:
            self.chains.remove(job.job_id)
        self.move(job, move)
        self._left_backlog(job)
        self.end(job, end, (), now)

    def reprioritise(self, job: Job, priority: int, now: float) -> None:
        """It has not started, and has another priority from now on."""
        was = job.priority
        if job.state is State.WAITING:
            self.waiting.remove(job)
        job.priority = priority
        if job.state is State.WAITING:
            self.waiting.add(job)
        self.changed = True
        fact = facts.JobPriorityChanged(seq=self.next_seq(), at=now, job_id=job.job_id, priority=priority, was=was)
        self.record(fact, job)

    def limit(self, user: str, now: float) -> None:
        """Hold back a user who is over a limit, and look again when that is over."""
        free_at = math.inf if self.pauses.has('user', user) else self.gate.user_at(user)
        if free_at <= now:
            self.waiting.let_go(user)
            return
        self.waiting.hold(user)
        self.timers.at(free_at, 'user', user)  # at infinity never: a run has to end first

    def expire(self, job: Job, now: float) -> None:
        """It did not start, or not again, before its deadline."""
        job.code, job.detail = 'deadline', 'it could not start before its deadline'
        self.withdraw(job, Move.EXPIRE, facts.JobDied, now)

    # a job that runs

    def start(self, job: Job, worker: Worker, now: float, *, resident: bool = False, overdue: bool = False) -> None:
        """It waited, and this worker gets it; ``resident``: where what it needs was loaded already."""
        charged_s = self.waiting.started(job, now, overdue=overdue)
        ready_at = max(job.queued_at, job.started_at, job.due_at)  # or later, where it came after another
        limited_s = self.gate.limited_s(job.user, job.model, ready_at, now)
        self._left_backlog(job)
        self.gate.started(job.user, job.model, now)
        self.limit(job.user, now)
        self.move(job, Move.START)
        job.epoch += 1
        job.starts += 1
        job.started_at = now
        job.worker, job.engine = worker.ready.worker, worker.engine_of(job.model)
        run = self.hold(job, session=worker.ready.session, now=now)
        run.charged_s = charged_s
        worker.backend.runs(job.model, intake.options_of(job), self.fleet.busy(worker.backend))
        worker.runs[job.job_id] = run
        told = self.standings.started(job.job_id, now)
        self.record(telling.started(job, self.next_seq(), now, told, resident=resident, limited_s=limited_s), job)
        self.assign(worker, run)

    def hold(self, job: Job, *, session: str, now: float) -> Run:
        """A lease on the run that begins, or that an earlier broker had begun."""
        run = Run(
            job=job,
            epoch=job.epoch,
            worker=job.worker,
            session=session,
            expires_at=now + self.rules.lease_ttl_s,
            assigned_at=now,
        )
        self.runs[job.job_id] = run
        self.timers.at(run.expires_at, 'lease', job.job_id)
        return run

    def settle(self, run: Run, move: Move, end: End, usage: facts.Usage, now: float) -> None:
        """It ended, well or because it was cancelled."""
        self._release(run, now)
        run.job.usage = intake.sound(usage)
        if move is Move.COMPLETE:
            self.durations.learn(traits_of(run.job), now - run.job.started_at, run.job.usage.load_s)
        self.move(run.job, move)
        self.end(run.job, end, tuple(run.lines), now)

    def die(self, run: Run, code: str, detail: str, now: float, *, trace: str = '') -> None:
        """It failed for good."""
        self._release(run, now)
        run.job.code, run.job.detail = code, detail
        self.move(run.job, Move.DIE)
        self.end(run.job, facts.JobDied, tuple(run.lines), now, trace)

    def postpone(self, run: Run, due_at: float, now: float, *, trace: str = '') -> None:
        """It failed, and may try again later."""
        job = run.job
        self._release(run, now)
        job.due_at = due_at
        self.move(job, Move.RETRY)
        self._enter(job)
        self._requeued(job, 'retry', now, trace)

    def hand_back(self, run: Run, now: float) -> None:
        """It was ended unfinished, and nothing is known against the job."""
        if self._stops(run, now):
            return
        self._release(run, now)
        self.move(run.job, Move.HAND_BACK)
        self._enter(run.job)
        self._requeued(run.job, 'handed_back', now)

    def lose(self, run: Run, now: float) -> None:
        """The worker died or fell silent with this run."""
        if self._stops(run, now):
            return
        job = run.job
        job.losses += 1
        if job.losses >= self.rules.max_losses:
            self.die(run, 'poison', f'{job.losses} workers were lost while they ran this job', now)
            return
        self._release(run, now)
        self.move(job, Move.LOSE)
        self._enter(job)
        self._requeued(job, 'worker_lost', now)

    def tell_drained(self, now: float) -> None:
        """Somebody waits for the last run of something: say so when there is none."""
        for scope, name in self.pauses.drained(self._runs_any):
            self.record(facts.Drained(seq=self.next_seq(), at=now, scope=scope, name=name))

    # parts of steps

    def move(self, job: Job, move: Move) -> None:
        """Change the state as the table says."""
        was, job.state = job.state, TRANSITIONS[job.state, move]
        self.changed = True
        if move is Move.CANCEL:
            self.keys.ended(job)
        if job.parent:
            self.batches.moved(job, was)

    def end(self, job: Job, end: End, answer: tuple[bytes, ...], now: float, trace: str = '') -> None:
        """It is final."""
        job.ended_at = now
        job.lines = len(answer)
        del self.jobs[job.job_id]
        self.standings.gone(job.job_id)
        self.ended[job.job_id] = Ended(now, job.state, job.user)
        self.keys.ended(job)
        if job.deadline_at:
            self.timers.off('deadline', job.job_id)
        self.record(telling.ended(end, job, self.next_seq(), trace), job, answer=answer)
        if self.batches.is_over(job.parent):
            self.end_batch(job.parent, now)
        elif job.parent and self.batches.left(job.parent, now):
            self.watch_batch(job.parent)
        self._to_follow.append(job)
        if len(self._to_follow) == 1:  # otherwise this is one of those who follow, and has its turn
            self._follow(now)

    def watch_batch(self, batch_id: str) -> None:
        """It has no job that is alive: after a long while without another one it is over."""
        self.timers.at(self.batches.idle_since(batch_id) + self.rules.batch_patience_s, 'batch', batch_id)

    def batch_due(self, batch_id: str, now: float) -> None:
        """End a batch that nobody fills any more."""
        since = self.batches.idle_since(batch_id)
        if since + self.rules.batch_patience_s <= now:
            self.end_batch(batch_id, now)
        elif since < math.inf:
            self.watch_batch(batch_id)

    def end_batch(self, batch_id: str, now: float) -> None:
        """All its jobs have ended, or will."""
        ended = self.batches.end(batch_id, now)
        fact = facts.BatchEnded(
            seq=self.next_seq(),
            at=now,
            batch_id=batch_id,
            completed=ended.completed,
            dead=ended.dead,
            cancelled=ended.cancelled,
        )
        self.record(fact)

    def forget_ended(self, now: float) -> None:
        """Those who ended long ago are known to the store only."""
        while self.ended and next(iter(self.ended.values())).at <= now - REMEMBER_ENDED_S:
            self.keys.forget(self.ended.popitem(last=False)[0])

    def forget_keys(self, job_id: str, before: float) -> None:
        """Of the dead that ended lately, one or those before a time; the store has the keys of those it still has."""
        for name, ended in self.ended.items():
            if ended.state is State.DEAD and (name == job_id if job_id else ended.at < before):
                self.keys.forget(name)

    def _enter(self, job: Job) -> None:
        """It waits, is delayed or blocked from now on."""
        self.backlog[job.user] += 1
        self.waiting_bytes += job.body_bytes
        if job.state is State.WAITING:
            self.waiting.add(job)
        elif job.state is State.DELAYED:
            self.delayed += 1
            self.timers.at(job.due_at, 'job', job.job_id)
        if job.deadline_at:
            self.timers.at(job.deadline_at, 'deadline', job.job_id)

    def _left_backlog(self, job: Job) -> None:
        self.waiting_bytes -= job.body_bytes
        self.backlog[job.user] -= 1
        if not self.backlog[job.user]:
            del self.backlog[job.user]

    def _restore_links(self, open_batches: Iterable[protocol.Batch], now: float) -> None:
        """Whoever is not alive any more and has not taken its followers along was completed."""
        open_batches = tuple(open_batches)
        self.batches.restore(open_batches, self.jobs.values(), now)
        for batch in open_batches:
            if self.batches.idle_since(batch.batch_id) <= now:
                self.watch_batch(batch.batch_id)
        for job in [job for job in self.jobs.values() if job.state is State.BLOCKED]:
            missing = [other for other in job.terms.after if other in self.jobs]
            self.chains.add(job.job_id, missing)
            if not missing:
                self.unblock(job, now)

    def _follow(self, now: float) -> None:
        """Let those who come after the ended go on, or take them along. One by one: a chain may be long."""
        while self._to_follow:
            before = self._to_follow[0]
            if before.state is State.COMPLETED:
                for job_id in self.chains.completed(before.job_id):
                    self.unblock(self.jobs[job_id], now)
            else:
                for job_id in self.chains.followers(before.job_id):
                    self.doom(self.jobs[job_id], before.job_id, before.state, now)
            self._to_follow.popleft()

    def _stops(self, run: Run, now: float) -> bool:
        """Whether it was to be cancelled; then it is now."""
        if run.cancelling:
            self.settle(run, Move.STOP, facts.JobCancelled, run.job.usage, now)
        return run.cancelling

    def _release(self, run: Run, now: float) -> None:
        """The run is over: its slot is free, its lines stay with the run object."""
        del self.runs[run.job.job_id]
        worker = self.fleet.named(run.worker)
        if worker is not None and worker.runs.get(run.job.job_id) is run:
            del worker.runs[run.job.job_id]
        user = run.job.user
        self.waiting.charge(user, max(0.0, now - run.job.started_at) - run.charged_s, now)
        self.gate.ended(user, now)
        self.limit(user, now)

    def _runs_any(self, scope: str, name: str) -> bool:
        return any(run.is_of(scope, name) for run in self.runs.values())

    def _requeued(self, job: Job, reason: str, now: float, trace: str = '') -> None:
        self.record(telling.requeued(job, reason, self.next_seq(), now, trace), job)
