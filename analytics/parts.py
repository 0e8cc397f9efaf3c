"""What named queries read: sums over jobs that ended, of a range of time, narrowed by a filter.

Pure: it puts SQL together from fixed pieces; whatever a caller gave travels as a parameter.
"""

import bisect
import itertools
import math
from typing import NamedTuple

from analytics.answers import Filter

RATIO = 1.08  # the upper end of a bucket is so many times its lower end: a quantile read from it is 4 % off at most
LEAST_S = 0.001  # the upper end of bucket 0
DIMENSIONS = {
    '': "''",
    'model': 'model',
    'user': '"user"',
    'worker': 'worker',
    'priority': 'CAST(priority AS VARCHAR)',
    'kind': 'kind',
    'engine': 'engine',
    'source': 'source',
}
_COLUMNS = {
    'users': '"user"',
    'models': 'model',
    'outcomes': 'outcome',
    'priorities': 'priority',
    'kinds': 'kind',
    'workers': 'worker',
    'engines': 'engine',
    'sources': 'source',
}
# Columns that add up. A rollup has the same ones, see rollups.py.
SUMS = {
    'jobs': 'count(*)',
    'started': 'count(*) FILTER (starts > 0)',
    'retries': 'CAST(sum(greatest(starts - 1, 0)) AS BIGINT)',
    'response_s': 'sum(happened_at - queued_at)',
    'wait_s': 'sum(waited_s)',
    'started_wait_s': 'coalesce(sum(waited_s) FILTER (starts > 0), 0.0)',
    'run_s': 'coalesce(sum(ran_s) FILTER (starts > 0), 0.0)',
    'first_token_s': 'coalesce(sum(first_token_s) FILTER (first_token_s > 0), 0.0)',
    'first_tokens': 'count(*) FILTER (first_token_s > 0)',
    'prompt_tokens': 'CAST(sum(prompt_tokens) AS HUGEINT)',
    'output_tokens': 'CAST(sum(output_tokens) AS HUGEINT)',
    'timed_tokens': 'coalesce(CAST(sum(output_tokens) FILTER (decode_s > 0) AS HUGEINT), 0)',
    'decode_s': 'sum(decode_s)',
    'load_s': 'sum(load_s)',
    'prompt_s': 'sum(prompt_s)',
    'behind_s': 'sum(behind_s)',
    'limited_s': 'sum(limited_s)',
    'paused_s': 'sum(paused_s)',
    'no_worker_s': 'sum(no_worker_s)',
    'delayed_s': 'sum(delayed_s)',
    'blocked_s': 'sum(blocked_s)',
    'retry_s': 'sum(retry_s)',
    'gpu_s': 'sum(gpu_s)',
    'energy_wh': 'sum(energy_wh)',
    'told': 'count(*) FILTER (predicted_until > 0 AND starts > 0)',
    'hits': 'count(*) FILTER (predicted_until > 0 AND started_at BETWEEN predicted_from AND predicted_until)',
    'early': 'count(*) FILTER (predicted_until > 0 AND starts > 0 AND started_at < predicted_from)',
    'eta_error_s': 'coalesce(sum(started_at - (predicted_from + predicted_until) / 2)'
    ' FILTER (predicted_until > 0 AND starts > 0), 0.0)',
    'eta_distance_s': 'coalesce(sum(abs(started_at - (predicted_from + predicted_until) / 2))'
    ' FILTER (predicted_until > 0 AND starts > 0), 0.0)',
}
# How long things took, and of which jobs that counts.
MEASURES = {
    'response': ('response_b', "outcome = 'completed'"),
    'wait': ('wait_b', 'starts > 0'),
    'first_token': ('first_token_b', 'first_token_s > 0'),
}


class Source(NamedTuple):
    """A piece of SQL, and what it needs."""

    sql: str
    parameters: dict[str, object]


def where(only: Filter, fields: tuple[str, ...] = tuple(_COLUMNS)) -> Source:
    """A condition on the columns of ``jobs_ended``."""
    conditions: list[str] = []
    parameters: dict[str, object] = {}
    for field in fields:
        wanted = getattr(only, field)
        if wanted:
            names = [f'{field}_{n}' for n in range(len(wanted))]
            conditions.append(f'{_COLUMNS[field]} IN ({", ".join(f"${name}" for name in names)})')
            parameters |= dict(zip(names, wanted, strict=True))
    return Source(' AND '.join(conditions) or 'true', parameters)


def jobs(dimension: str, since: float, until: float, only: Filter) -> Source:
    """The jobs that ended, one by one; ``value`` is that of the dimension."""
    condition, parameters = where(only)
    sql = (
        f'(SELECT {DIMENSIONS[dimension]} AS value, * FROM jobs_ended '
        f'WHERE happened_at >= $since AND happened_at < $until AND {condition})'
    )
    return Source(sql, {'since': since, 'until': until, **parameters})


def sums(dimension: str, since: float, until: float, only: Filter, grain_s: float = math.inf) -> Source:
    """Their sums by ``bucket`` (a time that is a multiple of ``grain_s``), ``value`` of the dimension and outcome."""
    condition, parameters = where(only)
    bucket = '0.0' if grain_s == math.inf else 'floor(happened_at / $grain_s) * $grain_s'
    if grain_s < math.inf:
        parameters['grain_s'] = grain_s
    columns = ', '.join(f'{sql} AS {name}' for name, sql in SUMS.items())
    sql = (
        f'(SELECT {bucket} AS bucket, {DIMENSIONS[dimension]} AS value, outcome, {columns} FROM jobs_ended '
        f'WHERE happened_at >= $since AND happened_at < $until AND {condition} GROUP BY 1, 2, 3)'
    )
    return Source(sql, {'since': since, 'until': until, **parameters})


def counts(dimension: str, since: float, until: float, only: Filter) -> Source:
    """How many took how long: by value of the dimension, ``measure`` and ``bucket``, see ``bucket_of``."""
    condition, parameters = where(only)
    pieces = [
        f"SELECT {DIMENSIONS[dimension]} AS value, '{measure}' AS measure, {column} AS bucket, count(*) AS n "
        f'FROM jobs_ended WHERE happened_at >= $since AND happened_at < $until AND {condition} AND {which} '
        'GROUP BY 1, 2, 3'
        for measure, (column, which) in MEASURES.items()
    ]
    return Source(f'({" UNION ALL ".join(pieces)})', {'since': since, 'until': until, **parameters})


def bucket_of(seconds: float) -> int:
    """The bucket of a length of time: 0 up to ``LEAST_S``, then each ``RATIO`` times as long."""
    if seconds <= LEAST_S:
        return 0
    return min(math.ceil(math.log(seconds / LEAST_S) / _LOG), 32_000)


def length_of(bucket: int) -> float:
    """The length of time in the middle of a bucket, seconds."""
    return LEAST_S * RATIO ** (bucket - 0.5) if bucket else LEAST_S


def quantiles(histogram: list[tuple[int, int]], wanted: tuple[float, ...]) -> list[float | None]:
    """The lengths that these parts do not exceed, from buckets in order and how many are in each."""
    total = sum(n for _, n in histogram)
    if not total:
        return [None] * len(wanted)
    reached = list(itertools.accumulate(n for _, n in histogram))
    return [length_of(histogram[bisect.bisect_right(reached, part * (total - 1))][0]) for part in wanted]


_LOG = math.log(RATIO)
