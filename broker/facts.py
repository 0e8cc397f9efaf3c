"""What the world may know: facts, in the past tense, in one gapless order.

Every change of a job or a worker is one fact with a running number ``seq``. The broker stores it in the same
transaction as the change itself, so whoever remembers the last ``seq`` it saw can ask for the rest and misses nothing.
Facts carry ids and measures, never prompts or answers. Times are unix seconds, durations seconds.
"""

from typing import Literal

import msgspec


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one attempt cost, as the engine and the worker measured it. Zero where unknown."""

    prompt_tokens: int = 0
    output_tokens: int = 0
    load_s: float = 0.0
    prompt_s: float = 0.0
    decode_s: float = 0.0
    first_token_s: float = 0.0  # from the request to the engine until its first token
    total_s: float = 0.0  # from the request to the engine until its last line
    done_reason: str = ''  # the engine's own word: stop, length, load, …
    truncated: bool = False  # the engine ended the stream without saying that it was done


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A model that a worker can run now."""

    name: str
    engine: str  # 'ollama' or 'demo'
    size_bytes: int = 0
    parameter_size: str = ''
    quantization: str = ''
    capabilities: tuple[str, ...] = ()
    resident: bool = False  # it is in memory now
    problem: str = ''  # why it would not answer now, e.g. 'canary_failed'
    digest: str = ''  # the engine's own words from here on, for programs that list models
    modified_at: str = ''
    format: str = ''
    family: str = ''
    context_length: int = 0


class Fact(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field='fact', omit_defaults=True):
    """Base of all facts. ``seq`` starts at 1 and has no gaps; ``at`` is when the broker decided it."""

    seq: int
    at: float


class JobFact(Fact, frozen=True, kw_only=True):
    """Base of the facts about one job."""

    job_id: str


class JobQueued(JobFact, frozen=True, kw_only=True):
    """A job was accepted and waits."""

    kind: str
    model: str
    priority: int
    user: str = ''
    conversation_id: str = ''
    body_bytes: int = 0
    due_at: float = 0.0  # not before this time
    deadline_at: float = 0.0  # not after this time
    replay_of: str = ''  # the dead job that this one repeats
    parent: str = ''  # the batch it belongs to
    schedule: str = ''  # the schedule that made it
    priority_rule: str = ''  # the rule that guessed its priority; '' when its sender chose it
    runner: str = ''  # what has to be loaded to run it
    blocked_by: int = 0  # so many jobs have to be completed first


class JobStarted(JobFact, frozen=True, kw_only=True):
    """A worker got the job. A new epoch begins, and with it a new, empty answer."""

    epoch: int
    worker: str
    starts: int
    waited_s: float  # since the job was queued
    predicted_from: float = 0.0  # when it was first said to start: the earliest …
    predicted_until: float = 0.0  # … and the latest; 0 when nothing was said
    resident: bool = False  # what it needs was loaded there already, as far as we knew
    limited_s: float = 0.0  # so long, since it was last ready to start, a limit kept it waiting


class JobRequeued(JobFact, frozen=True, kw_only=True):
    """A running job went back into the queue."""

    epoch: int
    reason: Literal['retry', 'worker_lost', 'handed_back']
    due_at: float  # not before this time
    failures: int
    losses: int
    code: str = ''
    detail: str = ''
    trace: str = ''  # where in the worker's code it broke, for the operator


class JobDue(JobFact, frozen=True, kw_only=True):
    """A delayed job may run again."""


class JobUnblocked(JobFact, frozen=True, kw_only=True):
    """All jobs that had to be completed first are."""


class JobShared(JobFact, frozen=True, kw_only=True):
    """One caller more, or one less, waits for this job."""

    claims: int


class JobPriorityChanged(JobFact, frozen=True, kw_only=True):
    """Somebody changed the priority of a job that waits."""

    priority: int
    was: int


class JobCancelRequested(JobFact, frozen=True, kw_only=True):
    """A running job was told to stop; its slot is busy until the worker confirms."""

    epoch: int


class JobEnded(JobFact, frozen=True, kw_only=True):
    """Base of the three ends. It repeats what a reader needs, so that one fact makes one row."""

    kind: str
    model: str
    priority: int
    user: str
    conversation_id: str
    queued_at: float
    started_at: float  # of the last attempt; 0 when the job never started
    waited_s: float  # from queued to the last start, or to the end when it never started
    ran_s: float  # the last attempt
    epoch: int
    starts: int
    failures: int
    losses: int
    worker: str
    engine: str
    lines: int  # how many NDJSON lines the answer has
    usage: Usage
    parent: str = ''


class JobCompleted(JobEnded, frozen=True, kw_only=True):
    """The answer is whole and stored."""


class JobDied(JobEnded, frozen=True, kw_only=True):
    """The job failed for good: not worth a retry, out of retries, too late, or it took two workers down with it."""

    code: str
    detail: str
    trace: str = ''


class JobCancelled(JobEnded, frozen=True, kw_only=True):
    """The job was cancelled, and if it ran, its worker has confirmed that the slot is free."""


class WorkerFact(Fact, frozen=True, kw_only=True):
    """Base of the facts about one worker."""

    worker: str


class WorkerJoined(WorkerFact, frozen=True, kw_only=True):
    """A worker process announced itself."""

    session: str
    host: str
    pid: int
    engine: str
    engine_version: str
    slots: int
    models: tuple[ModelInfo, ...]
    problem: str = ''
    labels: tuple[str, ...] = ()


class WorkerChanged(WorkerFact, frozen=True, kw_only=True):
    """A worker's engine, models or slots are other than before."""

    engine: str
    engine_version: str
    slots: int
    models: tuple[ModelInfo, ...]
    problem: str = ''  # why the engine cannot run anything now, e.g. 'unreachable'
    labels: tuple[str, ...] = ()


class WorkerRetired(WorkerFact, frozen=True, kw_only=True):
    """Somebody asked a worker to leave: it takes nothing new and ends when its runs have."""

    session: str  # a new process of this name is not meant
    grace_s: float


class WorkerLeft(WorkerFact, frozen=True, kw_only=True):
    """A worker said goodbye, fell silent, was replaced by a new process of its name, or its machine was removed."""

    reason: Literal['drained', 'lost', 'replaced', 'removed']


class Paused(Fact, frozen=True, kw_only=True):
    """Somebody paused everything, a model, a priority, a user or a worker: nothing of it starts any more."""

    scope: str
    name: str
    draining: bool = False  # and somebody asked to be told when the last run of it has ended


class Resumed(Fact, frozen=True, kw_only=True):
    """A pause is over."""

    scope: str
    name: str


class Drained(Fact, frozen=True, kw_only=True):
    """Somebody asked to drain this: it is paused, and now the last run of it has ended."""

    scope: str
    name: str


class BatchOpened(Fact, frozen=True, kw_only=True):
    """A batch of so many jobs begins."""

    batch_id: str
    name: str
    user: str
    total: int


class BatchEnded(Fact, frozen=True, kw_only=True):
    """All jobs of a batch have ended, or it was cancelled."""

    batch_id: str
    completed: int
    dead: int
    cancelled: int


class ScheduleSet(Fact, frozen=True, kw_only=True):
    """A schedule is new or was changed."""

    schedule_id: str
    name: str
    cron: str
    timezone: str
    enabled: bool


class ScheduleRemoved(Fact, frozen=True, kw_only=True):
    """A schedule is gone."""

    schedule_id: str


class ScheduleSkipped(Fact, frozen=True, kw_only=True):
    """Ticks of a schedule passed without a job."""

    schedule_id: str
    ticks: int
    reason: str  # 'missed': the broker was down; otherwise why the queue refused the job


AnyFact = (
    JobQueued
    | JobStarted
    | JobRequeued
    | JobDue
    | JobUnblocked
    | JobShared
    | JobPriorityChanged
    | JobCancelRequested
    | JobCompleted
    | JobDied
    | JobCancelled
    | WorkerJoined
    | WorkerChanged
    | WorkerRetired
    | WorkerLeft
    | Paused
    | Resumed
    | Drained
    | BatchOpened
    | BatchEnded
    | ScheduleSet
    | ScheduleRemoved
    | ScheduleSkipped
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyFact] = msgspec.json.Decoder(AnyFact)


def encode(fact: Fact) -> bytes:
    """One fact as JSON, readable in the queue's own database."""
    return _encoder.encode(fact)


def decode(data: bytes) -> AnyFact:
    """The fact in ``data``; raises ``msgspec.MsgspecError`` when it is none."""
    return _decoder.decode(data)
