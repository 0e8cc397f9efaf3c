"""Old rows get fewer, and sums stay what they were."""

import duckdb
import pytest

from analytics import curves, errors, queries, recorder, store, upkeep
from analytics.answers import Filter
from tests.analytics import made

T0 = made.T0
DAY_S = 86_400


async def record(sink, batch):
    """And wait for what follows."""
    assert await sink.record(batch)
    await sink.store._upkeep


async def test_curves_get_coarser_and_keep_their_areas(path):
    sink = await recorder.Recorder.open(path)
    story = made.life(200)
    await record(sink, story)
    before = await sink.store.read("SELECT count(*), sum(waited_job_s), max(most) FROM depth WHERE model = ''")
    span = {'since': T0, 'until': T0 + 180}
    depth = await curves.queue_depth(sink.store, **span)
    await record(sink, [made.completed(601, T0 + 2 * DAY_S, 'x')])
    [(rows, area, most)] = await sink.store.read(
        f"SELECT count(*), sum(waited_job_s), max(most) FROM depth WHERE model = '' AND happened_at < {T0 + 200}"
    )
    assert rows < before[0][0] and (area, most) == (pytest.approx(before[0][1]), before[0][2])
    assert await curves.queue_depth(sink.store, **span) == depth
    await record(sink, [made.completed(602, T0 + 20 * DAY_S, 'y')])
    assert await sink.store.read(f"SELECT count(*) FROM depth WHERE model = '' AND happened_at < {T0 + 3600}") == [(1,)]
    await sink.close()


async def test_single_jobs_go_after_a_while_and_their_sums_stay(path):
    sink = await recorder.Recorder.open(path, keep_s=30 * DAY_S)
    await record(sink, [*made.life(40), made.completed(121, T0 + 80 * DAY_S, 'x')])
    await sink.store.roll_up()
    await record(sink, [made.completed(122, T0 + 81 * DAY_S, 'y')])
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


async def test_the_log_is_written_into_the_file_after_what_was_recorded(path, monkeypatch):
    monkeypatch.setattr(store, 'LOG_BYTES', 0)
    sink = await recorder.Recorder.open(path)
    size = path.stat().st_size
    await record(sink, made.life(200))
    assert not path.with_name('analytics.duckdb.wal').exists() and path.stat().st_size > size
    assert await sink.store.read('SELECT count(*) FROM jobs_ended') == [(200,)]
    await sink.close()


@pytest.mark.parametrize('error', [duckdb.IOException('No space left on device'), duckdb.IOException('bad checksum')])
async def test_trouble_after_facts_landed_is_found_and_loses_none(path, monkeypatch, error):
    sink = await recorder.Recorder.open(path)
    told = []
    sink.store.on_rebuild = lambda: told.append(True)
    with monkeypatch.context() as broken:
        broken.setattr(sink.store, '_shorten_log', lambda connection: sink.store._judge(error))
        await record(sink, made.life(20))
    if told:  # damage: whoever feeds it begins anew
        assert sink.last_seq() == 0
        with pytest.raises(errors.Gap):
            await sink.record([made.queued(61)])
    await record(sink, [*made.life(20), made.queued(61)])
    assert told == [True] * ('checksum' in str(error)) == [True] * sink.store.rebuilds
    assert await sink.store.read('SELECT count(*) FROM jobs_ended') == [(20,)]
    assert sink.last_seq() == 61
    await sink.close()
