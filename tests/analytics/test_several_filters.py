"""What is narrowed by several things at once is the same from the sums that are kept as from the jobs themselves."""

import asyncio
import itertools
import math

import msgspec
import pytest

from analytics import curves, parts, quantiles, queries, recorder, spread, store
from analytics.answers import Filter
from broker import facts
from tests.analytics import made

DAY_S = 86_400
SINCE, UNTIL = made.T0 + DAY_S, made.T0 + 67 * DAY_S  # no round weeks or months: both ends are single jobs
CHOSEN = {
    'user': {'users': ('ann', 'bob')},
    'model': {'models': ('m', 'n')},
    'priority': {'priorities': (5,)},
    'kind': {'kinds': ('chat',)},
    'worker': {'workers': ('v', '')},
}
SEVERAL = [
    *itertools.combinations(CHOSEN, 2),
    ('user', 'model', 'priority'),
    ('model', 'priority', 'worker'),
    tuple(CHOSEN),
]
WEEK = {'step_s': 7.0 * DAY_S}
ASKED = {
    'summary': lambda source, span, only: queries.summary(source, **span, only=only),
    'per_minute': lambda source, span, only: curves.per_minute(source, **span, **WEEK, only=only),
    'spread': lambda source, span, only: spread.spread(source, **span, **WEEK, only=only),
    'users': lambda source, span, only: queries.groups(source, 'user', **span, only=only),
    'workers': lambda source, span, only: queries.groups(source, 'worker', **span, only=only),
    'ledger': lambda source, span, only: queries.usage(source, **span, models=True, only=only),
}


def ends():
    """Ends of 501 jobs in three months: all mixtures of users, models, priorities, kinds, workers and outcomes."""
    for n in range(1, 502):
        at = made.T0 + (n - 1) // 167 * 33 * DAY_S + (n - 1) % 167 * 1200.0
        make = (made.completed, made.completed, made.died, made.cancelled)[n % 4]
        started = n % 11 > 0
        yield make(
            n, at, f'{n:032x}', user=('ann', 'bob', 'eve')[n // 2 % 3], model='mno'[n // 3 % 3],
            priority=(5, 9)[n // 5 % 2], kind=('chat', 'embed')[n // 7 % 2], worker='vw'[n // 9 % 2] if started else '',
            starts=1 + (n % 13 == 0) if started else 0, waited_s=float(n % 17), ran_s=float(n % 19),
            queued_at=at - n % 17 - n % 19, started_at=at - n % 19 if started else 0.0,
        )  # fmt: skip


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    async def write():
        sink = await recorder.Recorder.open(path)
        assert await sink.record(list(ends()))
        await sink.store.roll_up()
        await sink.close()

    path = tmp_path_factory.mktemp('several') / 'analytics.duckdb'
    asyncio.run(write())
    return path


@pytest.fixture
async def source(written):
    opened = await store.Store.open(written)
    yield opened
    await opened.close()


def fits(end, names):
    of = {'users': end.user, 'models': end.model, 'priorities': end.priority, 'kinds': end.kind, 'workers': end.worker}
    return SINCE <= end.at < UNTIL and all(
        of[field] in wanted for name in names for field, wanted in CHOSEN[name].items()
    )


def plain(answer):
    """Sums in another order differ in the last digits."""
    if isinstance(answer, float):
        return None if math.isnan(answer) else float(f'{answer:.9g}')
    if isinstance(answer, dict):
        return {name: plain(value) for name, value in answer.items()}
    if isinstance(answer, list):
        return [plain(value) for value in answer]
    return answer


@pytest.mark.parametrize('names', SEVERAL, ids='+'.join)
async def test_sums_that_are_kept_say_what_the_jobs_say(source, names, monkeypatch):
    for room in (queries, spread):
        monkeypatch.setattr(room, 'EXACT', 0)  # quantiles are read from buckets, whatever they are counted from
    only = Filter(**{field: wanted for name in names for field, wanted in CHOSEN[name].items()})
    span = {'since': SINCE, 'until': UNTIL}
    assert '_kind' in parts.sums('', (SINCE, UNTIL), only, rolled=source.rolled()).sql
    kept = {name: await ask(source, span, only) for name, ask in ASKED.items()}
    source.rolled = lambda: ()
    for name, ask in ASKED.items():
        assert plain(msgspec.to_builtins(kept[name])) == plain(msgspec.to_builtins(await ask(source, span, only))), name
    counted = [end for end in ends() if fits(end, names)]
    waits = [end.waited_s for end in counted if end.starts]
    summary = kept['summary']
    assert (summary.total, summary.retries) == (len(counted), sum(max(end.starts - 1, 0) for end in counted))
    assert summary.mean_wait_s == pytest.approx(sum(waits) / len(waits))
    assert sum(line.jobs for line in kept['ledger']) == sum(group.total for group in kept['users']) == len(counted)


@pytest.mark.parametrize(
    ('dimension', 'only', 'grain_s', 'tables'),
    [
        ('', Filter(models=('m',), priorities=(5,)), math.inf,
         ('sums_by_worker_priority_model_kind', 'counts_by_priority_model_kind')),
        ('', Filter(kinds=('chat',), workers=('v',)), 7.0 * DAY_S,
         ('sums_by_worker_priority_model_kind', 'counts_by_worker_priority_kind')),
        ('user', Filter(priorities=(5,)), math.inf, ('sums_by_priority_kind_user', 'counts_by_priority_kind_user')),
        ('user', Filter(models=('m',), priorities=(5,)), math.inf,
         ('sums_by_priority_model_kind_user', 'lists_by_priority_model_kind_user')),
        ('', Filter(users=('ann',), workers=('v',), models=('m',), kinds=('chat',)), math.inf,
         ('sums_by_worker_model_kind_user', 'lists_by_worker_model_kind_user')),
        ('user', Filter(models=('m',), priorities=(5,), workers=('v',)), math.inf,
         ('sums_by_worker_priority_model_kind_user', 'lists_by_worker_priority_model_kind_user')),
        ('', Filter(models=('m',), priorities=(5,), workers=('v',)), math.inf,
         ('sums_by_worker_priority_model_kind', 'lists_by_worker_priority_model_kind_user')),
        ('', Filter(models=('m',), priorities=(5,)), DAY_S, ('', '')),
        ('', Filter(models=('m',), engines=('demo',)), math.inf, ('', '')),
        ('user_model', Filter(), math.inf, ('sums_by_user_model', '')),
        ('model', Filter(models=('m',)), math.inf, ('sums_by_model', 'counts_by_model')),
    ],
)  # fmt: skip
async def test_each_question_is_answered_by_the_smallest_table_that_can(source, dimension, only, grain_s, tables):
    rolled, span = [each for each in source.rolled() if each.until], (SINCE, UNTIL)
    wanted = {'response': (50,)}
    for cut, table in zip(
        (
            parts.sums(dimension, span, only, grain_s=grain_s, rolled=rolled),
            quantiles.quantiles(dimension, span, only, wanted, rolled, grain_s=grain_s),
        ),
        tables,
        strict=True,
    ):
        named = [each.table for each in rolled if f'FROM {each.table} ' in cut.sql]
        assert named == [table] * bool(table)


@pytest.mark.parametrize('only', [Filter(), Filter(models=('m',), priorities=(5,))])
async def test_a_quantile_is_the_bucket_of_the_nearest_rank(source, only):
    """From a histogram or from lists, and single jobs: the first that so many percent lie up to."""
    wanted = {'wait': (0, 1, 50, 94, 95, 99, 100), 'response': (50, 95)}
    span = (SINCE, UNTIL)
    for rolled in (source.rolled(), ()):
        rows = await source.read(*quantiles.quantiles('user', span, only, wanted, rolled))
        found = {value: found for _, value, *found in rows}
        assert found.keys() == {'ann', 'bob', 'eve'}
        for user, (wait, response) in found.items():
            of_user = [
                end for end in ends()
                if SINCE <= end.at < UNTIL and end.user == user
                and (not only.models or end.model in only.models)
                and (not only.priorities or end.priority in only.priorities)
            ]  # fmt: skip
            waits = [end.waited_s for end in of_user if end.starts]
            whole = [end.at - end.queued_at for end in of_user if isinstance(end, facts.JobCompleted)]
            assert wait == [nearest(waits, percent) for percent in wanted['wait']]
            assert response == [nearest(whole, percent) for percent in wanted['response']]


def nearest(times, percent):
    rank = max(1, -(-len(times) * percent // 100))
    return sorted(map(quantiles.bucket_of, times))[rank - 1]
