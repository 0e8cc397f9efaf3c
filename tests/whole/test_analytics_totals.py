"""What DuckDB counts is what the queue did, whatever is killed or broken."""

import asyncio
import collections
import json

import httpx
import pytest

from analytics import recorder
from broker import client, facts, protocol
from broker.endpoints import Endpoints
from tests.conftest import wait_for
from tests.whole.figures import wait_recorded

pytestmark = pytest.mark.whole


def connect(desk):
    folder = desk.data_dir / 'run'
    return client.BrokerClient(
        Endpoints(**{name: f'ipc://{folder / name}' for name in ('client', 'worker', 'facts')}), timeout_s=20
    )


def requests(count):
    """Quick jobs, one in ten of which fails for good."""
    for n in range(count):
        script = {'fail': {'code': 'scripted'}} if n % 10 == 9 else {'text': 'Yes.', 'chars_per_s': 1e6}
        body = {'model': 'demo', 'messages': [{'role': 'user', 'content': 'Yes?'}], 'options': {'demo': script}}
        yield protocol.Submit(job_id=client.new_job_id(), kind='chat', model='demo', body=json.dumps(body).encode())


async def submit(broker, count):
    """Have them queued."""
    for request in requests(count):
        await broker.submit(request)


async def all_facts(broker, jobs):
    """Every fact, once ``jobs`` jobs have ended."""
    found, ended = [], 0
    async with asyncio.timeout(60):
        async for item in broker.feed(0):
            if isinstance(item, protocol.FactOut):
                found.append(item.fact)
                ended += isinstance(item.fact, facts.JobEnded)
            if ended == jobs:
                return found


async def test_totals_are_equal_after_kills_of_the_desk_and_a_broken_file(corral):
    desk = corral('--engine', 'demo')
    async with connect(desk) as broker:
        for _ in range(2):
            await submit(broker, 20)
            old = desk.kill('app')
            await submit(broker, 20)
            await asyncio.to_thread(desk.wait_restarted, 'app', old)
            await asyncio.to_thread(wait_for, lambda: healthy(desk), 15, 'the desk is back')
        story = await all_facts(broker, 80)
    await asyncio.to_thread(wait_recorded, desk, story[-1].seq)
    assert desk.stop() == 0
    await check(desk, story)

    path = desk.data_dir / 'analytics.duckdb'
    data = bytearray(path.read_bytes())
    data[100] ^= 0xFF
    path.write_bytes(data)
    desk = corral('--engine', 'demo')
    async with connect(desk) as broker:
        await submit(broker, 10)
        story = await all_facts(broker, 90)
    await asyncio.to_thread(wait_recorded, desk, story[-1].seq)
    assert desk.stop() == 0
    assert list(desk.data_dir.glob('analytics.duckdb.broken-*'))
    await check(desk, story)


def healthy(desk):
    try:
        return httpx.get(f'{desk.url}/health').status_code == 200
    except httpx.TransportError:
        return False


async def check(desk, story):
    """The stopped desk's file has counted this story."""
    sink = await recorder.Recorder.open(desk.data_dir / 'analytics.duckdb')
    ends = dict(await sink.store.read('SELECT outcome, count(*) FROM jobs_ended GROUP BY 1'))
    [(jobs,)] = await sink.store.read('SELECT count(DISTINCT job_id) FROM jobs_ended')
    [(queued,)] = await sink.store.read('SELECT count(*) FROM queued')
    [(starts,)] = await sink.store.read('SELECT count(*) FROM starts')
    [(waited_s, parts_s, gpu_s)] = await sink.store.read(
        'SELECT sum(waited_s), sum(behind_s + limited_s + paused_s + no_worker_s + delayed_s + blocked_s + retry_s), '
        'sum(gpu_s) FROM jobs_ended'
    )
    last_seq = sink.last_seq()
    await sink.close()
    assert last_seq >= story[-1].seq
    rounded_s = 2e-6 * jobs  # each of them is kept to the microsecond
    told_s = sum(fact.waited_s for fact in story if isinstance(fact, facts.JobEnded))
    assert waited_s == pytest.approx(told_s, abs=rounded_s)
    assert parts_s == pytest.approx(waited_s, abs=rounded_s) and gpu_s > 0
    kinds = collections.Counter(type(fact) for fact in story)
    assert ends == {'completed': kinds[facts.JobCompleted], 'failed': kinds[facts.JobDied]}
    assert jobs == queued == kinds[facts.JobQueued] == sum(ends.values())
    assert starts == kinds[facts.JobStarted]
