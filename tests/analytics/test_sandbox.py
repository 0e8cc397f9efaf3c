"""The SQL box reads and does nothing else, whatever is written into it."""

import asyncio
import time

import pytest

from analytics import dictionary, errors, sandbox
from tests.analytics import made
from tests.conftest import ROOT

READS = [
    'SELECT 1',
    'select outcome, count(*) from jobs_ended group by all order by 1;',
    'FROM jobs_ended SELECT job_id -- a comment',
    'DESCRIBE jobs_ended',
    'summarize starts',
    'values (1), (2)',
    'with few as (select * from queued limit 3) select count(*) from few',
    'with recursive n as (select 1 as i union all select i + 1 from n where i < 5) select sum(i) from n',
    'select "user", quantile_cont(waited_s, 0.95) over (partition by model) from jobs_ended',
    "select date_trunc('hour', to_timestamp(happened_at)) as hour, count(*) from jobs_ended group by hour",
    "select case when priority > 5 then 'high' end, model like 'm%' from jobs_ended join starts using (job_id)",
    'select * from range(3) t(n), unnest([1, 2])',
    'select (select max(seq) from starts), exists (select 1), 3 in (select seq from starts)',
    'select count(*) from starts union all select count(*) from main.queued',
]
ATTACKS = """
insert into starts (seq) values (1)
with x as (insert into starts (seq) values (1) returning *) select * from x
with x as (delete from starts returning *) select * from x
with x as (update starts set seq = 1 returning *) select * from x
update starts set seq = 0
delete from starts
truncate starts
merge into starts using queued on (starts.seq = queued.seq) when matched then delete
drop table starts
drop schema main cascade
alter table starts add column x int
create table x (a int)
create temp table x as select 1
create or replace view starts as select 1
create macro sum(x) as 1
create sequence x
create type x as enum ('a')
create secret (type s3)
attach '/tmp/other.duckdb'
attach ':memory:' as other
detach analytics
use memory
copy starts to '/tmp/stolen.csv'
copy (select 1) to '/tmp/stolen.parquet'
copy starts from '/etc/passwd'
export database '/tmp/stolen'
import database '/tmp/stolen'
install httpfs
load httpfs
force install httpfs
pragma database_list
pragma enable_external_access
call pragma_version()
set enable_external_access = true
set memory_limit = '100GB'
set variable x = 1
reset all
checkpoint
force checkpoint
vacuum
analyze
begin
commit
rollback
explain analyze select 1
prepare x as select 1
execute x
deallocate x
select 1; drop table starts
select 1; select 2
select * from '/etc/passwd'
select * from 'https://example.com/x.parquet'
select * from read_csv('/etc/passwd')
select * from read_csv_auto('/etc/passwd')
select * from read_text('/etc/passwd')
select * from read_blob('/etc/passwd')
select * from read_json('/etc/passwd')
select * from read_parquet('/tmp/x.parquet')
select * from parquet_metadata('/tmp/x.parquet')
select * from sniff_csv('/etc/passwd')
select * from glob('/*')
select * from query('select 1')
select * from query_table('meta')
select * from duckdb_settings()
select * from duckdb_databases()
select * from duckdb_secrets()
select * from duckdb_logs()
select * from pragma_database_list
select * from pragma_storage_info('starts')
select * from information_schema.tables
select * from system.information_schema.tables
select * from sqlite_master
select * from pg_catalog.pg_class
select * from duckdb_tables
select * from meta
select * from main.meta
select * from "META"
select * from rolled
select * from other.main.starts
select (select clock from meta)
with meta as (select * from main.meta) select * from meta, main.rolled
select current_setting('temp_directory')
select getenv('HOME')
select getvariable('x')
select write_log('x')
select repeat('x', 1000000000)
select lpad('x', 1000000000, 'y')
select range(1000000000)
select generate_series(1, 1000000000)
select list_resize([1], 1000000000)
select printf('%01000000000d', 1)
select format('{:1000000000}', 1)
select nextval('x')
select txid_current()
select current_database()
select current_schemas(true)
select version()
select error('x')
select sleep_ms(100000)
select json_execute_serialized_sql('x')
from json_execute_serialized_sql('x')
select list_aggregate([1], 'read_text')  from read_text('/etc/passwd')
select $1
select ?
select * from starts where seq = $seq
path
self
connection
"""
WRONG = {
    'select seq fro starts whre': (1, 16),
    'selec 1': (1, 1),
    'select seq,\n  nope\nfrom starts': (2, 3),
    "select '日本', nope from starts": (1, 14),
    'select\n  count(*)\nfrom\n  nowhere': (4, 3),
    'select sum(model) from starts, queued': None,
    "select 'x'::int": (1, 11),
}


@pytest.fixture
async def box(opened):
    """A statement to a file with a few rows; gives what it says."""
    await opened.record(made.life(30))

    async def ask(sql, *, limit_rows=100, limit_bytes=100_000, timeout_s=20.0):
        return await opened.store.query(sql, limit_rows=limit_rows, limit_bytes=limit_bytes, timeout_s=timeout_s)

    ask.store = opened.store
    return ask


async def test_what_reads_runs(box):
    for sql in READS:
        assert (await box(sql)).rows, sql
    found = await box(READS[1])
    assert found.columns == ['outcome', 'count_star()'] and found.types == ['VARCHAR', 'BIGINT']
    assert found.rows == [('cancelled', 7), ('completed', 16), ('failed', 7)]
    assert not found.truncated


async def test_nothing_else_runs_and_all_is_as_it_was(box, tmp_path):
    attacks = [line for line in ATTACKS.splitlines() if line]
    assert len(attacks) >= 60
    before = await box.store.read('SELECT count(*), sum(seq) FROM starts')
    for sql in attacks:
        with pytest.raises(errors.Refused) as refused:
            await box(sql)
        assert len(str(refused.value)) < 600, sql
    assert await box.store.read('SELECT count(*), sum(seq) FROM starts') == before
    assert box.store.rebuilds == 0
    assert {path.name.partition('.')[0] for path in tmp_path.iterdir()} == {'analytics'}


async def test_the_database_itself_lets_nothing_out_should_a_statement_get_past_the_tree(box, monkeypatch):
    monkeypatch.setattr(sandbox, 'check', lambda sql, tree: None)
    for sql in (
        'insert into starts (seq) values (1)',
        'with x as (delete from starts returning *) select * from x',
        "select * from read_text('/etc/passwd')",
        "select * from '/etc/passwd'",
        "attach '/tmp/other.duckdb'",
        "copy starts to '/tmp/stolen.csv'",
        'set threads = 9',
        'install httpfs',
        'select * from box',  # a variable of this program
    ):
        with pytest.raises(errors.AnalyticsError):
            await box(sql)
    assert await box.store.read('SELECT count(*) FROM starts') == [(30,)]
    assert box.store.rebuilds == 0


@pytest.mark.parametrize(('sql', 'place'), WRONG.items())
async def test_a_mistake_is_told_with_its_place(box, sql, place):
    with pytest.raises(errors.Refused) as refused:
        await box(sql)
    assert 'Error:' not in str(refused.value) and '\n' not in str(refused.value)
    if place:
        assert (refused.value.line, refused.value.column) == place


async def test_a_runaway_statement_is_stopped_while_others_are_answered(box):
    begun = time.monotonic()
    running = asyncio.create_task(box('select count(*) from range(1000000000000)', timeout_s=0.5))
    while not running.done():
        assert await box.store.read('SELECT count(*) FROM starts') == [(30,)]
    with pytest.raises(errors.Refused, match='stopped after'):
        await running
    assert time.monotonic() - begun < 15
    assert (await box('select 1')).rows == [(1,)]


async def test_a_statement_that_grows_and_grows_is_stopped(box):
    with pytest.raises(errors.Refused, match='stopped'):
        await box("with recursive t as (select 'xxxxxxxxxx' s union all select s || s from t) select max(s) from t",
                  timeout_s=2.0)  # fmt: skip


async def test_the_tables_that_are_shown_are_those_that_can_be_read(box):
    found = await box('show tables')
    assert {name for (name,) in found.rows} == set(dictionary.TABLES)
    assert ('seq', 'BIGINT') in [row[:2] for row in (await box('describe starts')).rows]


async def test_a_huge_result_is_cut_off(box):
    found = await box('select * from range(1000000)', limit_rows=7)
    assert [row[0] for row in found.rows] == list(range(7)) and found.truncated
    found = await box("select 'x' || seq from starts", limit_bytes=20)
    assert found.truncated and 0 < len(found.rows) < 10
    assert not (await box('select * from range(7)', limit_rows=7)).truncated


async def test_values_of_all_kinds_are_plain(box):
    [row] = (await box("select 1.5::decimal(3, 1), date '2026-01-02', [1, 2], {'a': 1}, null, true, 'x'::blob")).rows
    assert row[:2] == (1.5, '2026-01-02') and row[4:6] == (None, True)
    assert all(value is None or isinstance(value, (str, int, float, bool)) for value in row)


async def test_the_dictionary_has_every_table_and_column(box):
    for table in dictionary.tables():
        sql = 'SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = $name ORDER BY column_index'
        rows = await box.store.read(sql, {'name': table.name})
        assert rows == [(column.name, column.type) for column in table.columns], table.name
        assert table.about and all(column.about for column in table.columns)
    known = await box.store.read(
        "SELECT table_name FROM duckdb_tables() WHERE NOT table_name SIMILAR TO '(sums|counts|lists)_.*'"
    )
    assert {name for (name,) in known} - {'meta', 'rolled'} == set(dictionary.TABLES)


def test_the_document_of_the_tables_is_the_dictionary():
    text = (ROOT / 'docs' / 'analytics.md').read_text(encoding='utf-8')
    assert text.partition('## Tables\n')[2] == dictionary.markdown()
