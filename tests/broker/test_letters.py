"""Messages that travel together: on the wire, through the client, and in one turn of the core."""

import asyncio
import time

import msgspec
import pytest
import zmq
import zmq.asyncio

from broker import client, errors, facts, protocol, sockets
from broker.admission import NOTHING
from broker.endpoints import Endpoints
from tests.broker.desk import CLIENT, Desk, finished, job_id, tokens
from tests.broker.test_server import Broker, HandWorker, ipc, is_fact, until

STOPS = [protocol.Stop(job_id=job_id(number), epoch=number) for number in range(5)]


def encoded(*messages):
    return [protocol.encode(message) for message in messages]


def submit(number, **fields):
    return protocol.Submit(**{'job_id': job_id(number), 'kind': 'chat', 'model': 'm', 'body': b'{}', **fields})


def test_a_message_alone_travels_as_it_is():
    (letter,) = protocol.letters(encoded(STOPS[0]))
    assert letter == protocol.encode(STOPS[0]) and protocol.to_worker_in(letter) == STOPS[:1]


@pytest.mark.parametrize('count', [2, 5])
def test_several_come_out_of_a_letter_in_their_order(count):
    (letter,) = protocol.letters(encoded(*STOPS[:count]))
    assert protocol.to_worker_in(letter) == STOPS[:count]


def test_no_letter_is_larger_than_allowed_unless_one_message_is():
    half, whole = b'x' * (protocol.MAX_BATCH_BYTES // 2), b'y' * (2 * protocol.MAX_BATCH_BYTES)
    jobs = [submit(number, body=body) for number, body in enumerate((half, half, whole, half, b'{}'))]
    letters = list(protocol.letters(encoded(*jobs)))
    assert [len(protocol.requests_in(letter)) for letter in letters] == [1, 1, 1, 2]
    assert [job for letter in letters for job in protocol.requests_in(letter)] == jobs


def test_no_letter_holds_more_messages_than_the_other_side_takes():
    pings = encoded(*[protocol.Ping(rid=number) for number in range(protocol.MAX_TOGETHER + 1)])
    assert [len(protocol.requests_in(letter)) for letter in protocol.letters(pings)] == [protocol.MAX_TOGETHER, 1]
    with pytest.raises(protocol.Malformed):
        protocol.requests_in(b'\xdd' + len(pings).to_bytes(4, 'big') + b''.join(pings))


def test_nothing_makes_no_letter_and_a_letter_without_a_message_is_none():
    assert list(protocol.letters([])) == []
    with pytest.raises(protocol.Malformed):
        protocol.requests_in(b'\x90')


def test_a_letter_with_one_senseless_message_is_not_understood():
    (letter,) = protocol.letters([*encoded(STOPS[0]), msgspec.msgpack.encode({'t': 'Nonsense'})])
    with pytest.raises(protocol.Malformed):
        protocol.to_worker_in(letter)


def test_of_what_comes_together_the_best_job_gets_the_slot():
    desk = Desk()
    desk.join('w', slots=1)
    mail = [(CLIENT, submit(number, priority=priority), NOTHING) for number, priority in ((1, 5), (2, 9), (3, 7))]
    desk.did(desk.core.receive_all(mail, desk.now))
    assert [assigned for _, assigned, _ in desk.assigned()] == [job_id(2)]


def test_a_job_that_comes_twice_in_one_turn_is_one():
    desk = Desk()
    desk.did(desk.core.receive_all([(CLIENT, submit(1), NOTHING)] * 2, desk.now))
    assert [reply.duplicate for reply in desk.told(CLIENT)] == [False, True]
    assert desk.history(1) == ['JobQueued']


def test_lines_and_outcome_of_one_turn_end_the_job_and_the_slot_goes_to_the_next():
    desk = Desk()
    worker = desk.join('w', slots=1)
    desk.submit(1)
    desk.submit(2)
    mail = [(worker, tokens(1, 1, 0, b'a'), NOTHING), (worker, finished(1, 1, 1), NOTHING)]
    desk.did(desk.core.receive_all(mail, desk.now))
    assert desk.state(1) == 'completed' and desk.store.answer(job_id(1)) == [b'a']
    assert [assigned for _, assigned, _ in desk.assigned()] == [job_id(2)]


async def test_a_feed_without_tokens_has_all_facts_and_its_welcome_but_no_line(tmp_path):
    broker = Broker(tmp_path, ipc(tmp_path))
    broker.start()
    worker = HandWorker(broker.endpoints)
    try:
        async with client.BrokerClient(broker.endpoints.for_peers()) as desk:
            seen = asyncio.create_task(until(desk.feed(0, tokens=False), is_fact(facts.JobCompleted)))
            await desk.submit(submit(1))
            await worker.ready()
            assign = await worker.hears(protocol.Assign)
            await worker.say(tokens(1, assign.epoch, 0, b'{}'))
            await worker.say(finished(1, assign.epoch, 1))
            items = await seen
        assert [item.fact.seq for item in items if isinstance(item, protocol.FactOut)] == [1, 2, 3, 4]
        assert not any(isinstance(item, protocol.TokensOut) for item in items)
        assert protocol.WELCOME in protocol.TOPICS_BUT_TOKENS  # or a feed would not notice what it missed at first
    finally:
        worker.close()
        broker.stop()


class SilentBroker:
    """Takes letters; answers when the test says so."""

    def __init__(self, endpoints):
        self.context = zmq.asyncio.Context()
        self.socket = self.context.socket(zmq.ROUTER)
        sockets.serve(self.socket, endpoints, endpoints.client)

    async def letter(self):
        async with asyncio.timeout(40):
            self.peer, letter = await self.socket.recv_multipart()
            return protocol.requests_in(letter)

    async def answer(self, requests):
        replies = (protocol.Accepted(rid=request.rid, job_id=request.job_id) for request in requests)
        for letter in protocol.letters(map(protocol.encode, replies)):
            await self.socket.send_multipart([self.peer, letter])

    def close(self):
        self.context.destroy(linger=0)


@pytest.fixture
def endpoints(tmp_path):
    return Endpoints(**{side: f'ipc://{tmp_path}/{side}' for side in ('client', 'worker', 'facts')})


@pytest.fixture
async def broker(endpoints):
    made = SilentBroker(endpoints)
    yield made
    made.close()


async def test_what_is_asked_at_once_travels_in_one_letter_and_everybody_gets_their_own_answer(broker, endpoints):
    async with client.BrokerClient(endpoints) as desk:
        first = asyncio.create_task(desk.submit(submit(0)))
        await broker.answer(await broker.letter())  # from here on there is a connection
        await first
        asked = [asyncio.create_task(desk.submit(submit(number))) for number in range(1, 101)]
        letter = await broker.letter()
        assert len(letter) == 100
        await broker.answer(reversed(letter))
        assert [(await each).job_id for each in asked] == [job_id(number) for number in range(1, 101)]


async def test_what_is_not_answered_is_asked_again_and_what_is_answered_is_not(broker, endpoints, monkeypatch):
    monkeypatch.setattr(client, 'RESEND_S', 0.2)
    async with client.BrokerClient(endpoints) as desk:
        answered = asyncio.create_task(desk.submit(submit(1)))
        await broker.answer(await broker.letter())
        await answered
        asked = asyncio.create_task(desk.submit(submit(2)))
        (lost,) = await broker.letter()
        again = await broker.letter()
        assert again == [lost]
        await broker.answer(again)
        assert (await asked).job_id == job_id(2)


async def test_who_gets_no_answer_is_told_so_in_time(broker, endpoints):
    async with client.BrokerClient(endpoints, timeout_s=0.4) as desk:
        began = time.monotonic()
        with pytest.raises(errors.BrokerUnreachable):
            await desk.submit(submit(1))
        assert 0.4 <= time.monotonic() - began < 5.0


async def test_who_stood_still_for_longer_than_it_waits_reads_the_answer_that_came_meanwhile(broker, endpoints):
    async with client.BrokerClient(endpoints, timeout_s=0.4) as desk:
        asked = asyncio.create_task(desk.submit(submit(1)))
        await broker.answer(await broker.letter())
        time.sleep(0.6)  # noqa: ASYNC251 - the whole loop does nothing else for so long
        assert (await asked).job_id == job_id(1)


async def test_who_waits_when_the_client_is_closed_is_not_left_waiting(broker, endpoints):
    async with client.BrokerClient(endpoints, timeout_s=600.0) as desk:
        asked = asyncio.create_task(desk.submit(submit(1)))
        await broker.letter()
    with pytest.raises(errors.BrokerUnreachable):
        await asked
    with pytest.raises(errors.BrokerUnreachable):
        await desk.submit(submit(2))
