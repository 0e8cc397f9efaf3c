"""Tables as files."""

import csv
import io
import json
import pathlib
import re
import stat
import threading

import duckdb
import pytest

import app
from analytics import cells, ledger, outlet, parquet_file
from tests.analytics import made

RANGE = {'since': made.T0, 'until': made.T0 + 40}


@pytest.fixture
async def written(opened, path):
    """A function that writes a table as a file."""
    await opened.record([*made.life(30), made.queued(91, made.T0 + 30, '=evil', user='+1')])

    async def write(name, form):
        pieces = outlet.table(opened.store, name, form, **RANGE, folder=path.parent)
        return b''.join([piece async for piece in pieces])

    return write


async def test_rows_come_in_order_in_every_form(written, monkeypatch, path):
    monkeypatch.setattr(outlet, 'PORTION', 7)  # several pages
    as_csv = list(csv.DictReader(io.StringIO((await written('queued', 'csv')).decode('utf-8-sig'))))
    as_json = json.loads(await written('queued', 'json'))
    as_lines = [json.loads(line) for line in (await written('queued', 'ndjson')).splitlines()]
    assert as_json == as_lines
    assert [int(row['seq']) for row in as_csv] == [row['seq'] for row in as_json] == [*range(1, 91, 3), 91]
    assert as_csv[-1]['job_id'] == "'=evil" and as_csv[-1]['user'] == "'+1"  # no spreadsheet runs it
    assert as_json[-1]['job_id'] == '=evil'
    target = path.with_name('queued.parquet')
    target.write_bytes(await written('queued', 'parquet'))
    assert duckdb.read_parquet(str(target)).fetchall() == [tuple(row.values()) for row in as_json]
    assert not list(path.parent.glob('.export-*'))


@pytest.mark.parametrize('form', outlet.FORMS)
async def test_rows_are_not_written_where_pages_are_served(written, monkeypatch, form):
    where = set()
    real = outlet._pieces

    def look(*args, **more):
        where.add(threading.current_thread() is threading.main_thread())
        return real(*args, **more)

    monkeypatch.setattr(outlet, '_pieces', look)
    await written('queued', form)
    assert where == {False}


async def test_a_range_without_rows_is_an_empty_file(opened, path):
    async def whole(form):
        pieces = outlet.table(opened.store, 'queued', form, since=0, until=1, folder=path.parent)
        return b''.join([piece async for piece in pieces])

    assert json.loads(await whole('json')) == []
    assert (await whole('csv')).startswith(b'\xef\xbb\xbfseq,happened_at')  # Excel opens Chinese
    assert (await whole('parquet')).startswith(b'PAR1')


@pytest.mark.parametrize(('name', 'form'), [('meta', 'csv'), ('queued; drop table queued', 'csv'), ('queued', 'xml')])
async def test_what_there_is_not_is_refused(written, name, form):
    with pytest.raises(ValueError, match='there is no'):
        await written(name, form)


async def test_what_lies_on_the_disk_meanwhile_is_for_its_owner_alone(written, monkeypatch, path):
    seen = []
    real = parquet_file.write

    def look(source, target, columns):
        real(source, target, columns)
        seen.extend(stat.S_IMODE(each.stat().st_mode) for each in (source, source.parent))

    monkeypatch.setattr(parquet_file, 'write', look)
    await written('starts', 'parquet')
    assert seen == [0o600, 0o700]


async def test_what_a_broken_off_export_left_is_gone_after_the_next_start(path):
    left = path.parent / '.export-x'
    left.mkdir()
    (left / 'rows.ndjson').write_text('{}')
    book = await ledger.Ledger.open(path, made.Queue([]).facts_after)
    assert not left.exists()
    await book.close()


def test_the_browser_keeps_the_same_cells_from_becoming_formulas():
    script = (pathlib.Path(app.__file__).parent / 'components/figures/files.js').read_text(encoding='utf-8')
    [inside] = re.findall(r'FORMULA = /\^\[(.*?)\]/', script)
    assert inside.replace(r'\-', '-').replace(r'\t', '\t').replace(r'\r', '\r') == ''.join(cells.FORMULA)
