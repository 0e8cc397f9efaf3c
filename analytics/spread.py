"""How waits, responses and times to the first token were spread, step by step."""

from typing import Any

import msgspec

from analytics import parts, quantiles, store
from analytics.answers import ALL, Filter

EXACT = 50_000  # jobs; beyond it they are read from buckets
WANTED = dict.fromkeys(quantiles.MEASURES, (50, 95))
_LENGTHS = {'wait': 'waited_s', 'response': 'waited_s + ran_s', 'first_token': 'first_token_s'}


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
    span = (first * step_s, until)
    cut = parts.sums('', span, only, rolled=source.rolled())
    [(total,)] = await source.read(f'SELECT coalesce(sum(jobs), 0) FROM {cut.sql}', cut.parameters)
    look = _exact if total <= EXACT else _counted
    found = await look(source, span, step_s, only)
    return [Spread(at=step * step_s, **found.get(step, {})) for step in range(first, last)]


Found = dict[int, dict[str, float | None]]


async def _exact(source: store.Store, span: parts.Span, step_s: float, only: Filter) -> Found:
    columns = ', '.join(
        f'quantile_cont({_LENGTHS[measure]}, [0.5, 0.95]) FILTER ({which})'
        for measure, (_, which) in quantiles.MEASURES.items()
    )
    cut = parts.jobs('', *span, only)
    sql = f'SELECT CAST(floor(happened_at / $step_s) AS BIGINT), {columns} FROM {cut.sql} GROUP BY 1'
    found: Found = {}
    for step, *pairs in await source.read(sql, {'step_s': step_s, **cut.parameters}):
        for measure, pair in zip(quantiles.MEASURES, pairs, strict=True):
            found.setdefault(step, {}).update(_named(measure, pair or [None, None]))
    return found


async def _counted(source: store.Store, span: parts.Span, step_s: float, only: Filter) -> Found:
    cut = quantiles.quantiles('', span, only, WANTED, source.rolled(), grain_s=step_s)
    found: Found = {}
    for step, _, *pairs in await source.read(*cut):
        for measure, pair in zip(WANTED, pairs, strict=True):
            found.setdefault(round(step / step_s), {}).update(_named(measure, quantiles.lengths(pair, WANTED[measure])))
    return found


def _named(measure: str, pair: list[Any]) -> dict[str, float | None]:
    return {f'p50_{measure}_s': pair[0], f'p95_{measure}_s': pair[1]}
