"""What the shell looks up in the store before a request goes to the core, and before a job goes to a worker."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeGuard

from broker import keys, protocol, templates
from broker.admission import Past
from broker.job import FINAL, Job, State
from broker.needle import MOST_EXCERPT_BYTES, excerpt
from broker.queue import Ended


class Shelf(Protocol):
    """What both stores can tell about the past."""

    def job(self, job_id: str) -> Job | None: ...

    def stored(self, job_ids: Sequence[str]) -> frozenset[str]: ...

    def body(self, job_id: str) -> bytes: ...

    def answer(self, job_id: str) -> list[bytes]: ...

    def by_key(self, user: str, key: str) -> Job | None: ...

    def batch(self, batch_id: str) -> protocol.Batch | None: ...


class Unfit(Exception):
    """A job cannot be given to a worker as it is; says why as a code and a sentence."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def takes_long(request: protocol.AnyRequest) -> TypeGuard[protocol.FindJobs | protocol.ListJobs]:
    """Whether many jobs have to be looked at for this: then it is done in steps. See ``listing``."""
    if isinstance(request, protocol.FindJobs):
        return bool(request.states or request.model or request.user) and not request.parent
    return isinstance(request, protocol.ListJobs)


def stored(messages: Iterable[object], shelf: Shelf, knows: Callable[[str], bool]) -> frozenset[str]:
    """Which jobs of all these requests there are or were: one question for a turn, however many jobs it brings."""
    ids: list[str] = []
    for message in messages:
        match message:
            case protocol.Submit():
                ids.append(message.job_id)
            case protocol.SubmitMany(jobs=jobs):
                ids += [job.job_id for job in jobs]
    unknown = [job_id for job_id in ids if not knows(job_id)]
    return shelf.stored(unknown) if unknown else frozenset()


def past_of(
    message: protocol.AnyRequest,
    shelf: Shelf,
    knows: Callable[[str], bool],
    disk_full: bool,
    there: frozenset[str] | None = None,
) -> Past:
    """What only the store knows about this request; ``knows`` says of which jobs the core knows more.

    ``there`` is what ``stored`` has said about it, where that was asked.
    """
    if there is None:
        there = stored((message,), shelf, knows)
    match message:
        case protocol.Submit():
            if not (message.after or message.idempotency_key):
                return Past(stored=there, disk_full=disk_full)
            return _past_of((message,), shelf, knows, there, disk_full)
        case protocol.SubmitMany(jobs=jobs):
            return _past_of(jobs, shelf, knows, there, disk_full)
        case protocol.OpenBatch(batch_id=batch_id):
            batch = shelf.batch(batch_id)
            return Past(batches={batch_id: batch} if batch is not None else {})
    return Past()


def past_of_ids(ids: list[str], shelf: Shelf, disk_full: bool) -> Past:
    """The same for jobs that are about to be made by schedules."""
    return Past(stored=shelf.stored(ids), disk_full=disk_full)


def excerpts(request: protocol.GetExcerpts, shelf: Shelf) -> protocol.Excerpts:
    """The first words of what some jobs ask. What is too large to have any is not even read."""
    jobs = [shelf.job(job_id) for job_id in request.job_ids]
    short = (job if job is not None and job.body_bytes <= MOST_EXCERPT_BYTES else None for job in jobs)
    found = tuple(excerpt(shelf.body(job.job_id)) if job is not None else '' for job in short)
    return protocol.Excerpts(rid=request.rid, excerpts=found)


def replayed(request: protocol.Replay, shelf: Shelf, knows: Callable[[str], bool]) -> protocol.Submit | None:
    """The dead job as a new one; None when it is not dead, or would wait for what can come no more."""
    job = shelf.job(request.job_id)
    if job is None or job.state is not State.DEAD:
        return None
    after: tuple[str, ...] = ()
    if not (knows(request.new_job_id) or shelf.stored([request.new_job_id])):  # else it is done again already
        after = tuple(_again(other, shelf, knows) for other in job.terms.after)
    if '' in after:
        return None
    return protocol.Submit(
        rid=request.rid,
        job_id=request.new_job_id,
        kind=job.kind,
        model=job.model,
        body=shelf.body(job.job_id),
        priority=job.priority,
        user=job.user,
        conversation_id=job.conversation_id,
        after=after,
        path=job.terms.path,
        max_failures=job.max_failures,
        retry_base_s=job.terms.retry_base_s,
        retry_max_s=job.terms.retry_max_s,
        replay_of=job.job_id,
    )


def _again(job_id: str, shelf: Shelf, knows: Callable[[str], bool]) -> str:
    """This job, or the one that does it again when it failed; '' when there is none that could be completed."""
    job = shelf.job(job_id)
    if job is None:
        return job_id if knows(job_id) else ''
    if job.state is State.COMPLETED or job.state not in FINAL:
        return job_id
    return _again(keys.replay_id(job_id), shelf, knows)


def body_of(job_id: str, after: tuple[str, ...], shelf: Shelf) -> bytes:
    """What the job asks of the engine, with the answers of those before it filled in. Raises ``Unfit``."""
    body = shelf.body(job_id)
    if not after:
        return body
    answers: list[str] = []
    for other in after:
        before = shelf.job(other)
        if before is None or before.state is not State.COMPLETED:
            raise Unfit('predecessor', f'the answer of the job {other} that it comes after is gone')
        answers.append(templates.text_of(before.kind, shelf.answer(other)))
    try:
        return templates.fill(body, answers, protocol.MAX_BODY_BYTES)
    except templates.TooLarge:
        detail = f'with the answers of the jobs before it the body is larger than {protocol.MAX_BODY_BYTES} bytes'
        raise Unfit('body_too_large', detail) from None


def _past_of(
    jobs: tuple[protocol.Submit, ...],
    shelf: Shelf,
    knows: Callable[[str], bool],
    there: frozenset[str],
    disk_full: bool,
) -> Past:
    ended: dict[str, Ended] = {}
    by_key: dict[tuple[str, str], keys.Known] = {}
    for job in jobs:
        for other in job.after:
            before = shelf.job(other) if other not in ended and not knows(other) else None
            if before is not None and before.state in FINAL:
                ended[other] = Ended(before.ended_at, before.state, before.user)
        if job.idempotency_key and (found := shelf.by_key(job.user, job.idempotency_key)) is not None:
            by_key[job.user, job.idempotency_key] = keys.Known(found.job_id, found.terms.fingerprint)
    return Past(stored=there, ended=ended, keys=by_key, disk_full=disk_full)
