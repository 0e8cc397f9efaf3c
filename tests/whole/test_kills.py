"""kill -9 of any part of the running product: nothing acknowledged is lost, nothing is counted or answered twice."""

import asyncio
import contextlib
import json
from collections import Counter

import pytest

from analytics import queries
from analytics.recorder import Recorder
from broker import addresses, client, errors, facts, protocol
from tests.whole.figures import wait_recorded

pytestmark = pytest.mark.whole
TEXT = ''.join(f'{number}: 队列不丢任务。 ' for number in range(200))


def queue_of(desk, **options):
    """A client of the running product's broker."""
    return client.BrokerClient(addresses.choose(desk.data_dir).for_peers(), timeout_s=30, **options)


def a_job(chars_per_s, text=TEXT, **fields):
    script = {'text': text, 'chars_per_s': chars_per_s}
    body = {'model': 'demo', 'messages': [{'role': 'user', 'content': 'hi'}], 'options': {'demo': script}}
    return protocol.Submit(
        job_id=client.new_job_id(), kind='chat', model='demo', body=json.dumps(body).encode(), **fields
    )


def text_of(lines):
    return ''.join(json.loads(line)['message']['content'] for line in lines)


async def all_facts(queue):
    found = []
    while True:
        page = await queue.facts_after(found[-1].seq if found else 0)
        found += page.facts
        if not page.facts or found[-1].seq >= page.head:
            return found


async def until(feed, wanted):
    async with asyncio.timeout(60):
        async for item in feed:
            if wanted(item):
                return item
    raise AssertionError('the feed ended')


def is_fact(kind, job):
    return lambda item: (
        isinstance(item, protocol.FactOut) and isinstance(item.fact, kind) and (item.fact.job_id == job.job_id)
    )


async def some_tokens(queue, job):
    """Wait until some of the answer is there; returns its facts' feed."""
    feed = queue.feed(0)
    await until(feed, lambda item: isinstance(item, protocol.TokensOut) and item.job_id == job.job_id)
    return feed


async def test_a_killed_workers_job_is_answered_by_another_and_a_killed_broker_goes_on_where_it_was(corral):
    desk = corral('--engine', 'demo', '--workers', '2', '--slots', '1')
    async with queue_of(desk) as queue:
        job = a_job(chars_per_s=1_000)
        await queue.submit(job)
        feed = await some_tokens(queue, job)
        name = (await queue.get(job.job_id)).job.worker
        desk.kill(f'worker-{name.rpartition(":")[2]}')
        requeued = await until(feed, is_fact(facts.JobRequeued, job))
        assert requeued.fact.reason == 'worker_lost'
        done = await until(feed, is_fact(facts.JobEnded, job))
        assert isinstance(done.fact, facts.JobCompleted) and (done.fact.starts, done.fact.losses) == (2, 1)
        assert text_of((await queue.read_all(job.job_id)).lines) == TEXT
        ends = [fact for fact in await all_facts(queue) if isinstance(fact, facts.JobEnded)]
        assert len(ends) == 1

        job = a_job(chars_per_s=1_000)
        await queue.submit(job)
        feed = await some_tokens(queue, job)
        desk.kill('broker')
        done = await until(feed, is_fact(facts.JobEnded, job))
        assert isinstance(done.fact, facts.JobCompleted) and done.fact.starts == 1, 'nothing runs twice'
        assert text_of((await queue.read_all(job.job_id)).lines) == TEXT


async def test_twenty_kills_lose_nothing_and_count_nothing_twice(corral):
    desk = corral('--engine', 'demo', '--workers', '3', '--slots', '2')
    short = TEXT[:600]
    jobs = []

    async def keep_busy(queue):
        while True:
            job = a_job(chars_per_s=2_000, text=short)
            with contextlib.suppress(errors.BrokerUnreachable):
                await queue.submit(job)
                jobs.append(job.job_id)
            await asyncio.sleep(0.05)

    async with queue_of(desk) as queue:
        busy = asyncio.create_task(keep_busy(queue))
        dead = {}
        for name in ['broker', 'worker-1', 'app', 'worker-2', 'worker-3'] * 4:
            if name in dead:
                await asyncio.to_thread(desk.wait_restarted, name, dead[name], 30)
            await until(queue.feed((await queue.ping()).seq), lambda item: isinstance(item, protocol.TokensOut))
            dead[name] = desk.kill(name)
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)
        while (await queue.snapshot()).jobs:
            pass  # each round asks the broker anew
        history = await all_facts(queue)
        ends = Counter(fact.job_id for fact in history if isinstance(fact, facts.JobEnded))
        assert len(jobs) > 20
        assert set(jobs) <= ends.keys(), 'an acknowledged job was lost'
        assert set(ends.values()) == {1}, 'a job ended twice'
        assert [fact.seq for fact in history] == list(range(1, len(history) + 1))
        for fact in history:
            if isinstance(fact, facts.JobCompleted):
                assert text_of((await queue.read_all(fact.job_id)).lines) == short
        await asyncio.to_thread(desk.wait_restarted, 'app', dead['app'], 30)
        outcomes = Counter(type(fact).__name__ for fact in history if isinstance(fact, facts.JobEnded))
    await asyncio.to_thread(wait_recorded, desk, history[-1].seq)
    assert desk.stop() == 0
    assert await totals(desk.data_dir) == outcomes


async def totals(data_dir):
    """How many jobs ended how, by the analytics file, once the product is stopped and the file complete."""
    recorder = await Recorder.open(data_dir / 'analytics.duckdb')
    try:
        found = await queries.summary(recorder.store, since=0, until=4e9)
        return Counter(JobCompleted=found.completed, JobDied=found.failed, JobCancelled=found.cancelled)
    finally:
        await recorder.close()
