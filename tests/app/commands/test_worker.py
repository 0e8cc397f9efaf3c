"""worker: one process more for a Corral that runs."""

import json
import signal

import pytest

from app.commands.worker import without_key
from tests.conftest import PATIENCE_S, wait_for

pytestmark = pytest.mark.whole


def test_a_worker_more_joins_works_and_leaves(call, start):
    process = start('worker', '--engine', 'demo', '--slots', '3', '--labels', 'extra,gpu', '--output', 'json')
    told = json.loads(process.stdout.readline())
    assert told['ready'] is True
    names = {worker['worker']: worker for worker in call('workers', '-o', 'json').json}
    assert len(names) == 2
    worker = names[told['worker']]
    assert (worker['slots'], worker['labels'], worker['engine']) == (3, ['extra', 'gpu'], 'demo')
    same = call('worker', '--name', told['worker'])
    assert (same.code, 'choose another --name' in same.err) == (2, True)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    wait_for(lambda: len(call('workers', '-o', 'json').json) == 1, 40, 'it is gone')


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['--slots', '0'], '--slots 0 is not allowed: it should be 1 to 64, or auto.'),
        (['--engine', 'x'], "--engine x is not allowed: it should be 'auto', 'ollama' or 'demo'."),
    ],
)
def test_a_wrong_option_is_one_sentence(call, arguments, sentence):
    ended = call('worker', *arguments)
    assert (ended.code, ended.err) == (2, f'{sentence}\n')
    labels = call('worker', '--labels', 'not a label!')
    assert (labels.code, labels.err) == (
        2,
        '--labels not a label! is not allowed: a label is one word of letters, digits and . _ = -, with 40 characters '
        'at most.\n',
    )


def test_a_command_line_is_begun_anew_without_its_key():
    line = ['run.py', 'worker', '--join', 'tcp://h:1', '--key', '-secret', '--name', 'box']
    assert without_key(line) == ['run.py', 'worker', '--join', 'tcp://h:1', '--name', 'box']
    assert without_key(['worker', '--key=secret']) == ['worker']
