"""Every question, against figures worked out by hand, from the jobs themselves and from what is rolled up."""

import asyncio
import inspect
import time

import msgspec
import pytest

from analytics import answers, curves, ledger, named, quantiles, queries, recorder, rollups, store
from analytics.answers import Filter
from broker import facts
from tests.analytics import made

T0 = made.T0  # Friday, 15 January 2027, 8:00 UTC
RANGE = {'since': T0, 'until': T0 + 3700}
DAY_S = 86_400


def story():
    """Three jobs in the first minutes, one an hour later, and one three days later, so that all before is rolled up.

    a  ann m  waits 4 s, runs 10 s beside b, completed                 b  bob n  waits 2 s, runs 20 s, dies
    c  ann m  runs 4 s, fails, pauses 6 s, waits 1 s, runs 10 s, completed      d  bob n  cancelled after 30 s
    """
    models = tuple(facts.ModelInfo(name=name, engine='demo') for name in 'mn')
    seq = iter(range(1, 100))

    def job(make, at, job_id, **fields):
        return make(next(seq), T0 + at, job_id, **fields)

    def end(make, at, job_id, times, **fields):
        queued, started, waited_s = times
        fields = {'worker': 'w' if started else '', 'starts': 1 if started else 0, **fields}
        known = {'queued_at': T0 + queued, 'started_at': T0 + started if started else 0.0, 'waited_s': waited_s}
        ran_s = at - started if started else 0.0
        return job(make, at, job_id, **{'usage': facts.Usage(), **known, 'ran_s': ran_s, **fields})

    def told(since, until):
        return {'worker': 'w', 'predicted_from': T0 + since, 'predicted_until': T0 + until}

    ann = {'user': 'ann', 'model': 'm', 'conversation_id': 'talk'}
    bob = {'user': 'bob', 'model': 'n', 'priority': 9}
    first = facts.Usage(prompt_tokens=10, output_tokens=100, load_s=1, prompt_s=2, decode_s=5, first_token_s=3)
    second = facts.Usage(prompt_tokens=20, output_tokens=60, decode_s=3, first_token_s=1)
    return [
        facts.WorkerJoined(seq=next(seq), at=T0, worker='w', session='s', host='h', pid=1, engine='demo',
                           engine_version='1', slots=2, models=models),
        job(made.queued, 0, 'a', **ann),
        job(made.queued, 2, 'b', **bob),
        job(made.started, 4, 'a', **told(3, 5)),
        job(made.started, 4, 'b', **told(10, 20)),
        end(made.completed, 14, 'a', (0, 4, 4.0), usage=first, **ann),
        end(made.died, 24, 'b', (2, 4, 2.0), code='boom', **bob),
        job(made.queued, 60, 'c', **ann),
        job(made.started, 60, 'c', worker='w'),
        facts.JobRequeued(seq=next(seq), at=T0 + 64, job_id='c', epoch=1, reason='retry', due_at=T0 + 70, failures=1,
                          losses=0, code='timeout'),
        facts.JobDue(seq=next(seq), at=T0 + 70, job_id='c'),
        job(made.started, 71, 'c', starts=2, **told(61, 66)),
        end(made.completed, 81, 'c', (60, 71, 11.0), usage=second, **{**ann, 'starts': 2}),
        job(made.queued, 3600, 'd', **bob, parent='batch'),
        end(made.cancelled, 3630, 'd', (3600, 0, 30.0), **bob, parent='batch'),
        job(made.queued, 3 * DAY_S, 'e', user='eve', model='m'),
        end(made.completed, 3 * DAY_S, 'e', (3 * DAY_S, 0, 0.0), user='eve', model='m'),
    ]  # fmt: skip


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    """A file with the story, rolled up."""

    async def write():
        sink = await recorder.Recorder.open(path, watts={'default': 360.0})
        assert await sink.record(story())
        await sink.store.roll_up()
        await sink.close()

    path = tmp_path_factory.mktemp('story') / 'analytics.duckdb'
    asyncio.run(write())
    return path


@pytest.fixture(params=['jobs', 'rolled up'])
async def asked(request, written):
    """It is asked as if nothing was rolled up, too."""
    opened = await store.Store.open(written)
    assert {each.level_s for each in opened.rolled() if each.until} >= {rollups.HOUR_S, rollups.DAY_S}
    if request.param == 'jobs':
        opened.rolled = lambda: ()
    yield opened
    await opened.close()


async def test_the_summary(asked):
    found = await queries.summary(asked, **RANGE)
    assert (found.total, found.completed, found.failed, found.cancelled) == (4, 2, 1, 1)
    assert found.success_rate == pytest.approx(2 / 3)
    assert found.mean_response_s == pytest.approx((14 + 21) / 2)
    assert found.p50_response_s == pytest.approx(17.5)
    assert found.p95_response_s == pytest.approx(14 + 0.95 * 7)
    assert found.p99_response_s == pytest.approx(14 + 0.99 * 7)
    assert found.mean_wait_s == pytest.approx((4 + 2 + 11) / 3)
    assert (found.p50_wait_s, found.p95_wait_s) == (pytest.approx(4), pytest.approx(4 + 0.9 * 7))
    assert (found.mean_first_token_s, found.p95_first_token_s) == (pytest.approx(2), pytest.approx(1 + 0.95 * 2))
    assert found.mean_run_s == pytest.approx(10)
    assert (found.prompt_tokens, found.output_tokens, found.tokens_per_s) == (30, 160, pytest.approx(160 / 8))
    assert (found.retries, found.gpu_s) == (1, pytest.approx(5 + 15 + 14))
    assert found.energy_wh == pytest.approx(34 * 360 / 3600)
    assert found.per_minute == pytest.approx(2 / (3700 / 60)) and found.per_minute_now == 0


@pytest.mark.parametrize(
    ('only', 'total', 'wait_s'),
    [
        (Filter(users=('ann',)), 2, 15 / 2),
        (Filter(users=('ann', 'bob')), 4, 17 / 3),
        (Filter(users=('nobody',)), 0, None),
        (Filter(models=('n',)), 2, 2),
        (Filter(outcomes=('completed', 'failed')), 3, 17 / 3),
        (Filter(priorities=(9,)), 2, 2),
        (Filter(kinds=('chat',)), 4, 17 / 3),
        (Filter(workers=('w',)), 3, 17 / 3),
        (Filter(engines=('demo',), sources=('chat',)), 2, 15 / 2),
        (Filter(sources=('batch',)), 1, None),
        (Filter(users=('bob',), outcomes=('failed',), models=('n',), priorities=(9, 1)), 1, 2),
    ],
)
async def test_a_filter_narrows(asked, only, total, wait_s):
    found = await queries.summary(asked, **RANGE, only=only)
    assert (found.total, found.mean_wait_s) == (total, wait_s if wait_s is None else pytest.approx(wait_s))
    assert sum(point.failed for point in await curves.per_minute(asked, **RANGE, only=only)) == found.failed
    assert (await queries.waits(asked, **RANGE, only=only)).jobs == total


async def test_a_range_beside_the_one_before_it(asked):
    found = await queries.compare(asked, since=T0 + 3600, until=T0 + 7200)
    assert (found.now.total, found.before.total) == (1, 3)
    assert found.before == await queries.summary(asked, since=T0, until=T0 + 3600)


async def test_groups(asked):
    ann, bob = await queries.groups(asked, 'user', **RANGE)
    assert (ann.name, ann.total, ann.completed, ann.success_rate) == ('ann', 2, 2, 1)
    assert (ann.mean_response_s, ann.p50_response_s) == (pytest.approx(17.5), pytest.approx(17.5))
    assert (ann.p95_wait_s, ann.retries, ann.gpu_s) == (pytest.approx(4 + 0.95 * 7), 1, pytest.approx(19))
    assert (bob.name, bob.total, bob.failed, bob.cancelled, bob.success_rate) == ('bob', 2, 1, 1, 0)
    assert (bob.mean_response_s, bob.p95_response_s, bob.p95_wait_s) == (None, None, pytest.approx(2))
    names = {
        dimension: [(each.name, each.total) for each in await queries.groups(asked, dimension, **RANGE)]
        for dimension in ('model', 'worker', 'priority', 'kind', 'engine', 'source')
    }
    assert names == {
        'model': [('m', 2), ('n', 2)],
        'worker': [('w', 3), ('', 1)],
        'priority': [('5', 2), ('9', 2)],
        'kind': [('chat', 4)],
        'engine': [('demo', 4)],
        'source': [('chat', 2), ('api', 1), ('batch', 1)],
    }


async def test_models_and_priorities(asked):
    m, n = await queries.by_model(asked, **RANGE)
    assert (m.model, m.total, m.output_tokens, m.tokens_per_s) == ('m', 2, 160, pytest.approx(20))
    assert (n.failed, n.cancelled, n.tokens_per_s) == (1, 1, None)
    high, usual = await queries.by_priority(asked, **RANGE)
    assert (high.priority, high.total, usual.priority, usual.mean_run_s) == (9, 2, 5, pytest.approx(10))


@pytest.mark.parametrize(
    ('zone', 'hours'),
    [('UTC', {(4, 8): 3, (4, 9): 1}), ('Asia/Kolkata', {(4, 13): 3, (4, 14): 1}),
     ('Pacific/Auckland', {(4, 21): 3, (4, 22): 1}), ('Asia/Kathmandu', {(4, 13): 3, (4, 14): 1})],
)  # fmt: skip
async def test_hours_of_the_week_go_by_the_clock_of_a_zone(asked, zone, hours):
    found = await curves.by_hour_of_week(asked, **RANGE, zone=zone)
    assert [(cell.weekday, cell.hour) for cell in found] == [(day, hour) for day in range(7) for hour in range(24)]
    assert {(cell.weekday, cell.hour): cell.total for cell in found if cell.total} == hours
    busy = max(found, key=lambda cell: cell.total)
    assert (busy.failed, busy.mean_wait_s, busy.mean_response_s) == (1, pytest.approx(17 / 3), pytest.approx(17.5))
    with pytest.raises(ValueError, match='no time zone'):
        await curves.by_hour_of_week(asked, **RANGE, zone='Nowhere/Land')


async def test_reasons_of_failures(asked):
    boom, timeout = await queries.failures(asked, **RANGE)
    assert boom == answers.Failure(code='boom', died=1, retried=0, last_at=T0 + 24, last_job_id='b')
    assert timeout == answers.Failure(code='timeout', died=0, retried=1, last_at=T0 + 64, last_job_id='c')
    assert await queries.failures(asked, **RANGE, only=Filter(users=('ann',))) == [timeout]


async def test_the_depth_of_the_queue(asked):
    found = await curves.queue_depth(asked, since=T0, until=T0 + 3630)
    assert (found[0].at, found[0].waiting, found[0].most) == (T0, pytest.approx((4 + 2) / 60), 2)
    assert (found[1].waiting, found[1].most) == (pytest.approx(1 / 60), 1)
    assert (found[2].waiting, found[2].most) == (0, 0)
    assert (found[60].waiting, found[60].most) == (pytest.approx(1), 1)
    assert (await curves.queue_depth(asked, since=T0 - 60, until=T0))[0].waiting is None
    only_n = await curves.queue_depth(asked, since=T0, until=T0 + 60, models=('n',))
    assert (only_n[0].waiting, only_n[0].most) == (pytest.approx(2 / 60), 1)


async def test_saturation(asked):
    found = await curves.saturation(asked, since=T0, until=T0 + 120)
    assert (found[0].slots, found[0].busy, found[0].share) == (2, pytest.approx(30 / 60), pytest.approx(0.25))
    assert found[1].busy == pytest.approx(14 / 60)
    assert await curves.saturation(asked, since=T0, until=T0 + 120, workers=('w',)) == found
    [nothing] = await curves.saturation(asked, since=T0 - 60, until=T0)
    assert (nothing.slots, nothing.share) == (None, None)


async def test_predictions_beside_what_happened(asked):
    found = await curves.eta(asked, **RANGE)
    assert (found.told, found.hits, found.early, found.late, found.hit_rate) == (3, 1, 1, 1, pytest.approx(1 / 3))
    assert found.mean_error_s == pytest.approx((0 - 11 + 7.5) / 3)
    assert found.mean_distance_s == pytest.approx((0 + 11 + 7.5) / 3)
    assert [(point.at, point.told) for point in found.points] == [(T0, 3), (T0 + 3600, 0)]


async def test_the_speed_of_models_over_time(asked):
    found = await curves.model_speed(asked, **RANGE)
    assert [(each.at, each.model, each.completed) for each in found] == [
        (T0, 'm', 2), (T0, 'n', 0), (T0 + 3600, 'n', 0),
    ]  # fmt: skip
    assert (found[0].mean_first_token_s, found[0].tokens_per_s) == (pytest.approx(2), pytest.approx(20))
    assert (found[1].mean_first_token_s, found[1].tokens_per_s) == (None, None)


async def test_the_ledger(asked):
    ann, bob = await queries.usage(asked, **RANGE)
    assert msgspec.structs.asdict(ann) == {
        'user': 'ann', 'model': '', 'jobs': 2, 'completed': 2, 'prompt_tokens': 30, 'output_tokens': 160,
        'run_s': pytest.approx(20), 'gpu_s': pytest.approx(19), 'energy_wh': pytest.approx(1.9),
    }  # fmt: skip
    assert (bob.user, bob.jobs, bob.completed, bob.run_s, bob.gpu_s) == ('bob', 2, 0, 20, pytest.approx(15))
    told_apart = await queries.usage(asked, since=T0, until=T0 + 4 * DAY_S, models=True)
    assert [(each.user, each.model, each.jobs) for each in told_apart] == [
        ('ann', 'm', 2), ('bob', 'n', 2), ('eve', 'm', 1),
    ]  # fmt: skip


async def test_where_the_time_went(asked):
    found = await queries.waits(asked, **RANGE)
    assert (found.jobs, found.wait_s, found.behind_s, found.retry_s) == (4, 47, 4 + 2 + 1 + 30, 10)
    assert (found.limited_s, found.paused_s, found.no_worker_s, found.delayed_s, found.blocked_s) == (0, 0, 0, 0, 0)
    assert (found.load_s, found.prompt_s, found.decode_s, found.other_s) == (1, 2, 8, 40 - 11)


async def test_one_job(asked):
    found = await queries.job_time(asked, 'c')
    assert (found.waited_s, found.behind_s, found.retry_s, found.ran_s, found.attempts) == (11, 1, 10, 10, 2)
    assert (found.queued_at, found.started_at, found.ended_at) == (T0 + 60, T0 + 71, T0 + 81)
    assert (found.source, found.user, found.tokens_per_s, found.gpu_s) == ('chat', 'ann', 20, 14)
    assert (found.predicted_from, found.predicted_until) == (T0 + 61, T0 + 66)
    assert await queries.job_time(asked, 'none') is None


async def test_what_can_be_chosen(asked):
    found = await queries.choices(asked, **RANGE)
    assert (found.users, found.models, found.workers) == (['ann', 'bob'], ['m', 'n'], ['w'])
    assert (found.kinds, found.engines, found.sources) == (['chat'], ['demo'], ['chat', 'api', 'batch'])
    assert found.priorities == [9, 5]


async def test_when_the_first_job_ended_is_known_also_when_only_its_hour_is_left(path):
    sink = await recorder.Recorder.open(path)
    assert await queries.first_end(sink.store) is None
    await sink.record([made.completed(1, T0 + 7, 'a'), made.completed(2, T0 + 9, 'b')])
    assert await queries.first_end(sink.store) == T0 + 7
    await sink.record([made.completed(3, T0 + 2 * DAY_S, 'c')])
    await sink.store.roll_up()
    await sink.store._run(lambda: sink.store._connection.execute('DELETE FROM jobs_ended WHERE seq < 3'))
    assert await queries.first_end(sink.store) == T0 // 3600 * 3600
    await sink.close()


async def test_what_waits_goes_on_waiting_on_the_chart_while_nothing_happens(path):
    now = time.time()
    models = tuple(facts.ModelInfo(name=name, engine='demo') for name in 'mn')
    joined = facts.WorkerJoined(seq=1, at=now - 4000, worker='w', session='s', host='h', pid=1, engine='demo',
                                engine_version='1', slots=2, models=models)  # fmt: skip
    story = [joined, made.queued(2, now - 3995, 'a', model='m'), made.queued(3, now - 3990, 'b', model='n')]
    story.append(made.started(4, now - 3000, 'a', worker='w'))
    done = asyncio.Event()
    book = await ledger.Ledger.open(path, made.Queue(story).facts_after)
    book.watch(lambda: done.set() if book.last_seq() == 4 else None)
    await done.wait()
    span = {'since': now - 2400, 'until': now + 1800, 'step_s': 600.0}
    for models, waiting in (((), 1), (('n',), 1), (('m',), 0)):
        depth = await book.queue_depth(**span, models=models)
        assert {(each.waiting, each.most) for each in depth if each.at <= now} == {(waiting, waiting)}
        assert {each.waiting for each in depth if each.at > now + 600} == {None}
    for workers, slots, busy in (((), 2, 1), (('w',), 2, 1), (('v',), 0, 0)):
        found = await book.saturation(**span, workers=workers)
        assert {(each.slots, each.busy) for each in found if each.at <= now} == {(slots, busy)}
    await book.close()


async def test_of_many_jobs_quantiles_are_four_percent_off_at_most(path, monkeypatch):
    monkeypatch.setattr(queries, 'EXACT', 0)
    sink = await recorder.Recorder.open(path)
    ends = [
        made.completed(n, T0 + n * 400, f'{n}', queued_at=T0 + n * 400 - n / 10, waited_s=n / 20, model='mn'[n % 2])
        for n in range(1, 1001)
    ]
    assert await sink.record(ends)
    answers = []
    for rolled in (False, True):
        if rolled:
            await sink.store.roll_up()
        sink.store.rolled = lambda: rollups.rolled(sink.store._rolled if rolled else {})  # noqa: B023
        found = await queries.summary(sink.store, since=T0, until=T0 + 500_000)
        assert found.p50_response_s == pytest.approx(50, rel=0.04)
        assert found.p95_response_s == pytest.approx(95, rel=0.04)
        assert found.p99_response_s == pytest.approx(99, rel=0.04)
        assert found.p95_wait_s == pytest.approx(47.5, rel=0.04)
        by_model = await queries.groups(sink.store, 'model', since=T0, until=T0 + 500_000)
        assert [each.p95_response_s for each in by_model] == [pytest.approx(95, rel=0.04)] * 2
        answers.append((found, by_model))
    assert answers[0][1][0].total == answers[1][1][0].total == 500
    assert answers[0][0].p50_response_s == answers[1][0].p50_response_s
    await sink.close()


async def test_ends_that_lie_in_a_time_that_is_rolled_up_are_counted(path):
    sink = await recorder.Recorder.open(path)
    await sink.record([*made.life(3), made.completed(10, T0 + 50 * DAY_S, 'late')])
    await sink.store.roll_up()
    await sink.record(
        [made.completed(11, T0 + 7, 'back'), made.completed(12, T0 + 8, 'back again')]
    )  # the clock was put back
    found = await queries.summary(sink.store, since=T0 - DAY_S, until=T0 + 2 * DAY_S)
    assert found.total == 5
    assert sum(each.total for each in await queries.groups(sink.store, 'user', since=0, until=T0 + 60 * DAY_S)) == 6
    for only in (Filter(models=('m',), priorities=(5,)), Filter(models=('m',), users=('',))):
        found = await queries.summary(sink.store, since=T0 - 60 * DAY_S, until=T0 + 60 * DAY_S, only=only)
        assert found.total == 6
    await sink.close()


def test_lengths_and_buckets_fit_together():
    for seconds in (0.0, 0.0005, 0.001, 0.0011, 0.5, 1, 61, 3600, 9e5, 1e12):
        bucket = quantiles.bucket_of(seconds)
        assert seconds <= 0.001 or quantiles.length_of(bucket) == pytest.approx(seconds, rel=0.04)


def test_every_question_can_be_asked_of_the_ledger_and_every_named_query_is_used():
    source = inspect.getsource(queries) + inspect.getsource(curves)
    assert all(f"named.SQL['{name}']" in source for name in named.SQL)
    known = (vars(queries) | vars(curves)).items()
    asked = [name for name, each in known if inspect.iscoroutinefunction(each) and name[0] != '_']
    assert len(asked) > 15 and all(hasattr(ledger.Ledger, name) for name in asked)
