"""What comes in from clients: is it sound, and what job does it make."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec

from broker import facts, protocol
from broker.job import AUTO_PRIORITY, LOAD_OPTIONS, MAX_PRIORITY, MIN_PRIORITY, Job, State

MAX_PATH, MAX_KEY, MAX_AFTER = 500, 200, 100  # characters of a raw job's path, of a key; jobs to come after
MAX_RETRY_BASE_S, MAX_RETRY_MAX_S = 3600.0, 86400.0
LAST_MOMENT = 1e11  # the year 5138; infinity is no number in JSON, and facts are JSON
MAX_LONGEST = 10_000_000  # tokens of an answer; more is as good as no limit
_HEX = frozenset('0123456789abcdef')


class _Body(msgspec.Struct):
    options: dict[str, msgspec.Raw] | None = None
    max_tokens: msgspec.Raw = msgspec.Raw()
    max_completion_tokens: msgspec.Raw = msgspec.Raw()


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_count = msgspec.json.Decoder(Annotated[int, msgspec.Meta(gt=0)]).decode


def is_job_id(text: str) -> bool:
    """Whether this can be a job's id: 32 hexadecimal digits."""
    return len(text) == 32 and _HEX.issuperset(text)


def problem_with(request: protocol.Submit) -> str:
    """Why this cannot be a job, '' when it can."""
    for sound, text in _RULES:
        if not sound(request):
            return text
    return _path_problem(request) or _after_problem(request)


# What must be so, and the sentence when it is not. Made once: every submit is held against all of it.
_RULES: tuple[tuple[Callable[[protocol.Submit], bool], str], ...] = (
    (lambda job: is_job_id(job.job_id), 'job_id must be 32 hexadecimal digits'),
    (lambda job: job.kind in protocol.KINDS, f'kind must be one of {", ".join(protocol.KINDS)}'),
    (lambda job: 1 <= len(job.model) <= 300, 'model must be 1 to 300 characters'),
    (
        lambda job: is_priority(job.priority) or job.priority == AUTO_PRIORITY,
        f'priority must be {MIN_PRIORITY} to {MAX_PRIORITY}, or {AUTO_PRIORITY} to have it guessed',
    ),
    (lambda job: 1 <= job.max_failures <= 100, 'max_failures must be 1 to 100'),
    (
        lambda job: 2 <= len(job.body) <= protocol.MAX_BODY_BYTES,
        f'body must be a JSON object of at most {protocol.MAX_BODY_BYTES} bytes',
    ),
    (lambda job: len(job.user) <= 300, 'user may have 300 characters'),
    (lambda job: len(job.conversation_id) <= 300, 'conversation_id may have 300 characters'),
    (
        lambda job: 0 <= job.due_at <= LAST_MOMENT and 0 <= job.deadline_at <= LAST_MOMENT,
        'due_at and deadline_at are unix seconds',
    ),
    (
        lambda job: not job.deadline_at or job.due_at < job.deadline_at,
        'deadline_at must be after due_at, or the job could never run',
    ),
    (lambda job: len(job.idempotency_key) <= MAX_KEY, f'idempotency_key may have {MAX_KEY} characters'),
    (
        lambda job: 0 <= job.retry_base_s <= MAX_RETRY_BASE_S and 0 <= job.retry_max_s <= MAX_RETRY_MAX_S,
        f'retry_base_s must be 0 to {MAX_RETRY_BASE_S:g} and retry_max_s 0 to {MAX_RETRY_MAX_S:g} seconds',
    ),
    (
        lambda job: not job.retry_max_s or job.retry_base_s <= job.retry_max_s,
        'retry_base_s must not be longer than retry_max_s',
    ),
)


def _count(raw: msgspec.Raw) -> int:
    try:
        count: int = _decode_count(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return 0
    return min(count, MAX_LONGEST)


def _path_problem(request: protocol.Submit) -> str:
    path = request.path
    if request.kind != 'raw':
        return 'path is for jobs of kind raw only; leave it empty' if path else ''
    sound = path.startswith('/') and '//' not in path and '..' not in path and len(path) <= MAX_PATH
    if not sound or not path.isprintable() or '\\' in path or ' ' in path:
        return f"path must be one on the engine like /v1/rerank, without '..' or '//', at most {MAX_PATH} characters"
    return ''


def _after_problem(request: protocol.Submit) -> str:
    after = request.after
    if len(after) > MAX_AFTER or len(set(after)) < len(after) or not all(map(is_job_id, after)):
        return f'after may name {MAX_AFTER} jobs by their ids, each once'
    if request.job_id in after:
        return 'a job cannot come after itself'
    both = after and request.due_at
    return 'a job that comes after others starts when they are completed; leave due_at out' if both else ''


def is_priority(priority: int) -> bool:
    """Whether there is such a priority."""
    return MIN_PRIORITY <= priority <= MAX_PRIORITY


def job_from(request: protocol.Submit, order: int, now: float) -> Job:
    """The job that ``request`` asks for."""
    return Job(
        job_id=request.job_id,
        order=order,
        kind=request.kind,
        model=request.model,
        priority=request.priority,
        queued_at=now,
        user=request.user,
        conversation_id=request.conversation_id,
        parent=request.parent,
        runner=runner_of(request.model, request.body),
        body_bytes=len(request.body),
        max_failures=request.max_failures,
        due_at=request.due_at if request.due_at > now else 0.0,
        deadline_at=request.deadline_at,
        state=State.DELAYED if request.due_at > now else State.WAITING,
    )


def runner_of(model: str, body: bytes) -> str:
    """What has to be loaded for this: the model, and behind a blank the options that it is loaded with, if any."""
    try:
        options = _decode_body(body).options or {}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return model  # the engine will say what is wrong with it
    loading = [f'{name}={bytes(options[name]).decode()[:20]}' for name in LOAD_OPTIONS if name in options]
    return f'{model} {",".join(loading)}' if loading else model


def longest_of(body: bytes) -> int:
    """How many tokens the answer to this may have at most; 0 where it does not say."""
    try:
        found = _decode_body(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return 0
    said = ((found.options or {}).get('num_predict'), found.max_completion_tokens, found.max_tokens)
    return next((longest for raw in said if raw is not None and (longest := _count(raw))), 0)


def options_of(job: Job) -> str:
    """The part of a job's runner that is not the model."""
    return job.runner.removeprefix(job.model)


def sound(usage: facts.Usage) -> facts.Usage:
    """``usage`` as it is, or an empty one when it has numbers that a fact cannot hold."""
    figures = (usage.load_s, usage.prompt_s, usage.decode_s, usage.first_token_s, usage.total_s)
    return usage if all(map(math.isfinite, figures)) else facts.Usage()


def page_of(request: protocol.Read, epoch: int, lines: list[bytes], *, ended: bool) -> protocol.Lines:
    """The part of ``lines`` that ``request`` asks for, cut so that it fits into one message."""
    start = request.index if request.epoch in (0, epoch) else 0
    end, size = start, 0
    while end < len(lines) and (size == 0 or size + len(lines[end]) <= protocol.MAX_BATCH_BYTES):
        size += len(lines[end])
        end += 1
    return protocol.Lines(
        job_id=request.job_id, epoch=epoch, index=start, lines=tuple(lines[start:end]), total=len(lines), ended=ended
    )


def that_fit(jobs: Sequence[Job]) -> tuple[Job, ...]:
    """As many of these, from the first on, as fit into one message: there may be 10 KB of names and ids in one."""
    size = 0
    for number, job in enumerate(jobs):
        size += len(msgspec.msgpack.encode(job))
        if number and size > protocol.MAX_PAGE_BYTES:
            return tuple(jobs[:number])
    return tuple(jobs)
