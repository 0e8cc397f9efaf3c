"""A batch as OpenAI's API shows it, and what the desk knows of it besides."""

from typing import Any

import msgspec

KIND = 'batch'  # of records
OPEN = 'open'  # the tag of those that go on
OVER = ('failed', 'completed', 'expired', 'cancelled')
WINDOWS_S = {'24h': 86400.0}


class Problem(msgspec.Struct, kw_only=True):
    """What is wrong with a line."""

    code: str | None
    message: str
    line: int | None = None
    param: str | None = None


class Problems(msgspec.Struct, kw_only=True):
    """Why a batch failed."""

    data: list[Problem]
    object: str = 'list'


class Counts(msgspec.Struct, kw_only=True):
    """How many lines there are, and how many have an answer or none."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class Batch(msgspec.Struct, kw_only=True):
    """What clients see; times are unix seconds."""

    id: str
    endpoint: str
    input_file_id: str
    completion_window: str
    created_at: int
    expires_at: int
    object: str = 'batch'
    status: str = 'validating'
    model: str | None = None
    errors: Problems | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    request_counts: Counts = msgspec.field(default_factory=Counts)
    usage: dict[str, Any] | None = None
    metadata: dict[str, str] | None = None

    @property
    def queue_id(self) -> str:
        """Its name in the queue."""
        return self.id.removeprefix('batch_')

    @property
    def over(self) -> bool:
        """Whether nothing of it will change any more."""
        return self.status in OVER


class Kept(msgspec.Struct, kw_only=True):
    """What is stored of a batch. ``models`` has the announced name for each one that its lines ask for."""

    batch: Batch
    user: str
    priority: int
    output_kept_s: int
    jobs: int = 0  # of all lines; more than these where some want several choices
    models: dict[str, str] = {}
