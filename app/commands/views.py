"""Jobs, workers and pauses as rows of a table and as JSON."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from app.commands.moments import iso, shown, took
from broker import facts, protocol
from broker.job import FINAL, Job, State

if TYPE_CHECKING:
    from app.views import JobView

JOB_COLUMNS = ('id', 'state', 'kind', 'model', 'prio', 'user', 'queued', 'took', 'note')
WORKER_COLUMNS = ('worker', 'engine', 'slots', 'models', 'labels', 'note')
_TIMES = {'queued_at', 'started_at', 'ended_at', 'due_at', 'deadline_at'}
_LEFT_OUT = {'order', 'terms', 'runner', 'claims'}


def job_row(job: Job, now: float) -> tuple[object, ...]:
    """A job in a table with ``JOB_COLUMNS``."""
    return (
        job.job_id,
        job.state,
        job.kind,
        job.model,
        job.priority,
        job.user,
        shown(job.queued_at, now),
        took(_ran_s(job, now)) if job.started_at else '',
        _note(job, now),
    )


def job_dict(job: Job) -> dict[str, Any]:
    """A job for programs."""
    found = {name: getattr(job, name) for name in job.__struct_fields__ if name not in _LEFT_OUT}
    found |= {name: iso(found[name]) for name in _TIMES}
    found |= {'state': str(job.state), 'usage': msgspec.structs.asdict(job.usage)}
    return found | {'after': list(job.terms.after), 'schedule': job.terms.schedule, 'path': job.terms.path}


def job_fields(job: Job, ahead: int, now: float) -> list[tuple[str, object]]:
    """A job in all detail, for people."""
    usage = job.usage
    return [
        ('id', job.job_id),
        ('state', job.state),
        ('ahead', counted(ahead, 'goes', 'go') + ' first' if ahead >= 0 else ''),
        ('kind', job.kind),
        ('path', job.terms.path),
        ('model', job.model),
        ('priority', f'{job.priority}' + (f' (rule: {job.terms.priority_rule})' if job.terms.priority_rule else '')),
        ('user', job.user),
        ('batch', job.parent),
        ('schedule', job.terms.schedule),
        ('after', ', '.join(job.terms.after)),
        ('key', job.idempotency_key),
        ('queued', shown(job.queued_at, now)),
        ('not before', shown(job.due_at, now) if job.state is State.DELAYED else ''),
        ('deadline', shown(job.deadline_at, now)),
        ('started', shown(job.started_at, now)),
        ('ended', shown(job.ended_at, now)),
        ('waited', took(job.started_at - job.queued_at) if job.started_at else ''),
        ('took', took(_ran_s(job, now)) if job.started_at else ''),
        ('worker', job.worker),
        ('starts', job.starts or ''),
        ('failures', job.failures or ''),
        ('tokens', f'{usage.prompt_tokens} in, {usage.output_tokens} out' if usage.output_tokens else ''),
        ('speed', f'{usage.output_tokens / usage.decode_s:.1f} tokens/s' if usage.decode_s else ''),
        ('failure', f'{job.code}: {job.detail}' if job.code else ''),
    ]


def worker_row(worker: protocol.WorkerInfo) -> tuple[object, ...]:
    """A worker in a table with ``WORKER_COLUMNS``."""
    return (
        worker.worker,
        f'{worker.engine} {worker.engine_version}',
        f'{worker.busy} of {worker.slots} busy',
        ', '.join(model.name for model in worker.models) or 'none',
        ', '.join(worker.labels),
        'leaving' if worker.draining else worker.problem,
    )


def worker_dict(worker: protocol.WorkerInfo) -> dict[str, Any]:
    """A worker for programs."""
    found: dict[str, Any] = msgspec.to_builtins(worker)
    return found | {'joined_at': iso(worker.joined_at), 'last_token_at': iso(worker.last_token_at)}


def pause_text(pause: protocol.PauseInfo) -> str:
    """A pause in words: ``everything``, ``model qwen3``."""
    what = 'everything' if pause.scope == 'all' else f'{pause.scope} {pause.name or "without a name"}'
    return what + (' (what runs of it still goes on)' if pause.draining else '')


def fact_dict(fact: facts.AnyFact) -> dict[str, Any]:
    """A fact for programs."""
    found: dict[str, Any] = msgspec.to_builtins(fact)
    return found | {'at': iso(fact.at)}


def fact_text(fact: facts.AnyFact) -> str:
    """What happened, for people."""
    say = _SAID.get(type(fact))
    return say(fact) if say else _spaced(type(fact).__name__)


def why_waiting(place: 'protocol.Place | JobView', now: float | None = None) -> str:
    """Where a job stands and why it waits; '' while nothing is known."""
    now = time.time() if now is None else now
    if place.reason == 'no_worker':
        hints = {
            'start_engine': 'no engine answers',
            'pull_model': 'no machine has this model',
            'group': 'only machines outside its group have this model',
            'failing': 'the machines that have this model are out of order',
        }
        return hints.get(place.hint, 'no worker is there')
    if place.reason == 'paused':
        return 'it is paused'
    if place.reason == 'limited':
        until = f' until {shown(place.not_before, now)}' if place.not_before else ''
        return f'a limit holds it back{until}'
    if place.ahead is None:
        return ''
    text = counted(place.ahead, 'goes', 'go') + ' first' if place.ahead else 'it is next'
    if place.earliest_at > now:
        return f'{text}, starts in about {took(place.earliest_at - now)} to {took(place.latest_at - now)}'
    return f'{text}, starts within {took(place.latest_at - now)}' if place.latest_at > now else text


def counted(number: int, one: str, many: str) -> str:
    """``1 worker``, ``2 workers``."""
    return f'{number} {one if number == 1 else many}'


def _ran_s(job: Job, now: float) -> float:
    return (job.ended_at if job.state in FINAL else now) - job.started_at


def _note(job: Job, now: float) -> str:
    if job.state is State.DELAYED:
        return f'not before {shown(job.due_at, now)}'
    if job.state is State.BLOCKED:
        return f'after {counted(len(job.terms.after), "other", "others")}'
    return f'{job.code}: {job.detail}' if job.code else ''


def _requeued(fact: facts.JobRequeued) -> str:
    words = {'retry': 'failed, is tried again', 'worker_lost': 'lost its worker', 'handed_back': 'handed back'}
    return words[fact.reason] + (f': {fact.code}: {fact.detail}' if fact.code else '')


def _spaced(name: str) -> str:
    """``BatchOpened`` as 'batch opened'."""
    return ''.join(f' {letter.lower()}' if letter.isupper() else letter for letter in name).strip()


_SAID: dict[type, Callable[[Any], str]] = {
    facts.JobQueued: lambda fact: (
        'queued' + (f', waits for {counted(fact.blocked_by, "other job", "other jobs")}' if fact.blocked_by else '')
    ),
    facts.JobStarted: lambda fact: f'started on {fact.worker} after {took(fact.waited_s)} (run {fact.starts})',
    facts.JobRequeued: _requeued,
    facts.JobPriorityChanged: lambda fact: f'priority {fact.was} → {fact.priority}',
    facts.JobCancelRequested: lambda fact: 'told to stop',
    facts.JobDue: lambda fact: 'may run now',
    facts.JobUnblocked: lambda fact: 'the jobs before it are completed',
    facts.JobShared: lambda fact: f'{counted(fact.claims, "caller waits", "callers wait")} for it',
    facts.JobCompleted: lambda fact: (
        f'completed in {took(fact.ran_s)}, {counted(fact.usage.output_tokens, "token", "tokens")}'
    ),
    facts.JobCancelled: lambda fact: 'cancelled',
    facts.JobDied: lambda fact: f'failed for good: {fact.code}: {fact.detail}',
    facts.WorkerRetired: lambda fact: 'worker was asked to leave',
    facts.WorkerLeft: lambda fact: f'worker left: {fact.reason}',
}
