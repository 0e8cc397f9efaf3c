"""The broker's whole logic, without a socket, clock, database or chance: messages and ``now`` in, actions out.

``now`` is unix seconds from a clock that never jumps while the broker runs. Whoever performs the actions first puts
all ``Persist`` of a batch on disk in one transaction; so nothing is said that a crash could take back.
"""

import heapq
import itertools
import math
import zlib
from collections import Counter, OrderedDict
from collections.abc import Iterable
from copy import copy
from typing import NamedTuple

import msgspec

from broker import facts, intake, pauses, protocol, telling
from broker.actions import Action, FromStore, Peer, Persist, Publish, Send, SendJob
from broker.fleet import Fleet, Run, Worker, model_names
from broker.forecast import Durations
from broker.job import (
    FINAL,
    HELD_BY_WORKER,
    MAX_PRIORITY,
    MIN_PRIORITY,
    TRANSITIONS,
    Job,
    Move,
    State,
)
from broker.limits import Gate, Limits, Started
from broker.order import Fairness, Waiting
from broker.retry import RetryPolicy
from broker.share import Ledger, Work
from broker.standing import Standings

STANDING_EVERY_S = 0.25
LONG_QUEUE, LONG_STANDING_EVERY_S = 1_000, 1.0  # working it out takes longer then, and matters less
PULSE_S = 1.0
MAX_CODE, MAX_DETAIL = 100, 4_000  # characters; a page of jobs has to fit into one message
REMEMBER_ENDED_S = 60.0  # a repeated Submit of a job that has just ended is still known for one


End = type[facts.JobCompleted] | type[facts.JobDied] | type[facts.JobCancelled]


class Rules(NamedTuple):
    """The numbers the core goes by; see ``BrokerSettings`` for what they mean."""

    lease_ttl_s: float = 15.0
    heartbeat_s: float = 5.0
    reattach_s: float = 2.0
    retry: RetryPolicy = RetryPolicy()
    fairness: Fairness = Fairness()
    limits: Limits = Limits()
    max_losses: int = 2
    max_waiting: int = 100_000
    max_waiting_per_user: int = 0  # 0: no limit of its own
    max_answer_bytes: int = 32_000_000


class BrokerCore:
    """The queue. All changes enter by ``receive``, ``peer_gone`` and ``tick``, and leave as lists of actions."""

    def __init__(self, rules: Rules, *, boot: str, last_seq: int = 0, last_order: int = 0) -> None:
        self._rules = rules
        self._boot = boot
        self._seq = last_seq
        self._order = last_order
        self._jobs: dict[str, Job] = {}
        self._ledger = Ledger()
        self._durations = Durations()
        self._waiting = Waiting(rules.fairness, self._ledger, self._durations)
        self._gate = Gate(rules.limits)
        self._pauses = pauses.Pauses()
        self._backlog: Counter[str] = Counter()  # by user: jobs that wait or are delayed
        self._delayed = 0
        self._runs: dict[str, Run] = {}
        self._fleet = Fleet()
        self._ended: OrderedDict[str, float] = OrderedDict()
        self._standings = Standings(
            self._jobs,
            self._waiting,
            self._fleet,
            gate=self._gate,
            pauses=self._pauses,
            durations=self._durations,
        )
        self._timers: list[tuple[float, str, str]] = []
        self._armed: dict[tuple[str, str], float] = {}  # the one timer in force of each kind and name
        self._out: list[Action] = []
        self._standing_changed = False
        self._standing_at = 0.0
        self._pulse_at = 0.0

    def restore(
        self,
        jobs: Iterable[Job],
        now: float,
        work: Iterable[Work] = (),
        starts: Iterable[Started] = (),
        paused: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Take over what an earlier broker left. Leases get one full term, so that live workers can show up.

        ``work`` is what users had done lately, for fair share, and ``starts`` is what counts for rate limits: without
        them everybody would begin anew. The clock may have been put back since: nothing then lies in the future.
        """
        for start in starts:
            self._gate.remember(start._replace(at=min(start.at, now)))
        for scope, name in paused:
            self._pauses.add(scope, name)
        self._waiting.skip(self._pauses.priorities())
        for done in work:
            self._ledger.charge(done.user, done.work_s, min(done.at, now))
            self._durations.learn(done.model, done.work_s)
        for job in jobs:
            self._jobs[job.job_id] = job
            job.queued_at = min(job.queued_at, now)
            if job.failures and job.state is State.DELAYED:
                job.due_at = min(job.due_at, now + self._rules.retry.max_s)
            if job.state is State.WAITING:
                self._waiting.add(job)
            elif job.state is State.DELAYED:
                self._delay(job)
            elif job.state in HELD_BY_WORKER:
                run = self._hold(job, session='', now=now)
                run.cancelling = job.state is State.CANCELLING
                self._gate.holds(job.user)
            if job.state not in HELD_BY_WORKER:
                self._backlog[job.user] += 1
            if job.deadline_at:
                self._at(job.deadline_at, 'deadline', job.job_id)
        for user in {job.user for job in self._jobs.values()}:
            self._limit(user, now)
        self._standing_changed = True

    # doors

    def receive(self, peer: Peer, message: protocol.AnyRequest | protocol.AnyFromWorker, now: float) -> list[Action]:
        """Take one message from a client or a worker."""
        if isinstance(message, protocol.Request):
            self._serve_client(peer, message, now)
        else:
            self._serve_worker(peer, message, now)
        self._dispatch(now)
        return self._take()

    def peer_gone(self, peer: Peer, now: float, undelivered: protocol.ToWorker | None = None) -> list[Action]:
        """A message could not be delivered. A worker that vanished has a moment to come back."""
        worker = self._fleet.at(peer)
        if worker is not None and not worker.gone:
            worker.gone = True
            worker.expires_at = min(worker.expires_at, now + self._rules.reattach_s)
            self._at(worker.expires_at, 'worker', worker.ready.worker)
            for run in worker.runs.values():
                run.expires_at = min(run.expires_at, now + self._rules.reattach_s)
                self._at(run.expires_at, 'lease', run.job.job_id)
            self._standing_changed = True
        if worker is not None and isinstance(undelivered, protocol.Assign):
            lost = self._run_of(worker, undelivered.job_id, undelivered.epoch)
            if lost is not None and not lost.lines:
                self._hand_back(lost, now)
        self._dispatch(now)
        return self._take()

    def tick(self, now: float) -> list[Action]:
        """Do what is due: leases that ran out, delays that are over, silent workers, the pulse."""
        while self._timers and self._timers[0][0] <= now:
            when, kind, name = heapq.heappop(self._timers)
            if self._armed.get((kind, name)) != when:
                continue  # an earlier one took its place
            del self._armed[kind, name]
            if kind == 'lease':
                self._lease_due(name, now)
            elif kind == 'job':
                self._delay_due(name, now)
            elif kind == 'deadline':
                self._deadline_due(name, now)
            elif kind == 'user':
                self._limit(name, now)
            elif kind == 'worker':
                self._worker_due(name, now)  # and after 'wake' the dispatch below looks again
        while self._ended and next(iter(self._ended.values())) <= now - REMEMBER_ENDED_S:
            self._ended.popitem(last=False)
        self._dispatch(now)
        if self._pulse_at <= now:
            self._pulse_at = now + PULSE_S
            for worker in self._fleet:
                if worker.runs and not worker.gone:
                    self._out.append(Send(worker.peer, protocol.Beat()))
            pulse = protocol.Pulse(boot=self._boot, seq=self._seq)
            self._out.append(Publish(protocol.TOPIC_PULSE, pulse))
        if self._standing_changed and self._standing_at <= now:
            self._standing_changed = False
            self._standing_at = now + (STANDING_EVERY_S if len(self._waiting) <= LONG_QUEUE else LONG_STANDING_EVERY_S)
            places = tuple(self._standings.places(now))
            standing = protocol.Standing(places=places, waiting=len(self._waiting) + self._delayed)
            self._out.append(Publish(protocol.TOPIC_STANDING, standing))
        return self._take()

    # read-only

    def next_deadline(self) -> float:
        """When ``tick`` should be called at the latest."""
        deadline = min(self._pulse_at, self._timers[0][0]) if self._timers else self._pulse_at
        return min(deadline, self._standing_at) if self._standing_changed else deadline

    @property
    def remember_starts_s(self) -> float:
        """How far back starts count for limits: what ``restore`` wants to know."""
        return self._gate.longest_period_s

    def knows(self, job_id: str) -> bool:
        """Whether a job of this id is alive or ended within the last minute."""
        return job_id in self._jobs or job_id in self._ended

    def snapshot(self, after_order: int = 0) -> protocol.Snapshot:
        """A page of what is alive."""
        behind = (job for job in self._jobs.values() if job.order > after_order)
        page = list(itertools.islice(behind, protocol.SNAPSHOT_PAGE + 1))  # the dict keeps them in that order
        return protocol.Snapshot(
            seq=self._seq,
            jobs=tuple(copy(job) for job in page[: protocol.SNAPSHOT_PAGE]),
            workers=tuple(worker.info() for worker in self._fleet),
            pauses=tuple(protocol.PauseInfo(scope=scope, name=name) for scope, name in self._pauses),
            more=len(page) > protocol.SNAPSHOT_PAGE,
        )

    def check(self) -> None:
        """Raise AssertionError when the parts do not agree with each other. For tests."""
        states = {job_id: job.state for job_id, job in self._jobs.items()}
        assert not FINAL & set(states.values()), 'a final job is still alive'
        queued = set(self._waiting.in_order(lambda _: True, 0.0)) | {*self._waiting.held(), *self._waiting.skipped()}
        assert queued == {job_id for job_id, state in states.items() if state is State.WAITING}
        assert len(self._waiting) == len(queued)
        assert self._delayed == sum(state is State.DELAYED for state in states.values())
        alive = Counter(job.user for job in self._jobs.values() if job.state not in HELD_BY_WORKER)
        assert alive == self._backlog
        self._gate.check(Counter(run.job.user for run in self._runs.values()))
        assert self._runs.keys() == {job_id for job_id, state in states.items() if state in HELD_BY_WORKER}
        for job_id, run in self._runs.items():
            assert run.job is self._jobs[job_id] and run.epoch == run.job.epoch
            assert run.cancelling == (run.job.state is State.CANCELLING)
        for worker in self._fleet:
            assert len(worker.runs) <= worker.ready.slots, 'more runs than slots'
            assert all(self._runs.get(job_id) is run for job_id, run in worker.runs.items())

    # clients

    def _serve_client(self, peer: Peer, request: protocol.AnyRequest, now: float) -> None:
        match request:
            case protocol.Submit():
                self._reply(peer, request, self._submit(request, now))
            case protocol.Ping():
                self._reply(peer, request, protocol.Pong(boot=self._boot, seq=self._seq))
            case protocol.GetSnapshot():
                self._reply(peer, request, self.snapshot(request.after_order))
            case protocol.Pause() | protocol.Resume():
                self._reply(peer, request, self._pause(request, now))
            case protocol.FactsAfter() | protocol.GetHistory() | protocol.FindJobs():
                self._out.append(FromStore(peer, request))
            case protocol.Replay() | protocol.Purge():
                self._out.append(FromStore(peer, request))
            case _ if getattr(request, 'job_id', '') not in self._jobs:
                self._out.append(FromStore(peer, request))
            case protocol.Cancel():
                self._reply(peer, request, self._cancel(self._jobs[request.job_id], now))
            case protocol.SetPriority():
                self._reply(peer, request, self._set_priority(self._jobs[request.job_id], request.priority, now))
            case protocol.Read():
                self._reply(peer, request, self._read(request))
            case protocol.GetJob():
                job = self._jobs[request.job_id]
                ahead = self._standings.ahead_of(job, now) if job.state is State.WAITING else -1
                self._reply(peer, request, protocol.JobState(job=copy(job), ahead=ahead))

    def _reply(self, peer: Peer, request: protocol.Request, reply: protocol.Reply) -> None:
        self._out.append(Send(peer, msgspec.structs.replace(reply, rid=request.rid)))

    def _submit(self, request: protocol.Submit, now: float) -> protocol.Reply:
        if self.knows(request.job_id):
            return protocol.Accepted(job_id=request.job_id, duplicate=True)
        if problem := intake.problem_with(request):
            return protocol.Refused(code='bad_request', detail=problem)
        if len(self._waiting) + self._delayed >= self._rules.max_waiting:
            detail = f'{self._rules.max_waiting} jobs are waiting, which is the limit; try again later'
            return protocol.Refused(code='queue_full', detail=detail, retry_after_s=5.0)
        if 0 < self._rules.max_waiting_per_user <= self._backlog[request.user]:
            detail = f'{self._rules.max_waiting_per_user} of your jobs are waiting, which is the limit; try again later'
            return protocol.Refused(code='queue_full', detail=detail, retry_after_s=5.0)
        self._order += 1
        job = intake.job_from(request, self._order, now)
        self._jobs[job.job_id] = job
        self._backlog[job.user] += 1
        self._limit(job.user, now)
        if job.state is State.DELAYED:
            self._delay(job)
        else:
            self._waiting.add(job)
        if job.deadline_at:
            self._at(job.deadline_at, 'deadline', job.job_id)
        self._record(telling.queued(job, request, self._next_seq()), job, body=request.body)
        self._standing_changed = True
        return protocol.Accepted(job_id=job.job_id)

    def _cancel(self, job: Job, now: float) -> protocol.Reply:
        if job.state is State.CANCELLING:
            return protocol.Done()
        before = job.state
        self._move(job, Move.CANCEL)
        if before is State.RUNNING:
            run = self._runs[job.job_id]
            run.cancelling = True
            self._record(
                facts.JobCancelRequested(seq=self._next_seq(), at=now, job_id=job.job_id, epoch=job.epoch), job
            )
            self._tell_run(run, protocol.Stop(job_id=job.job_id, epoch=job.epoch))
            return protocol.Done()
        self._leave_queue(job, before)
        self._end(job, facts.JobCancelled, (), now)
        return protocol.Done()

    def _set_priority(self, job: Job, priority: int, now: float) -> protocol.Reply:
        if not intake.is_priority(priority):
            return protocol.Refused(code='bad_request', detail=f'priority must be {MIN_PRIORITY} to {MAX_PRIORITY}')
        if job.state not in (State.WAITING, State.DELAYED):
            return protocol.Refused(code='not_waiting', detail='only a job that waits can change its priority')
        if priority == job.priority:
            return protocol.Done()
        was = job.priority
        if job.state is State.WAITING:
            self._waiting.remove(job)
        job.priority = priority
        if job.state is State.WAITING:
            self._waiting.add(job)
        self._standing_changed = True
        self._record(
            facts.JobPriorityChanged(seq=self._next_seq(), at=now, job_id=job.job_id, priority=priority, was=was), job
        )
        return protocol.Done()

    def _pause(self, request: protocol.Pause | protocol.Resume, now: float) -> protocol.Reply:
        scope, name = request.scope, request.name
        if problem := pauses.problem_with(scope, name):
            return protocol.Refused(code='bad_request', detail=problem)
        begins = isinstance(request, protocol.Pause)
        if self._pauses.add(scope, name) if begins else self._pauses.remove(scope, name):
            fact = facts.Paused if begins else facts.Resumed
            self._record(fact(seq=self._next_seq(), at=now, scope=scope, name=name))
            self._waiting.skip(self._pauses.priorities())
            self._standing_changed = True
            if scope == 'user':
                self._limit(name, now)
        return protocol.Done()

    def _read(self, request: protocol.Read) -> protocol.Reply:
        job, run = self._jobs[request.job_id], self._runs.get(request.job_id)
        lines: list[bytes] = run.lines if run else []
        return intake.page_of(request, job.epoch, lines, ended=False)

    # workers

    def _serve_worker(self, peer: Peer, message: protocol.AnyFromWorker, now: float) -> None:
        if isinstance(message, protocol.Ready):
            self._sign_in(peer, message, now)
            return
        worker = self._fleet.at(peer)
        if worker is None:
            self._out.append(Send(peer, protocol.Identify()))
            return
        worker.gone = False
        self._renew(worker, now)
        match message:
            case protocol.Heartbeat():
                self._compare(worker, message.runs, now)
            case protocol.Bye(draining=True):
                worker.draining = True
                self._standing_changed = True
            case protocol.Bye():
                for run in list(worker.runs.values()):
                    self._hand_back(run, now)
                self._leave(worker, 'drained', now)
            case _:
                self._serve_run(worker, message, now)

    def _serve_run(
        self,
        worker: Worker,
        message: protocol.Tokens | protocol.Finished | protocol.Failed | protocol.Stopped | protocol.HandBack,
        now: float,
    ) -> None:
        run = self._run_of(worker, message.job_id, message.epoch)
        if run is None:  # stale: fenced off by the epoch, or settled before
            answer: protocol.ToWorker = protocol.Settled(job_id=message.job_id, epoch=message.epoch)
            if isinstance(message, protocol.Tokens):
                answer = protocol.Stop(job_id=message.job_id, epoch=message.epoch, stale=True)
            self._out.append(Send(worker.peer, answer))
            return
        match message:
            case protocol.Tokens():
                self._tokens(worker, run, message, now)
            case protocol.HandBack() if not run.cancelling:
                self._hand_back(run, now)
            case _ if run.cancelling:  # whatever it ended with, the user was told that it is cancelled
                usage = run.job.usage if isinstance(message, protocol.HandBack) else message.usage
                self._settle(run, Move.STOP, facts.JobCancelled, usage, now)
            case protocol.Finished() if message.lines > len(run.lines):
                self._ask_for_missing(worker, run, now)
                return
            case protocol.Finished():
                self._settle(run, Move.COMPLETE, facts.JobCompleted, message.usage, now)
            case protocol.Failed():
                self._failed(run, message, now)
            case protocol.Stopped():  # nobody asked for it: nothing is known against the job
                self._hand_back(run, now)
        if not isinstance(message, protocol.Tokens):
            self._out.append(Send(worker.peer, protocol.Settled(job_id=message.job_id, epoch=message.epoch)))

    def _sign_in(self, peer: Peer, ready: protocol.Ready, now: float) -> None:
        if ready.version != protocol.VERSION or not ready.worker or not 1 <= ready.slots <= 1024:
            return  # it speaks another language; the lease of what it may hold runs out
        worker = self._fleet.named(ready.worker)
        if worker is not None and worker.ready.session != ready.session:
            for run in list(worker.runs.values()):
                self._lose(run, now)
            self._leave(worker, 'replaced', now)
            worker = None
        if worker is None:
            worker = Worker(peer=peer, ready=ready, joined_at=now, expires_at=0.0)
            self._record(telling.joined(ready, self._next_seq(), now))
        elif telling.face(worker.ready) != telling.face(ready):
            self._record(telling.changed(ready, self._next_seq(), now))
        worker.peer, worker.ready, worker.gone = peer, ready, False
        worker.models = model_names(ready.models)
        self._fleet.put(worker)
        self._renew(worker, now)
        self._at(worker.expires_at, 'worker', ready.worker)
        welcome = protocol.Welcome(
            boot=self._boot, heartbeat_s=self._rules.heartbeat_s, lease_ttl_s=self._rules.lease_ttl_s
        )
        self._out.append(Send(peer, welcome))
        self._adopt(worker, ready.runs, now)
        self._compare(worker, ready.runs, now)
        self._standing_changed = True

    def _adopt(self, worker: Worker, held: tuple[protocol.Run, ...], now: float) -> None:
        """After a restart of the broker: the leases of a worker that shows its runs are its own again.

        What it ought to have and does not show begins anew, with a new epoch: of the old one readers may have lines
        that nobody can give again.
        """
        shown = {(run.job_id, run.epoch) for run in held}
        for run in [run for run in self._runs.values() if run.session == '']:
            if (run.job.job_id, run.epoch) in shown:
                run.worker, run.session = worker.ready.worker, worker.ready.session
                worker.runs[run.job.job_id] = run
            elif run.worker == worker.ready.worker:
                self._hand_back(run, now)

    def _compare(self, worker: Worker, held: tuple[protocol.Run, ...], now: float) -> None:
        """Bring what the worker holds and what we gave it together."""
        shown: set[str] = set()
        for theirs in held:
            run = self._run_of(worker, theirs.job_id, theirs.epoch)
            if run is None:
                stale = protocol.Stop(job_id=theirs.job_id, epoch=theirs.epoch, stale=True)
                self._out.append(Send(worker.peer, stale))
                continue
            shown.add(theirs.job_id)
            run.expires_at = now + self._rules.lease_ttl_s
            if run.cancelling:
                self._out.append(Send(worker.peer, protocol.Stop(job_id=theirs.job_id, epoch=theirs.epoch)))
            elif theirs.index > len(run.lines):
                self._ask_for_missing(worker, run, now)
        for run in worker.runs.values():
            if run.job.job_id not in shown and run.assigned_at < now - PULSE_S:
                run.expires_at = now + self._rules.lease_ttl_s
                if run.cancelling:
                    self._tell_run(run, protocol.Stop(job_id=run.job.job_id, epoch=run.epoch))
                else:
                    self._assign(worker, run)  # it never arrived; a second copy would do no harm

    def _tokens(self, worker: Worker, run: Run, message: protocol.Tokens, now: float) -> None:
        run.expires_at = now + self._rules.lease_ttl_s
        if run.cancelling:
            return
        have = len(run.lines)
        if message.index > have:
            self._ask_for_missing(worker, run, now)
            return
        lines = message.lines[have - message.index :]
        if not lines:
            return
        run.lines += lines
        run.size += sum(map(len, lines))
        if run.size > self._rules.max_answer_bytes:
            self._out.append(Send(worker.peer, protocol.Stop(job_id=message.job_id, epoch=run.epoch, stale=True)))
            self._die(run, 'answer_too_large', f'the answer is larger than {self._rules.max_answer_bytes} bytes', now)
            return
        tokens = protocol.TokensOut(job_id=message.job_id, epoch=run.epoch, index=have, lines=tuple(lines))
        self._out.append(Publish(protocol.token_topic(message.job_id), tokens))

    def _ask_for_missing(self, worker: Worker, run: Run, now: float) -> None:
        if run.asked_index == len(run.lines) and now < run.asked_at + PULSE_S:
            return  # asked already, and the answer is on its way
        run.asked_at, run.asked_index = now, len(run.lines)
        message = protocol.Resend(job_id=run.job.job_id, epoch=run.epoch, index=len(run.lines))
        self._out.append(Send(worker.peer, message))

    def _failed(self, run: Run, message: protocol.Failed, now: float) -> None:
        job = run.job
        job.failures += 1
        job.code, job.detail = message.code[:MAX_CODE], message.detail[:MAX_DETAIL]
        job.usage = intake.sound(message.usage)
        if not message.retryable or job.failures >= job.max_failures:
            self._die(run, job.code, job.detail, now)
            return
        self._release(run, now)
        jitter = zlib.crc32(f'{job.job_id}:{job.failures}'.encode()) / 2**32  # ids are random, so this is too
        job.due_at = self._rules.retry.retry_at(job.failures, now, jitter)
        self._move(job, Move.RETRY)
        self._backlog[job.user] += 1
        self._delay(job)
        self._requeued(job, 'retry', now)

    # runs

    def _dispatch(self, now: float) -> None:
        while (job_id := self._next(now)) is not None:
            job = self._jobs[job_id]
            worker = self._fleet.choose(job.model, self._pauses)
            charged_s = self._waiting.started(job, now)
            self._left_backlog(job.user)
            self._gate.started(job.user, job.model, now)
            self._limit(job.user, now)
            self._move(job, Move.START)
            job.epoch += 1
            job.starts += 1
            job.started_at = now
            job.worker, job.engine = worker.ready.worker, _engine_of(worker, job.model)
            run = self._hold(job, session=worker.ready.session, now=now)
            run.charged_s = charged_s
            worker.runs[job_id] = run
            self._record(telling.started(job, self._next_seq(), now, self._standings.told(job_id)), job)
            self._assign(worker, run)

    def _next(self, now: float) -> str | None:
        """The job that may start now; when only a limit stands in its way, look again when the limit is over."""
        if self._pauses.everything or not self._waiting or not self._fleet.has_room():
            return None
        if (open_at := self._gate.open_at()) > now:
            self._at(open_at, 'wake', '')
            return None
        limited = [at for model in self._waiting.models() if (at := self._gate.model_at(model)) > now]
        if limited:
            self._at(min(limited), 'wake', '')
        return self._waiting.best(lambda model: self._may_start(model, now), now)

    def _may_start(self, model: str, now: float) -> bool:
        return (
            self._gate.model_at(model) <= now
            and not self._pauses.has('model', model)
            and self._fleet.can_start(model, self._pauses)
        )

    def _limit(self, user: str, now: float) -> None:
        """Hold back a user who is over a limit, and look again when that is over."""
        free_at = math.inf if self._pauses.has('user', user) else self._gate.user_at(user)
        if free_at <= now:
            self._waiting.let_go(user)
            return
        self._waiting.hold(user)
        self._at(free_at, 'user', user)  # at infinity never: a run has to end first

    def _leave_queue(self, job: Job, was: State) -> None:
        """It waited or was delayed, and will not run."""
        if was is State.WAITING:
            self._waiting.remove(job)
        else:
            self._delayed -= 1
        self._left_backlog(job.user)

    def _left_backlog(self, user: str) -> None:
        self._backlog[user] -= 1
        if not self._backlog[user]:
            del self._backlog[user]

    def _hold(self, job: Job, *, session: str, now: float) -> Run:
        run = Run(
            job=job,
            epoch=job.epoch,
            worker=job.worker,
            session=session,
            expires_at=now + self._rules.lease_ttl_s,
            assigned_at=now,
        )
        self._runs[job.job_id] = run
        self._at(run.expires_at, 'lease', job.job_id)
        return run

    def _assign(self, worker: Worker, run: Run) -> None:
        job = run.job
        message = protocol.Assign(job_id=job.job_id, epoch=run.epoch, kind=job.kind, model=job.model)
        self._out.append(SendJob(worker.peer, message))

    def _run_of(self, worker: Worker, job_id: str, epoch: int) -> Run | None:
        run = worker.runs.get(job_id)
        return run if run is not None and run.epoch == epoch else None

    def _release(self, run: Run, now: float) -> None:
        """The run is over: its slot is free, its lines stay with the run object."""
        del self._runs[run.job.job_id]
        worker = self._fleet.named(run.worker)
        if worker is not None and worker.runs.get(run.job.job_id) is run:
            del worker.runs[run.job.job_id]
        user = run.job.user
        self._waiting.charge(user, max(0.0, now - run.job.started_at) - run.charged_s, now)
        self._gate.ended(user)
        self._limit(user, now)

    def _settle(self, run: Run, move: Move, end: End, usage: facts.Usage, now: float) -> None:
        self._release(run, now)
        run.job.usage = intake.sound(usage)
        if move is Move.COMPLETE:
            self._durations.learn(run.job.model, now - run.job.started_at)
        self._move(run.job, move)
        self._end(run.job, end, tuple(run.lines), now)

    def _die(self, run: Run, code: str, detail: str, now: float) -> None:
        self._release(run, now)
        run.job.code, run.job.detail = code, detail
        self._move(run.job, Move.DIE)
        self._end(run.job, facts.JobDied, tuple(run.lines), now)

    def _hand_back(self, run: Run, now: float) -> None:
        if run.cancelling:
            self._settle(run, Move.STOP, facts.JobCancelled, run.job.usage, now)
            return
        self._release(run, now)
        self._move(run.job, Move.HAND_BACK)
        self._backlog[run.job.user] += 1
        self._waiting.add(run.job)
        self._requeued(run.job, 'handed_back', now)

    def _lose(self, run: Run, now: float) -> None:
        """The worker died or fell silent with this run."""
        if run.cancelling:
            self._settle(run, Move.STOP, facts.JobCancelled, run.job.usage, now)
            return
        job = run.job
        job.losses += 1
        if job.losses >= self._rules.max_losses:
            self._die(run, 'poison', f'{job.losses} workers were lost while they ran this job', now)
            return
        self._release(run, now)
        self._move(job, Move.LOSE)
        self._backlog[job.user] += 1
        self._waiting.add(job)
        self._requeued(job, 'worker_lost', now)

    def _requeued(self, job: Job, reason: str, now: float) -> None:
        self._record(telling.requeued(job, reason, self._next_seq(), now), job)

    def _end(self, job: Job, end: End, answer: tuple[bytes, ...], now: float) -> None:
        job.ended_at = now
        job.lines = len(answer)
        del self._jobs[job.job_id]
        self._standings.told(job.job_id)
        self._ended[job.job_id] = now
        self._record(telling.ended(end, job, self._next_seq()), job, answer=answer)

    # time

    def _at(self, when: float, kind: str, name: str) -> None:
        """Look at it then, or when an earlier timer of its kind and name goes off: whoever is early comes again."""
        if when < self._armed.get((kind, name), math.inf):
            self._armed[kind, name] = when
            heapq.heappush(self._timers, (when, kind, name))

    def _lease_due(self, job_id: str, now: float) -> None:
        run = self._runs.get(job_id)
        if run is None:
            return
        if run.expires_at > now:
            self._at(run.expires_at, 'lease', job_id)
            return
        worker = self._fleet.named(run.worker)
        if worker is not None and not worker.gone and run.session == worker.ready.session:
            stale = protocol.Stop(job_id=job_id, epoch=run.epoch, stale=True)
            self._out.append(Send(worker.peer, stale))
        self._lose(run, now)

    def _delay(self, job: Job) -> None:
        self._delayed += 1
        self._at(job.due_at, 'job', job.job_id)

    def _delay_due(self, job_id: str, now: float) -> None:
        job = self._jobs.get(job_id)
        if job is None or job.state is not State.DELAYED:
            return
        if job.due_at > now:
            self._at(job.due_at, 'job', job_id)
            return
        self._delayed -= 1
        self._move(job, Move.DUE)
        self._waiting.add(job)
        self._record(facts.JobDue(seq=self._next_seq(), at=now, job_id=job_id), job)

    def _deadline_due(self, job_id: str, now: float) -> None:
        job = self._jobs.get(job_id)
        if job is None or job.state not in (State.WAITING, State.DELAYED):
            return
        before = job.state
        self._move(job, Move.EXPIRE)
        self._leave_queue(job, before)
        job.code, job.detail = 'deadline', 'it could not start before its deadline'
        self._end(job, facts.JobDied, (), now)

    def _renew(self, worker: Worker, now: float) -> None:
        worker.expires_at = now + self._rules.lease_ttl_s

    def _worker_due(self, name: str, now: float) -> None:
        worker = self._fleet.named(name)
        if worker is None:
            return
        if worker.expires_at > now:
            self._at(worker.expires_at, 'worker', name)
            return
        for run in list(worker.runs.values()):
            self._lose(run, now)
        self._leave(worker, 'lost', now)

    def _leave(self, worker: Worker, reason: str, now: float) -> None:
        self._fleet.remove(worker)
        left = facts.WorkerLeft(
            seq=self._next_seq(),
            at=now,
            worker=worker.ready.worker,
            reason=reason,  # type: ignore[arg-type]
        )
        self._record(left)
        self._standing_changed = True

    # small parts

    def _move(self, job: Job, move: Move) -> None:
        job.state = TRANSITIONS[job.state, move]
        self._standing_changed = True

    def _next_seq(self) -> int:
        self._seq += 1
        return self._seq

    def _record(
        self,
        fact: facts.AnyFact,
        job: Job | None = None,
        *,
        body: bytes | None = None,
        answer: tuple[bytes, ...] | None = None,
    ) -> None:
        self._out.append(Persist(fact, copy(job) if job is not None else None, body, answer))
        self._out.append(Publish(protocol.TOPIC_FACTS, protocol.FactOut(fact=fact)))

    def _tell_run(self, run: Run, message: protocol.ToWorker) -> None:
        worker = self._fleet.named(run.worker)
        if worker is not None and worker.ready.session == run.session:
            self._out.append(Send(worker.peer, message))

    def _take(self) -> list[Action]:
        out, self._out = self._out, []
        return out


def _engine_of(worker: Worker, model: str) -> str:
    names = (info.engine for info in worker.ready.models if model in (info.name, info.name.removesuffix(':latest')))
    return next(names, worker.ready.engine)
