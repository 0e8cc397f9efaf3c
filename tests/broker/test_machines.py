"""Workers of other machines: who is let in, and who is not."""

import asyncio
import contextlib
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from broker import errors, facts, machines, network, protocol
from broker.client import BrokerClient
from broker.endpoints import Endpoints
from broker.server import Server
from broker.settings import BrokerSettings
from broker.store import Store
from tests.broker.test_server import ipc
from workers.engines.demo import DemoEngine
from workers.settings import WorkerSettings
from workers.worker import Worker


@pytest.fixture
def known(tmp_path):
    return machines.Machines(tmp_path / machines.FILE)


@pytest.fixture
def short_folder():
    with tempfile.TemporaryDirectory(prefix='corral-') as folder:  # an ipc path may have 107 bytes
        yield Path(folder)


def public_of(token):
    return machines.endpoints_of('tcp://h:1', token).peer_public.encode()


def test_a_machine_is_known_by_its_key_also_after_a_restart_until_it_is_removed(known, tmp_path):
    token = known.add('gpu box')
    for each in (known, machines.Machines(tmp_path / machines.FILE)):
        assert each.knows(public_of(token))
        assert [name for name, _ in each.listed()] == ['gpu box']
    assert known.remove('gpu box')
    assert not known.knows(public_of(token))
    assert not known.remove('gpu box')


def test_the_file_is_for_its_user_alone_and_has_no_secret_of_a_machine(known, tmp_path):
    path = tmp_path / machines.FILE
    secret = machines.endpoints_of('tcp://h:1', known.add('m')).peer_secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret not in path.read_text()


@pytest.mark.parametrize('name', ['', ' m', 'm\n', 'm' * 61])
def test_a_name_that_cannot_be_one_is_refused(known, name):
    with pytest.raises(errors.Refused) as refused:
        known.add(name)
    assert refused.value.code == 'bad_request'


def test_a_name_is_given_once(known):
    known.add('m')
    with pytest.raises(errors.Refused) as refused:
        known.add('m')
    assert refused.value.code == 'conflict'


def test_a_damaged_file_is_said_to_be_damaged_and_stays(tmp_path):
    (tmp_path / machines.FILE).write_text('{"public": 1')
    with pytest.raises(errors.BrokerError, match=r'machines\.json cannot be read'):
        machines.Machines(tmp_path / machines.FILE)


@pytest.mark.parametrize('token', ['', 'abc', 'ä', 'A' * 85, 'A' * 88, '!' * 86])
def test_what_is_no_token_is_refused(token):
    with pytest.raises(machines.NoToken):
        machines.endpoints_of('tcp://h:1', token)


@pytest.mark.parametrize(
    ('text', 'meant'),
    [('0.0.0.0:8090', '0.0.0.0:8090'), ('tcp://box:1', 'box:1'), ('[::]:65535', '[::]:65535'), ('', '')],
)
def test_where_to_listen_is_read(text, meant):
    assert network.checked(text) == meant


@pytest.mark.parametrize('text', ['8090', 'box', 'box:0', 'box:70000', 'http://box:1', '::1:8090', 'a b:1'])
def test_what_is_no_place_to_listen_is_refused(text):
    with pytest.raises(ValueError, match=r'like 0\.0\.0\.0:8090'):
        network.checked(text)
    with pytest.raises(ValueError, match='listen'):
        BrokerSettings(data_dir='/', endpoints=Endpoints(client='c', worker='w', facts='f'), listen=text)


def test_others_reach_what_listens_everywhere_at_an_address_of_this_machine():
    assert network.reached('box:1') == 'tcp://box:1'
    assert not network.reached('0.0.0.0:1').startswith(('tcp://0.0.0.0', 'tcp://127.'))
    assert network.bound('127.0.0.1:1') == 'tcp://127.0.0.1:1'
    assert network.bound('[::1]:1') == 'tcp://[::1]:1'


@contextlib.asynccontextmanager
async def broker_on_the_network(folder):
    """A broker with local sockets and a port; a client, and the address to join."""
    with socket.create_server(('127.0.0.1', 0)) as free:
        listen = f'127.0.0.1:{free.getsockname()[1]}'
    endpoints = ipc(folder)
    settings = BrokerSettings(data_dir=folder, endpoints=endpoints)
    with contextlib.closing(Store(folder / 'queue.db')) as store:
        server = Server(store, endpoints, settings.rules(), boot='b', listen=listen)
        running = asyncio.create_task(asyncio.to_thread(server.run))
        async with BrokerClient(endpoints) as client:
            yield client, f'tcp://{listen}'
        server.stop()
        await running


@contextlib.asynccontextmanager
async def worker_at(endpoints, folder, name, **callbacks):
    settings = WorkerSettings(data_dir=folder, endpoints=endpoints, worker=name, drain_s=0)
    worker = Worker(settings, DemoEngine(), **callbacks)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await running


async def joined_by(client, count):
    """The names of the first workers that join, so many."""
    names = set()
    async for item in client.feed(0, tokens=False):
        if isinstance(item, protocol.FactOut) and isinstance(item.fact, facts.WorkerJoined):
            names.add(item.fact.worker)
        if len(names) == count:
            return names


async def test_a_machine_with_a_token_joins_and_works_and_one_without_is_refused(tmp_path, short_folder):
    async with broker_on_the_network(short_folder) as (client, address):
        token = (await client.add_machine('gpu box')).token
        assert [each.name for each in await client.machines()] == ['gpu box']
        refused = asyncio.Event()
        joined = machines.endpoints_of(address, token)
        async with (
            asyncio.timeout(20),
            worker_at(joined, tmp_path, 'far'),
            worker_at(client._endpoints, tmp_path, 'near'),
        ):
            assert await joined_by(client, 2) == {'far', 'near'}
            await client.remove_machine('gpu box')
            async with worker_at(joined, tmp_path, 'again', on_refused=refused.set):
                await refused.wait()
            assert {each.worker for each in (await client.staff()).workers} == {'far', 'near'}
            stranger = joined.model_copy(update={'broker_public': joined.peer_public})
            async with worker_at(stranger, tmp_path, 'stranger') as worker:
                assert not worker._link.up


async def test_without_a_place_to_listen_no_machine_can_be_added():
    assert isinstance(machines.answer(None, protocol.FindMachines()), protocol.MachineList)
    for asked in (protocol.AddMachine(name='m'), protocol.RemoveMachine(name='m')):
        refused = machines.answer(None, asked)
        assert isinstance(refused, protocol.Refused)
        assert refused.code == 'not_listening'


async def test_a_key_of_a_machine_opens_no_door_for_clients(tmp_path, short_folder):
    async with broker_on_the_network(short_folder) as (client, address):
        joined = machines.endpoints_of(address, (await client.add_machine('m')).token)
        async with BrokerClient(joined, timeout_s=0.5) as other:
            with pytest.raises(errors.BrokerUnreachable):
                await other.ping()  # workers and nothing else are heard there
        assert (await client.ping()).boot == 'b'
