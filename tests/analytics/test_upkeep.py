"""Old rows get fewer, and sums stay what they were."""

import pytest

from analytics import curves, queries, recorder, upkeep
from analytics.answers import Filter
from tests.analytics import made

T0 = made.T0
DAY_S = 86_400


async def test_curves_get_coarser_and_keep_their_areas(path):
    sink = await recorder.Recorder.open(path)
    story = made.life(200)
    assert await sink.record(story)
    before = await sink.store.read("SELECT count(*), sum(waited_job_s), max(most) FROM depth WHERE model = ''")
    span = {'since': T0, 'until': T0 + 180}
    depth = await curves.queue_depth(sink.store, **span)
    assert await sink.record([made.completed(601, T0 + 2 * DAY_S, 'x')])
    [(rows, area, most)] = await sink.store.read(
        f"SELECT count(*), sum(waited_job_s), max(most) FROM depth WHERE model = '' AND happened_at < {T0 + 200}"
    )
    assert rows < before[0][0] and (area, most) == (pytest.approx(before[0][1]), before[0][2])
    assert await curves.queue_depth(sink.store, **span) == depth
    assert await sink.record([made.completed(602, T0 + 20 * DAY_S, 'y')])
    assert await sink.store.read(f"SELECT count(*) FROM depth WHERE model = '' AND happened_at < {T0 + 3600}") == [(1,)]
    await sink.close()


async def test_single_jobs_go_after_a_while_and_their_sums_stay(path):
    sink = await recorder.Recorder.open(path, keep_s=30 * DAY_S)
    assert await sink.record([*made.life(40), made.completed(121, T0 + 80 * DAY_S, 'x')])
    await sink.store.roll_up()
    assert await sink.record([made.completed(122, T0 + 81 * DAY_S, 'y')])
    assert await sink.store.read('SELECT count(*) FROM jobs_ended') == [(2,)]
    assert await sink.store.read('SELECT count(*) FROM queued') == [(0,)]
    found = await queries.groups(sink.store, 'model', since=T0 - DAY_S, until=T0 + 90 * DAY_S)
    assert [(each.name, each.total, each.completed) for each in found] == [('m', 42, 22)]
    for only in (Filter(models=('m',), priorities=(5,)), Filter(users=('',), workers=('w:1',), kinds=('chat',))):
        several = await queries.summary(sink.store, since=T0 - 100 * DAY_S, until=T0 + 90 * DAY_S, only=only)
        assert (several.total, several.completed) == (42, 22)
    await sink.close()


def test_nothing_is_deleted_that_is_to_stay():
    assert not any('queued' in sql for sql, _ in upkeep.statements(T0, 0.0, 0.0))
