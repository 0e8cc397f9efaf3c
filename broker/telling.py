"""What the core does, put into facts."""

from broker import facts, protocol
from broker.job import Job, State


def queued(job: Job, request: protocol.Submit, seq: int) -> facts.JobQueued:
    """A job was accepted."""
    return facts.JobQueued(
        seq=seq,
        at=job.queued_at,
        job_id=job.job_id,
        kind=job.kind,
        model=job.model,
        priority=job.priority,
        user=job.user,
        conversation_id=job.conversation_id,
        body_bytes=len(request.body),
        due_at=job.due_at,
        deadline_at=job.deadline_at,
        replay_of=request.replay_of,
        parent=job.parent,
        schedule=job.terms.schedule,
        priority_rule=job.terms.priority_rule,
        runner=job.runner,
        blocked_by=len(job.terms.after) if job.state is State.BLOCKED else 0,
    )


def started(
    job: Job, seq: int, now: float, predicted: tuple[float, float] | None, *, resident: bool, limited_s: float
) -> facts.JobStarted:
    """A worker got it."""
    return facts.JobStarted(
        seq=seq,
        at=now,
        job_id=job.job_id,
        epoch=job.epoch,
        worker=job.worker,
        starts=job.starts,
        waited_s=max(0.0, now - job.queued_at),
        predicted_from=predicted[0] if predicted else 0.0,
        predicted_until=predicted[1] if predicted else 0.0,
        resident=resident,
        limited_s=limited_s,
    )


def requeued(job: Job, reason: str, seq: int, now: float, trace: str = '') -> facts.JobRequeued:
    """It went back into the queue."""
    failed = reason == 'retry'
    return facts.JobRequeued(
        seq=seq,
        at=now,
        job_id=job.job_id,
        epoch=job.epoch,
        reason=reason,  # type: ignore[arg-type]
        due_at=job.due_at if job.state is State.DELAYED else now,
        failures=job.failures,
        losses=job.losses,
        code=job.code if failed else '',
        detail=job.detail if failed else '',
        trace=trace,
    )


def ended(
    kind: type[facts.JobCompleted] | type[facts.JobDied] | type[facts.JobCancelled], job: Job, seq: int, trace: str = ''
) -> facts.JobCompleted | facts.JobDied | facts.JobCancelled:
    """It came to its end at ``job.ended_at``."""
    began = job.started_at or job.ended_at
    why = {'code': job.code, 'detail': job.detail, 'trace': trace} if kind is facts.JobDied else {}
    return kind(
        seq=seq,
        at=job.ended_at,
        job_id=job.job_id,
        kind=job.kind,
        model=job.model,
        priority=job.priority,
        user=job.user,
        conversation_id=job.conversation_id,
        queued_at=job.queued_at,
        started_at=job.started_at,
        waited_s=max(0.0, began - job.queued_at),
        ran_s=max(0.0, job.ended_at - began),
        epoch=job.epoch,
        starts=job.starts,
        failures=job.failures,
        losses=job.losses,
        worker=job.worker,
        engine=job.engine,
        lines=job.lines,
        usage=job.usage,
        parent=job.parent,
        **why,
    )


def joined(ready: protocol.Ready, seq: int, now: float) -> facts.WorkerJoined:
    """A worker process signed in."""
    who = {'worker': ready.worker, 'session': ready.session, 'host': ready.host, 'pid': ready.pid}
    return facts.WorkerJoined(seq=seq, at=now, **who, **face(ready))  # type: ignore[arg-type]


def changed(ready: protocol.Ready, seq: int, now: float) -> facts.WorkerChanged:
    """A worker says something new about itself."""
    return facts.WorkerChanged(seq=seq, at=now, worker=ready.worker, **face(ready))  # type: ignore[arg-type]


def face(ready: protocol.Ready) -> dict[str, object]:
    """What ``changed`` would tell: when it is another one, a fact is due."""
    return {name: getattr(ready, name) for name in ('engine', 'engine_version', 'slots', 'models', 'problem', 'labels')}
