"""The product as a user starts it."""

import os
import signal
import socket
import sys
from pathlib import Path

import httpx
import pytest

from tests.conftest import READY, is_running, wait_for

pytestmark = pytest.mark.whole


def test_it_starts_restarts_what_dies_and_stops_without_a_trace(corral):
    desk = corral('--engine', 'demo', '--workers', '2')
    assert [line for line in desk.lines if line.startswith(READY)] == [f'{READY}{desk.url}']
    assert httpx.get(f'{desk.url}/health').json()['status'] == 'ok'
    assert set(desk.pids()) == {'run', 'broker', 'worker-1', 'worker-2', 'app'}
    for name in ('worker-1', 'broker', 'app'):
        desk.wait_restarted(name, desk.kill(name))
        assert f'{name} was ended by SIGKILL; it is started again in 0.2 s' in desk.stderr
    wait_for(lambda: _health(desk.url) == 200, 40, 'the desk is back on the same port')
    pids = desk.pids().values()
    assert desk.stop() == 0
    assert not any(is_running(pid) for pid in pids)
    assert len(desk.lines) == 1


def test_killed_itself_it_leaves_no_orphan_and_the_next_one_waits_for_their_end(corral):
    desk = corral('--engine', 'demo')
    pids = desk.pids()
    children = [pid for name, pid in pids.items() if name != 'run']
    os.kill(pids['worker-1'], signal.SIGSTOP)  # it cannot end while it is stopped
    desk.process.kill()
    desk.process.wait(40)
    again = corral('--engine', 'demo', ready=False)
    wait_for(lambda: not any(is_running(pid) for pid in children if pid != pids['worker-1']), 40, 'no orphan')
    assert again.lines == []
    os.kill(pids['worker-1'], signal.SIGCONT)
    again.wait_ready()
    assert not any(is_running(pid) for pid in children)


def test_over_tcp_with_keys_a_second_one_on_the_same_data_is_refused_and_a_ctrl_c_stops_the_first(corral):
    first = corral('--engine', 'demo', env={'CORRAL_TRANSPORT': 'tcp'})
    assert httpx.get(f'{first.url}/health').json()['status'] == 'ok'
    logs = ''.join(file.read_text() for file in (first.data_dir / 'logs').iterdir())
    assert 'secret' not in logs
    second = corral(ready=False)
    assert second.wait_ended() == 1
    assert second.stderr == (
        f'{first.data_dir} is in use by Corral (pid {first.process.pid}, {first.url}). '
        'Stop it or choose another --data-dir.\n'
    )
    assert httpx.get(f'{first.url}/health').status_code == 200
    assert _open_to_others(first.data_dir) == []
    pids = first.pids().values()
    first.process.send_signal(signal.SIGINT)
    assert first.wait_ended() == 0
    assert not any(is_running(pid) for pid in pids)


def test_a_taken_port_is_one_sentence_and_nothing_is_started(corral):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        desk = corral('--port', str(port), ready=False)
        assert desk.wait_ended() == 1
    assert desk.stderr.count('\n') == 1
    assert f'Port {port} on 127.0.0.1 is in use' in desk.stderr
    assert not (desk.data_dir / 'logs' / 'run.log').exists()


@pytest.mark.skipif(sys.platform != 'linux', reason='needs a folder that even root cannot write to')
def test_a_read_only_data_directory_is_one_sentence(corral):
    desk = corral(ready=False, data_dir=Path('/proc/corral'))
    assert desk.wait_ended() == 1
    assert desk.stderr.startswith('The data directory /proc/corral cannot be written to: ')
    assert desk.stderr.count('\n') == 1


def _open_to_others(data_dir: Path) -> list[Path]:
    """What other users could read or change."""
    return [path for path in (data_dir, *data_dir.rglob('*')) if path.lstat().st_mode & 0o077]


def _health(url: str) -> int:
    try:
        return httpx.get(f'{url}/health').status_code
    except httpx.TransportError:
        return 0
