"""Whatever happens to the file, the totals come back equal."""

import asyncio
import contextlib
import hashlib
import os
import stat
import subprocess
import sys

import duckdb
import pytest

from analytics import errors, file, ledger, parts, quantiles, recorder, rollups, store, versions
from tests.analytics import made

STORY = made.life(100)


async def ends(sink):
    return await sink.store.read('SELECT outcome, count(*), sum(seq) FROM jobs_ended GROUP BY 1 ORDER BY 1')


@pytest.fixture
async def filled(path):
    """A closed file with the whole story; gives what its totals were."""
    sink = await recorder.Recorder.open(path)
    await sink.record(STORY)
    before = await ends(sink)
    await sink.close()
    return before


def flip(offset):
    def damage(path):
        data = bytearray(path.read_bytes())
        data[offset] ^= 0xFF
        path.write_bytes(data)

    return damage


def cut(size):
    return lambda path: os.truncate(path, size)


def other_schema(version):
    def damage(path):
        with duckdb.connect(path) as connection:
            connection.execute(f'UPDATE meta SET schema_version = {version}')

    return damage


def without(statement):
    def damage(path):
        with duckdb.connect(path) as connection:
            connection.execute(statement)

    return damage


def leave_a_log(path):
    """Another process writes and is killed before it has tidied up."""
    code = f"""
import duckdb, os
connection = duckdb.connect({str(path)!r})
connection.execute('UPDATE meta SET last_seq = 301')
os._exit(9)
"""
    subprocess.run([sys.executable, '-c', code], check=False)


def held_by_another(path):
    """Another process that has the file open until the block ends."""
    code = f"import duckdb, sys; held = duckdb.connect({str(path)!r}); print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, '-c', code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    holder.stdout.readline()
    return holder


DAMAGES = {
    'a flipped byte in the magic': flip(8),
    'a flipped byte in the first header': flip(100),
    'a flipped byte in the second header': flip(4100),
    'nothing left': cut(0),
    'a header only': cut(4096),
    'half': cut(200_000),
    'a newer schema': other_schema(99),
    'an older schema': other_schema(0),
    'no meta': without('DROP TABLE meta'),
    'an empty meta': without('DELETE FROM meta'),
    'not a database': lambda path: path.write_text('hello'),
    'a folder': lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize('damage', DAMAGES.values(), ids=DAMAGES.keys())
async def test_a_file_that_will_not_open_is_set_aside_and_filled_anew(path, filled, damage):
    damage(path)
    sink = await recorder.Recorder.open(path)
    assert sink.last_seq() == 0
    assert sink.store.rebuilds == 1
    assert len(list(path.parent.glob('analytics.duckdb.broken-*'))) == 1
    await sink.record(STORY)
    assert await ends(sink) == filled
    await sink.close()


async def test_a_file_of_an_earlier_version_keeps_its_rows_and_goes_on(path, filled, monkeypatch):
    now = versions.SCHEMA_VERSION
    steps = {
        now: ("ALTER TABLE starts ADD COLUMN mood VARCHAR DEFAULT 'calm'",),
        now + 1: ('ALTER TABLE starts RENAME COLUMN mood TO temper', "UPDATE starts SET temper = 'wild' WHERE seq = 2"),
    }
    monkeypatch.setattr(versions, 'STEPS', versions.STEPS | steps)
    monkeypatch.setattr(versions, 'SCHEMA_VERSION', now + 2)
    for _ in range(2):  # the second time it is of this version
        sink = await recorder.Recorder.open(path)
        assert (sink.last_seq(), sink.store.rebuilds) == (300, 0)
        assert await ends(sink) == filled
        tempers = await sink.store.read('SELECT temper, count(*) FROM starts GROUP BY 1 ORDER BY 1')
        assert tempers == [('calm', 99), ('wild', 1)]
        await sink.close()
    sink = await recorder.Recorder.open(path)
    assert await sink.record([made.queued(301), made.started(302)])
    assert await sink.store.read('SELECT seq, temper FROM starts WHERE seq > 300') == [(302, 'calm')]
    await sink.close()


def as_version_6(connection):
    """Sums by users and all others at once were one table; sums and histograms by users were made together."""
    sums = ', '.join(f'{sql} AS {name}' for name, sql in parts.SUMS.items())
    connection.execute(
        'CREATE TABLE sums_by_user_worker_priority_model_kind AS SELECT floor(happened_at / 2592000) * 2592000 AS '
        f'bucket, "user", worker, priority, model, kind, outcome, {sums} FROM jobs_ended '
        "WHERE happened_at < (SELECT until FROM rolled WHERE batch = 'month') GROUP BY ALL"
    )
    for each in rollups.TABLES:
        if each.by[-2:] == ('kind', 'user'):
            connection.execute('DELETE FROM rolled WHERE batch = ?', [each.name])
            if len(each.by) > 3:
                connection.execute(f'DROP TABLE {each.name}')
    for batch in ('worker_user', 'priority_user', 'model_user', 'all'):
        connection.execute("INSERT INTO rolled SELECT ?, until FROM rolled WHERE batch = 'month'", [batch])


def as_version_5(connection):
    """There were only tables of one dimension, rolled up by how long their steps are."""
    for each in rollups.TABLES:
        if len(each.by) > 1:
            connection.execute(f'DROP TABLE {each.name}')
    connection.execute(
        'CREATE TABLE of_levels AS SELECT level_s, until FROM rolled '
        "JOIN (VALUES ('hour', 3600.0), ('day', 86400.0), ('month', 2592000.0)) known(batch, level_s) USING (batch)"
    )
    connection.execute('DROP TABLE rolled')
    connection.execute('ALTER TABLE of_levels RENAME TO rolled')


@pytest.mark.parametrize(('version', 'as_it_was'), [(5, as_version_5), (6, as_version_6)])
async def test_a_file_of_an_earlier_version_gets_the_sums_it_lacks_from_its_jobs(path, version, as_it_was):
    async def tables(source):
        in_order = ', '.join(f'list_sort({measure}) AS {measure}' for measure in quantiles.MEASURES)
        return {'rolled': await source.read('SELECT batch, until FROM rolled ORDER BY ALL')} | {
            each.name: await source.read(
                f'SELECT * {f"REPLACE ({in_order})" * (each.what == "lists")} FROM {each.name} ORDER BY ALL'
            )
            for each in rollups.TABLES
        }

    story = [*made.life(60), made.completed(181, made.T0 + 40 * 86_400, 'x')]
    sink = await recorder.Recorder.open(path)
    await sink.record(story)
    await sink.store.roll_up()
    whole = await tables(sink.store)
    columns = await sink.store.read('SELECT table_name, column_name, data_type FROM duckdb_columns() ORDER BY ALL')
    assert all(whole.values())
    await sink.close()
    with duckdb.connect(path) as connection:
        as_it_was(connection)
        connection.execute('UPDATE meta SET schema_version = ?', [version])
    book = await ledger.Ledger.open(path, made.Queue(story).facts_after)
    await asyncio.wait_for(asyncio.shield(book._tasks[-1]), 60)
    source = book._sink.store
    assert (book.last_seq(), source.rebuilds) == (181, 0)
    assert await tables(source) == whole
    found = await source.read('SELECT table_name, column_name, data_type FROM duckdb_columns() ORDER BY ALL')
    assert found == columns
    await book.close()


async def test_a_step_that_fails_leaves_the_file_as_it_was_aside(path, filled, monkeypatch):
    now = versions.SCHEMA_VERSION
    monkeypatch.setattr(versions, 'STEPS', {now: ('DELETE FROM starts', 'ALTER TABLE nothing ADD COLUMN mood VARCHAR')})
    monkeypatch.setattr(versions, 'SCHEMA_VERSION', now + 1)
    sink = await recorder.Recorder.open(path)
    assert (sink.last_seq(), sink.store.rebuilds) == (0, 1)
    await sink.close()
    [aside] = path.parent.glob('analytics.duckdb.broken-*')
    with duckdb.connect(aside, read_only=True) as connection:
        assert connection.execute('SELECT schema_version FROM meta').fetchall() == [(now,)]
        assert connection.execute('SELECT count(*) FROM starts').fetchall() == [(100,)]


async def test_the_tables_are_those_of_this_version(opened):
    columns = await opened.store.read(
        'SELECT table_name, column_name, data_type FROM duckdb_columns() '
        "WHERE database_name <> 'temp' AND schema_name = 'main' AND NOT internal ORDER BY ALL"
    )
    mark = hashlib.sha256(repr(columns).encode()).hexdigest()[:16]
    assert (versions.SCHEMA_VERSION, mark) == (7, '0a0693bb193cac85'), (
        'the tables changed: count SCHEMA_VERSION up, add a step to versions.STEPS and the new mark here'
    )


async def test_a_deleted_file_is_filled_anew_even_when_its_log_is_left(path, filled):
    path.unlink()
    path.with_name('analytics.duckdb.wal').write_bytes(b'left over')
    sink = await recorder.Recorder.open(path)
    assert sink.last_seq() == 0
    await sink.record(STORY)
    assert await ends(sink) == filled
    await sink.close()


async def test_a_damaged_log_after_a_kill_is_set_aside_with_its_file(path, filled):
    leave_a_log(path)
    log = path.with_name('analytics.duckdb.wal')
    flip(log.stat().st_size // 2)(log)
    sink = await recorder.Recorder.open(path)
    assert sink.last_seq() == 0
    assert len(list(path.parent.glob('analytics.duckdb.broken-*.wal'))) == 1
    await sink.record(STORY)
    assert await ends(sink) == filled
    await sink.close()


async def test_a_file_deleted_while_open_is_filled_anew(path, opened):
    await opened.record(STORY)
    before = await ends(opened)
    path.unlink()
    path.with_name('analytics.duckdb.wal').unlink(missing_ok=True)
    assert not await opened.record([made.queued(301)])
    assert opened.last_seq() == 0
    with pytest.raises(errors.Gap):
        await opened.record([made.queued(301)])
    assert await opened.record(STORY)
    assert await ends(opened) == before


async def test_damage_found_by_a_query_sets_the_file_aside(path):
    sink = await recorder.Recorder.open(path)
    story = made.life(5_000)
    await sink.record(story)
    before = await ends(sink)
    await sink.close()
    data = bytearray(path.read_bytes())
    sink = await recorder.Recorder.open(path)  # reads the headers and the catalogue, not yet the rows
    for offset in range(20_000, len(data), 4096):
        data[offset] ^= 0xFF
    with path.open('r+b') as file:
        file.write(data)
    told = []
    sink.store.on_rebuild = lambda: told.append(True)
    with pytest.raises(errors.Rebuilding):
        await ends(sink)
    assert told == [True]
    assert sink.last_seq() == 0
    await sink.record(story)
    assert await ends(sink) == before
    await sink.close()


async def test_a_file_that_another_process_holds_is_named_as_such_and_used_when_it_is_free(path, filled):
    with held_by_another(path) as holder:
        with pytest.raises(errors.Locked, match=f'PID {holder.pid}'):
            await store.Store.open(path)
        sink = await recorder.Recorder.open(path)
        assert not await sink.record(STORY)
        assert str(holder.pid) in sink.problem
        with pytest.raises(errors.Unavailable):
            await ends(sink)
    assert await sink.record(STORY)
    assert sink.problem == ''
    assert sink.store.rebuilds == 0
    assert await ends(sink) == filled
    await sink.close()


async def test_a_folder_that_cannot_be_used_is_a_problem_not_an_error(tmp_path):
    sink = await recorder.Recorder.open(tmp_path / 'missing' / 'analytics.duckdb')
    assert not await sink.record(STORY)
    assert 'No analytics file can be made' in sink.problem
    (tmp_path / 'missing').mkdir()
    assert await sink.record(STORY)
    await sink.close()


@pytest.mark.parametrize('bad', [{'seq': ['no number']}, {'no such column': [1]}])
async def test_a_batch_is_recorded_whole_or_not_at_all(opened, bad):
    await opened.record(STORY[:3])
    good = {'seq': [4], 'happened_at': [1.0], 'job_id': ['a']}
    with pytest.raises((errors.Unavailable, KeyError)):
        await opened.store.insert({'dues': good, 'queued': bad}, after=3, last_seq=5)
    assert opened.last_seq() == 3
    assert await opened.record(STORY)
    assert await opened.store.read('SELECT count(*) FROM dues') == [(0,)]
    assert opened.last_seq() == 300
    assert opened.store.rebuilds == 0


async def test_only_the_newest_broken_files_are_kept(path):
    for n in range(6):
        path.with_name(f'analytics.duckdb.broken-20260101-00000{n}').write_text('old')
    path.write_text('broken')
    sink = await recorder.Recorder.open(path)
    kept = sorted(each.name for each in path.parent.glob('*broken*'))
    assert len(kept) == file.KEEP_BROKEN
    assert kept[0].endswith('000004')
    await sink.close()


async def test_the_file_and_its_log_are_for_their_owner_alone(path, opened):
    await opened.record(STORY)
    for each in path.parent.iterdir():
        assert stat.S_IMODE(each.stat().st_mode) == 0o600, each.name


async def test_the_tables_have_a_column_for_all_that_facts_say(opened):
    for table, columns in recorder.rows(made.one_of_each()).items():
        known = await opened.store.read(f"SELECT column_name FROM duckdb_columns() WHERE table_name = '{table}'")
        assert {name for (name,) in known} == set(columns)


async def test_a_full_disk_loses_nothing_and_sets_nothing_aside(path):
    resource = pytest.importorskip('resource')
    sink = await recorder.Recorder.open(path)
    story = made.life(2000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, before[1]))
    try:
        while await sink.record(story[sink.after() : sink.after() + 300]):
            assert sink.last_seq() < len(story), 'the disk was never full'
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert 'cannot be written' in sink.problem
    assert await sink.record(story[sink.after() :])
    assert sink.problem == '' and sink.store.rebuilds == 0
    assert await sink.store.read('SELECT count(*), count(DISTINCT seq) FROM jobs_ended') == [(2000, 2000)]
    await sink.close()


async def test_a_clock_that_was_kept_before_the_last_facts_hears_them_again(path, monkeypatch):
    times = 'SELECT job_id, behind_s, no_worker_s, gpu_s FROM jobs_ended ORDER BY seq'
    sink = await recorder.Recorder.open(path)
    await sink.record(STORY)
    whole = await sink.store.read(times)
    await sink.store.start_over('once more')
    monkeypatch.setattr(recorder, 'CLOCK_BYTES', 0)
    for end in (4, 100, 107):
        with contextlib.suppress(errors.Gap):
            await sink.record(STORY[:end])
        await sink.record(STORY[sink.after() : end])
    await sink.store.close()  # as if it was killed: the clock is not kept
    sink = await recorder.Recorder.open(path)
    assert sink.after() < sink.last_seq() == 107
    with pytest.raises(errors.Gap):
        await sink.record(STORY[107:])
    assert await sink.record(STORY[sink.after() :])
    assert await sink.store.read(times) == whole
    assert await sink.store.read('SELECT count(*), count(DISTINCT seq) FROM queued') == [(100, 100)]
    await sink.close()
