"""What the statistics tell, as the analytics page shows it."""

import time
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel

from analytics import answers
from app.api.own import mirror
from app.api.own.refusal import documented
from app.api.own.room import Room
from app.api.own.route import router
from app.api.trouble import Trouble

DAY_S = 86_400.0
MAX_POINTS = 10_000
Since = Annotated[float, Query(ge=0, le=1e11, allow_inf_nan=False, description='Unix seconds; 0: a day before until.')]
Until = Annotated[float, Query(ge=0, le=1e11, allow_inf_nan=False, description='Unix seconds; 0: now.')]
Summary = mirror.of(answers.Summary)
Point = mirror.of(answers.Point)
ModelSummary = mirror.of(answers.ModelSummary)


class Points(BaseModel):
    """A time series without holes."""

    points: list[Point]  # type: ignore[valid-type]


class ByModel(BaseModel):
    """The models, the busiest first."""

    models: list[ModelSummary]  # type: ignore[valid-type]


def routes(room: Room) -> APIRouter:
    """The paths under ``/api/stats``."""
    made = router('Statistics')

    @made.get('/api/stats/summary', response_model=Summary, summary='All in figures', responses=documented())
    async def summary(since: Since = 0.0, until: Until = 0.0) -> dict[str, Any]:
        """The jobs that ended in a range of time."""
        since, until = _range(since, until)
        return dict(msgspec.to_builtins(await _ledger(room).summary(since=since, until=until)))

    @made.get('/api/stats/per_minute', response_model=Points, summary='Over time', responses=documented())
    async def per_minute(
        since: Since = 0.0,
        until: Until = 0.0,
        step_s: Annotated[float, Query(ge=1, le=DAY_S * 31, allow_inf_nan=False)] = 60.0,
    ) -> dict[str, Any]:
        """Rates per minute and means, a point for each step."""
        since, until = _range(since, until)
        if (until - since) / step_s > MAX_POINTS:
            raise Trouble('invalid', f'these are more than {MAX_POINTS} points; take a longer step_s', param='step_s')
        found = await _ledger(room).per_minute(since=since, until=until, step_s=step_s)
        return {'points': [msgspec.to_builtins(point) for point in found]}

    @made.get('/api/stats/by_model', response_model=ByModel, summary='By model', responses=documented())
    async def by_model(since: Since = 0.0, until: Until = 0.0) -> dict[str, Any]:
        """How each model did."""
        since, until = _range(since, until)
        found = await _ledger(room).by_model(since=since, until=until)
        return {'models': [msgspec.to_builtins(model) for model in found]}

    return made


def _range(since: float, until: float) -> tuple[float, float]:
    until = until or time.time()
    since = since or max(0.0, until - DAY_S)
    if since > until:
        raise Trouble('invalid', 'since must not be after until', param='since')
    return since, until


def _ledger(room: Room) -> Any:
    if room.analytics is None:
        raise Trouble('unavailable', 'there are no statistics here now', retry_after_s=5.0)
    return room.analytics
