"""Who may enter the queue: requests for jobs are checked, found to be known already, or let in."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from broker import chains, errors, intake, limits, protocol
from broker.guess import Guess
from broker.job import AUTO_PRIORITY, HELD_BY_WORKER, PLAIN, Job, State, Terms
from broker.keys import Known, fingerprint
from broker.queue import Ended, Queue

MAX_MANY = 5_000  # jobs in one message: others wait for their answers meanwhile
RETRY_AFTER_S, DISK_RETRY_AFTER_S = 5.0, 30.0


class Past(NamedTuple):
    """What only the store knows about a request: it is looked up before the request comes here."""

    stored: frozenset[str] = frozenset()  # ids of jobs that there are or were
    ended: Mapping[str, Ended] = MappingProxyType({})  # jobs that others want to come after
    keys: Mapping[tuple[str, str], Known] = MappingProxyType({})  # by user and idempotency key
    batches: Mapping[str, protocol.Batch] = MappingProxyType({})
    disk_full: bool = False


NOTHING = Past()


class Admission:
    """Answers requests for jobs."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._guess = Guess(queue.rules.priority_rules)

    def submit(self, request: protocol.Submit, past: Past, now: float) -> protocol.Accepted | protocol.Refused:
        """Queue a new job, or say which one it is already."""
        if request.schedule:
            return protocol.Refused(code='bad_request', detail='schedule is set by the queue itself; leave it empty')
        return self.admit(request, past, now)

    def submit_many(
        self, jobs: tuple[protocol.Submit, ...], past: Past, now: float
    ) -> protocol.Submitted | protocol.Refused:
        """Queue several; each comes in behind those it waits for."""
        if len(jobs) > MAX_MANY:
            return protocol.Refused(code='bad_request', detail=f'send at most {MAX_MANY} jobs in one message')
        after: dict[str, tuple[str, ...]] = {}
        for job in jobs:
            after.setdefault(job.job_id, job.after)
        order, circles = chains.arrange(after)
        place = {job_id: number for number, job_id in enumerate(order)}
        results: dict[int, protocol.Accepted | protocol.Refused] = {}
        for number, job in sorted(enumerate(jobs), key=lambda each: place.get(each[1].job_id, 0)):
            if circle := circles.get(job.job_id):
                results[number] = protocol.Refused(code='circle', detail=chains.sentence(circle))
            else:
                results[number] = self.submit(job, past, now)
        return protocol.Submitted(results=tuple(results[number] for number in range(len(jobs))))

    def admit(
        self, request: protocol.Submit, past: Past, now: float, schedule: protocol.Schedule | None = None
    ) -> protocol.Accepted | protocol.Refused:
        """The same for a job that a schedule makes, too; the schedule is stored with it."""
        if known := self._known(request.job_id, past):
            return protocol.Accepted(job_id=known, duplicate=True)
        if problem := intake.problem_with(request):
            return protocol.Refused(code='bad_request', detail=problem)
        request_print = fingerprint(request) if request.idempotency_key or request.attach else ''
        if found := self._same(request, request_print, past, now):
            return found
        if 0.0 < request.deadline_at <= now:
            detail = 'deadline_at is over already; take a later time, or leave it out'
            return protocol.Refused(code='bad_request', detail=detail)
        if refusal := self._foreign(request, past) or self._full(request, past):
            return refusal
        self._accept(request, request_print, past, now, schedule)
        return protocol.Accepted(job_id=request.job_id, quota=self._quota(request, now))

    def _known(self, job_id: str, past: Past) -> str:
        """The job that this very request has become before: the client repeats it when the reply was lost."""
        if self._queue.knows(job_id) or job_id in past.stored:
            return job_id
        return self._queue.keys.claimed(job_id)

    def _same(
        self, request: protocol.Submit, request_print: str, past: Past, now: float
    ) -> protocol.Accepted | protocol.Refused | None:
        """The job that is found by the request's key, or that it may share. With a key it is a job of its own."""
        queue, key = self._queue, request.idempotency_key
        if key:
            known = queue.keys.by_key(request.user, key) or past.keys.get((request.user, key))
            if known is None:
                return None
            if known.fingerprint == request_print:
                return protocol.Accepted(job_id=known.job_id, duplicate=True)
            detail = 'this idempotency key was used for another request; send the same one, or take a new key'
            return protocol.Refused(code='conflict', detail=detail)
        if request.attach and (job_id := queue.keys.to_share(request.user, request_print)):
            job = queue.jobs[job_id]
            queue.share(job, 1, now)
            queue.keys.claim(request.job_id, job_id)
            if request.priority > job.priority and job.state not in HELD_BY_WORKER:
                queue.reprioritise(job, request.priority, now)  # who is in more of a hurry does not lose by sharing
            return protocol.Accepted(job_id=job_id, duplicate=True)
        return None

    def _foreign(self, request: protocol.Submit, past: Past) -> protocol.Refused | None:
        """Whether it belongs to a batch or comes after jobs that are not there, or not this user's."""
        if request.parent and (why := self._queue.batches.why_not(request.parent, request.user)):
            return protocol.Refused(code='bad_batch', detail=why)
        for job_id in request.after:
            before = self._before(job_id, past)
            if before is None or before.user != request.user:
                detail = f'there is no job {job_id[:40]} of yours that this one could come after'
                return protocol.Refused(code='unknown_job', detail=detail)
        return None

    def _before(self, job_id: str, past: Past) -> Job | Ended | None:
        return self._queue.jobs.get(job_id) or self._queue.ended.get(job_id) or past.ended.get(job_id)

    def _full(self, request: protocol.Submit, past: Past) -> protocol.Refused | None:
        queue, rules = self._queue, self._queue.rules
        if past.disk_full:
            return protocol.Refused(code='disk_full', detail=errors.DISK_FULL, retry_after_s=DISK_RETRY_AFTER_S)
        most = 0
        if queue.queued >= rules.max_waiting:
            most = rules.max_waiting
            detail = f'{rules.max_waiting} jobs are waiting, which is the limit; try again later'
        elif 0 < rules.max_waiting_per_user <= queue.backlog[request.user]:
            most = rules.max_waiting_per_user
            detail = f'{rules.max_waiting_per_user} of your jobs are waiting, which is the limit; try again later'
        elif 0 < rules.max_waiting_bytes < queue.waiting_bytes + len(request.body):
            detail = f'with this one more than {rules.max_waiting_bytes} bytes of jobs would wait; try again later'
        else:
            return None
        quota = protocol.Quota(limit=most, remaining=0, reset_s=RETRY_AFTER_S) if most else None
        return protocol.Refused(code='queue_full', detail=detail, retry_after_s=RETRY_AFTER_S, quota=quota)

    def _quota(self, request: protocol.Submit, now: float) -> protocol.Quota | None:
        queue, most = self._queue, self._queue.rules.max_waiting_per_user
        rooms = list(queue.gate.rooms(request.user, queue.fleet.spelt(request.model), queue.waiting.count, now))
        if most:
            left = max(0, most - queue.backlog[request.user])
            rooms.append(limits.Room(most, left, 0.0 if left == most else RETRY_AFTER_S))
        if not rooms:
            return None
        limit, remaining, reset_s = min(rooms, key=lambda room: (room.remaining, -room.reset_s))
        return protocol.Quota(limit=limit, remaining=remaining, reset_s=reset_s)

    def _accept(
        self, request: protocol.Submit, request_print: str, past: Past, now: float, schedule: protocol.Schedule | None
    ) -> None:
        queue, rule = self._queue, ''
        if request.priority == AUTO_PRIORITY:
            priority, rule = self._guess.priority_of(request.body)
            request = msgspec.structs.replace(request, priority=priority)
        queue.order += 1
        if (model := queue.fleet.spelt(request.model)) != request.model:
            request = msgspec.structs.replace(request, model=model)
        job = intake.job_from(request, queue.order, now)
        job.idempotency_key = request.idempotency_key
        job.terms = _terms(request, request_print, rule)
        before = {job_id: self._before(job_id, past) for job_id in request.after}
        missing = [job_id for job_id, other in before.items() if job_id in queue.jobs]
        failed = [job_id for job_id, other in before.items() if isinstance(other, Ended) and not other.completed]
        if missing or failed:
            job.state = State.BLOCKED
        queue.accept(job, request, now, missing=missing, schedule=schedule)
        if failed:
            ended = before[failed[0]]
            assert isinstance(ended, Ended)
            queue.doom(job, failed[0], ended.state, now)


def _terms(request: protocol.Submit, request_print: str, rule: str) -> Terms:
    longest = intake.longest_of(request.body)
    if not (
        request.path
        or request.after
        or request.schedule
        or request.retry_base_s
        or request.retry_max_s
        or rule
        or request_print
        or request.attach
        or longest
    ):
        return PLAIN
    return Terms(
        path=request.path,
        after=request.after,
        schedule=request.schedule,
        retry_base_s=request.retry_base_s,
        retry_max_s=request.retry_max_s,
        priority_rule=rule,
        fingerprint=request_print,
        attach=request.attach,
        longest=longest,
    )
