"""Tasks as ollama-queue writes them: made from what its clients send, and told from the jobs of the queue."""

from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from app.api.seeds import calls, routes, words
from app.api.seeds.calls import Seeds, Seen
from app.api.trouble import Trouble
from broker import protocol
from broker.job import FINAL, HELD_BY_WORKER, Job, State

TYPES = ('chat', 'generate', 'embed')
MOST = 500  # tasks of a list
LOOKED_AT = 10_000  # jobs that are looked at for a list with filters
KEPT = 1000  # tasks that have ended and stay ready to be told
MAX_KEPT_BYTES = 100_000
_STATES = {
    'pending': tuple(state for state in State if state not in FINAL and state not in HELD_BY_WORKER),
    'running': tuple(HELD_BY_WORKER),
    'completed': (State.COMPLETED,),
    'failed': (State.DEAD,),
    'cancelled': (State.CANCELLED,),
}


def request_of(seeds: Seeds, task: dict[str, Any], **fields: Any) -> protocol.Submit:
    """The job that a task describes. Raises ``Trouble``."""
    kind = routes.string(task, 'type')
    if kind not in TYPES:
        raise Trouble('bad_request', f'type must be one of {", ".join(TYPES)}', param='type')
    asked = routes.string(task, 'model')
    if not asked:
        raise Trouble('bad_request', 'model is required', param='model')
    body = _BODIES[kind](routes.mapping(task, 'payload'))
    if options := {**routes.mapping(body, 'options'), **routes.mapping(task, 'options')}:
        body['options'] = options
    return calls.new_request(
        kind, seeds.model(asked), body, max_failures=1 + _count(task, 'max_retries', 2), due_at=_moment(task), **fields
    )


def priority_of(task: dict[str, Any]) -> int:
    """Any number; 5 without."""
    value = task.get('priority')
    if value is None:
        return words.NORMAL
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
        raise Trouble(
            'bad_request', 'priority must be a number: critical 15, high 10, normal 5, low 1', param='priority'
        )
    return words.clamped(int(value))


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks of a list; an empty filter lets everything through."""

    status: tuple[str, ...] = ()
    type: tuple[str, ...] = ()
    priority: tuple[str, ...] = ()
    limit: int = MOST
    offset: int = 0

    def fits(self, job: Job) -> bool:
        """Whether it is one of them, as far as the queue did not choose already."""
        by_type = not self.type or job.kind in self.type
        return by_type and (not self.priority or str(job.priority) in self.priority)

    @property
    def states(self) -> tuple[State, ...]:
        """The states that are meant. Raises ``Trouble`` for a word that means none."""
        if unknown := [word for word in self.status if word not in _STATES]:
            raise Trouble('bad_request', f'there is no status "{unknown[0][:40]}"; they are {", ".join(_STATES)}')
        return tuple(state for word in self.status for state in _STATES[word])


class Tasks:
    """The tasks there are. What has ended does not change any more, so it is kept ready."""

    def __init__(self, seeds: Seeds) -> None:
        self._seeds = seeds
        self._ended: OrderedDict[str, msgspec.Raw] = OrderedDict()
        self._payloads: OrderedDict[str, dict[str, Any]] = OrderedDict()

    async def task(self, name: str) -> msgspec.Raw:
        """One task. Raises ``Trouble``."""
        return await self._told(await self._seeds.seen(name))

    async def list(self, wanted: Wanted) -> list[msgspec.Raw]:
        """Tasks, newest first. Raises ``Trouble``."""
        found: list[msgspec.Raw] = []
        skip, before, looked_at, more = wanted.offset, 0, 0, True
        states = wanted.states
        while more and len(found) < wanted.limit and looked_at < LOOKED_AT:
            page = await self._seeds.doors.broker.find(
                protocol.FindJobs(states=states, before_order=before, limit=min(MOST, wanted.limit + skip))
            )
            more = page.more
            for job in page.jobs:
                before, looked_at = job.order, looked_at + 1
                if not wanted.fits(job):
                    continue
                if skip:
                    skip -= 1
                elif len(found) < wanted.limit:
                    found.append(await self._told(self._seeds.of_job(job)))
        return found

    async def _told(self, seen: Seen) -> msgspec.Raw:
        if known := self._ended.get(seen.job_id):
            return known
        if seen.job_id not in self._payloads:
            self._payloads[seen.job_id] = await self._seeds.body(seen.job_id)
        told = task_of(seen, self._payloads[seen.job_id])
        _trim(self._payloads)
        if not seen.final:
            return msgspec.Raw(msgspec.json.encode(told))
        if seen.state is State.COMPLETED:
            result = calls.result_of(seen.kind, await self._seeds.lines(seen.job_id))
            told |= {'result': result} if result is not None else {}
        made = msgspec.Raw(msgspec.json.encode(told))
        if len(bytes(made)) <= MAX_KEPT_BYTES:
            self._ended[seen.job_id] = made
            _trim(self._ended)
        self._payloads.pop(seen.job_id, None)
        return made


def task_of(seen: Seen, body: dict[str, Any]) -> dict[str, Any]:
    """A task without its result."""
    told: dict[str, Any] = {
        'id': seen.name,
        'type': seen.kind,
        'priority': seen.priority,
        'status': words.task_status(seen.state),
        'model': seen.model,
        'payload': payload_of(body),
        'options': body.get('options') or {},
        'created_at': words.rfc3339(seen.queued_at),
        'retry_count': seen.failures,
        'max_retries': max(0, seen.max_failures - 1),
    }
    told |= {name: words.rfc3339(at) for name, at in _moments(seen).items() if at}
    if seen.ahead is not None:
        told['queue_position'] = seen.ahead
    if seen.failure and seen.state is State.DEAD:
        told['error'] = seen.failure
    return told


def payload_of(body: dict[str, Any]) -> dict[str, Any]:
    """What a body asks, without what stands beside it in a task."""
    return {name: value for name, value in body.items() if name not in ('model', 'options', 'stream')}


def _moments(seen: Seen) -> dict[str, float]:
    return {
        'started_at': seen.started_at,
        'completed_at': seen.ended_at,
        'scheduled_at': seen.due_at if not seen.started_at else 0.0,
    }


def _chat(payload: dict[str, Any]) -> dict[str, Any]:
    messages = payload.get('messages')
    if messages is None and 'prompt' in payload:  # what the form of its page sends whatever the type
        messages = [{'role': 'user', 'content': routes.string(payload, 'prompt')}]
    if not isinstance(messages, list) or not messages or not all(isinstance(each, dict) for each in messages):
        raise Trouble('bad_request', 'payload.messages must be a list of messages', param='payload.messages')
    if system := routes.string(payload, 'system'):
        messages = [{'role': 'system', 'content': system}, *messages]
    return _rest(payload, 'messages', 'prompt', 'system') | {'messages': messages, 'stream': True}


def _generate(payload: dict[str, Any]) -> dict[str, Any]:
    if not routes.string(payload, 'prompt'):
        raise Trouble('bad_request', 'payload.prompt is required', param='payload.prompt')
    return _rest(payload) | {'stream': True}


def _embed(payload: dict[str, Any]) -> dict[str, Any]:
    texts = payload.get('input', payload.get('prompt'))
    sound = isinstance(texts, str) or (isinstance(texts, list) and all(isinstance(text, str) for text in texts))
    if not sound or not texts:
        raise Trouble('bad_request', 'payload.input must be a text or a list of texts', param='payload.input')
    return _rest(payload, 'input', 'prompt') | {'input': texts}


_BODIES = {'chat': _chat, 'generate': _generate, 'embed': _embed}


def _rest(payload: dict[str, Any], *without: str) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if name not in ('model', 'stream', *without)}


def _count(task: dict[str, Any], name: str, default: int) -> int:
    value = task.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 99:
        raise Trouble('bad_request', f'{name} must be 0 to 99', param=name)
    return value


def _moment(task: dict[str, Any]) -> float:
    """``scheduled_at``: not before this time; 0 without."""
    text = routes.string(task, 'scheduled_at')
    if not text:
        return 0.0
    try:
        return max(0.0, datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError):
        detail = 'scheduled_at must be a time like 2030-01-31T09:00:00Z'
        raise Trouble('bad_request', detail, param='scheduled_at') from None


def _trim(kept: OrderedDict[str, Any]) -> None:
    for old in list(kept)[: max(0, len(kept) - KEPT)]:
        del kept[old]


def several(values: Iterable[str]) -> tuple[str, ...]:
    """Filters that may be repeated, or separated by commas."""
    return tuple(part for value in values for part in value.split(',') if part)
