"""Tables of the statistics as files, over HTTP."""

import json
import time
import types
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI

from analytics import errors, pump
from analytics.ledger import Ledger
from app.charts.question import Question
from app.pages import downloads
from tests.analytics import busy_week
from tests.analytics.made import Queue


@pytest.fixture
async def book(tmp_path, monkeypatch):
    monkeypatch.setattr(pump, 'FLUSH_S', 60)  # a busy machine may need it
    queue = Queue(busy_week.week(time.time(), 40, days=1.0), limit=1000)
    ledger = await Ledger.open(tmp_path / 'analytics.duckdb', queue.facts_after)
    await ledger._pump.flush()
    yield ledger
    await ledger.close()


@pytest.fixture
async def get(book):
    api = FastAPI()
    api.include_router(downloads.router(lambda: types.SimpleNamespace(analytics=book)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url='http://desk') as http:
        yield http.get


async def test_the_jobs_of_a_time_come_in_each_form(get):
    table = await get('/desk/statistics/jobs_ended.json?range=7d')
    jobs = json.loads(table.text)
    assert 30 < len(jobs) <= 40 and {'job_id', 'model', 'gpu_s'} <= jobs[0].keys()
    assert table.headers['content-disposition'] == 'attachment; filename="corral-jobs_ended.json"'
    lines = (await get('/desk/statistics/jobs_ended.csv?range=7d')).text.splitlines()
    assert len(lines) == len(jobs) + 1 and lines[0].startswith('\ufeffseq,')
    assert (await get('/desk/statistics/jobs_ended.parquet?range=7d')).content[:4] == b'PAR1'
    nothing = await get('/desk/statistics/jobs_ended.json?from=2001-01-01T00:00Z&to=2001-01-02T00:00Z')
    assert json.loads(nothing.text) == []


@pytest.mark.parametrize('name', ['jobs_ended.xlsx', 'meta.csv', 'jobs_ended', '../x.csv', 'jobs_ended;.csv'])
async def test_what_there_is_not_is_not_found(get, name):
    assert (await get(f'/desk/statistics/{name}')).status_code == 404


async def test_a_file_that_cannot_be_read_is_said_with_a_status(get, book, monkeypatch):
    async def broken(*_, **__):
        raise errors.Rebuilding
        yield b''

    monkeypatch.setattr(book, 'export', broken)
    assert (await get('/desk/statistics/jobs_ended.csv')).status_code == 503


def test_the_page_links_to_the_time_that_it_shows():
    asked = Question().over('7d').filtered(model='m').comparing(True).over_time()
    assert urlsplit(asked.address('/desk/statistics/jobs_ended.csv')).query == 'range=7d'
