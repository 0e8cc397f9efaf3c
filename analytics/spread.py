"""How waits, responses and times to the first token were spread, step by step."""

from typing import Any

import msgspec

from analytics import parts, store
from analytics.answers import ALL, Filter

EXACT = 50_000  # jobs; beyond it the quantiles are read from buckets, see ``parts.quantiles``
PARTS = (0.5, 0.95)
_LENGTHS = {'wait': 'waited_s', 'response': 'happened_at - queued_at', 'first_token': 'first_token_s'}


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """One step that begins at ``at``: what half of the jobs took at most, and 95 % of them. None where none ended."""

    at: float
    p50_wait_s: float | None = None
    p95_wait_s: float | None = None
    p50_response_s: float | None = None
    p95_response_s: float | None = None
    p50_first_token_s: float | None = None
    p95_first_token_s: float | None = None


async def spread(
    source: store.Store, *, since: float, until: float, step_s: float = 3600.0, only: Filter = ALL
) -> list[Spread]:
    """A series without holes from the step that contains ``since`` to the one that contains ``until``.

    Exact for up to ``EXACT`` jobs, of more at most 4 % off. Raises as ``queries`` do.
    """
    first, last = int(since // step_s), int(-(-until // step_s))
    condition, parameters = parts.where(only)
    span = {'since': first * step_s, 'until': until, **parameters}
    jobs = f'jobs_ended WHERE happened_at >= $since AND happened_at < $until AND {condition}'
    [(total,)] = await source.read(f'SELECT count(*) FROM {jobs}', span)
    look = _exact if total <= EXACT else _counted
    found = await look(source, jobs, {**span, 'step_s': step_s})
    return [Spread(at=step * step_s, **found.get(step, {})) for step in range(first, last)]


Found = dict[int, dict[str, float | None]]


async def _exact(source: store.Store, jobs: str, parameters: dict[str, object]) -> Found:
    columns = ', '.join(
        f'quantile_cont({_LENGTHS[measure]}, [0.5, 0.95]) FILTER ({which})'
        for measure, (_, which) in parts.MEASURES.items()
    )
    sql = f'SELECT CAST(floor(happened_at / $step_s) AS BIGINT), {columns} FROM {jobs} GROUP BY 1'
    found: Found = {}
    for step, *quantiles in await source.read(sql, parameters):
        for measure, pair in zip(parts.MEASURES, quantiles, strict=True):
            found.setdefault(step, {}).update(_named(measure, pair or [None, None]))
    return found


async def _counted(source: store.Store, jobs: str, parameters: dict[str, object]) -> Found:
    found: Found = {}
    for measure, (column, which) in parts.MEASURES.items():
        sql = (
            f'SELECT CAST(floor(happened_at / $step_s) AS BIGINT), {column}, count(*) FROM {jobs} AND {which} '
            'GROUP BY 1, 2 ORDER BY 1, 2'
        )
        steps: dict[int, list[tuple[int, int]]] = {}
        for step, bucket, n in await source.read(sql, parameters):
            steps.setdefault(step, []).append((bucket, n))
        for step, histogram in steps.items():
            found.setdefault(step, {}).update(_named(measure, parts.quantiles(histogram, PARTS)))
    return found


def _named(measure: str, pair: list[Any]) -> dict[str, float | None]:
    return {f'p50_{measure}_s': pair[0], f'p95_{measure}_s': pair[1]}
