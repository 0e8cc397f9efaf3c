"""What questions may be narrowed to, and what comes back. Times are unix seconds; a mean of nothing is None."""

import msgspec


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Only jobs with one of these; an empty tuple is no condition."""

    users: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()  # completed, failed, cancelled
    priorities: tuple[int, ...] = ()
    kinds: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()  # chat, api, batch, schedule


ALL = Filter()


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """All jobs that ended in a range of time."""

    total: int
    completed: int
    failed: int
    cancelled: int
    success_rate: float | None  # completed of completed and failed; a cancelled job is neither
    mean_response_s: float | None  # from queued to completed
    p50_response_s: float | None
    p95_response_s: float | None
    mean_wait_s: float | None  # of jobs that started: from queued to the last start
    per_minute_now: float  # completed jobs per minute in the last ``queries.RECENT_S``
    p99_response_s: float | None = None
    p50_wait_s: float | None = None
    p95_wait_s: float | None = None
    mean_first_token_s: float | None = None
    p95_first_token_s: float | None = None
    mean_run_s: float | None = None  # of completed jobs, the last attempt
    prompt_tokens: int = 0
    output_tokens: int = 0
    tokens_per_s: float | None = None  # while it was generating
    per_minute: float = 0.0  # completed jobs per minute over the whole range
    retries: int = 0  # starts beyond the first one of each job
    gpu_s: float = 0.0  # of a worker's busy time; jobs that ran side by side share it
    energy_wh: float = 0.0  # 0 where no wattage is set


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A range of time beside the one of the same length before it."""

    now: Summary
    before: Summary


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a time series that begins at ``at``. Rates are per minute of the part of it that has passed."""

    at: float
    completed: float
    failed: float
    cancelled: float
    output_tokens: float
    mean_wait_s: float | None
    mean_first_token_s: float | None
    mean_response_s: float | None


class ModelSummary(msgspec.Struct, frozen=True, kw_only=True):
    """All jobs of one model that ended in a range of time."""

    model: str
    total: int
    completed: int
    failed: int
    cancelled: int
    mean_response_s: float | None
    mean_wait_s: float | None
    output_tokens: int
    tokens_per_s: float | None  # while it was generating


class PrioritySummary(msgspec.Struct, frozen=True, kw_only=True):
    """All jobs of one priority that ended in a range of time."""

    priority: int
    total: int
    completed: int
    failed: int
    cancelled: int
    mean_wait_s: float | None
    mean_run_s: float | None  # of completed jobs, the last attempt


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """All jobs that ended in a range of time and have ``name`` in common: a model, a user, a worker, …"""

    name: str
    total: int
    completed: int
    failed: int
    cancelled: int
    success_rate: float | None
    mean_response_s: float | None
    p50_response_s: float | None
    p95_response_s: float | None
    mean_wait_s: float | None
    p95_wait_s: float | None
    mean_run_s: float | None
    mean_first_token_s: float | None
    prompt_tokens: int
    output_tokens: int
    tokens_per_s: float | None
    retries: int
    gpu_s: float
    energy_wh: float


class Hour(msgspec.Struct, frozen=True, kw_only=True):
    """One hour of the week, on the clock of a time zone. There are always 168 of them, Monday's first hour first."""

    weekday: int  # 0 is Monday
    hour: int
    total: int
    failed: int
    mean_wait_s: float | None
    mean_response_s: float | None


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why attempts failed."""

    code: str
    died: int  # jobs that ended with it
    retried: int  # attempts that ended with it and were tried again
    last_at: float
    last_job_id: str


class Depth(msgspec.Struct, frozen=True, kw_only=True):
    """One step: how many jobs waited, on average and at most. None where nothing is known."""

    at: float
    waiting: float | None
    most: int | None


class Saturation(msgspec.Struct, frozen=True, kw_only=True):
    """One step: how many slots there were and how many were busy, on average. None where nothing is known."""

    at: float
    slots: float | None
    busy: float | None
    share: float | None  # busy of slots, 0 to 1


class EtaPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One step of how good the predictions were."""

    at: float
    told: int
    hit_rate: float | None
    mean_error_s: float | None


class Eta(msgspec.Struct, frozen=True, kw_only=True):
    """The wait that was told first, beside the real one."""

    told: int  # jobs that started after something was told
    hits: int  # started inside the told interval
    early: int  # before it
    late: int  # after it
    hit_rate: float | None
    mean_error_s: float | None  # real start less the middle of the interval; positive is later than told
    mean_distance_s: float | None  # the same without its sign
    points: list[EtaPoint]


class ModelPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One step of one model's speed."""

    at: float
    model: str
    completed: int
    mean_first_token_s: float | None
    tokens_per_s: float | None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the ledger: who used how much. '' where it is not told apart."""

    user: str
    model: str
    jobs: int
    completed: int
    prompt_tokens: int
    output_tokens: int
    run_s: float
    gpu_s: float
    energy_wh: float


class Waits(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time of the jobs that ended in a range went, in seconds of all of them together.

    The parts from ``behind_s`` to ``retry_s`` make up ``wait_s``.
    """

    jobs: int
    wait_s: float
    behind_s: float  # others had the slots
    limited_s: float  # a rate limit or a cap
    paused_s: float
    no_worker_s: float  # nobody there could run the model
    delayed_s: float  # it was to run later
    blocked_s: float  # it came after another job
    retry_s: float  # earlier attempts, and the pauses between them
    load_s: float  # after the start: the model was loaded
    prompt_s: float
    decode_s: float
    other_s: float  # the rest of the last attempt


class JobTime(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time of one job that ended went."""

    job_id: str
    model: str
    user: str
    priority: int
    kind: str
    source: str
    worker: str
    engine: str
    outcome: str
    queued_at: float
    started_at: float
    ended_at: float
    waited_s: float
    behind_s: float
    limited_s: float
    paused_s: float
    no_worker_s: float
    delayed_s: float
    blocked_s: float
    retry_s: float
    load_s: float
    prompt_s: float
    decode_s: float
    first_token_s: float
    ran_s: float
    prompt_tokens: int
    output_tokens: int
    tokens_per_s: float | None
    attempts: int
    predicted_from: float
    predicted_until: float
    gpu_s: float
    energy_wh: float


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A job that ran, as much of it as says how another order would have done; ``ready_at`` is when it could start."""

    ready_at: float
    waited_s: float  # behind others, or held back by a limit
    ran_s: float
    load_s: float
    model: str
    runner: str
    worker: str
    user: str
    priority: int


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What jobs of a range can be filtered by, the most frequent first."""

    users: list[str]
    models: list[str]
    workers: list[str]
    kinds: list[str]
    engines: list[str]
    sources: list[str]
    priorities: list[int]


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column of a table, in one sentence."""

    name: str
    type: str
    about: str


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the analytics file, in one sentence."""

    name: str
    about: str
    columns: list[Column]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a statement of the SQL box gave."""

    columns: list[str]
    types: list[str]
    rows: list[tuple[object, ...]]
    truncated: bool  # there are more rows than were asked for, or they are too large
    took_s: float
