"""What the analytics file can tell over time, as typed results. The SQL is in queries.sql, by name.

Times and errors are as in ``queries``.
"""

import datetime
import math
import zoneinfo
from collections.abc import Iterable
from typing import Any

from analytics import named, parts, store, timekeeper
from analytics.answers import ALL, Depth, Eta, EtaPoint, Filter, Hour, ModelPoint, Point, Saturation

HOUR_S, QUARTER_S = 3600.0, 900.0


async def per_minute(
    source: store.Store, *, since: float, until: float, step_s: float = 60.0, only: Filter = ALL
) -> list[Point]:
    """A series without holes from the step that contains ``since`` to the one that contains ``until``.

    Steps begin at multiples of ``step_s``, so a point keeps its place while time goes on.
    """
    first, last = _steps(since, until, step_s)
    cut = parts.sums('', (first * step_s, until), only, step_s, source.rolled())
    rows = await source.read(named.SQL['per_minute'].format(parts=cut.sql), {'step_s': step_s, **cut.parameters})
    found = {row[0]: row[1:] for row in rows}
    return [
        _point(index * step_s, min(step_s, until - index * step_s), found.get(index)) for index in range(first, last)
    ]


async def by_hour_of_week(
    source: store.Store, *, since: float, until: float, zone: str = '', only: Filter = ALL
) -> list[Hour]:
    """When in the week it was how busy, on the clock of ``zone`` (an IANA name; '' is that of this machine).

    Raises ``ValueError`` for an unknown zone.
    """
    clock = _clock(zone)
    grain_s = HOUR_S if _whole_hours(clock, since, until) else QUARTER_S
    cut = parts.sums('', (since, until), only, grain_s, source.rolled())
    cells: dict[tuple[int, int], list[float]] = {}
    for bucket, *figures in await source.read(named.SQL['hours'].format(parts=cut.sql), cut.parameters):
        at = datetime.datetime.fromtimestamp(bucket, clock)
        cell = cells.setdefault((at.weekday(), at.hour), [0.0] * len(figures))
        for n, figure in enumerate(figures):
            cell[n] += figure or 0
    return [_hour(day, hour, cells.get((day, hour), [0.0] * 6)) for day in range(7) for hour in range(24)]


async def queue_depth(
    source: store.Store, *, since: float, until: float, step_s: float = 60.0, models: tuple[str, ...] = ()
) -> list[Depth]:
    """How many jobs waited for a slot, of all models or of these. Of several, ``most`` is the sum of their peaks."""
    found = await _curve(source, named.SQL['depth'], Filter(models=('', *models)), (since, until), step_s)
    return [_depth(at, span_s, areas) for at, span_s, areas in found]


async def saturation(
    source: store.Store, *, since: float, until: float, step_s: float = 60.0, workers: tuple[str, ...] = ()
) -> list[Saturation]:
    """How busy the slots were, of all workers or of these."""
    found = await _curve(source, named.SQL['saturation'], Filter(workers=('', *workers)), (since, until), step_s)
    return [_saturation(at, span_s, areas) for at, span_s, areas in found]


def depth_until(
    points: list[Depth], state: timekeeper.State, *, now: float, step_s: float, models: tuple[str, ...] = ()
) -> list[Depth]:
    """Rows come with facts. As long as none come, all stands as after the last one: steps until ``now`` say so."""
    waiting = state.waiting(models)
    return [
        Depth(at=point.at, waiting=float(waiting), most=waiting)
        if point.waiting is None and _stands(point.at, state, now, step_s)
        else point
        for point in points
    ]


def saturation_until(
    points: list[Saturation], state: timekeeper.State, *, now: float, step_s: float, workers: tuple[str, ...] = ()
) -> list[Saturation]:
    """See ``depth_until``."""
    slots, busy = state.slots(workers)
    standing = {'slots': float(slots), 'busy': float(busy), 'share': min(1.0, busy / slots) if slots else None}
    return [
        Saturation(at=point.at, **standing) if point.slots is None and _stands(point.at, state, now, step_s) else point
        for point in points
    ]


async def eta(source: store.Store, *, since: float, until: float, step_s: float = 3600.0, only: Filter = ALL) -> Eta:
    """How the wait that was told compares with the real one, of jobs that ended in the range."""
    first, last = _steps(since, until, step_s)
    cut = parts.sums('', (since, until), only, step_s, source.rolled())
    rows = await source.read(named.SQL['eta'].format(parts=cut.sql), {'step_s': step_s, **cut.parameters})
    told, hits, early = (sum(row[n] for row in rows) for n in (1, 2, 3))
    found = {row[0]: row for row in rows}
    return Eta(
        told=told,
        hits=hits,
        early=early,
        late=told - hits - early,
        hit_rate=hits / told if told else None,
        mean_error_s=sum(row[4] for row in rows) / told if told else None,
        mean_distance_s=sum(row[5] for row in rows) / told if told else None,
        points=[_eta_point(step * step_s, found.get(step)) for step in range(first, last)],
    )


async def model_speed(
    source: store.Store, *, since: float, until: float, step_s: float = 3600.0, only: Filter = ALL
) -> list[ModelPoint]:
    """Time to first token and speed of each model over time; steps in which a model ended no job are left out."""
    cut = parts.sums('model', (since, until), only, step_s, source.rolled())
    rows = await source.read(named.SQL['speed'].format(parts=cut.sql), {'step_s': step_s, **cut.parameters})
    return [
        ModelPoint(
            at=step * step_s, model=model, completed=completed, mean_first_token_s=first_token_s, tokens_per_s=speed
        )
        for step, model, completed, first_token_s, speed in rows
    ]


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


def _hour(weekday: int, hour: int, figures: list[float]) -> Hour:
    total, failed, wait_s, started, response_s, completed = figures
    return Hour(
        weekday=weekday,
        hour=hour,
        total=int(total),
        failed=int(failed),
        mean_wait_s=wait_s / started if started else None,
        mean_response_s=response_s / completed if completed else None,
    )


async def _curve(
    source: store.Store, sql: str, only: Filter, span: parts.Span, step_s: float
) -> list[tuple[float, float | None, tuple[float, float]]]:
    """Each step of a curve that is kept by a key, '' for all together: when it begins, how much of it is known (None:
    nothing), and both columns, summed over the keys of ``only`` or, where it names none but '', of all together.
    """
    first, last = _steps(*span, step_s)
    condition = parts.where(only)
    asked = {'since': first * step_s, 'until': span[1], 'step_s': step_s, **condition.parameters}
    rows = await source.read(sql.format(filter=condition.sql), asked)
    named = len(only.models or only.workers) > 1
    spans = {step: span_s for step, key, _, _, span_s in rows if not key}
    sums = {step: (0.0, 0.0) for step in spans}
    for step, key, one, other, _ in rows:
        if bool(key) == named and step in spans:
            sums[step] = sums[step][0] + one, sums[step][1] + other
    return [(step * step_s, spans.get(step), sums.get(step, (0.0, 0.0))) for step in range(first, last)]


def _stands(at: float, state: timekeeper.State, now: float, step_s: float) -> bool:
    return at <= now and at + step_s > state.at


def _depth(at: float, span_s: float | None, areas: tuple[float, float]) -> Depth:
    waited_s, most = areas
    return Depth(at=at, waiting=waited_s / span_s if span_s else None, most=None if span_s is None else int(most))


def _saturation(at: float, span_s: float | None, areas: tuple[float, float]) -> Saturation:
    slot_s, busy_s = areas
    if not span_s:
        return Saturation(at=at, slots=None, busy=None, share=None)
    share = min(1.0, busy_s / slot_s) if slot_s else None
    return Saturation(at=at, slots=slot_s / span_s, busy=busy_s / span_s, share=share)


def _eta_point(at: float, row: tuple[Any, ...] | None) -> EtaPoint:
    if row is None:
        return EtaPoint(at=at, told=0, hit_rate=None, mean_error_s=None)
    _, told, hits, _, error_s, _ = row
    return EtaPoint(at=at, told=told, hit_rate=hits / told, mean_error_s=error_s / told)


def _steps(since: float, until: float, step_s: float) -> tuple[int, int]:
    return math.floor(since / step_s), math.ceil(until / step_s)


def _clock(zone: str) -> datetime.tzinfo | None:
    """None is the clock of this machine."""
    try:
        return zoneinfo.ZoneInfo(zone) if zone else None
    except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError):
        raise ValueError(f'{zone} is no time zone; write it like Europe/Berlin or Asia/Shanghai') from None


def _whole_hours(clock: datetime.tzinfo | None, since: float, until: float) -> bool:
    """Whether the hours of this clock begin when those of UTC do; looked at both ends, zones change rarely."""
    ends = (datetime.datetime.fromtimestamp(at, clock).astimezone(clock) for at in (since, until))
    offsets: Iterable[datetime.timedelta | None] = (end.utcoffset() for end in ends)
    return not any(offset and offset.total_seconds() % HOUR_S for offset in offsets)
