"""A job's states and the only ways from one to the next."""

from enum import StrEnum

import msgspec

from broker import facts

MIN_PRIORITY, DEFAULT_PRIORITY, MAX_PRIORITY = 0, 5, 15
AUTO_PRIORITY = -1  # asked for: guess it from the content
# What Ollama's scheduler compares before it uses a runner again (api.Runner in its source, and the same names here):
# asking for a model with other ones than it was loaded with loads it anew.
LOAD_OPTIONS = ('num_ctx', 'num_batch', 'num_gpu', 'main_gpu', 'use_mmap', 'num_thread', 'draft_num_predict')


class State(StrEnum):
    """Where a job stands."""

    BLOCKED = 'blocked'
    WAITING = 'waiting'
    DELAYED = 'delayed'
    RUNNING = 'running'
    CANCELLING = 'cancelling'
    COMPLETED = 'completed'
    CANCELLED = 'cancelled'
    DEAD = 'dead'


class Move(StrEnum):
    """What can happen to a job."""

    UNBLOCK = 'unblock'
    START = 'start'
    RETRY = 'retry'
    DUE = 'due'
    LOSE = 'lose'
    HAND_BACK = 'hand back'
    CANCEL = 'cancel'
    STOP = 'stop'
    COMPLETE = 'complete'
    DIE = 'die'
    EXPIRE = 'expire'


# The whole life of a job. What is not written here cannot happen.
TRANSITIONS: dict[tuple[State, Move], State] = {
    (State.BLOCKED, Move.UNBLOCK): State.WAITING,
    (State.BLOCKED, Move.CANCEL): State.CANCELLED,
    (State.BLOCKED, Move.EXPIRE): State.DEAD,
    (State.BLOCKED, Move.DIE): State.DEAD,
    (State.WAITING, Move.START): State.RUNNING,
    (State.WAITING, Move.CANCEL): State.CANCELLED,
    (State.WAITING, Move.EXPIRE): State.DEAD,
    (State.DELAYED, Move.DUE): State.WAITING,
    (State.DELAYED, Move.CANCEL): State.CANCELLED,
    (State.DELAYED, Move.EXPIRE): State.DEAD,
    (State.RUNNING, Move.COMPLETE): State.COMPLETED,
    (State.RUNNING, Move.RETRY): State.DELAYED,
    (State.RUNNING, Move.LOSE): State.WAITING,
    (State.RUNNING, Move.HAND_BACK): State.WAITING,
    (State.RUNNING, Move.DIE): State.DEAD,
    (State.RUNNING, Move.CANCEL): State.CANCELLING,
    (State.CANCELLING, Move.STOP): State.CANCELLED,
}

FINAL = frozenset({State.COMPLETED, State.CANCELLED, State.DEAD})
HELD_BY_WORKER = frozenset({State.RUNNING, State.CANCELLING})


class Terms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What few jobs have: what their sender asked for beyond the usual. It never changes."""

    path: str = ''  # of a raw job: where on the engine its body is posted
    after: tuple[str, ...] = ()  # jobs that must be completed first
    schedule: str = ''  # the schedule that made it
    retry_base_s: float = 0.0  # 0: as the settings say
    retry_max_s: float = 0.0
    priority_rule: str = ''  # the rule that guessed its priority
    fingerprint: str = ''  # of what it asks for; '' unless it may be found again
    attach: bool = False  # the same request, sent again while this one is alive, becomes this one
    longest: int = 0  # tokens that its answer may have at most; 0 where it has not said


PLAIN = Terms()  # shared by all jobs that have none


class Job(msgspec.Struct, kw_only=True):
    """One request, as the broker keeps it. The body and the answer are in the store, not here.

    Times are unix seconds; ``order`` is the place in the queue inside one priority and never changes.
    """

    job_id: str
    order: int
    kind: str
    model: str
    priority: int
    queued_at: float
    user: str = ''
    conversation_id: str = ''
    parent: str = ''  # the batch it belongs to
    idempotency_key: str = ''  # no two jobs of a user have the same
    runner: str = ''  # what has to be loaded to run it; jobs with the same one need no reload between them
    body_bytes: int = 0
    terms: Terms = PLAIN
    max_failures: int = 3
    deadline_at: float = 0.0  # not started by then, it is dead; 0 is no deadline
    state: State = State.WAITING
    epoch: int = 0  # rises with every start; whatever carries an older one is stale
    starts: int = 0
    failures: int = 0
    losses: int = 0
    due_at: float = 0.0
    started_at: float = 0.0
    ended_at: float = 0.0
    worker: str = ''
    engine: str = ''
    code: str = ''  # of the last failure
    detail: str = ''
    lines: int = 0
    claims: int = 1  # how many callers wait for it
    usage: facts.Usage = facts.Usage()
