"""The worker as a process, the way ``run.py`` starts it."""

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path

import pytest

from broker import protocol
from tests.conftest import PATIENCE_S
from tests.workers.benches import body
from tests.workers.fake_broker import JOB, FakeBroker
from workers.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
HANG = {'demo': {'chars_per_s': 1e6, 'hang_after': 3}}


@contextlib.asynccontextmanager
async def process(broker, tmp_path, **settings):
    """A worker process; it is killed at the end where it still runs."""
    fields = {'worker': 'here/1', 'engine': 'demo', 'drain_s': 0.0}
    made = WorkerSettings(endpoints=broker.endpoints, data_dir=tmp_path, **(fields | settings))
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        sys.executable, '-m', 'workers', cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )
    try:
        child.stdin.write(made.model_dump_json().encode() + b'\n')
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.communicate()


@pytest.mark.parametrize('how', ['stdin ends', 'SIGTERM'])
async def test_it_reports_ready_and_leaves_in_order(tmp_path, how):
    async with FakeBroker() as broker, process(broker, tmp_path) as child:
        async with asyncio.timeout(PATIENCE_S):
            assert json.loads(await child.stdout.readline()) == {'ready': True, 'engine': 'demo'}
        await broker.hear(protocol.Ready)
        broker.tell(protocol.Assign(job_id=JOB, epoch=1, kind='chat', model='demo', body=body('chat', 'demo', HANG)))
        await broker.hear(protocol.Tokens)
        child.send_signal(signal.SIGINT)  # Ctrl-C is the parent's to handle
        child.stdin.close() if how == 'stdin ends' else child.terminate()
        assert (await broker.hear(protocol.HandBack)).job_id == JOB
        async with asyncio.timeout(PATIENCE_S):
            assert await child.wait() == 0
        assert [bye.draining for bye in broker.of(protocol.Bye)] == [True, False]
        log = tmp_path / 'logs' / 'worker-here-1.log'
        assert await child.stdout.read() == b''
        assert 'action=drain' in log.read_text() and log.stat().st_mode & 0o077 == 0
        assert await child.stderr.read() == b''


async def test_told_to_leave_it_says_so_to_its_parent_and_ends(tmp_path):
    async with FakeBroker() as broker, process(broker, tmp_path) as child:
        await broker.hear(protocol.Ready, timeout_s=20)
        broker.tell(protocol.Leave(grace_s=60))
        async with asyncio.timeout(PATIENCE_S):
            assert await child.wait() == 0
        reports = [json.loads(line) for line in (await child.stdout.read()).splitlines()]
        assert reports == [{'ready': True, 'engine': 'demo'}, {'left': True}]
        assert await child.stderr.read() == b''


async def test_without_a_broker_it_waits_and_still_stops(tmp_path):
    async with FakeBroker() as broker:
        await broker.stop()
        async with process(broker, tmp_path, engine='auto', ollama_url='http://127.0.0.1:1') as child:
            child.stdin.write_eof()
            async with asyncio.timeout(PATIENCE_S):
                assert await child.wait() == 0
                assert await child.stdout.read() == b''
