"""submit batch and batch."""

import json
import signal

import pytest

from app.commands import bulk
from app.commands.command import CommandError
from app.commands.request import Wish
from tests.conftest import PATIENCE_S, wait_for

pytestmark = pytest.mark.whole
LINES = 'first\n\n{"prompt": "second", "priority": "low"}\n{"input": ["a", "b"]}\n'


def test_each_line_is_a_job_and_the_answers_come_in_their_order(call):
    ended = call('submit', 'batch', '--wait', '--name', 'three', stdin=LINES)
    assert (ended.code, ended.err) == (0, '')
    assert [line['line'] for line in ended.lines] == [1, 2, 3]
    assert [line['state'] for line in ended.lines] == ['completed'] * 3
    assert '> first' in ended.lines[0]['text']
    assert ended.lines[1]['priority'] == 1
    assert len(ended.lines[2]['embeddings']) == 2
    found = call('batch', 'list', '-n', '1', '-o', 'json').json[0]
    assert (found['name'], found['completed'], found['total']) == ('three', 3, 3)
    again = call('batch', 'results', 'last')
    assert [line['job_id'] for line in again.lines] == [line['job_id'] for line in ended.lines]


def test_without_wait_it_prints_the_id(call, tmp_path):
    (tmp_path / 'prompts.txt').write_text('one\ntwo\n')
    (tmp_path / 'more.jsonl').write_text('{"prompt": "three"}\n')
    batch_id = call('submit', 'batch', 'prompts.txt', '--file', 'more.jsonl').out.strip()
    assert call('batch', 'show', batch_id, '-o', 'json').json['total'] == 3
    assert f'batch      {batch_id}' in call('batch', 'show', batch_id).out
    assert batch_id in call('batch', 'list').out
    assert len(call('batch', 'results', batch_id).lines) == 3


def test_more_than_goes_into_one_message_is_queued(call):
    ended = call('submit', 'batch', '-o', 'json', '--delay', '1h', stdin='x\n' * (2 * bulk.AT_ONCE + 1))
    found = call('batch', 'show', ended.json['batch_id'], '-o', 'json').json
    assert found['submitted'] == found['total'] == 2 * bulk.AT_ONCE + 1
    call('batch', 'cancel', ended.json['batch_id'])


def test_a_batch_with_a_failure_ends_with_1(call):
    fails = json.dumps({'prompt': 'x', 'options': {'demo': {'fail': {'code': 'engine_error'}}}})
    ended = call('submit', 'batch', '--wait', stdin=f'fine\n{fails}\n')
    assert ended.code == 1
    assert [line['state'] for line in ended.lines] == ['completed', 'dead']
    assert ended.err == '1 of 2 jobs have no complete answer.\n'


def test_a_batch_is_cancelled(call):
    batch_id = call('submit', 'batch', '--delay', '1h', stdin='a\nb\n').out.strip()
    assert call('batch', 'cancel', batch_id).out == f'Batch {batch_id} is cancelled.\n'
    assert call('batch', 'show', batch_id, '-o', 'json').json['cancelled'] == 2
    assert {job['state'] for job in call('list', '--parent', batch_id, '-o', 'json').json} == {'cancelled'}


@pytest.mark.parametrize(
    ('line', 'sentence'),
    [
        ('{"prompt": ', 'Line 2 is not a JSON object'),
        ('{"kind": "dance", "prompt": "x"}', 'Line 2: kind dance is not allowed: it should be one of chat, generate,'),
        ('{"model": "demo"}', 'Line 2 has neither "prompt" nor "messages".'),
        ('{"prompt": "x", "priority": 99}', 'Line 2: --priority 99 is not allowed'),
        ('{"prompt": "x", "user": "u"}', 'Line 2: all jobs of a batch are for one user'),
    ],
)
def test_a_line_that_is_wrong_is_named_and_nothing_is_queued(call, line, sentence):
    before = call('batch', 'list', '-n', '1', '-o', 'json').json
    ended = call('submit', 'batch', stdin=f'fine\n{line}\n')
    assert (ended.code, ended.out) == (2, '')
    assert ended.err.startswith(sentence)
    assert call('batch', 'list', '-n', '1', '-o', 'json').json == before


def test_a_line_that_the_queue_refuses_takes_the_batch_back(call):
    long = json.dumps({'prompt': 'x', 'model': 'm' * 400})
    ended = call('submit', 'batch', '--delay', '1h', stdin=f'fine\n{long}\n')
    assert ended.code == 1
    assert 'Line 2 was refused: model must be 1 to 300 characters.' in ended.err
    newest = call('batch', 'list', '-n', '1', '-o', 'json').json[0]
    assert newest['batch_id'] in ended.err
    assert newest['ended_at']


def test_ctrl_c_while_waiting_leaves_the_batch_alone(call, start, tmp_path):
    (tmp_path / 'lines').write_text('a\nb\n')
    process = start('submit', 'batch', 'lines', '--wait', '--delay', '1h', '--name', 'left alone')

    def there():
        newest = call('batch', 'list', '-n', '1', '-o', 'json').json
        return newest and newest[0]['name'] == 'left alone' and newest[0]['submitted'] == 2

    wait_for(there, 40, 'the batch is queued')
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert 'The batch goes on' in err
    assert call('batch', 'show', 'last', '-o', 'json').json['ended_at'] is None
    call('batch', 'cancel', 'last')


def test_what_a_line_may_hold():
    order = bulk._order('{"messages": [{"role": "user", "content": "x"}], "think": true}', 1, 'generate', 's', Wish())
    assert order.kind == 'chat'
    assert order.fields == {'messages': [{'role': 'user', 'content': 'x'}], 'think': True, 'stream': True}
    order = bulk._order('a text', 7, 'generate', 'be brief', Wish(key='k', option=['seed=1']))
    assert (order.kind, order.wish.key) == ('generate', 'k:7')
    assert order.fields == {'prompt': 'a text', 'system': 'be brief', 'stream': True, 'options': {'seed': 1}}
    assert bulk._order('a text', 1, 'embed', '', Wish()).fields == {'input': ['a text']}
    with pytest.raises(CommandError):
        bulk._order('{"input": "x", "kind": "chat"}', 1, 'chat', '', Wish())
