"""What the analytics file can tell, as typed results. The SQL is in queries.sql, by name.

All times are unix seconds and passed in. Quantiles are exact for up to ``EXACT`` jobs; of more they are read from
buckets and at most 4 % off. All may raise ``errors.Unavailable`` and ``errors.Rebuilding``.
"""

import asyncio
import datetime
import math
import re
import zoneinfo
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from analytics import parts, quantiles, store
from analytics.answers import (
    ALL,
    Choices,
    Comparison,
    Depth,
    Eta,
    EtaPoint,
    Failure,
    Filter,
    Group,
    Hour,
    JobTime,
    ModelPoint,
    ModelSummary,
    Point,
    PrioritySummary,
    Result,
    Run,
    Saturation,
    Summary,
    Table,
    Usage,
    Waits,
)

__all__ = [
    'ALL',
    'Choices',
    'Comparison',
    'Depth',
    'Eta',
    'EtaPoint',
    'Failure',
    'Filter',
    'Group',
    'Hour',
    'JobTime',
    'ModelPoint',
    'ModelSummary',
    'Point',
    'PrioritySummary',
    'Result',
    'Run',
    'Saturation',
    'Summary',
    'Table',
    'Usage',
    'Waits',
]

RECENT_S = 300.0  # "throughput now" is measured over this long
EXACT = 50_000  # jobs; quantiles of so many are worked out from each of them
HOUR_S, QUARTER_S = 3600.0, 900.0
MOST_CHOICES = 500


async def summary(source: store.Store, *, since: float, until: float, only: Filter = ALL) -> Summary:
    """The jobs that ended from ``since`` to before ``until``; ``until`` is also the now of ``per_minute_now``."""
    cut = parts.sums('', (since, until), only, rolled=source.rolled())
    [row] = await source.read(_SQL['summary'].format(parts=cut.sql), cut.parameters)
    total, completed, failed, cancelled, response_s, wait_s, first_token_s, run_s, *rest = row
    response, wait, first_token = await _quantiles(source, since, until, only, total)
    prompt_tokens, output_tokens, tokens_per_s, retries, gpu_s, energy_wh = rest
    recent = parts.where(only)
    span = {'since': until - RECENT_S, 'until': until, **recent.parameters}
    [(lately,)] = await source.read(_SQL['completed_between'].format(filter=recent.sql), span)
    return Summary(
        total=total,
        completed=completed,
        failed=failed,
        cancelled=cancelled,
        success_rate=_rate(completed, failed),
        mean_response_s=response_s,
        p50_response_s=response[0],
        p95_response_s=response[1],
        p99_response_s=response[2],
        mean_wait_s=wait_s,
        p50_wait_s=wait[0],
        p95_wait_s=wait[1],
        mean_first_token_s=first_token_s,
        p95_first_token_s=first_token[0],
        mean_run_s=run_s,
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        tokens_per_s=tokens_per_s,
        per_minute_now=lately / (RECENT_S / 60),
        per_minute=completed / max((until - since) / 60, 1.0),
        retries=retries,
        gpu_s=gpu_s,
        energy_wh=energy_wh,
    )


async def compare(source: store.Store, *, since: float, until: float, only: Filter = ALL) -> Comparison:
    """The same beside the range of the same length before it."""
    now = await summary(source, since=since, until=until, only=only)
    return Comparison(now=now, before=await summary(source, since=2 * since - until, until=since, only=only))


async def per_minute(
    source: store.Store, *, since: float, until: float, step_s: float = 60.0, only: Filter = ALL
) -> list[Point]:
    """A series without holes from the step that contains ``since`` to the one that contains ``until``.

    Steps begin at multiples of ``step_s``, so a point keeps its place while time goes on.
    """
    first, last = _steps(since, until, step_s)
    cut = parts.sums('', (first * step_s, until), only, step_s, source.rolled())
    rows = await source.read(_SQL['per_minute'].format(parts=cut.sql), {'step_s': step_s, **cut.parameters})
    found = {row[0]: row[1:] for row in rows}
    return [
        _point(index * step_s, min(step_s, until - index * step_s), found.get(index)) for index in range(first, last)
    ]


async def by_priority(source: store.Store, *, since: float, until: float, only: Filter = ALL) -> list[PrioritySummary]:
    """One summary for each priority, the highest first."""
    rows = sorted(await _by_value(source, 'priority', since, until, only), key=lambda row: -int(row[0]))
    return [
        PrioritySummary(
            priority=int(value),
            total=total,
            completed=completed,
            failed=failed,
            cancelled=cancelled,
            mean_wait_s=wait_s,
            mean_run_s=run_s,
        )
        for value, total, completed, failed, cancelled, _, wait_s, run_s, *_ in rows
    ]


async def by_model(source: store.Store, *, since: float, until: float, only: Filter = ALL) -> list[ModelSummary]:
    """One summary for each model, the busiest first."""
    rows = await _by_value(source, 'model', since, until, only)
    return [
        ModelSummary(
            model=value,
            total=total,
            completed=completed,
            failed=failed,
            cancelled=cancelled,
            mean_response_s=response_s,
            mean_wait_s=wait_s,
            output_tokens=output_tokens,
            tokens_per_s=tokens_per_s,
        )
        for (
            value, total, completed, failed, cancelled, response_s, wait_s, _, _, _, output_tokens, tokens_per_s, *_
        ) in rows
    ]  # fmt: skip


async def groups(source: store.Store, dimension: str, *, since: float, until: float, only: Filter = ALL) -> list[Group]:
    """One for each value of ``dimension`` (model, user, worker, priority, kind, engine, source), the busiest first."""
    rows = await _by_value(source, dimension, since, until, only)
    quantiles = await _quantiles_by_value(source, dimension, (since, until), only, sum(row[1] for row in rows))
    return [_group(row, *quantiles.get(row[0], ([None, None], [None]))) for row in rows]


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
    for bucket, *figures in await source.read(_SQL['hours'].format(parts=cut.sql), cut.parameters):
        at = datetime.datetime.fromtimestamp(bucket, clock)
        cell = cells.setdefault((at.weekday(), at.hour), [0.0] * len(figures))
        for n, figure in enumerate(figures):
            cell[n] += figure or 0
    return [_hour(day, hour, cells.get((day, hour), [0.0] * 6)) for day in range(7) for hour in range(24)]


async def failures(source: store.Store, *, since: float, until: float, only: Filter = ALL) -> list[Failure]:
    """The reasons why jobs or attempts failed, the worst first.

    Attempts that were tried again know nothing of their job but its id, so a filter leaves out those of jobs that
    have not ended.
    """
    condition = parts.where(only)
    kept = condition.sql
    requeues = 'true' if kept == 'true' else f'job_id IN (SELECT job_id FROM jobs_ended WHERE {kept})'
    sql = _SQL['failures'].format(filter=kept, requeues=requeues)
    rows = await source.read(sql, {'since': since, 'until': until, **condition.parameters})
    return [
        Failure(code=code, died=died, retried=retried, last_at=last_at, last_job_id=job_id)
        for code, died, retried, last_at, job_id in rows
    ]


async def queue_depth(
    source: store.Store, *, since: float, until: float, step_s: float = 60.0, models: tuple[str, ...] = ()
) -> list[Depth]:
    """How many jobs waited for a slot, of all models or of these. Of several, ``most`` is the sum of their peaks."""
    found = await _curve(source, _SQL['depth'], Filter(models=('', *models)), (since, until), step_s)
    return [_depth(at, span_s, areas) for at, span_s, areas in found]


async def saturation(
    source: store.Store, *, since: float, until: float, step_s: float = 60.0, workers: tuple[str, ...] = ()
) -> list[Saturation]:
    """How busy the slots were, of all workers or of these."""
    found = await _curve(source, _SQL['saturation'], Filter(workers=('', *workers)), (since, until), step_s)
    return [_saturation(at, span_s, areas) for at, span_s, areas in found]


async def eta(source: store.Store, *, since: float, until: float, step_s: float = 3600.0, only: Filter = ALL) -> Eta:
    """How the wait that was told compares with the real one, of jobs that ended in the range."""
    first, last = _steps(since, until, step_s)
    cut = parts.sums('', (since, until), only, step_s, source.rolled())
    rows = await source.read(_SQL['eta'].format(parts=cut.sql), {'step_s': step_s, **cut.parameters})
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
    rows = await source.read(_SQL['speed'].format(parts=cut.sql), {'step_s': step_s, **cut.parameters})
    return [
        ModelPoint(
            at=step * step_s, model=model, completed=completed, mean_first_token_s=first_token_s, tokens_per_s=speed
        )
        for step, model, completed, first_token_s, speed in rows
    ]


async def usage(
    source: store.Store, *, since: float, until: float, models: bool = False, only: Filter = ALL
) -> list[Usage]:
    """The ledger: who used how much, also by model with ``models``; who used most first."""
    cut = parts.sums('user_model' if models else 'user', (since, until), only, rolled=source.rolled())
    rows = await source.read(_SQL['usage'].format(parts=cut.sql), cut.parameters)
    split = ((*row[0].split(parts.BETWEEN, 1), *row[1:]) if models else (row[0], '', *row[1:]) for row in rows)
    return [Usage(**_named_row(Usage, row)) for row in split]


async def waits(source: store.Store, *, since: float, until: float, only: Filter = ALL) -> Waits:
    """Where the time of the jobs that ended went."""
    cut = parts.sums('', (since, until), only, rolled=source.rolled())
    [row] = await source.read(_SQL['waits'].format(parts=cut.sql), cut.parameters)
    *known, load_s, prompt_s, decode_s, run_s = row
    names = Waits.__struct_fields__[: len(known)]
    return Waits(
        **dict(zip(names, known, strict=True)),
        load_s=load_s,
        prompt_s=prompt_s,
        decode_s=decode_s,
        other_s=max(0.0, run_s - load_s - prompt_s - decode_s),
    )


async def job_time(source: store.Store, job_id: str) -> JobTime | None:
    """Where the time of one job went; None for one that has not ended, or long ago."""
    rows = await source.read(_SQL['job_time'], {'job_id': job_id})
    return JobTime(**_named_row(JobTime, rows[0])) if rows else None


async def runs(source: store.Store, *, since: float, until: float, limit: int) -> list[Run]:
    """The jobs that ran and ended in the range, the last ``limit`` of them, in the order in which they could start."""
    rows = await source.read(_SQL['runs'], {'since': since, 'until': until, 'limit': limit})
    return await asyncio.to_thread(lambda: [Run(**_named_row(Run, row)) for row in rows])  # they may be very many


async def first_end(source: store.Store) -> float | None:
    """When the first job ended that is still counted, to the hour where single jobs are gone; None for none."""
    [(at,)] = await source.read(_SQL['first_end'])
    return None if at is None else float(at)


async def choices(source: store.Store, *, since: float, until: float) -> Choices:
    """What jobs of the range can be filtered by."""
    dimensions = ('user', 'model', 'worker', 'kind', 'engine', 'source', 'priority')
    cuts = [parts.sums(each, (since, until), ALL, rolled=source.rolled()) for each in dimensions]
    asked = (
        source.read(_SQL['values'].format(parts=cut.sql), {'most': MOST_CHOICES, **cut.parameters}) for cut in cuts
    )
    answers = await asyncio.gather(*asked)
    found = {each: [value for (value,) in rows if value != ''] for each, rows in zip(dimensions, answers, strict=True)}
    return Choices(
        users=found['user'],
        models=found['model'],
        workers=found['worker'],
        kinds=found['kind'],
        engines=found['engine'],
        sources=found['source'],
        priorities=sorted((int(value) for value in found['priority']), reverse=True),
    )


async def _by_value(
    source: store.Store, dimension: str, since: float, until: float, only: Filter
) -> list[tuple[Any, ...]]:
    cut = parts.sums(dimension, (since, until), only, rolled=source.rolled())
    return await source.read(_SQL['by_value'].format(parts=cut.sql), cut.parameters)


Quantiles = list[float | None]


async def _quantiles(
    source: store.Store, since: float, until: float, only: Filter, total: int
) -> tuple[Quantiles, Quantiles, Quantiles]:
    """Of the response (50, 95, 99 %), the wait (50, 95 %) and the time to the first token (95 %)."""
    if total <= EXACT:
        cut = parts.jobs('', since, until, only)
        [row] = await source.read(_SQL['exact_quantiles'].format(jobs=cut.sql), cut.parameters)
        return row[0] or [None] * 3, row[1] or [None] * 2, row[2] or [None]
    wanted = {'response': (50, 95, 99), 'wait': (50, 95), 'first_token': (95,)}
    rows = await source.read(*quantiles.quantiles('', (since, until), only, wanted, source.rolled()))
    measured = rows[0][2:] if rows else (None, None, None)
    response, wait, first_token = map(quantiles.lengths, measured, wanted.values())
    return response, wait, first_token


async def _quantiles_by_value(
    source: store.Store, dimension: str, span: parts.Span, only: Filter, total: int
) -> dict[str, tuple[Quantiles, Quantiles]]:
    """Of the response (50, 95 %) and the wait (95 %), by value."""
    if total <= EXACT:
        cut = parts.jobs(dimension, *span, only)
        rows = await source.read(_SQL['exact_quantiles_by_value'].format(jobs=cut.sql), cut.parameters)
        return {value: (response or [None, None], wait or [None]) for value, response, wait in rows}
    wanted = {'response': (50, 95), 'wait': (95,)}
    rows = await source.read(*quantiles.quantiles(dimension, span, only, wanted, source.rolled()))
    return {
        value: (quantiles.lengths(response, wanted['response']), quantiles.lengths(wait, wanted['wait']))
        for _, value, response, wait in rows
    }


def _group(row: tuple[Any, ...], response: Quantiles, wait: Quantiles) -> Group:
    value, total, completed, failed, cancelled, response_s, wait_s, run_s, first_token_s, *rest = row
    prompt_tokens, output_tokens, tokens_per_s, retries, gpu_s, energy_wh = rest
    return Group(
        name=value,
        total=total,
        completed=completed,
        failed=failed,
        cancelled=cancelled,
        success_rate=_rate(completed, failed),
        mean_response_s=response_s,
        p50_response_s=response[0],
        p95_response_s=response[1],
        mean_wait_s=wait_s,
        p95_wait_s=wait[0],
        mean_run_s=run_s,
        mean_first_token_s=first_token_s,
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        tokens_per_s=tokens_per_s,
        retries=retries,
        gpu_s=gpu_s,
        energy_wh=energy_wh,
    )


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


def _rate(completed: int, failed: int) -> float | None:
    return completed / (completed + failed) if completed + failed else None


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


def _named_row(kind: Any, row: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(kind.__struct_fields__, row, strict=True))


def _named(text: str) -> dict[str, str]:
    names = re.split(r'^-- name: (\w+)$', text, flags=re.MULTILINE)
    return dict(zip(names[1::2], names[2::2], strict=True))


_SQL = _named(Path(__file__).with_name('queries.sql').read_text(encoding='utf-8'))
