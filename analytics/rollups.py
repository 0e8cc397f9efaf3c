"""Sums and histograms by hour, day and month, made once from the jobs that ended, so that a year is quickly asked for.

Pure: SQL from fixed pieces. The table ``rolled`` says until when each span of time is in them; what ended later counts
from the jobs themselves. A job whose end lies before that (the clock was put back) is added when it is recorded.
"""

from collections.abc import Mapping

from analytics import parts

HOUR_S, DAY_S, MONTH_S = 3600.0, 86_400.0, 30 * 86_400.0
SUMS = {
    '': HOUR_S,
    'model': HOUR_S,
    'worker': HOUR_S,
    'priority': HOUR_S,
    'kind': HOUR_S,
    'engine': HOUR_S,
    'source': HOUR_S,
    'user': DAY_S,  # there are many, so that hours would be hardly fewer rows than jobs
    'user_model': MONTH_S,
}
COUNTS = {
    '': DAY_S,
    'model': DAY_S,
    'worker': DAY_S,
    'priority': DAY_S,
    'kind': DAY_S,
    'user': MONTH_S,
}
LEVELS = (HOUR_S, DAY_S, MONTH_S)
STEP_S = {HOUR_S: 4 * DAY_S, DAY_S: 8 * DAY_S, MONTH_S: MONTH_S}  # at most so much is rolled up in one transaction
LATE_S = 120.0  # a span is rolled up so long after its end


def rolled(until: Mapping[float, float]) -> parts.Rolled:
    """For ``parts``: ``until`` is by level."""
    return parts.Rolled(SUMS, COUNTS, until)


def schema() -> str:
    """The tables."""
    kinds = {name: _type_of(sql) for name, sql in parts.SUMS.items()}
    sums = ', '.join(f'{name} {kind}' for name, kind in kinds.items())
    tables = [
        f'CREATE TABLE {sums_table(dimension)} (bucket DOUBLE, value VARCHAR, outcome VARCHAR, {sums})'
        for dimension in SUMS
    ]
    tables += [
        f'CREATE TABLE {counts_table(dimension)} '
        '(at_s DOUBLE, value VARCHAR, outcome VARCHAR, measure VARCHAR, bucket SMALLINT, n BIGINT)'
        for dimension in COUNTS
    ]
    return ';\n'.join([*tables, 'CREATE TABLE rolled (level_s DOUBLE, until DOUBLE)'])


def sums_table(dimension: str) -> str:
    """Where the sums are, by value of this dimension."""
    return f'sums_by_{dimension or "time"}'


def counts_table(dimension: str) -> str:
    """Where the histograms are."""
    return f'counts_by_{dimension or "time"}'


def statements(level_s: float, condition: str) -> list[str]:
    """What rolls up the jobs that fit this condition. It needs no parameters but the condition's."""
    columns = ', '.join(parts.SUMS.values())
    made = [
        f'INSERT INTO {sums_table(dimension)} '
        f'SELECT floor(happened_at / {level_s}) * {level_s}, {parts.DIMENSIONS[dimension]}, outcome, {columns} '
        f'FROM jobs_ended WHERE {condition} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3'
        for dimension, span_s in SUMS.items()
        if span_s == level_s
    ]
    made += [
        f'INSERT INTO {counts_table(dimension)} '
        f"SELECT floor(happened_at / {level_s}) * {level_s}, {parts.DIMENSIONS[dimension]}, outcome, '{measure}', "
        f'{column}, count(*) FROM jobs_ended WHERE {condition} AND {which} GROUP BY ALL ORDER BY ALL'
        for dimension, span_s in COUNTS.items()
        if span_s == level_s
        for measure, (column, which) in parts.MEASURES.items()
    ]
    return made


def next_step(level_s: float, since: float, first_at: float | None, newest_at: float) -> tuple[float, float] | None:
    """What can be rolled up next at this level, from … until; None when there is nothing.

    ``since`` is until when it was done, ``first_at`` when the first job after that ended: nothing lies between.
    """
    end = (newest_at - LATE_S) // level_s * level_s
    begin = max(since, (end if first_at is None else first_at) // level_s * level_s)
    if begin >= end:
        return (since, end) if end > since else None
    return begin, min(end, begin + max(STEP_S[level_s], level_s))


def _type_of(sql: str) -> str:
    if 'HUGEINT' in sql:
        return 'HUGEINT'
    return 'BIGINT' if sql.startswith('count(') or 'BIGINT' in sql else 'DOUBLE'
