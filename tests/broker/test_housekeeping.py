"""The running broker forgets what is old, tells its load, and serves on meanwhile."""

import asyncio
import threading

import pytest

from broker import client, errors, protocol, retention
from broker.job import State
from broker.rules import Rules
from broker.server import Server
from broker.store import Store
from tests.broker.test_retention import job_id, many, put
from tests.broker.test_server import ipc


@pytest.fixture
def serve(tmp_path):
    """Starts a broker on a store that the given function fills; stopped after the test."""
    stores, running = [], []

    def start(fill, **options):
        store = Store(tmp_path / 'queue.db')
        stores.append(store)
        fill(store)
        places = ipc(tmp_path)
        server = Server(store, places, Rules(), boot='b', **options)
        thread = threading.Thread(target=server.run)
        thread.start()
        running.append((server, thread))
        return places

    yield start
    for server, thread in running:
        server.stop()
        thread.join(10)
        assert not thread.is_alive()
    for store in stores:
        store.close()


async def is_gone(queue, number):
    try:
        await queue.get(job_id(number))
    except errors.Refused as refused:
        assert refused.code == 'not_found'
        return True
    return False


async def test_old_jobs_go_while_the_broker_serves(serve, monkeypatch):
    monkeypatch.setattr(retention, 'PAUSE_S', 0.001)

    def fill(store):
        many(store, 1_000, lambda number: 1.0)
        put(store, (2_000, State.DEAD, 1.0))

    places = serve(fill, keep=retention.Keep(completed_s=60.0))
    async with client.BrokerClient(places, timeout_s=40) as queue, asyncio.timeout(60):
        await queue.submit(protocol.Submit(job_id=client.new_job_id(), kind='chat', model='m', body=b'{}'))
        while not all([await is_gone(queue, number) for number in (1, 500, 1_000)]):
            await queue.ping()
        assert (await queue.get(job_id(2_000))).job.state is State.DEAD
        assert (await queue.snapshot()).jobs, 'what waits stays'


async def test_without_limits_nothing_goes(serve, monkeypatch):
    monkeypatch.setattr(retention, 'ROUND_S', 0.001)
    places = serve(lambda store: put(store, (1, State.COMPLETED, 1.0)))
    async with client.BrokerClient(places, timeout_s=40) as queue:
        for _ in range(20):
            await queue.ping()
        assert not await is_gone(queue, 1)


async def test_trouble_with_the_disk_while_forgetting_stops_nothing(serve, monkeypatch):
    def full(self, portion):
        asked.set()
        raise errors.StoreFull('the disk is full')

    asked = threading.Event()
    monkeypatch.setattr(Store, 'prune', full)
    places = serve(lambda store: None, keep=retention.Keep(completed_s=0.0))
    assert await asyncio.to_thread(asked.wait, 10)
    async with client.BrokerClient(places, timeout_s=40) as queue:
        assert (await queue.ping()).boot == 'b'


async def test_the_load_is_told_when_it_changes_and_not_otherwise(serve, monkeypatch):
    monkeypatch.setattr('broker.server.LOAD_EVERY_S', 0.0)
    told = []
    news = threading.Condition()

    def hear(load):
        with news:
            told.append(load)
            news.notify_all()

    def wait_for(waiting):
        with news:
            return news.wait_for(lambda: told[-1:] and told[-1].waiting == waiting, 40)

    places = serve(lambda store: None, on_load=hear)
    async with client.BrokerClient(places, timeout_s=40) as queue:
        assert await asyncio.to_thread(wait_for, 0)
        for _ in range(20):
            await queue.ping()
        assert len(told) == 1
        await queue.submit(protocol.Submit(job_id=client.new_job_id(), kind='chat', model='m', body=b'{}'))
        assert await asyncio.to_thread(wait_for, 1)
        assert len(told) == 2
