"""How long a look into the past takes, and whom it holds up: ``python -m tests.bench.bench_history [jobs …]``.

The real broker on a queue of so many jobs that ended. While somebody looks for something, a client beside it pings all
the time, as one does who waits for an answer: what a look-up adds to the slowest of its pings is what it costs others.
"""

import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path

import msgspec

from broker import client, facts, protocol
from broker.actions import Persist
from broker.endpoints import Endpoints
from broker.job import Job, State
from broker.settings import BrokerSettings
from broker.store import Store
from tests.bench.bench_queue import processes

JOBS = (100_000, 1_000_000)
AT_ONCE = 10_000
NOTHING = protocol.JobList(jobs=(), excerpts=(), total=0, complete=True, looked=0, until_order=0)


def fill(path: Path, count: int) -> None:
    """So many jobs that ended; every 10,000th is of a rare user and has a rare word in its answer."""
    store, chance, commit = Store(path), random.Random(1), list[Persist]()
    begin = time.time() - count
    for number in range(1, count + 1):
        rare = number % 10_000 == 0
        job = Job(
            job_id=f'{number:032x}', order=number, kind='chat', model=chance.choice(['qwen3:8b', 'llama3.2:3b']),
            priority=chance.choice([1, 5, 10]), queued_at=begin + number, user='rare' if rare else f'user{number % 40}',
            state=State.DEAD if number % 50 == 0 else State.COMPLETED, epoch=1, starts=1, started_at=begin + number + 1,
            ended_at=begin + number + 3, worker='w:1', engine='ollama', lines=20,
            usage=facts.Usage(output_tokens=number % 900, decode_s=1.5, total_s=2.0),
        )  # fmt: skip
        fact = facts.JobQueued(
            seq=number, at=job.queued_at, job_id=job.job_id, kind='chat', model=job.model, priority=5, user=job.user,
            conversation_id='',
        )  # fmt: skip
        body = json.dumps({'messages': [{'role': 'user', 'content': f'Why is the sky blue, asks {number}?'}]}).encode()
        words = ['Because', ' of', ' 瑞利散射', '.'] * 4 + (['xylophone'] if rare else ['the', 'end'])
        answer = tuple(json.dumps({'message': {'role': 'assistant', 'content': word}}).encode() for word in words)
        commit.append(Persist(fact, job, body=body, answer=answer))
        if len(commit) == AT_ONCE:
            store.commit(commit)
            commit = []
    store.commit(commit)
    store.close()


async def whole(broker: client.BrokerClient, asked: protocol.ListJobs) -> protocol.JobList:
    """Ask until it is all there."""
    while True:
        found = await broker.list_jobs(asked)
        asked = msgspec.structs.replace(asked, until_order=found.until_order)
        enough = len(found.jobs) >= asked.limit and not asked.whole
        if found.complete or enough or (asked.look and found.looked >= asked.look):
            return found


async def slowest_ping(broker: client.BrokerClient, stop: asyncio.Event) -> list[float]:
    """How long pings take meanwhile, ms."""
    took = []
    while not stop.is_set():
        began = time.perf_counter()
        await broker.ping()
        took.append(1000 * (time.perf_counter() - began))
        await asyncio.sleep(0.001)
    return took


async def measured(other: client.BrokerClient, name: str, asking: Awaitable[protocol.JobList]) -> None:
    """How long it takes, and how long a ping takes meanwhile."""
    stop = asyncio.Event()
    pinging = asyncio.create_task(slowest_ping(other, stop))
    await asyncio.sleep(0.05)
    began = time.perf_counter()
    found = await asking
    took_s = time.perf_counter() - began
    stop.set()
    pings = sorted(await pinging)
    p99 = pings[int(len(pings) * 0.99)]
    print(
        f'  {name:<34} {1000 * took_s:8.1f} ms   {found.total:>9,} found   '
        f'others: median {statistics.median(pings):5.2f}, p99 {p99:6.2f}, worst {pings[-1]:6.2f} ms',
        flush=True,
    )


async def look(endpoints: Endpoints, count: int) -> None:
    """All kinds of looks into the past, one after the other."""
    rows = protocol.ListJobs
    asks = {
        'nothing, for comparison': None,
        'the first rows': rows(limit=100),
        'how many there are': rows(limit=100, whole=True),
        'a jump to the middle': rows(limit=100, offset=count // 2),
        'the failed ones': rows(limit=100, states=(State.DEAD,), whole=True),
        'a rare user': rows(limit=100, user='rare', whole=True),
        'the longest answers': rows(limit=100, sort='tokens'),
        'a rare word, the last 20,000': rows(limit=100, text='xylophone', look=20_000),
        'Chinese, the first 100 of many': rows(limit=100, text='瑞利散射', look=20_000),
    }
    async with client.BrokerClient(endpoints) as broker, client.BrokerClient(endpoints) as other:
        await broker.ping()
        await broker.list_jobs(rows(limit=1))
        for name, asked in asks.items():
            await measured(other, name, whole(broker, asked) if asked is not None else asyncio.sleep(1.0, NOTHING))


def main(counts: tuple[int, ...]) -> None:
    """Fill, serve, look."""
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            endpoints = Endpoints(**{side: f'ipc://{folder}/{side[0]}' for side in ('client', 'worker', 'facts')})
            settings = BrokerSettings(
                data_dir=Path(folder), endpoints=endpoints, keep_completed='', keep_dead='', keep_jobs=0, keep_facts=''
            )
            began = time.perf_counter()
            fill(Path(folder) / 'queue.db', count)
            print(f'{count:,} jobs that ended (written in {time.perf_counter() - began:.0f} s)', flush=True)
            with processes(['broker'], stdin=settings.model_dump_json()):
                asyncio.run(look(endpoints, count))


if __name__ == '__main__':
    main(tuple(int(each) for each in sys.argv[1:]) or JOBS)
