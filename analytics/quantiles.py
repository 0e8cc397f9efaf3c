"""How long things took: quantiles by step of time and value of a dimension, read from log-scaled buckets.

Pure, as ``parts``. A quantile is the bucket of the nearest rank: the first one that so many percent of all lie up to.
What is rolled up is a histogram for each value, or, where values are so many that a histogram would have hardly fewer
rows than there are jobs, the list of their buckets.
"""

import math
from collections.abc import Mapping

from analytics import parts
from analytics.answers import Filter

RATIO = 1.08  # the upper end of a bucket is so many times its lower end: a quantile read from it is 4 % off at most
LEAST_S = 0.001  # the upper end of bucket 0
# What is measured: the column with its bucket, and of which jobs that counts.
MEASURES = {
    'response': ('response_b', "outcome = 'completed'"),
    'wait': ('wait_b', 'starts > 0'),
    'first_token': ('first_token_b', 'first_token_s > 0'),
}
Wanted = Mapping[str, tuple[int, ...]]  # percents by measure


def quantiles(
    dimension: str,
    span: parts.Span,
    only: Filter,
    wanted: Wanted,
    rolled: parts.Rolled = (),
    *,
    grain_s: float = math.inf,
) -> parts.Source:
    """A row for each step (its begin, a multiple of ``grain_s``) and value of the dimension in which anything was
    measured: these two, and for each measure a list of the buckets at the percents that ``wanted`` names, or NULL.
    """
    counted = parts.cut('counts', dimension, span, only, grain_s=grain_s, rolled=rolled)
    if counted.far:
        return _weighed(dimension, counted, wanted, grain_s)
    listed = parts.cut('lists', dimension, span, only, grain_s=grain_s, rolled=rolled)
    return _ranked(dimension, listed, wanted, grain_s)


def bucket_of(seconds: float) -> int:
    """The bucket of a length of time: 0 up to ``LEAST_S``, then each ``RATIO`` times as long."""
    if seconds <= LEAST_S:
        return 0
    return min(math.ceil(math.log(seconds / LEAST_S) / _LOG), 32_000)


def length_of(bucket: int) -> float:
    """The length of time in the middle of a bucket, seconds."""
    return LEAST_S * RATIO ** (bucket - 0.5) if bucket else LEAST_S


def lengths(buckets: list[int | None] | None, wanted: tuple[int, ...]) -> list[float | None]:
    """The lengths of time in the middle of these buckets, as many as are ``wanted``."""
    return [None if bucket is None else length_of(bucket) for bucket in buckets or [None] * len(wanted)]


def _ranked(dimension: str, cut: parts.Cut, wanted: Wanted, grain_s: float) -> parts.Source:
    """One bucket for each job."""
    pieces = [_near(dimension, jobs, wanted, grain_s) for jobs in cut.near]
    if cut.far:
        columns = ', '.join(f'unnest({measure}) AS {measure}_b' for measure in wanted)
        pieces.append(f'SELECT {parts.step("at_s", grain_s)} AS step, {cut.value} AS value, {columns} {cut.far}')
    columns = ', '.join(
        f'quantile_disc({measure}_b, [{", ".join(f"{percent / 100:.2f}" for percent in percents)}])'
        for measure, percents in wanted.items()
    )
    sql = f'SELECT step, value, {columns} FROM ({" UNION ALL ".join(pieces)}) GROUP BY step, value'
    return parts.source(sql, cut.parameters, grain_s=grain_s)


def _weighed(dimension: str, cut: parts.Cut, wanted: Wanted, grain_s: float) -> parts.Source:
    """So many jobs in each bucket."""
    listed = ', '.join(f"'{measure}'" for measure in wanted)
    histogram = (
        f'{_counted(" UNION ALL ".join(_near(dimension, jobs, wanted, grain_s) for jobs in cut.near), wanted)} '
        f'UNION ALL SELECT {parts.step("at_s", grain_s)} AS step, {cut.value} AS value, measure, bucket, n '
        f'{cut.far} AND measure IN ({listed})'
    )
    columns = ', '.join(
        f'[{", ".join(_reached(measure, percent) for percent in percents)}]' for measure, percents in wanted.items()
    )
    sql = (
        f'WITH added AS (SELECT step, value, measure, bucket, sum(n) AS n FROM ({histogram}) GROUP BY ALL), '
        'reaching AS (SELECT step, value, measure, bucket, sum(n) OVER (of_all ORDER BY bucket) AS reached, '
        'sum(n) OVER of_all AS total FROM added WINDOW of_all AS (PARTITION BY step, value, measure)) '
        f'SELECT step, value, {columns} FROM reaching GROUP BY step, value'
    )
    return parts.source(sql, cut.parameters, grain_s=grain_s)


def _reached(measure: str, percent: int) -> str:
    return f"min(bucket) FILTER (measure = '{measure}' AND reached * 100 >= total * {percent})"


def _near(dimension: str, jobs: str, wanted: Wanted, grain_s: float) -> str:
    """The buckets of single jobs."""
    columns = ', '.join(
        f'CASE WHEN {MEASURES[measure][1]} THEN {MEASURES[measure][0]} END AS {measure}_b' for measure in wanted
    )
    time, value = parts.step('happened_at', grain_s), parts.DIMENSIONS[dimension]
    return f'SELECT {time} AS step, {value} AS value, {columns} {jobs}'


def _counted(near: str, wanted: Wanted) -> str:
    """All measures with one look at the jobs."""
    which = ' '.join(f"WHEN GROUPING({measure}_b) = 0 THEN '{measure}'" for measure in wanted)
    bucket = f'coalesce({", ".join(f"{measure}_b" for measure in wanted)})'
    sets = ', '.join(f'(step, value, {measure}_b)' for measure in wanted)
    return (
        f'SELECT step, value, CASE {which} END AS measure, {bucket} AS bucket, count(*) AS n FROM ({near}) '
        f'GROUP BY GROUPING SETS ({sets}) HAVING {bucket} IS NOT NULL'
    )


_LOG = math.log(RATIO)
