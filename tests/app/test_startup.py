"""The desk's own process, without the others: how it starts, what it says, how it ends."""

import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from app import health, startup
from app.board import Board
from app.settings import AppSettings
from broker.endpoints import Endpoints
from tests.app import news as n
from tests.app.news import News
from tests.conftest import PATIENCE_S, ROOT, clean_environment

pytestmark = pytest.mark.whole


def settings(folder: Path, port: int = 0) -> AppSettings:
    endpoints = Endpoints(**{name: f'ipc://{folder / name}' for name in ('client', 'worker', 'facts')})
    return AppSettings(data_dir=folder, endpoints=endpoints, port=port, version='1.2.3')


@contextlib.asynccontextmanager
async def started(given: AppSettings) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, '-m', 'app', cwd=ROOT, env=clean_environment(),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    process.stdin.write(given.model_dump_json().encode() + b'\n')
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def said(process: asyncio.subprocess.Process) -> dict[str, object]:
    return json.loads(await process.stdout.readline())


@pytest.fixture
def port() -> int:
    with socket.create_server(('127.0.0.1', 0)) as probe:
        return probe.getsockname()[1]


async def test_without_a_broker_it_serves_says_so_and_ends_when_told(tmp_path: Path, port: int):
    async with (
        started(settings(tmp_path, port)) as process,
        httpx.AsyncClient(
            base_url=f'http://127.0.0.1:{port}', transport=httpx.AsyncHTTPTransport(retries=20)
        ) as client,
    ):
        assert await said(process) == {'waiting_for': 'broker'}
        answer = await client.get('/health')
        assert answer.status_code == 503
        told = answer.json()
        assert told.pop('timestamp') == round(datetime.fromisoformat(told.pop('time')).timestamp() * 1000)
        assert told == {
            'status': 'starting',
            'version': '1.2.3',
            'waiting_for': 'broker',
            'problem': 'The broker does not answer.',
        }
        assert (await client.get('/', headers={'accept': 'text/html'})).headers['location'] == '/chat'
        page = await client.get('/queue', headers={'accept-language': 'zh'})
        assert page.status_code == 200 and '队列没有响应' in page.text and 'lang="zh-CN"' in page.text
        assert "frame-ancestors 'none'" in page.headers['content-security-policy']
        assert 'set-cookie' not in page.headers and page.headers['cache-control'] == 'no-store'
        assert (await client.get('/queue', headers={'host': 'evil.example'})).status_code == 403
        assert (await client.post('/queue', headers={'origin': 'http://evil.example'})).status_code == 403
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert not list((tmp_path / 'nicegui').glob('*'))


async def test_it_ends_when_its_parent_is_gone(tmp_path: Path):
    async with started(settings(tmp_path)) as process:
        assert await said(process) == {'waiting_for': 'broker'}
        process.stdin.close()
        assert await process.wait() == 0


async def test_a_port_in_use_is_one_sentence(tmp_path: Path):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        number = taken.getsockname()[1]
        async with started(settings(tmp_path, number)) as process:
            assert await said(process) == {
                'error': f'Port {number} on 127.0.0.1 cannot be used: Address already in use.'
            }
            assert await process.wait() == 1


async def test_it_reports_each_thing_it_waits_for_and_ready_once():
    board, news, heard = Board(clock=lambda: n.T0), News(), []
    state = health.Health(board, '1')
    task = asyncio.create_task(startup._report(state, lambda **fields: heard.append(fields), 4711))
    steps = [(), (news.pulse(),), (news.joined(models=()),), (news.pulse(),), (news.changed(),), (news.left(),)]
    for number, items in enumerate(steps):
        for item in items:
            board.apply(item)
        board.flush(n.T0 + number)
        await asyncio.sleep(0)
    await task
    waits = [{'waiting_for': what} for what in ('broker', 'worker', 'model')]
    assert heard == [*waits, {'ready': True, 'port': 4711}] and state.started


async def test_a_feed_that_ends_takes_the_desk_with_it(caplog: pytest.LogCaptureFixture):
    async def fail() -> None:
        raise RuntimeError('a fault of ours')

    stopped = asyncio.Event()
    task = asyncio.create_task(fail())
    task.add_done_callback(lambda task: startup._feed_ended(task, stopped.set))
    await stopped.wait()
    assert 'a fault of ours' in caplog.text
