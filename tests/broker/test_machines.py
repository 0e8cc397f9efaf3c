"""Workers of other machines: who is let in, and who is not."""

import asyncio
import contextlib
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from broker import errors, facts, machines, network, protocol
from broker.actions import Peer, Send
from broker.client import BrokerClient, new_job_id
from broker.endpoints import Endpoints
from broker.knocks import MOST, Knocks
from broker.server import Server
from broker.settings import BrokerSettings
from broker.store import Store
from tests.broker.desk import Desk
from tests.broker.test_server import ipc
from workers.engines.demo import DemoEngine
from workers.settings import WorkerSettings
from workers.worker import Worker

QUESTION = b'{"messages": [{"role": "user", "content": "What is a queue?"}]}'


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
        assert each.name_of(public_of(token)) == 'gpu box'
        assert [name for name, _ in each.listed()] == ['gpu box']
    assert known.remove('gpu box')
    assert known.name_of(public_of(token)) is None
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
        try:
            async with BrokerClient(endpoints) as client:
                yield client, f'tcp://{listen}'
        finally:
            server.stop()
            await running


@contextlib.asynccontextmanager
async def worker_at(endpoints, folder, name, *, engine=None, **callbacks):
    settings = WorkerSettings(data_dir=folder, endpoints=endpoints, worker=name, drain_s=0)
    worker = Worker(settings, engine or DemoEngine(), **callbacks)
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


class Heard:
    """What a worker is told when it is refused."""

    def __init__(self):
        self._said = asyncio.Queue()

    def hear(self, why):
        self._said.put_nowait(why)

    async def sentence(self):
        return await self._said.get()


async def started_on(client, worker):
    """The id of the first job that starts on a worker of this name."""
    async for item in client.feed(0, tokens=False):
        if (
            isinstance(item, protocol.FactOut)
            and isinstance(item.fact, facts.JobStarted)
            and item.fact.worker == worker
        ):
            return item.fact.job_id


async def test_a_machine_joins_with_its_token_and_is_turned_away_with_its_job_when_it_is_removed(
    tmp_path, short_folder
):
    async with broker_on_the_network(short_folder) as (client, address):
        joined = machines.endpoints_of(address, (await client.add_machine('gpu box')).token)
        other = machines.endpoints_of(address, (await client.add_machine('laptop')).token)
        assert [each.name for each in await client.machines()] == ['gpu box', 'laptop']
        far, taken, again = Heard(), Heard(), Heard()
        async with asyncio.timeout(60):
            async with worker_at(joined, tmp_path, 'far', engine=DemoEngine(chars_per_s=2.0), on_refused=far.hear):
                assert await joined_by(client, 1) == {'far'}
                async with worker_at(other, tmp_path, 'far', on_refused=taken.hear):
                    assert await taken.sentence() == (
                        'The worker name far belongs to another machine of this desk; choose another --name.'
                    )
                asked = protocol.Submit(job_id=new_job_id(), kind='chat', model='demo', user='u', body=QUESTION)
                await client.submit(asked)
                assert await started_on(client, 'far') == asked.job_id
                await client.remove_machine('gpu box')
                assert 'removed from the desk' in await far.sentence()
                async with worker_at(client._endpoints, tmp_path, 'near'):
                    assert await started_on(client, 'near') == asked.job_id  # at once: no lease had to run out
                    assert (await client.get(asked.job_id)).job.losses == 0
            async with worker_at(joined, tmp_path, 'far', on_refused=again.hear):
                assert await again.sentence() == ''  # its key is unknown now
            stranger = joined.model_copy(update={'broker_public': joined.peer_public})
            async with worker_at(stranger, tmp_path, 'stranger') as worker:
                assert not worker._link.up


def test_a_worker_name_stays_with_the_machine_that_came_with_it_first(known, tmp_path):
    known.add('box')
    known.add('laptop')
    assert known.claim('gpu:1', 'box') == ''
    for each in (known, machines.Machines(tmp_path / machines.FILE)):
        assert each.claim('gpu:1', 'box') == ''
        assert 'belongs to another machine' in each.claim('gpu:1', 'laptop')
    known.remove('box')
    assert known.claim('gpu:1', 'laptop') == ''


def test_this_machine_takes_a_name_back_that_another_one_used(known):
    known.add('box')
    assert known.claim('host:1', 'box') == ''
    assert known.claim('host:1', '') == ''
    assert 'belongs to another machine' in known.claim('host:1', 'box')


def test_a_machine_has_no_end_of_names_and_none_that_would_disturb_a_log(known):
    known.add('box')
    for number in range(machines.MOST_WORKERS):
        assert known.claim(f'w{number}', 'box') == ''
    assert 'has used' in known.claim('one more', 'box')
    assert known.claim('w0', 'box') == ''
    for name in ('', 'a\nb', 'w' * 201):
        assert 'needs a name' in known.claim(name, 'box')


def test_names_hold_also_where_the_disk_has_no_room_for_them(known, tmp_path):
    known.add('box')
    (tmp_path / 'machines.new').mkdir()
    assert known.claim('w', 'box') == ''
    assert 'belongs to another machine' in known.claim('w', 'laptop')


def far(name, host):
    peer = Peer('worker', host.encode(), 'box')
    ready = protocol.Ready(
        worker=name, session=host, host=host, pid=1, engine='demo', engine_version='1', slots=1, models=()
    )
    return peer, ready


def told(desk, peer, message):
    return [each.message for each in desk.tell(peer, message) if isinstance(each, Send) and each.peer == peer]


def test_one_key_on_two_machines_is_said_to_the_second_and_the_first_goes_on():
    desk = Desk()
    first, second = far('gpu', 'one'), far('gpu', 'two')
    desk.tell(*first)
    assert told(desk, *second) == []  # the first is asked whether it is there
    desk.now += 1
    desk.tell(first[0], protocol.Heartbeat())
    (said,) = told(desk, *second)
    assert said.detail.startswith('A worker called gpu works with this key on another machine')
    assert [worker.host for worker in desk.core.snapshot().workers] == ['one']


def test_a_machine_that_changed_its_name_on_the_network_is_let_in_as_soon_as_the_old_one_is_silent():
    desk = Desk()
    first, second = far('gpu', 'one'), far('gpu', 'two')
    desk.tell(*first)
    assert told(desk, *second) == []
    desk.gone(first[0], protocol.Beat())
    assert isinstance(told(desk, *second)[0], protocol.Welcome)
    silent = far('gpu', 'three')
    assert told(desk, *silent) == []
    desk.wait(60)
    assert isinstance(told(desk, *silent)[0], protocol.Welcome)


def test_who_knocks_with_an_unknown_key_gets_a_line_a_minute_with_a_count():
    knocks = Knocks()
    assert knocks.heard('key', '10.0.0.7', 0.0) == 'a machine with an unknown key (key…) at 10.0.0.7 was refused'
    assert [knocks.heard('key', '10.0.0.7', at / 10) for at in range(1, 600)] == [''] * 599
    assert knocks.heard('key', '10.0.0.7', 60.0).endswith('was refused, 600 times more in 60 s')
    assert knocks.heard('key', '10.0.0.7', 61.0) == ''
    assert knocks.heard('key', '10.0.0.8', 61.0)


def test_a_flood_of_new_keys_writes_few_lines_and_is_not_remembered():
    knocks = Knocks()
    lines = [knocks.heard(f'{number:040}', '10.0.0.7', number / 1000) for number in range(50_000)]
    assert sum(map(bool, lines)) == MOST + 1
    assert len(knocks._callers) == MOST + 1
    assert 'more than' in knocks.heard('new', '10.0.0.7', 50.1) or knocks.heard('new', '10.0.0.7', 111.0)


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
