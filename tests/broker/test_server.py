"""The real broker on real sockets: a thread with the server, clients and a hand-driven worker."""

import asyncio
import socket
import threading
import time

import pytest
import zmq
import zmq.asyncio

from broker import client, errors, facts, protocol, sockets
from broker.endpoints import Endpoints
from broker.rules import Rules
from broker.server import Server
from broker.settings import BrokerSettings
from broker.store import Store


class Broker:
    """A broker in a thread that can be stopped hard and started again on the same files."""

    def __init__(self, folder, endpoints):
        self.path, self.endpoints = folder / 'queue.db', endpoints
        self.boots = 0

    def start(self):
        self.boots += 1
        self.store = Store(self.path)
        self.server = Server(self.store, self.endpoints, Rules(), boot=str(self.boots))
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()

    def stop(self):
        self.server.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()
        self.store.close()


def ipc(folder):
    return Endpoints(**{side: f'ipc://{folder}/{side[0]}' for side in ('client', 'worker', 'facts')})


def curve(folder):
    public, secret = (key.decode() for key in zmq.curve_keypair())
    peer_public, peer_secret = (key.decode() for key in zmq.curve_keypair())
    with zmq.Context() as context:
        ports = []
        for _ in range(3):
            probe = context.socket(zmq.REP)
            ports.append((probe, probe.bind_to_random_port('tcp://127.0.0.1')))
        for probe, _ in ports:
            probe.close(0)
    addresses = dict(zip(('client', 'worker', 'facts'), (f'tcp://127.0.0.1:{port}' for _, port in ports), strict=True))
    return Endpoints(
        **addresses, broker_public=public, broker_secret=secret, peer_public=peer_public, peer_secret=peer_secret
    )


@pytest.fixture(params=[ipc, curve], ids=['ipc', 'tcp with CURVE'])
def broker(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp('b')
    made = Broker(folder, request.param(folder))
    made.start()
    yield made
    made.stop()


class HandWorker:
    """A worker whose every word the test says itself."""

    def __init__(self, endpoints):
        self.context = zmq.asyncio.Context()
        self.socket = self.context.socket(zmq.DEALER)
        sockets.tune(self.socket)
        sockets.connect(self.socket, endpoints, endpoints.worker)
        self.letter = []  # what came and was not asked for yet

    async def say(self, message):
        await self.socket.send(protocol.encode(message))

    async def ready(self, runs=()):
        models = (facts.ModelInfo(name='m', engine='demo'),)
        await self.say(
            protocol.Ready(
                worker='w',
                session='s',
                host='h',
                pid=1,
                engine='demo',
                engine_version='1',
                slots=1,
                models=models,
                runs=runs,
            )
        )

    async def hears(self, kind):
        async with asyncio.timeout(40):
            while True:
                while self.letter:
                    message = self.letter.pop(0)
                    if isinstance(message, kind):
                        return message
                self.letter = protocol.to_worker_in(await self.socket.recv())

    def close(self):
        self.context.destroy(linger=0)


@pytest.fixture
def worker(broker):
    made = HandWorker(broker.endpoints)
    yield made
    made.close()


def a_job(**fields):
    values = {'job_id': client.new_job_id(), 'kind': 'chat', 'model': 'm', 'body': '{"文":1}'.encode(), **fields}
    return protocol.Submit(**values)


async def until(feed, wanted):
    """Everything the feed gave up to the first item that ``wanted`` likes."""
    items = []
    async with asyncio.timeout(40):
        async for item in feed:
            items.append(item)
            if wanted(item):
                return items
    raise AssertionError('the feed ended')


def is_fact(kind):
    return lambda item: isinstance(item, protocol.FactOut) and isinstance(item.fact, kind)


async def test_a_job_goes_through_the_whole_queue(broker, worker):
    async with client.BrokerClient(broker.endpoints.for_peers()) as desk:
        await worker.ready()
        job = a_job()
        assert not (await desk.submit(job)).duplicate
        assert (await desk.submit(job)).duplicate
        assign = await worker.hears(protocol.Assign)
        assert (assign.job_id, assign.body) == (job.job_id, job.body)
        await worker.say(protocol.Tokens(job_id=job.job_id, epoch=1, index=0, lines=(b'{"a":1}', b'{"b":2}')))
        await worker.say(protocol.Finished(job_id=job.job_id, epoch=1, lines=2, usage=facts.Usage(output_tokens=2)))
        await worker.hears(protocol.Settled)
        answer = await desk.read_all(job.job_id)
        assert (answer.lines, answer.ended) == ((b'{"a":1}', b'{"b":2}'), True)
        assert (await desk.get(job.job_id)).job.state == 'completed'
        assert (await desk.submit(job)).duplicate
        with pytest.raises(errors.Refused) as refused:
            await desk.cancel(job.job_id)
        assert refused.value.code == 'final'
        items = await until(desk.feed(0), is_fact(facts.JobCompleted))
        seqs = [item.fact.seq for item in items if isinstance(item, protocol.FactOut)]
        assert seqs == list(range(1, len(seqs) + 1))


async def test_a_broker_that_restarts_loses_nothing_and_the_feed_has_no_gap(broker, worker):
    async with client.BrokerClient(broker.endpoints.for_peers(), timeout_s=20) as desk:
        await worker.ready()
        seen = asyncio.create_task(until(desk.feed(0), is_fact(facts.JobCompleted)))
        job = a_job()
        await desk.submit(job)
        await worker.hears(protocol.Assign)
        await worker.say(protocol.Tokens(job_id=job.job_id, epoch=1, index=0, lines=(b'{"a":1}',)))
        async with asyncio.timeout(40):
            while (await desk.read(job.job_id)).total < 1:  # each round asks the broker anew
                pass
        broker.stop()
        asking = asyncio.create_task(desk.get(job.job_id))
        broker.start()
        assert (await asking).job.state == 'running'
        await worker.say(protocol.Tokens(job_id=job.job_id, epoch=1, index=1, lines=(b'{"b":2}',)))
        await worker.hears(protocol.Identify)
        await worker.ready(runs=(protocol.Run(job_id=job.job_id, epoch=1, index=2),))
        assert (await worker.hears(protocol.Resend)).index == 0
        await worker.say(protocol.Tokens(job_id=job.job_id, epoch=1, index=0, lines=(b'{"a":1}', b'{"b":2}')))
        await worker.say(protocol.Finished(job_id=job.job_id, epoch=1, lines=2, usage=facts.Usage()))
        await worker.hears(protocol.Settled)
        found = [item.fact for item in await seen if isinstance(item, protocol.FactOut)]
        assert [fact.seq for fact in found] == list(range(1, len(found) + 1))
        assert sum(isinstance(fact, facts.JobStarted) for fact in found) == 1
        assert (await desk.read_all(job.job_id)).lines == (b'{"a":1}', b'{"b":2}')


async def test_tokens_reach_a_subscriber_as_they_come(broker, worker):
    async with client.BrokerClient(broker.endpoints.for_peers()) as desk:
        await worker.ready()
        feed = desk.feed(0)
        await until(feed, lambda item: isinstance(item, protocol.Pulse))
        job = a_job()
        await desk.submit(job)
        await worker.hears(protocol.Assign)
        await worker.say(protocol.Tokens(job_id=job.job_id, epoch=1, index=0, lines=(b'{"a":1}',)))
        (*_, tokens) = await until(feed, lambda item: isinstance(item, protocol.TokensOut))
        assert tokens == protocol.TokensOut(job_id=job.job_id, epoch=1, index=0, lines=(b'{"a":1}',))
        await feed.aclose()


GARBAGE = [
    b'',
    b'\x00',
    b'\xc1' * 100,
    b'{"t":"Submit"}',
    b'\x81\xa1t\xa6Submit',
    b'\xdf\xff\xff\xff\xff',
    b'\x93' * 5_000,
]


async def test_garbage_on_any_socket_is_dropped_and_the_broker_lives(broker, worker):
    endpoints = broker.endpoints.for_peers()
    context, opened = zmq.asyncio.Context(), []
    for address in (endpoints.client, endpoints.worker):
        socket = context.socket(zmq.DEALER)
        sockets.tune(socket)
        sockets.connect(socket, endpoints, address)
        for data in GARBAGE:
            await socket.send(data)
            await socket.send_multipart([data, data, data])
        if address == endpoints.client:
            async with asyncio.timeout(40):
                assert isinstance(protocol.replies_in(await socket.recv())[0], protocol.Refused)
        opened.append(socket)
    subscriber = context.socket(zmq.SUB)
    sockets.connect(subscriber, endpoints, endpoints.facts)
    for data in GARBAGE:
        subscriber.setsockopt(zmq.SUBSCRIBE, data)
    async with client.BrokerClient(endpoints) as desk:
        await worker.ready()
        await worker.hears(protocol.Welcome)
        assert (await desk.submit(a_job())).job_id
        await worker.hears(protocol.Assign)
    for socket in (*opened, subscriber):
        socket.close(0)
    context.term()


async def test_a_dead_job_is_found_told_of_done_again_and_purged(broker, worker):
    async with client.BrokerClient(broker.endpoints.for_peers()) as desk:
        await worker.ready()
        job = a_job(user='u', idempotency_key='k')
        await desk.submit(job)
        await worker.hears(protocol.Assign)
        with pytest.raises(errors.Refused, match='running, not dead'):
            await desk.replay(job.job_id, client.new_job_id())
        failed = protocol.Failed(job_id=job.job_id, epoch=1, code='bad_request', detail='no', retryable=False)
        await worker.say(failed)
        await worker.hears(protocol.Settled)
        found = await desk.find(protocol.FindJobs(states=('dead',), user='u'))
        assert ([each.job_id for each in found.jobs], found.more) == ([job.job_id], False)
        assert [type(fact).__name__ for fact in await desk.history(job.job_id)] == [
            'JobQueued',
            'JobStarted',
            'JobDied',
        ]
        again = client.new_job_id()
        assert not (await desk.replay(job.job_id, again)).duplicate
        assert (await desk.replay(job.job_id, again)).duplicate
        assign = await worker.hears(protocol.Assign)
        assert (assign.job_id, assign.body) == (again, job.body)
        assert (await desk.history(again))[0].replay_of == job.job_id
        same = a_job(user='u', idempotency_key='k')
        assert (await desk.submit(same)).job_id == job.job_id
        assert await desk.purge(job.job_id) == 1
        assert (await desk.submit(same)).job_id == same.job_id  # the key went with the job
        with pytest.raises(errors.Refused) as refused:
            await desk.get(job.job_id)
        assert refused.value.code == 'not_found'
        with pytest.raises(errors.Refused, match='no such job'):
            await desk.replay(job.job_id, client.new_job_id())


async def test_many_dead_jobs_are_purged_a_few_at_a_time(broker, worker, monkeypatch):
    monkeypatch.setattr('broker.server.PURGE_AT_ONCE', 2)
    async with client.BrokerClient(broker.endpoints.for_peers()) as desk:
        await worker.ready()
        for _ in range(3):
            await desk.submit(a_job())
            job_id = (await worker.hears(protocol.Assign)).job_id
            await worker.say(protocol.Failed(job_id=job_id, epoch=1, code='bad_request', detail='', retryable=False))
            await worker.hears(protocol.Settled)
        assert await desk.purge(before=1e12) == 3
        assert (await desk.find(protocol.FindJobs(states=('dead',)))).jobs == ()


async def test_who_begins_to_listen_hears_where_jobs_stand_though_nothing_changes(broker):
    async with client.BrokerClient(broker.endpoints.for_peers()) as desk:
        job = a_job(model='nobody:has')
        await desk.submit(job)
        for _ in range(3):  # the first may hear of the change itself
            feed = desk.feed(0)
            async with asyncio.timeout(60):
                async for item in feed:
                    if isinstance(item, protocol.Standing):
                        assert [place.job_id for place in item.places] == [job.job_id]
                        break
            await feed.aclose()


async def test_a_pause_is_kept_through_a_restart(broker, worker):
    async with client.BrokerClient(broker.endpoints.for_peers(), timeout_s=20) as desk:
        await desk.pause('model', 'm')
        broker.stop()
        broker.start()
        assert (await desk.snapshot()).pauses == (protocol.PauseInfo(scope='model', name='m'),)
        await desk.resume('model', 'm')
        assert (await desk.snapshot()).pauses == ()
        with pytest.raises(errors.Refused, match='scope'):
            await desk.pause('planet', 'mars')


async def test_a_body_too_large_is_refused_before_it_is_sent(broker):
    async with client.BrokerClient(broker.endpoints.for_peers()) as desk:
        with pytest.raises(errors.Refused) as refused:
            await desk.submit(a_job(body=b' ' * (protocol.MAX_BODY_BYTES + 1)))
        assert refused.value.code == 'body_too_large'
        assert (await desk.ping()).boot == '1'


async def test_a_full_disk_refuses_new_jobs_and_says_so(broker, monkeypatch):
    usage = type('usage', (), {'free': 1_000})
    monkeypatch.setattr('broker.server.shutil.disk_usage', lambda path: usage)
    async with client.BrokerClient(broker.endpoints.for_peers()) as desk:
        with pytest.raises(errors.Refused) as refused:
            await desk.submit(a_job())
        assert refused.value.code == 'disk_full' and refused.value.retry_after_s > 0


async def test_a_commit_that_fails_is_not_acknowledged_and_leaves_nothing(broker, monkeypatch):
    def full(changes):
        raise errors.StoreFull()

    async with client.BrokerClient(broker.endpoints.for_peers()) as desk:
        with monkeypatch.context() as patch:
            patch.setattr(broker.store, 'commit', full)
            job = a_job()
            with pytest.raises(errors.Refused) as refused:
                await desk.submit(job)
            assert refused.value.code == 'disk_full'
        assert not (await desk.submit(job)).duplicate
        assert len((await desk.facts_after(0)).facts) == 1


async def test_a_disk_that_stays_full_is_tried_again_seldom_and_stopping_does_not_wait_for_it(broker, monkeypatch):
    tries, first, third, resting, rests = [], *(threading.Event() for _ in range(4))
    commit = broker.store.commit

    def full(changes):
        if any(isinstance(change.fact, facts.JobQueued) for change in changes):
            return commit(changes)  # there is room for the job itself, and for nothing after it
        tries.append(time.monotonic())
        first.set()
        if len(tries) == 3:
            third.set()
        if resting.is_set():
            monkeypatch.setattr('broker.server.FULL_PAUSE_S', 3600.0)
            rests.set()
        raise errors.StoreFull()

    async with client.BrokerClient(broker.endpoints.for_peers()) as desk:
        monkeypatch.setattr('broker.server.FULL_PAUSE_S', 0.3)
        monkeypatch.setattr(broker.store, 'commit', full)
        for delay_s in (0.2, 2, 20):  # one that comes when it is due already changes nothing later on
            await desk.submit(a_job(due_at=time.time() + delay_s))
            if await asyncio.to_thread(first.wait, 2 * delay_s):
                break
        assert await asyncio.to_thread(third.wait, 40)
        assert tries[2] - tries[0] >= 0.6
        resting.set()
        assert await asyncio.to_thread(rests.wait, 40)
    # the fixture's stop() gives it ten seconds, and it rests for an hour


async def test_nobody_answering_is_said_after_the_time_limit(tmp_path):
    async with client.BrokerClient(ipc(tmp_path), timeout_s=0.2) as desk:
        with pytest.raises(errors.BrokerUnreachable):
            await desk.ping()


async def test_without_our_key_nobody_gets_in(tmp_path):
    endpoints = curve(tmp_path)
    broker = Broker(tmp_path, endpoints)
    broker.start()
    try:
        public, secret = (key.decode() for key in zmq.curve_keypair())
        stranger = endpoints.for_peers().model_copy(update={'peer_public': public, 'peer_secret': secret})
        async with client.BrokerClient(stranger, timeout_s=1.0) as desk:
            with pytest.raises(errors.BrokerUnreachable):
                await desk.ping()
        async with client.BrokerClient(endpoints.for_peers()) as desk:
            assert (await desk.ping()).boot
    finally:
        broker.stop()


def test_an_address_that_somebody_else_has_is_said_in_one_sentence(tmp_path):
    endpoints, store = curve(tmp_path), Store(tmp_path / 'queue.db')
    before = threading.active_count()
    sentence = r'^tcp://.* cannot be used: Address already in use\.$'
    port = int(endpoints.worker.rpartition(':')[2])
    with socket.create_server(('127.0.0.1', port)), pytest.raises(errors.BrokerError, match=sentence):
        Server(store, endpoints, Rules(), boot='b')
    assert threading.active_count() == before
    store.close()


def test_stopping_what_has_stopped_is_no_error(tmp_path):
    broker = Broker(tmp_path, ipc(tmp_path))
    broker.start()
    broker.stop()
    broker.server.stop()


def test_job_ids_are_unique_and_sort_by_time():
    ids = [client.new_job_id() for _ in range(2_000)]
    assert len(set(ids)) == len(ids)
    assert all(len(each) == 32 and each[12] == '7' and each[16] in '89ab' for each in ids)
    assert [each[:12] for each in ids] == sorted(each[:12] for each in ids)


async def test_what_follows_from_a_stored_batch_may_fail_and_nobody_is_told_otherwise(broker, monkeypatch):
    """A worker is found gone while its assignment is sent: the job goes back, and that does not fit on the disk."""
    commit, said = broker.store.commit, []

    def full_later(changes):
        if any(isinstance(change.fact, facts.JobRequeued) for change in changes):
            raise errors.StoreFull()
        commit(changes)

    monkeypatch.setattr(broker.store, 'commit', full_later)
    send = broker.server._send
    monkeypatch.setattr(broker.server, '_send', lambda peer, message: said.append(message) or send(peer, message))
    gone = HandWorker(broker.endpoints.for_peers())
    await gone.ready()
    await gone.hears(protocol.Welcome)
    gone.socket.close(0)
    async with client.BrokerClient(broker.endpoints.for_peers()) as desk:
        job = a_job()
        await desk.submit(job)
        assert (await desk.get(job.job_id)).job.state in ('waiting', 'running')
        await desk.ping()
    gone.context.destroy(linger=0)
    assert not [message for message in said if isinstance(message, protocol.Refused)]


async def test_tokens_do_not_wait_for_the_disk_that_the_end_which_came_with_them_needs(broker, worker, monkeypatch):
    commit, speak, done = broker.store.commit, broker.server._doors.speak, []

    def committed(changes):
        done.extend(type(change.fact).__name__ for change in changes)
        commit(changes)

    def spoken(news):
        done.extend(type(item).__name__ for items in news.values() for item in items)
        speak(news)

    monkeypatch.setattr(broker.store, 'commit', committed)
    monkeypatch.setattr(broker.server._doors, 'speak', spoken)
    async with client.BrokerClient(broker.endpoints.for_peers()) as desk:
        await worker.ready()
        job = a_job()
        await desk.submit(job)
        await worker.hears(protocol.Assign)
        tokens = protocol.Tokens(job_id=job.job_id, epoch=1, index=0, lines=(b'{"a":1}',))
        finished = protocol.Finished(job_id=job.job_id, epoch=1, lines=1, usage=facts.Usage())
        (letter,) = protocol.letters(map(protocol.encode, (tokens, finished)))
        await worker.socket.send(letter)
        await worker.hears(protocol.Settled)
        await desk.ping()
    at = done.index('TokensOut')
    assert [each for each in done[at:] if each != 'Pulse'][:3] == ['TokensOut', 'JobCompleted', 'FactsOut']


def test_a_shorter_lease_brings_quicker_heartbeats(tmp_path):
    endpoints = Endpoints(**dict.fromkeys(('client', 'worker', 'facts'), 'ipc:///nowhere'))
    rules = BrokerSettings(data_dir=tmp_path, endpoints=endpoints, lease_ttl_s=3).rules()
    assert rules.heartbeat_s == 1
    rules = BrokerSettings(data_dir=tmp_path, endpoints=endpoints, heartbeat_s=2).rules()
    assert rules.heartbeat_s == 2
