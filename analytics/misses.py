"""How far the waits that were told were off."""

import msgspec

from analytics import parts, store
from analytics.answers import ALL, Filter

EDGES_S = (-60.0, -20.0, -5.0, 5.0, 20.0, 60.0)  # between the bins


class Misses(msgspec.Struct, frozen=True, kw_only=True):
    """How many starts were so far from the middle of the interval that was told; one bin more than edges."""

    edges_s: tuple[float, ...]  # negative is sooner than told
    starts: list[int]


async def misses(source: store.Store, *, since: float, until: float, only: Filter = ALL) -> Misses:
    """Of the jobs that ended in the range and were told something. Raises as ``queries`` do."""
    cut = parts.jobs('', since, until, only)
    bins = ' '.join(f'WHEN off_s < {edge} THEN {n}' for n, edge in enumerate(EDGES_S))
    sql = (
        f'SELECT CASE {bins} ELSE {len(EDGES_S)} END, count(*) FROM ('
        f'SELECT started_at - (predicted_from + predicted_until) / 2 AS off_s FROM {cut.sql} '
        'WHERE predicted_until > 0 AND starts > 0) GROUP BY 1'
    )
    found = dict(await source.read(sql, cut.parameters))
    return Misses(edges_s=EDGES_S, starts=[found.get(n, 0) for n in range(len(EDGES_S) + 1)])
