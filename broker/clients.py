"""What clients ask for, and what they are told."""

from copy import copy

import msgspec

from broker import facts, intake, pauses, protocol
from broker.actions import FromStore, Peer
from broker.job import MAX_PRIORITY, MIN_PRIORITY, Job, Move, State
from broker.queue import Queue


class Clients:
    """Answers requests. What is about the past, or about a job that is not alive, is left to the store."""

    def __init__(self, queue: Queue, boot: str) -> None:
        self._queue = queue
        self._boot = boot

    def serve(self, peer: Peer, request: protocol.AnyRequest, now: float) -> None:
        """Do as asked, or say why not."""
        jobs = self._queue.jobs
        match request:
            case protocol.Submit():
                reply = self.submit(request, now)
            case protocol.Ping():
                reply = protocol.Pong(boot=self._boot, seq=self._queue.seq)
            case protocol.GetSnapshot():
                reply = self.snapshot(request.after_order)
            case protocol.Pause() | protocol.Resume():
                reply = self._pause(request, now)
            case _ if getattr(request, 'job_id', '') not in jobs or isinstance(request, _OF_THE_PAST):
                self._queue.do(FromStore(peer, request))
                return
            case protocol.Cancel():
                reply = self._cancel(jobs[request.job_id], now)
            case protocol.SetPriority():
                reply = self._set_priority(jobs[request.job_id], request.priority, now)
            case protocol.Read():
                reply = self._read(request)
            case protocol.GetJob():
                reply = self._state(jobs[request.job_id], now)
        self._queue.send(peer, msgspec.structs.replace(reply, rid=request.rid))

    def snapshot(self, after_order: int = 0) -> protocol.Snapshot:
        """A page of what is alive."""
        queue = self._queue
        page: list[Job] = []
        for job in queue.jobs.values():  # the dict keeps them in order of arrival
            if job.order > after_order:
                page.append(copy(job))
                if len(page) > protocol.SNAPSHOT_PAGE:
                    break
        return protocol.Snapshot(
            seq=queue.seq,
            jobs=tuple(page[: protocol.SNAPSHOT_PAGE]),
            workers=tuple(worker.info() for worker in queue.fleet),
            pauses=tuple(protocol.PauseInfo(scope=scope, name=name) for scope, name in queue.pauses),
            more=len(page) > protocol.SNAPSHOT_PAGE,
        )

    def submit(self, request: protocol.Submit, now: float) -> protocol.Reply:
        """Queue a new job."""
        queue, rules = self._queue, self._queue.rules
        if queue.knows(request.job_id):
            return protocol.Accepted(job_id=request.job_id, duplicate=True)
        if problem := intake.problem_with(request):
            return protocol.Refused(code='bad_request', detail=problem)
        if queue.queued >= rules.max_waiting:
            detail = f'{rules.max_waiting} jobs are waiting, which is the limit; try again later'
            return protocol.Refused(code='queue_full', detail=detail, retry_after_s=5.0)
        if 0 < rules.max_waiting_per_user <= queue.backlog[request.user]:
            detail = f'{rules.max_waiting_per_user} of your jobs are waiting, which is the limit; try again later'
            return protocol.Refused(code='queue_full', detail=detail, retry_after_s=5.0)
        queue.order += 1
        queue.accept(intake.job_from(request, queue.order, now), request, now)
        return protocol.Accepted(job_id=request.job_id)

    def _cancel(self, job: Job, now: float) -> protocol.Reply:
        queue = self._queue
        if job.state is State.RUNNING:
            queue.move(job, Move.CANCEL)
            run = queue.runs[job.job_id]
            run.cancelling = True
            fact = facts.JobCancelRequested(seq=queue.next_seq(), at=now, job_id=job.job_id, epoch=job.epoch)
            queue.record(fact, job)
            queue.tell_run(run, protocol.Stop(job_id=job.job_id, epoch=job.epoch))
        elif job.state is not State.CANCELLING:
            queue.withdraw(job, Move.CANCEL, facts.JobCancelled, now)
        return protocol.Done()

    def _set_priority(self, job: Job, priority: int, now: float) -> protocol.Reply:
        if not intake.is_priority(priority):
            return protocol.Refused(code='bad_request', detail=f'priority must be {MIN_PRIORITY} to {MAX_PRIORITY}')
        if job.state not in (State.WAITING, State.DELAYED):
            return protocol.Refused(code='not_waiting', detail='only a job that waits can change its priority')
        if priority != job.priority:
            self._queue.reprioritise(job, priority, now)
        return protocol.Done()

    def _pause(self, request: protocol.Pause | protocol.Resume, now: float) -> protocol.Reply:
        queue, scope, name = self._queue, request.scope, request.name
        if problem := pauses.problem_with(scope, name):
            return protocol.Refused(code='bad_request', detail=problem)
        begins = isinstance(request, protocol.Pause)
        if queue.pauses.add(scope, name) if begins else queue.pauses.remove(scope, name):
            fact = facts.Paused if begins else facts.Resumed
            queue.record(fact(seq=queue.next_seq(), at=now, scope=scope, name=name))
            queue.waiting.skip(queue.pauses.priorities())
            queue.changed = True
            if scope == 'user':
                queue.limit(name, now)
        return protocol.Done()

    def _read(self, request: protocol.Read) -> protocol.Reply:
        job, run = self._queue.jobs[request.job_id], self._queue.runs.get(request.job_id)
        lines: list[bytes] = run.lines if run else []
        return intake.page_of(request, job.epoch, lines, ended=False)

    def _state(self, job: Job, now: float) -> protocol.Reply:
        ahead = self._queue.standings.ahead_of(job, now) if job.state is State.WAITING else -1
        return protocol.JobState(job=copy(job), ahead=ahead)


_OF_THE_PAST = (protocol.GetHistory, protocol.Replay, protocol.Purge)
