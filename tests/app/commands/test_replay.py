"""replay: how long people would have waited under other orders."""

import contextlib
import socket
import threading
import types

import pytest

from app.commands import replay
from app.commands.command import CommandError
from tests.conftest import wait_for

pytestmark = pytest.mark.whole


def test_orders_are_compared_as_a_table_and_for_programs(call, says):
    says('one', '--wait', '--user', 'ann')

    def found():
        ended = call('replay', '--since', '1h', '-o', 'json')
        return ended.json if ended.json['jobs'] and 'ann' in ended.json['recorded']['by_user'] else None

    compared = wait_for(found, 40, 'her job in the statistics')
    assert [each['policy'] for each in compared['outcomes']] == ['fifo', 'priority', 'fair', 'affinity']
    table = call('replay', '--policy', 'fair', '--slots', 'gpu:1=2')
    assert table.code == 0
    assert [line.split()[0] for line in table.out.splitlines()[1:3]] == ['recorded', 'fair']
    assert table.err == 'No job ran on gpu:1 in that time, so its slots change nothing.\n'
    assert ' in memory at once, as recorded.' in table.out
    assert 'wait p95 by level' in table.out and 'wait p95 by user' in table.out


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['--policy', 'best'], '--policy best is not allowed: it should be one of fifo, priority, fair, affinity.'),
        (['--since', 'x'], '--since x is not allowed: it should be a length of time like'),
        (['--since', '1h', '--until', '2h'], '--until is not allowed: it should be shorter ago than --since.'),
        (['--slots', 'gpu'], '--slots gpu is not allowed: it should be like gpu:1=2.'),
    ],
)
def test_a_wrong_option_is_one_sentence(call, arguments, sentence):
    ended = call('replay', *arguments)
    assert (ended.code, ended.out) == (2, '')
    assert ended.err.startswith(sentence) and ended.err.count('\n') == 1


def test_a_time_without_jobs_is_said(call):
    ended = call('replay', '--since', '20000d', '--until', '10000d')
    assert (ended.code, ended.err) == (0, 'No job ended in that time.\n')


@pytest.mark.parametrize('answer', [b'nonsense\r\n\r\n', b'', b'HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n??'])
def test_a_desk_that_answers_nonsense_is_one_sentence(answer):
    with socket.create_server(('127.0.0.1', 0)) as server:
        threading.Thread(target=_answer_once, args=(server, answer), daemon=True).start()
        place = types.SimpleNamespace(url=f'http://127.0.0.1:{server.getsockname()[1]}')
        out = types.SimpleNamespace(progress=lambda *_: contextlib.nullcontext(types.SimpleNamespace(reach=print)))
        with pytest.raises(
            CommandError, match=r'^The desk (at .* does not answer as it should|refused that: .* 500)\.$'
        ):
            replay._asked(types.SimpleNamespace(corral=lambda: place, out=out), {})


def _answer_once(server, answer):
    caller, _ = server.accept()
    with caller:
        while (said := caller.recv(65_536)) and not said.endswith(b'{}'):
            pass
        caller.sendall(answer)
