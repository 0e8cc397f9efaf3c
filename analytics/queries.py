"""What the analytics file can tell of the jobs that ended, as typed results. The SQL is in queries.sql, by name.

All times are unix seconds and passed in. Quantiles are exact for up to ``EXACT`` jobs; of more they are read from
buckets and at most 4 % off. All may raise ``errors.Unavailable`` and ``errors.Rebuilding``.
"""

import asyncio
from typing import Any

from analytics import named, parts, quantiles, store
from analytics.answers import (
    ALL,
    Choices,
    Comparison,
    Failure,
    Filter,
    Group,
    JobTime,
    ModelSummary,
    PrioritySummary,
    Run,
    Summary,
    Usage,
    Waits,
)

RECENT_S = 300.0  # "throughput now" is measured over this long
EXACT = 50_000  # jobs; quantiles of so many are worked out from each of them
MOST_CHOICES = 500


async def summary(source: store.Store, *, since: float, until: float, only: Filter = ALL) -> Summary:
    """The jobs that ended from ``since`` to before ``until``; ``until`` is also the now of ``per_minute_now``."""
    cut = parts.sums('', (since, until), only, rolled=source.rolled())
    [row] = await source.read(named.SQL['summary'].format(parts=cut.sql), cut.parameters)
    total, completed, failed, cancelled, response_s, wait_s, first_token_s, run_s, *rest = row
    response, wait, first_token = await _quantiles(source, since, until, only, total)
    prompt_tokens, output_tokens, tokens_per_s, retries, gpu_s, energy_wh = rest
    recent = parts.where(only)
    span = {'since': until - RECENT_S, 'until': until, **recent.parameters}
    [(lately,)] = await source.read(named.SQL['completed_between'].format(filter=recent.sql), span)
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


async def failures(source: store.Store, *, since: float, until: float, only: Filter = ALL) -> list[Failure]:
    """The reasons why jobs or attempts failed, the worst first.

    Attempts that were tried again know nothing of their job but its id, so a filter leaves out those of jobs that
    have not ended.
    """
    condition = parts.where(only)
    kept = condition.sql
    requeues = 'true' if kept == 'true' else f'job_id IN (SELECT job_id FROM jobs_ended WHERE {kept})'
    sql = named.SQL['failures'].format(filter=kept, requeues=requeues)
    rows = await source.read(sql, {'since': since, 'until': until, **condition.parameters})
    return [
        Failure(code=code, died=died, retried=retried, last_at=last_at, last_job_id=job_id)
        for code, died, retried, last_at, job_id in rows
    ]


async def usage(
    source: store.Store, *, since: float, until: float, models: bool = False, only: Filter = ALL
) -> list[Usage]:
    """The ledger: who used how much, also by model with ``models``; who used most first."""
    cut = parts.sums('user_model' if models else 'user', (since, until), only, rolled=source.rolled())
    rows = await source.read(named.SQL['usage'].format(parts=cut.sql), cut.parameters)
    split = ((*row[0].split(parts.BETWEEN, 1), *row[1:]) if models else (row[0], '', *row[1:]) for row in rows)
    return [Usage(**_named_row(Usage, row)) for row in split]


async def waits(source: store.Store, *, since: float, until: float, only: Filter = ALL) -> Waits:
    """Where the time of the jobs that ended went."""
    cut = parts.sums('', (since, until), only, rolled=source.rolled())
    [row] = await source.read(named.SQL['waits'].format(parts=cut.sql), cut.parameters)
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
    rows = await source.read(named.SQL['job_time'], {'job_id': job_id})
    return JobTime(**_named_row(JobTime, rows[0])) if rows else None


async def runs(source: store.Store, *, since: float, until: float, limit: int) -> list[Run]:
    """The jobs that ran and ended in the range, the last ``limit`` of them, in the order in which they could start."""
    rows = await source.read(named.SQL['runs'], {'since': since, 'until': until, 'limit': limit})
    return await asyncio.to_thread(lambda: [Run(**_named_row(Run, row)) for row in rows])  # they may be very many


async def first_end(source: store.Store) -> float | None:
    """When the first job ended that is still counted, to the hour where single jobs are gone; None for none."""
    [(at,)] = await source.read(named.SQL['first_end'])
    return None if at is None else float(at)


async def choices(source: store.Store, *, since: float, until: float) -> Choices:
    """What jobs of the range can be filtered by."""
    dimensions = ('user', 'model', 'worker', 'kind', 'engine', 'source', 'priority')
    cuts = [parts.sums(each, (since, until), ALL, rolled=source.rolled()) for each in dimensions]
    asked = (
        source.read(named.SQL['values'].format(parts=cut.sql), {'most': MOST_CHOICES, **cut.parameters}) for cut in cuts
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
    return await source.read(named.SQL['by_value'].format(parts=cut.sql), cut.parameters)


Quantiles = list[float | None]


async def _quantiles(
    source: store.Store, since: float, until: float, only: Filter, total: int
) -> tuple[Quantiles, Quantiles, Quantiles]:
    """Of the response (50, 95, 99 %), the wait (50, 95 %) and the time to the first token (95 %)."""
    if total <= EXACT:
        cut = parts.jobs('', since, until, only)
        [row] = await source.read(named.SQL['exact_quantiles'].format(jobs=cut.sql), cut.parameters)
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
        rows = await source.read(named.SQL['exact_quantiles_by_value'].format(jobs=cut.sql), cut.parameters)
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


def _rate(completed: int, failed: int) -> float | None:
    return completed / (completed + failed) if completed + failed else None


def _named_row(kind: Any, row: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(kind.__struct_fields__, row, strict=True))
