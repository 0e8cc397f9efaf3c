"""What named queries read: sums over jobs that ended, of a range of time, narrowed by a filter.

Pure: it puts SQL together from fixed pieces; whatever a caller gave travels as a parameter.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from analytics.answers import Filter

DIMENSIONS = {
    '': "''",
    'model': 'model',
    'user': '"user"',
    'worker': 'worker',
    'priority': 'CAST(priority AS VARCHAR)',
    'kind': 'kind',
    'engine': 'engine',
    'source': 'source',
    'user_model': '"user" || chr(31) || model',
}
BETWEEN = '\x1f'  # stands between the two in user_model
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
# Columns that add up. A rollup has the same ones, see rollups.py. A response is the wait and the last attempt: both are
# read faster than two moments, whose digits do not compress.
SUMS = {
    'jobs': 'count(*)',
    'started': 'count(*) FILTER (starts > 0)',
    'retries': 'CAST(sum(greatest(starts - 1, 0)) AS BIGINT)',
    'response_s': 'sum(waited_s + ran_s)',
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

_DIMENSION_OF = {
    'users': 'user',
    'models': 'model',
    'priorities': 'priority',
    'kinds': 'kind',
    'workers': 'worker',
    'engines': 'engine',
    'sources': 'source',
}
TIMES = {'sums': 'bucket', 'counts': 'at_s', 'lists': 'at_s'}  # the column with the time, of each sort of table
Span = tuple[float, float]  # from … to before


class Rollup(NamedTuple):
    """A table of what is rolled up: ``sums``, ``counts`` or ``lists`` by these dimensions, in steps of so long, until
    when.

    Of one dimension the column is called ``value``; of several, as in ``jobs_ended``.
    """

    table: str
    what: str
    by: tuple[str, ...]
    level_s: float
    until: float


Rolled = Sequence[Rollup]  # the smallest first


class Source(NamedTuple):
    """A piece of SQL, and what it needs."""

    sql: str
    parameters: dict[str, object]


class Cut(NamedTuple):
    """Where an answer comes from, as FROM … WHERE …: ``far`` is a table of what is rolled up ('': none can answer), in
    which the dimension is called ``value``; ``near`` are the single jobs of what is left of the time.
    """

    far: str
    value: str
    near: list[str]
    parameters: dict[str, object]


def where(only: Filter) -> Source:
    """A condition on the columns of ``jobs_ended``."""
    return _where(only, _COLUMNS)


def ended(only: Filter) -> Source:
    """The same for what sums many columns, quicker where few jobs fit.

    What it adds is always true, but DuckDB does not know that: it then looks at the jobs that fit a thousand at a time,
    instead of at the two or three of each block that it read.
    """
    found = where(only)
    return found if found.sql == 'true' else Source(f'{found.sql} AND rowid + starts <> -1', found.parameters)


def jobs(dimension: str, since: float, until: float, only: Filter) -> Source:
    """The jobs that ended, one by one; ``value`` is that of the dimension."""
    condition, parameters = ended(only)
    sql = (
        f'(SELECT {DIMENSIONS[dimension]} AS value, * FROM jobs_ended '
        f'WHERE happened_at >= $since AND happened_at < $until AND {condition})'
    )
    return Source(sql, {'since': since, 'until': until, **parameters})


def sums(dimension: str, span: Span, only: Filter, grain_s: float = math.inf, rolled: Rolled = ()) -> Source:
    """Their sums by ``bucket`` (a time that is a multiple of ``grain_s``), ``value`` of the dimension and outcome."""
    found = cut('sums', dimension, span, only, grain_s=grain_s, rolled=rolled)
    columns = ', '.join(f'{sql} AS {name}' for name, sql in SUMS.items())
    pieces = [
        f'SELECT {step("happened_at", grain_s)} AS bucket, {DIMENSIONS[dimension]} AS value, outcome, {columns} '
        f'{jobs} GROUP BY 1, 2, 3'
        for jobs in found.near
    ]
    if found.far:
        time = step('bucket', grain_s)
        pieces.append(f'SELECT {time} AS bucket, {found.value} AS value, outcome, {", ".join(SUMS)} {found.far}')
    return source(f'({" UNION ALL ".join(pieces)})', found.parameters, grain_s=grain_s)


def cut(what: str, dimension: str, span: Span, only: Filter, *, grain_s: float, rolled: Rolled) -> Cut:
    """Cut a span into what the best table of ``rolled`` holds and the rest."""
    condition, parameters = ended(only)
    kept = _kept(what, dimension, only, grain_s, rolled)
    whole = _whole(span, kept.level_s, kept.until) if kept else None
    far, value = '', ''
    if kept and whole:
        narrowed, value = _where(only, kept.columns), kept.value
        parameters = parameters | narrowed.parameters | {'whole_from': whole[0], 'whole_until': whole[1]}
        time = TIMES[what]
        far = f'FROM {kept.table} WHERE {time} >= $whole_from AND {time} < $whole_until AND {narrowed.sql}'
    near = []
    for n, (begin, end) in enumerate(_rest(span, whole)):
        parameters = parameters | {f'from_{n}': begin, f'until_{n}': end}
        near.append(f'FROM jobs_ended WHERE happened_at >= $from_{n} AND happened_at < $until_{n} AND {condition}')
    return Cut(far, value, near, parameters)


def step(time: str, grain_s: float) -> str:
    """The begin of the step that contains a time; all of time is one step when ``grain_s`` is infinite."""
    return '0.0' if grain_s == math.inf else f'floor({time} / $grain_s) * $grain_s'


def source(sql: str, parameters: Mapping[str, object], **more: object) -> Source:
    """What DuckDB takes: no parameter that the text does not name."""
    named = set(re.findall(r'\$(\w+)', sql))
    return Source(sql, {name: value for name, value in {**parameters, **more}.items() if name in named})


class _Kept(NamedTuple):
    """A table of what was rolled up that can answer a question, until when, and how it says value and filters."""

    table: str
    level_s: float
    until: float
    value: str
    columns: dict[str, str]


def _kept(what: str, dimension: str, only: Filter, grain_s: float, rolled: Rolled) -> _Kept | None:
    """One dimension is asked of the table of that alone, several of the smallest that has all of them."""
    asked = {_DIMENSION_OF[field] for field in _DIMENSION_OF if getattr(only, field)} | {dimension} - {''}
    one = next(iter(asked), '') if len(asked) <= 1 else None
    if one is None:
        asked = {name for each in asked for name in each.split('_')}
    for each in rolled:
        if each.what != what or not _fits(each.level_s, grain_s):
            continue
        if one is not None and each.by == (one,):
            columns = {'outcomes': 'outcome'} | {field: 'value' for field, name in _DIMENSION_OF.items() if name == one}
            return _Kept(each.table, each.level_s, each.until, 'value' if dimension else "''", columns)
        if one is None and len(each.by) > 1 and asked <= set(each.by):
            return _Kept(each.table, each.level_s, each.until, DIMENSIONS[dimension], _COLUMNS)
    return None


def _fits(level_s: float, grain_s: float) -> bool:
    return grain_s == math.inf or grain_s % level_s == 0


def _whole(span: Span, level_s: float, rolled_until: float) -> Span | None:
    """The whole hours, days or months inside a span of time, as far as they are rolled up."""
    begin = math.ceil(span[0] / level_s) * level_s
    end = min(math.floor(span[1] / level_s) * level_s, rolled_until)
    return (begin, end) if end > begin else None


def _rest(span: Span, whole: Span | None) -> list[Span]:
    """What is left of a span without that part; at least one piece, if an empty one."""
    if whole is None:
        return [span]
    return [(span[0], whole[0]), (whole[1], span[1])]


def _where(only: Filter, columns: Mapping[str, str]) -> Source:
    conditions: list[str] = []
    parameters: dict[str, object] = {}
    for field, column in columns.items():
        wanted = getattr(only, field)
        if wanted:
            names = [f'{field}_{n}' for n in range(len(wanted))]
            one_of = f'{column} IN ({", ".join(f"${name}" for name in names)})'
            conditions.append(f'({one_of}) IS TRUE' if len(names) > 1 else one_of)  # so DuckDB skips what does not fit
            parameters |= {
                name: str(one) if column == 'value' else one for name, one in zip(names, wanted, strict=True)
            }
    return Source(' AND '.join(conditions) or 'true', parameters)
