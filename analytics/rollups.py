"""Sums and histograms by hour, day, week and month, made once from the jobs that ended, so that a year is quickly asked
for.

Pure: SQL from fixed pieces. The table ``rolled`` says until when each batch of tables is made; what ended later counts
from the jobs themselves. A job whose end lies before that (the clock was put back) is added when it is recorded.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from analytics import parts, quantiles

HOUR_S, DAY_S, WEEK_S, MONTH_S = 3600.0, 86_400.0, 7 * 86_400.0, 30 * 86_400.0
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
# What is narrowed and told apart by several at once: by the week; with users, who are many, by the month.
# Kinds are few and go along with everything.
FEW = ('worker', 'priority', 'model')
STEP_S = {HOUR_S: 4 * DAY_S, DAY_S: 8 * DAY_S, WEEK_S: WEEK_S, MONTH_S: MONTH_S}  # so much at most in one transaction
LATE_S = 120.0  # a span is rolled up so long after its end
_BATCHES = {HOUR_S: 'hour', DAY_S: 'day', MONTH_S: 'month'}


class Table(NamedTuple):
    """What a table holds, and with which others it is made: those of one batch grow in one transaction."""

    what: str
    by: tuple[str, ...]
    level_s: float
    batch: str

    @property
    def name(self) -> str:
        """Its name in the file."""
        return _name(self.what, self.by)


def rolled(until: Mapping[str, float]) -> parts.Rolled:
    """For ``parts``: ``until`` is by batch."""
    return [parts.Rollup(each.name, each.what, each.by, each.level_s, until.get(each.batch, 0.0)) for each in TABLES]


def schema() -> str:
    """The tables."""
    return ';\n'.join([*map(_created, TABLES), 'CREATE TABLE rolled (batch VARCHAR, until DOUBLE)'])


def statements(batch: str, condition: str) -> list[str]:
    """What rolls up the jobs that fit this condition. It needs no parameters but the condition's."""
    return [statement for each in TABLES if each.batch == batch for statement in _filled(each, condition)]


def next_step(level_s: float, since: float, first_at: float | None, newest_at: float) -> tuple[float, float] | None:
    """What can be rolled up next at this level, from … until; None when there is nothing.

    ``since`` is until when it was done, ``first_at`` when the first job after that ended: nothing lies between.
    """
    end = (newest_at - LATE_S) // level_s * level_s
    begin = max(since, (end if first_at is None else first_at) // level_s * level_s)
    if begin >= end:
        return (since, end) if end > since else None
    return begin, min(end, begin + max(STEP_S[level_s], level_s))


def _tables() -> Iterator[Table]:
    for what, levels in (('sums', SUMS), ('counts', COUNTS)):
        for dimension, level_s in levels.items():
            yield Table(what, (dimension,), level_s, _BATCHES[level_s])
    yield Table('sums', (*FEW, 'kind'), WEEK_S, 'week')
    for two in itertools.combinations(FEW, 2):
        yield Table('counts', (*two, 'kind'), WEEK_S, 'week')
    for name in FEW:
        yield _of_users('sums', name)
        yield _of_users('counts', name)
    for several in (*itertools.combinations(FEW, 2), FEW):
        yield _of_users('sums', *several)
        yield _of_users('lists', *several)


def _of_users(what: str, *names: str) -> Table:
    """Each takes long enough for a transaction of its own."""
    by = (*names, 'kind', 'user')
    return Table(what, by, MONTH_S, _name(what, by))


def _name(what: str, by: tuple[str, ...]) -> str:
    return f'{what}_by_{"_".join(by) or "time"}'


def _created(table: Table) -> str:
    kinds = ', '.join(f'{name} {_type_of(sql)}' for name, sql in parts.SUMS.items())
    value = 'value VARCHAR'
    if len(table.by) > 1:
        value = ', '.join(f'"{name}" {"BIGINT" if name == "priority" else "VARCHAR"}' for name in table.by)
    columns = {
        'sums': kinds,
        'counts': 'measure VARCHAR, bucket SMALLINT, n BIGINT',
        'lists': ', '.join(f'{measure} SMALLINT[]' for measure in quantiles.MEASURES),
    }
    return (
        f'CREATE TABLE {table.name} ({parts.TIMES[table.what]} DOUBLE, {value}, outcome VARCHAR, {columns[table.what]})'
    )


def _filled(table: Table, condition: str) -> Iterator[str]:
    several = len(table.by) > 1
    value = ', '.join(f'"{name}"' for name in table.by) if several else parts.DIMENSIONS[table.by[0]]
    keys = f'floor(happened_at / {table.level_s}) * {table.level_s}, {value}, outcome'
    first = ', '.join(str(n + 1) for n in range(len(table.by) + 2))
    if table.what == 'counts':
        for measure, (column, which) in quantiles.MEASURES.items():
            yield (
                f"INSERT INTO {table.name} SELECT {keys}, '{measure}', {column}, count(*) "
                f'FROM jobs_ended WHERE {condition} AND {which} GROUP BY ALL ORDER BY ALL'
            )
        return
    columns = list(parts.SUMS.values())
    if table.what == 'lists':
        columns = [f'list({column}) FILTER ({which})' for column, which in quantiles.MEASURES.values()]
    yield (
        f'INSERT INTO {table.name} SELECT {keys}, {", ".join(columns)} '
        f'FROM jobs_ended WHERE {condition} GROUP BY {first} ORDER BY {first}'
    )


def _type_of(sql: str) -> str:
    if 'HUGEINT' in sql:
        return 'HUGEINT'
    return 'BIGINT' if sql.startswith('count(') or 'BIGINT' in sql else 'DOUBLE'


TABLES = tuple(_tables())
# And how long their steps are, the shortest first.
BATCHES = {each.batch: each.level_s for each in sorted(TABLES, key=lambda each: each.level_s)}
