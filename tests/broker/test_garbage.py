"""Messages that are broken, or well formed and meant by nobody: on every socket they stop nothing."""

import asyncio
import contextlib
import math

import msgspec
import pytest
import zmq
import zmq.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker import client, facts, lookup, protocol, sockets
from broker.actions import Publish, Send
from broker.rules import Rules
from tests.broker import garbage
from tests.broker.desk import CLIENT, Desk, job_id, tokens
from tests.broker.test_server import Broker, ipc
from tests.nightly import many

TYPES = garbage.kinds()
NAMES = [kind.__name__ for kind, _ in TYPES]


class Busy:
    """A desk with a worker that runs one job, while others wait, are delayed, come after others and are in a batch."""

    def __init__(self):
        self.desk = Desk(Rules())
        self.worker = self.desk.join('w', slots=1)
        self.desk.ask(protocol.OpenBatch(batch_id=job_id(0xB), total=3))
        for number, fields in enumerate(
            ({}, {}, {'due_at': 2_000.0}, {'after': (job_id(1),)}, {'parent': job_id(0xB)}), 1
        ):
            self.desk.submit(number, **fields)
        self.desk.tell(self.worker, tokens(1, 1, 0, b'a'))

    def hear(self, message):
        """Take one message from whoever would send it; what the broker says to that can be sent."""
        desk, peer = self.desk, CLIENT if isinstance(message, protocol.Request) else self.worker
        past = lookup.past_of(message, desk.store, desk.core.knows, False)
        for action in desk.did(desk.core.receive(peer, message, desk.now, past)):
            match action:
                case Send(_, said) | Publish(_, said):
                    protocol.encode(said)
        assert [facts.decode(facts.encode(fact)) for fact in desk.facts] == desk.facts

    def goes_on(self):
        """Time passes, a new worker signs in, and a new job runs there."""
        desk = self.desk
        for pause in desk.store.pauses():
            desk.ask(protocol.Resume(scope=pause.scope, name=pause.name))
        desk.wait(1)
        desk.restart()
        worker = desk.join('fresh', slots=1_000, models=('fresh',), peer=b'fresh')
        assert isinstance(desk.submit(0xF, model='fresh', priority=15), protocol.Accepted)
        assert job_id(0xF) in [name for _, name, _ in desk.assigned()]
        desk.run(worker, 0xF)
        assert desk.state(0xF) == 'completed'


@pytest.mark.parametrize(('kind', 'decode'), TYPES, ids=NAMES)
def test_a_message_is_understood_whole_and_not_when_it_is_torn(kind, decode):
    (message,) = decode(msgspec.msgpack.encode(garbage.whole(kind)))
    assert isinstance(message, kind)
    understood = 0
    for data in garbage.torn(kind):
        with contextlib.suppress(*protocol.Malformed):
            understood += len(decode(data))
    assert understood <= 4  # a byte turned over may be one of a text


@pytest.mark.parametrize(('kind', 'decode'), TYPES, ids=NAMES)
def test_a_field_of_a_wrong_type_is_not_understood_or_does_no_harm(kind, decode):
    refused = 0
    for message in garbage.broken(kind):
        try:
            (understood,) = decode(msgspec.msgpack.encode(message))
        except protocol.Malformed:
            refused += 1
            continue
        if decode in (protocol.requests_in, protocol.from_worker_in):
            busy = Busy()
            busy.hear(understood)
            busy.goes_on()
    assert refused > 0


TEXTS = st.sampled_from(
    ['', job_id(1), job_id(2), job_id(0xB), 'w', 'm', 'all', 'model', '5', '* * * * *', 'é' * 500, '\x00']
)
NUMBERS = st.sampled_from([0, 1, 2, -1, 5, 16, 2**31, 2**53, 2**63 - 1, -(2**63)])
TIMES = st.sampled_from([0.0, 1.0, -1.0, 1_001.0, 1e11, 1e308, -1e308, 5e-324, math.inf, -math.inf, math.nan])
BODIES = st.sampled_from([b'', b'{}', b'[]', b'{"options": {"num_ctx": 1e999}}', b'\xff' * 50, b'{"a":' * 5_000])


def nonsense(union):
    """Any message that this door lets in, with values that are extreme or near the real ones."""
    return st.one_of([_of(kind) for kind in union.__args__])


def _of(kind):
    found = msgspec.inspect.type_info(kind)
    fields = {field.name: _values(field.type) for field in found.fields}
    return st.fixed_dictionaries({'t': st.just(kind.__name__)}, optional=fields)


_PLAIN = {
    msgspec.inspect.StrType: TEXTS,
    msgspec.inspect.IntType: NUMBERS,
    msgspec.inspect.FloatType: TIMES,
    msgspec.inspect.BoolType: st.booleans(),
    msgspec.inspect.BytesType: BODIES,
}


def _values(kind):
    match kind:
        case msgspec.inspect.EnumType():
            return st.sampled_from([each.value for each in kind.cls])
        case msgspec.inspect.VarTupleType():
            return st.lists(_values(kind.item_type), max_size=3)
        case msgspec.inspect.StructType():
            return st.fixed_dictionaries({field.name: _values(field.type) for field in kind.fields})
    if isinstance(kind, msgspec.inspect.UnionType):
        return st.one_of(*map(_values, kind.types))
    if isinstance(kind, msgspec.inspect.NoneType):
        return st.none()
    return _PLAIN[type(kind)]


@pytest.mark.timeout(many(180, 3_600))
@settings(
    max_examples=many(150, 3_000),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(messages=st.lists(nonsense(protocol.AnyRequest | protocol.AnyFromWorker), min_size=1, max_size=6))
def test_nothing_that_is_well_formed_and_meant_by_nobody_stops_the_queue(messages):
    busy = Busy()
    for message in messages:
        data = msgspec.msgpack.encode(garbage.whole(_kind(message)) | message)
        decode = protocol.requests_in if issubclass(_kind(message), protocol.Request) else protocol.from_worker_in
        with contextlib.suppress(*protocol.Malformed):
            (understood,) = decode(data)
            busy.hear(understood)
    busy.goes_on()


def _kind(message):
    return getattr(protocol, message['t'])


@pytest.fixture
def broker(tmp_path_factory):
    folder = tmp_path_factory.mktemp('g')
    made = Broker(folder, ipc(folder))
    made.start()
    yield made
    made.stop()


def test_the_broker_on_its_sockets_tells_clients_what_it_does_not_understand_and_serves_on(broker):
    with zmq.Context() as context:
        caller, worker = (_connected(context, broker, side) for side in ('client', 'worker'))
        asked = 0
        for kind, decode in TYPES:
            if decode is protocol.from_worker_in:
                for message in garbage.broken(kind):
                    worker.send(msgspec.msgpack.encode(message))
            elif decode is protocol.requests_in:
                for data in (*garbage.torn(kind), *map(msgspec.msgpack.encode, garbage.broken(kind))):
                    caller.send(data)
                    asked += 1
                    (answer,) = protocol.replies_in(_received(caller))  # each is answered, also one that is broken
                    assert isinstance(answer, protocol.Reply)
        for frames in ([b'', b''], [b'a', b'b', b'c'], [b'\x00' * 100_000]):
            for peer in (caller, worker):
                peer.send_multipart(frames)
        caller.send(protocol.encode(protocol.Ping(rid=77)))
        answers: list[protocol.AnyReply] = []
        while len(answers) < 4:
            answers += protocol.replies_in(_received(caller))
        assert isinstance(answers[-1], protocol.Pong) and answers[-1].rid == 77
        assert all(isinstance(answer, protocol.Refused) and answer.detail for answer in answers[:-1])
        assert asked > 1_000 and broker.server._doors.malformed > 1_000
        caller.close(0)
        worker.close(0)


def _connected(context, broker, side):
    made = context.socket(zmq.DEALER)
    sockets.tune(made)
    sockets.connect(made, broker.endpoints, getattr(broker.endpoints, side))
    return made


def _received(socket):
    assert socket.poll(10_000), 'no answer'
    return socket.recv()


async def test_a_client_hears_its_answer_behind_any_garbage(tmp_path_factory):
    endpoints = ipc(tmp_path_factory.mktemp('g'))
    context = zmq.asyncio.Context()
    try:
        broker = context.socket(zmq.ROUTER)
        sockets.tune(broker)
        sockets.serve(broker, endpoints, endpoints.client)
        async with client.BrokerClient(endpoints) as asking, asyncio.timeout(40):
            answer = asyncio.create_task(asking.ping())
            peer, request = await broker.recv_multipart()
            (asked,) = protocol.requests_in(request)
            rid = asked.rid
            for data in _garbage_for(protocol.replies_in, rid):
                await broker.send_multipart((peer, data))
            await broker.send_multipart((peer, protocol.encode(protocol.Pong(rid=rid, boot='b'))))
            assert (await answer).boot == 'b'
    finally:
        context.destroy(linger=0)


def _garbage_for(door, rid):
    """All that is no answer to this request."""
    for kind, decode in TYPES:
        if decode is door:
            for data in (*garbage.torn(kind), *map(msgspec.msgpack.encode, garbage.broken(kind))):
                try:
                    is_answer = any(reply.rid == rid for reply in decode(data))
                except protocol.Malformed:
                    is_answer = False
                if not is_answer:
                    yield data


def test_whoever_subscribes_leaves_out_what_is_garbage():
    with zmq.Context() as context:
        out, subscriber = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
        for each in (out, subscriber):
            each.setsockopt(zmq.RCVHWM, 0)
            each.setsockopt(zmq.SNDHWM, 0)
        out.bind('inproc://facts')
        subscriber.connect('inproc://facts')
        sent = 0
        for kind, decode in TYPES:
            if decode is protocol.published_in:
                for data in garbage.torn(kind):
                    out.send_multipart((b'f', data))
                    sent += 1
        out.send_multipart((b'p', protocol.encode(protocol.Pulse(boot='b', seq=7))))
        items = client._drain(subscriber, subscriber.recv_multipart(), sent)
        assert items[-1] == protocol.Pulse(boot='b', seq=7) and len(items) < sent / 2
        out.close(0)
        subscriber.close(0)
