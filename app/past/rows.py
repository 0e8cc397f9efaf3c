"""A job as a row of the table of the past."""

from typing import Any

from app.parts import Parts
from broker import protocol
from broker.job import Job

GONE: dict[str, Any] = {'gone': True}
_DETAIL_CHARS = 300


def row(job: Job, excerpt: str, title: str) -> dict[str, Any]:
    """What the table shows; times are unix seconds, lengths seconds, -1 where there is none."""
    usage = job.usage
    return {
        'id': job.job_id,
        'order': job.order,
        'state': str(job.state),
        'kind': job.kind,
        'title': title,
        'excerpt': excerpt,
        'model': job.model,
        'user': job.user,
        'priority': job.priority,
        'queued': job.queued_at,
        'started': job.started_at,
        'ended': job.ended_at,
        'waited': round(job.started_at - job.queued_at, 3) if job.started_at else -1,
        'ran': round(job.ended_at - job.started_at, 3) if job.started_at and job.ended_at else -1,
        'tokens': usage.output_tokens,
        'rate': round(usage.output_tokens / usage.decode_s, 1) if usage.decode_s > 0 else 0,
        'worker': job.worker,
        'code': job.code,
        'detail': job.detail[:_DETAIL_CHARS],
        'failures': job.failures,
        'conversation': job.conversation_id,
    }


def page(parts: Parts, asked: protocol.ListJobs, found: protocol.JobList) -> dict[str, Any]:
    """What the browser gets. Rows that are gone since the list was made stay as gaps, so that no other moves."""
    rows = [
        row(job, excerpt, parts.title_of(job.conversation_id))
        for job, excerpt in zip(found.jobs, found.excerpts, strict=True)
    ]
    due = min(asked.limit, found.total - asked.offset)
    if found.complete and len(rows) < due:
        rows += [GONE] * (due - len(rows))
    return {
        'rows': rows,
        'total': found.total,
        'complete': found.complete,
        'looked': found.looked,
        'at': found.until_order,
        'cut': found.cut,
    }
