"""workers, pause, resume and drain."""

import pytest

from tests.conftest import wait_for

pytestmark = pytest.mark.whole


def pauses(call):
    return call('status', '-o', 'json').json['pauses']


def test_the_workers_that_are_there(call):
    (found,) = call('workers', '-o', 'json').json
    assert (found['engine'], found['slots'], found['models'][0]['name']) == ('demo', 2, 'demo')
    assert 'of 2 busy' in call('workers').out


@pytest.mark.parametrize(
    ('words', 'sentence'),
    [
        ((), 'Everything'),
        (('model', 'm'), 'Model m'),
        (('priority', '3'), 'Priority 3'),
        (('user', 'u'), 'User u'),
        (('user',), 'User without a name'),
    ],
)
def test_what_is_paused_is_resumed(call, words, sentence):
    assert call('pause', *words).out == f'{sentence} is paused; what runs goes on.\n'
    scope, name = words[0] if words else 'all', words[1] if len(words) > 1 else ''
    assert pauses(call) == [{'scope': scope, 'name': name, 'draining': False}]
    assert call('resume', *words, '-o', 'json').json == {'pauses': []}


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (('pause', 'model'), 'Which model? It is "model NAME".'),
        (('pause', 'all', 'x'), '"all" takes no name; for the model x it is "model x".'),
    ],
)
def test_half_a_scope_is_wrong_usage(call, arguments, sentence):
    ended = call(*arguments)
    assert (ended.code, ended.err.strip()) == (2, sentence)
    assert call('pause', 'planet', 'x').code == 2
    assert call('pause', 'priority', '99').code == 1
    assert pauses(call) == []


def test_a_drain_ends_when_nothing_runs_any_more(call, says, start):
    job_id = says('x', '--user', 'slow', '-o', 'json', hang_after=0).json['job_id']
    wait_for(lambda: call('status', job_id, '-o', 'json').json['state'] == 'running', 40, 'it runs')
    process = start('drain', 'user', 'slow', '--wait')
    assert process.stderr.readline() == '1 still run …\n'
    call('cancel', job_id)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, 'User slow is paused; nothing of it runs.\n', '')
    assert call('drain', 'user', 'slow').out == 'User slow is paused; nothing of it runs.\n'
    call('resume', 'user', 'slow')
