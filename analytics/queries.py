"""What the analytics file can tell, as typed results. The SQL is in queries.sql, by name.

All times are unix seconds and passed in; a mean of nothing is None. All may raise ``errors.Unavailable`` and
``errors.Rebuilding``.
"""

import math
import re
from pathlib import Path

import msgspec

from analytics import store

RECENT_S = 300.0  # "throughput now" is measured over this long


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
    per_minute_now: float  # completed jobs per minute in the last ``RECENT_S``


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


async def summary(source: store.Store, *, since: float, until: float) -> Summary:
    """The jobs that ended from ``since`` to before ``until``; ``until`` is also the now of ``per_minute_now``."""
    [row] = await source.read(_SQL['summary'], {'since': since, 'until': until})
    [(recent,)] = await source.read(_SQL['completed_between'], {'since': until - RECENT_S, 'until': until})
    total, completed, failed, cancelled, mean_response_s, p50_response_s, p95_response_s, mean_wait_s = row
    decided = completed + failed
    return Summary(
        total=total,
        completed=completed,
        failed=failed,
        cancelled=cancelled,
        success_rate=completed / decided if decided else None,
        mean_response_s=mean_response_s,
        p50_response_s=p50_response_s,
        p95_response_s=p95_response_s,
        mean_wait_s=mean_wait_s,
        per_minute_now=recent / (RECENT_S / 60),
    )


async def per_minute(source: store.Store, *, since: float, until: float, step_s: float = 60.0) -> list[Point]:
    """A series without holes from the step that contains ``since`` to the one that contains ``until``.

    Steps begin at multiples of ``step_s``, so a point keeps its place while time goes on.
    """
    first, last = math.floor(since / step_s), math.ceil(until / step_s)
    rows = await source.read(_SQL['per_minute'], {'since': first * step_s, 'until': until, 'step_s': step_s})
    found = {row[0]: row[1:] for row in rows}
    return [
        _point(index * step_s, min(step_s, until - index * step_s), found.get(index)) for index in range(first, last)
    ]


async def by_priority(source: store.Store, *, since: float, until: float) -> list[PrioritySummary]:
    """One summary for each priority, the highest first."""
    rows = await source.read(_SQL['by_priority'], {'since': since, 'until': until})
    return [PrioritySummary(**dict(zip(PrioritySummary.__struct_fields__, row, strict=True))) for row in rows]


async def by_model(source: store.Store, *, since: float, until: float) -> list[ModelSummary]:
    """One summary for each model, the busiest first."""
    rows = await source.read(_SQL['by_model'], {'since': since, 'until': until})
    return [ModelSummary(**dict(zip(ModelSummary.__struct_fields__, row, strict=True))) for row in rows]


def _point(at: float, passed_s: float, row: tuple[int | float | None, ...] | None) -> Point:
    minutes = max(passed_s, 60.0) / 60  # the first seconds of a step tell nothing about its rate
    completed, failed, cancelled, wait_s, first_token_s, response_s, tokens = row or (0, 0, 0, None, None, None, 0)
    return Point(
        at=at,
        completed=(completed or 0) / minutes,
        failed=(failed or 0) / minutes,
        cancelled=(cancelled or 0) / minutes,
        output_tokens=(tokens or 0) / minutes,
        mean_wait_s=wait_s,
        mean_first_token_s=first_token_s,
        mean_response_s=response_s,
    )


def _named(text: str) -> dict[str, str]:
    parts = re.split(r'^-- name: (\w+)$', text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


_SQL = _named(Path(__file__).with_name('queries.sql').read_text(encoding='utf-8'))
