"""What our own API tells: one model for each resource, made from the queue's own words."""

import base64
import binascii
from typing import Annotated, Any, Literal, Union, get_args

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from app.api import native
from app.api.own import mirror
from app.jobs import attempts
from app.views import JobView, ModelView
from broker import errand, facts, protocol
from broker.job import Job as QueueJob
from broker.job import State

StateName = Literal['blocked', 'waiting', 'delayed', 'running', 'cancelling', 'completed', 'cancelled', 'dead']
Usage = mirror.of(facts.Usage)
Batch = mirror.of(protocol.Batch, name='Batch')
Worker = mirror.of(protocol.WorkerInfo, name='Worker')
Pause = mirror.of(protocol.PauseInfo, name='Pause')
Machine = mirror.of(protocol.Machine, name='Machine')
Errand = mirror.of(errand.Errand, name='Errand')
Model = mirror.of(ModelView, name='Model')
FACTS = {kind.__name__: mirror.of(kind) for kind in get_args(facts.AnyFact)}
AnyFact: Any = Annotated[Union[tuple(FACTS.values())], Field(discriminator='fact')]  # noqa: UP007  made at run time
_CONFIG = ConfigDict(json_schema_serialization_defaults_required=True)


class Failure(BaseModel):
    """Why a job, or one attempt, failed."""

    code: str
    detail: str


class Alternative(BaseModel):
    """A model that would answer clearly sooner, and when it would start."""

    model: str
    starts_at: float


class Wait(BaseModel):
    """Where a waiting job stands. Nine of ten jobs start between `earliest_at` and `latest_at` (unix seconds)."""

    model_config = _CONFIG

    ahead: int | None = Field(description='So many jobs go first; null while that is not known.')
    reason: str = Field(description="'ahead', 'no_worker', 'limited', 'paused', or '' while it is not known.")
    hint: str = Field(
        description="What would help: 'start_worker', 'start_engine', 'pull_model', 'group', 'failing', or ''."
    )
    not_before: float | None = None
    earliest_at: float | None = None
    latest_at: float | None = None
    load_s: float = Field(default=0.0, description='What loading its model will take then, seconds.')
    alternative: Alternative | None = None


class Job(BaseModel):
    """A job. Times are unix seconds, null while they have not come."""

    model_config = _CONFIG

    id: str
    state: StateName
    kind: Literal['chat', 'generate', 'embed', 'raw']
    model: str
    priority: int
    priority_rule: str = Field(description='The rule that guessed its priority.')
    user: str
    conversation_id: str
    batch: str
    schedule: str
    after: list[str]
    path: str
    claims: int = Field(description='So many callers wait for it.')
    queued_at: float
    due_at: float | None
    deadline_at: float | None
    started_at: float | None
    ended_at: float | None
    epoch: int = Field(description='The number of its run; each run begins a new, empty answer.')
    starts: int
    failures: int
    losses: int
    max_failures: int
    worker: str
    engine: str
    lines: int
    error: Failure | None = Field(description='Of the last failure.')
    usage: Usage  # type: ignore[valid-type]
    wait: Wait | None = Field(description='Where it stands, while it waits.')


class Raw(BaseModel):
    """The reply of the engine to a raw job."""

    status: int
    headers: dict[str, str]
    body_base64: str


class Result(BaseModel):
    """What a job has said, so far or for good (`complete`)."""

    model_config = _CONFIG

    id: str
    state: StateName
    complete: bool
    epoch: int
    text: str
    thinking: str
    error: Failure | None
    response: Any = Field(
        description='All in one object, as Ollama gives it without a stream; null while there is none.'
    )
    raw: Raw | None
    lines: list[str] | None = Field(description='The lines of the engine as they came; null unless asked for.')


class Submitted(Job):
    """A job that was accepted, with its result where the call waited for it."""

    duplicate: bool = Field(description='It was there before: same id, same key, or shared.')
    result: Result | None = None


class Jobs(BaseModel):
    """A page of jobs."""

    jobs: list[Job]
    next_cursor: int | None = Field(description='`cursor` of the next page; null when this is the last.')


class Attempt(BaseModel):
    """One run of a job."""

    model_config = ConfigDict(from_attributes=True)

    number: int
    worker: str
    started_at: float
    ended_at: float
    outcome: str = Field(
        description="'' while it goes on; completed, cancelled, dead, retry, worker_lost, handed_back."
    )
    code: str
    detail: str
    trace: str = Field(description='Where in the worker’s code it broke.')


class Problem(BaseModel):
    """An attempt that failed."""

    seq: int
    at: float
    job_id: str
    outcome: Literal['dead', 'retry', 'worker_lost']
    code: str
    detail: str
    trace: str


class Problems(BaseModel):
    """Failures, newest first."""

    errors: list[Problem]
    next_before: int | None = Field(description='`before` of the next page; null when there are no older ones.')


def job(found: QueueJob, view: JobView | None = None, ahead: int = -1) -> dict[str, Any]:
    """The fields of ``Job``; ``view`` is what the board knows of it."""
    waits = found.state in (State.WAITING, State.DELAYED, State.BLOCKED)
    return {
        'id': found.job_id,
        'state': found.state.value,
        'kind': found.kind,
        'model': found.model,
        'priority': found.priority,
        'priority_rule': found.terms.priority_rule,
        'user': found.user,
        'conversation_id': found.conversation_id,
        'batch': found.parent,
        'schedule': found.terms.schedule,
        'after': list(found.terms.after),
        'path': found.terms.path,
        'claims': found.claims,
        'queued_at': found.queued_at,
        'due_at': found.due_at or None,
        'deadline_at': found.deadline_at or None,
        'started_at': found.started_at or None,
        'ended_at': found.ended_at or None,
        'epoch': found.epoch,
        'starts': found.starts,
        'failures': found.failures,
        'losses': found.losses,
        'max_failures': found.max_failures,
        'worker': found.worker,
        'engine': found.engine,
        'lines': found.lines,
        'error': failure(found),
        'usage': msgspec.structs.asdict(found.usage),
        'wait': wait(view, ahead) if waits else None,
    }


def failure(found: QueueJob) -> dict[str, str] | None:
    """Its last failure."""
    return {'code': found.code, 'detail': found.detail} if found.code else None


def wait(view: JobView | None, ahead: int = -1) -> dict[str, Any]:
    """Where it stands, as the queue (``ahead``) and the board know it.

    The queue counts only so far, and only those in line: not, say, what no worker can run.
    """
    counted = 0 <= ahead < protocol.STANDING_LIMIT
    if view is None:
        return {'ahead': ahead if counted else None, 'reason': '', 'hint': ''} | _NO_TIMES
    other = {'model': view.alternative, 'starts_at': view.alternative_at} if view.alternative else None
    return {
        'ahead': ahead if counted else view.ahead,
        'reason': view.reason,
        'hint': view.hint,
        'not_before': view.not_before or None,
        'earliest_at': view.earliest_at or None,
        'latest_at': view.latest_at or None,
        'load_s': view.load_s,
        'alternative': other,
    }


def result(found: QueueJob, part: protocol.Lines, *, with_lines: bool) -> dict[str, Any]:
    """The fields of ``Result``."""
    lines = list(part.lines)
    read = [native.read(line).said for line in lines] if found.kind in ('chat', 'generate') else []
    return {
        'id': found.job_id,
        'state': found.state.value,
        'complete': part.ended,
        'epoch': part.epoch,
        'text': ''.join(each.content or '' for each in read),
        'thinking': ''.join(each.thinking or '' for each in read),
        'error': failure(found) if found.state is State.DEAD else None,
        'response': _response(found.kind, lines),
        'raw': _raw(lines) if found.kind == 'raw' and lines else None,
        'lines': [line.decode('utf-8', 'replace') for line in lines] if with_lines else None,
    }


def past(history: tuple[facts.AnyFact, ...]) -> list[Attempt]:
    """The attempts that a job's facts tell of."""
    return [Attempt.model_validate(each) for each in attempts.told(history).attempts]


def _response(kind: str, lines: list[bytes]) -> Any:
    if not lines or kind == 'raw':
        return None
    try:
        return msgspec.json.decode(native.whole(lines, kind) if kind != 'embed' else lines[-1])
    except (msgspec.MsgspecError, UnicodeError, KeyError, TypeError, RecursionError):
        return None  # the lines tell what it was


def _raw(lines: list[bytes]) -> dict[str, Any]:
    try:
        head = msgspec.json.decode(lines[0])
        data = b''.join(binascii.a2b_base64(msgspec.json.decode(line).get('b64', '')) for line in lines)
        return {
            'status': head.get('status', 200),
            'headers': head.get('headers', {}),
            'body_base64': base64.b64encode(data).decode(),
        }
    except (msgspec.MsgspecError, ValueError, AttributeError):
        return {'status': 0, 'headers': {}, 'body_base64': ''}


_NO_TIMES: dict[str, Any] = {
    'not_before': None, 'earliest_at': None, 'latest_at': None, 'load_s': 0.0, 'alternative': None,
}  # fmt: skip
