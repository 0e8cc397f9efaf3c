"""What clients ask for, and what they are told."""

from copy import copy

import msgspec

from broker import facts, groups, intake, pauses, protocol, stopping
from broker.actions import FromStore, Peer
from broker.admission import Admission, Past
from broker.agenda import Agenda
from broker.backend import model_names
from broker.errands import Errands
from broker.job import HELD_BY_WORKER, MAX_PRIORITY, MIN_PRIORITY, Job, State
from broker.queue import Queue

MAX_GRACE_S = 86_400.0


class Clients:
    """Answers requests. What is about the past, or about a job that is not alive, is left to the store."""

    def __init__(self, queue: Queue, admission: Admission, agenda: Agenda, errands: Errands, boot: str) -> None:
        self._queue = queue
        self._admission = admission
        self._agenda = agenda
        self._errands = errands
        self._boot = boot

    def serve(self, peer: Peer, request: protocol.AnyRequest, now: float, past: Past) -> None:
        """Do as asked, or say why not."""
        reply = (
            self._about_new(request, now, past) or self._about_all(request, now) or self._about_one(peer, request, now)
        )
        if reply is None:
            self._queue.do(FromStore(peer, request))
        else:
            self._queue.send(peer, msgspec.structs.replace(reply, rid=request.rid))

    def _about_all(self, request: protocol.AnyRequest, now: float) -> protocol.Reply | None:
        reply: protocol.Reply | None = None
        match request:
            case protocol.Ping():
                reply = protocol.Pong(boot=self._boot, seq=self._queue.seq)
            case protocol.GetSnapshot():
                reply = self.snapshot(request.after_order)
            case protocol.Pause() | protocol.Resume() | protocol.Drain():
                reply = self._pause(request, now)
            case protocol.Retire():
                reply = self._retire(request, now)
            case protocol.RunErrand():
                reply = self._errands.ask(request, now)
            case protocol.CancelErrand():
                reply = self._errands.cancel(request.errand_id)
            case protocol.SetSchedule():
                reply = self._agenda.set(request.schedule, now)
            case protocol.RemoveSchedule():
                reply = self._agenda.remove(request.schedule_id, now)
            case protocol.FindSchedules():
                reply = self._agenda.find(request, now)
        return reply

    def _about_new(self, request: protocol.AnyRequest, now: float, past: Past) -> protocol.Reply | None:
        batches = self._queue.batches
        reply: protocol.Reply | None = None
        match request:
            case protocol.Submit():
                reply = self._admission.submit(request, past, now)
            case protocol.SubmitMany():
                reply = self._admission.submit_many(request.jobs, past, now)
            case protocol.OpenBatch():
                reply = groups.opened(self._queue, request, past, now)
            case protocol.GetBatch(batch_id=batch_id) if batches.is_open(batch_id):
                reply = protocol.Batches(batches=(batches.get(batch_id),))
            case protocol.CancelBatch(batch_id=batch_id) if batches.is_open(batch_id):
                reply = stopping.batch_stopped(self._queue, batch_id, now)
        return reply

    def _about_one(self, peer: Peer, request: protocol.AnyRequest, now: float) -> protocol.Reply | None:
        job = self._queue.jobs.get(getattr(request, 'job_id', ''))
        if job is None:
            return None
        reply: protocol.Reply | None = None
        match request:
            case protocol.Cancel(waiting=True) if job.state in HELD_BY_WORKER:
                reply = protocol.Refused(code='not_waiting', detail='a worker has the job already')
            case protocol.Cancel(release=True):
                reply = self._release(peer, job, request.rid, now)
            case protocol.Cancel():
                reply = stopping.stopped(self._queue, job, now)
            case protocol.SetPriority():
                reply = self._set_priority(job, request.priority, now)
            case protocol.Read():
                reply = self._read(request)
            case protocol.GetJob():
                reply = self._state(job, now)
        return reply

    def snapshot(self, after_order: int = 0) -> protocol.Snapshot:
        """A page of what is alive."""
        queue = self._queue
        page: list[Job] = []
        for job in queue.jobs.values():  # the dict keeps them in order of arrival
            if job.order > after_order:
                page.append(copy(job))
                if len(page) > protocol.SNAPSHOT_PAGE:
                    break
        jobs = intake.that_fit(page[: protocol.SNAPSHOT_PAGE])
        return protocol.Snapshot(
            seq=queue.seq,
            jobs=jobs,
            workers=tuple(worker.info() for worker in queue.fleet),
            pauses=tuple(queue.pauses.infos()),
            errands=self._errands.infos(),
            more=len(page) > len(jobs),
        )

    def _release(self, peer: Peer, job: Job, rid: int, now: float) -> protocol.Reply:
        """One caller waits no longer; the last one takes the job along."""
        if self._queue.keys.released_before(peer, rid):
            return protocol.Done()
        if job.claims > 1:
            self._queue.share(job, -1, now)
            return protocol.Done()
        return stopping.stopped(self._queue, job, now)

    def _set_priority(self, job: Job, priority: int, now: float) -> protocol.Reply:
        if not intake.is_priority(priority):
            return protocol.Refused(code='bad_request', detail=f'priority must be {MIN_PRIORITY} to {MAX_PRIORITY}')
        if job.state not in (State.WAITING, State.DELAYED, State.BLOCKED):
            return protocol.Refused(code='not_waiting', detail='only a job that waits can change its priority')
        if priority != job.priority:
            self._queue.reprioritise(job, priority, now)
        return protocol.Done()

    def _pause(self, request: protocol.Pause | protocol.Resume | protocol.Drain, now: float) -> protocol.Reply:
        queue, scope, name = self._queue, request.scope, request.name
        if problem := pauses.problem_with(scope, name):
            return protocol.Refused(code='bad_request', detail=problem)
        drains = isinstance(request, protocol.Drain)
        fact: facts.AnyFact | None = None
        if isinstance(request, protocol.Resume):
            if queue.pauses.remove(scope, name):
                fact = facts.Resumed(seq=queue.next_seq(), at=now, scope=scope, name=name)
        elif queue.pauses.add(scope, name, draining=drains):
            fact = facts.Paused(seq=queue.next_seq(), at=now, scope=scope, name=name, draining=drains)
        if fact is not None:
            queue.record(fact)
            queue.waiting.skip(queue.pauses.priorities())
            queue.changed = True
            if scope == 'user':
                queue.limit(name, now)
        return protocol.Done(note='' if isinstance(request, protocol.Resume) else self._unknown(scope, name))

    def _unknown(self, scope: str, name: str) -> str:
        """A word for whoever pauses what is not there: it may come later, or the name is mistyped."""
        fleet = self._queue.fleet
        if scope == 'worker' and fleet.named(name) is None:
            return f'No worker is called {name} now; this counts for one that comes with this name.'
        if scope == 'model' and not any(name in model_names(worker.ready.models) for worker in fleet):
            return f'No worker has the model {name} now; this counts for one that comes with it.'
        return ''

    def _retire(self, request: protocol.Retire, now: float) -> protocol.Reply:
        worker = self._queue.fleet.named(request.worker)
        if worker is None:
            return protocol.Refused(code='not_found', detail='there is no such worker')
        if not 0 <= request.grace_s <= MAX_GRACE_S:
            return protocol.Refused(code='bad_request', detail=f'grace_s must be 0 to {MAX_GRACE_S:g} seconds')
        queue = self._queue
        worker.draining = True  # it says so itself in a moment; until then it must not get another job
        queue.changed = True
        worker.leave = protocol.Leave(grace_s=request.grace_s)
        fact = facts.WorkerRetired(
            seq=queue.next_seq(),
            at=now,
            worker=request.worker,
            session=worker.ready.session,
            grace_s=request.grace_s,
        )
        queue.record(fact)  # the next broker is to tell it, where this one could not
        queue.send(worker.peer, worker.leave)
        queue.tell_worker(worker)
        return protocol.Done()

    def _read(self, request: protocol.Read) -> protocol.Reply:
        job, run = self._queue.jobs[request.job_id], self._queue.runs.get(request.job_id)
        lines: list[bytes] = run.lines if run else []
        return intake.page_of(request, job.epoch, lines, ended=False)

    def _state(self, job: Job, now: float) -> protocol.Reply:
        ahead = self._queue.standings.ahead_of(job, now) if job.state is State.WAITING else -1
        return protocol.JobState(job=copy(job), ahead=ahead)
