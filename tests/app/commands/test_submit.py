"""submit: what becomes of a prompt, and how the answer comes."""

import base64
import json
import signal
from types import SimpleNamespace

import pytest

from app.commands import answers, follow, request, telling
from app.commands.output import Output
from broker.job import Job, State
from tests.conftest import PATIENCE_S, wait_for

pytestmark = pytest.mark.whole


def body_of(call, *arguments, **how):
    """The answer of the demo, which repeats the question."""
    return call('submit', *arguments, '--wait', '-o', 'json', **how).json


def test_without_more_it_prints_the_id(call):
    ended = call('submit', 'chat', 'hi', '--user', 'one')
    job_id = ended.out.strip()
    assert (ended.code, ended.err) == (0, '')
    assert call('list', '--user', 'one', '-o', 'json').json[0]['job_id'] == job_id
    assert call('submit', 'chat', 'hi', '-o', 'json').json['duplicate'] is False


def test_the_prompt_comes_from_arguments_stdin_and_files(call, tmp_path):
    (tmp_path / 'notes.txt').write_text('from a file')
    assert '> two words' in body_of(call, 'chat', 'two', 'words')['text']
    assert '> from stdin' in body_of(call, 'chat', stdin='from stdin\n')['text']
    assert '> from a file' in body_of(call, 'chat', '--file', 'notes.txt')['text']
    assert '> piped' in body_of(call, 'generate', '-f', '-', stdin='piped')['text']
    assert request.prompt('above', ['notes.txt', 'notes.txt']) == ('above\n\nfrom a file\n\nfrom a file', [])


def test_a_picture_goes_along_with_the_prompt(call, tmp_path):
    (tmp_path / 'p.png').write_bytes(b'\x89PNG\r\n\x1a\n' + bytes(10))
    assert body_of(call, 'chat', 'what is this?', '--file', 'p.png')['state'] == 'completed'
    (tmp_path / 'p.bin').write_bytes(b'\xff\xfe\xfd')
    assert call('submit', 'chat', 'x', '--file', 'p.bin').err == 'p.bin is neither text in UTF-8 nor a picture.\n'


def test_the_answer_is_streamed_without_anything_that_steers_a_terminal(says):
    ended = says('a\x1b[31mb\x1b]0;title\x07c', '--stream')
    assert (ended.code, ended.out, ended.err) == (0, 'abc\n', '')


def test_a_stream_for_programs_is_a_json_document_in_each_line(says):
    lines = says('one two', '--stream', '-o', 'json').lines
    assert [lines[0]['type'], lines[-1]['type']] == ['queued', 'ended']
    assert ''.join(line['text'] for line in lines if line['type'] == 'text') == 'one two'
    assert (lines[-1]['state'], lines[-1]['job_id']) == ('completed', lines[0]['job_id'])


def test_embeddings_are_json(call):
    found = call('submit', 'embed', 'one', 'two', '--wait', '-o', 'json').json
    assert [len(vector) for vector in found['embeddings']] == [64, 64]
    assert len(json.loads(call('submit', 'embed', '--wait', stdin='a\n\nb\n').out)['embeddings']) == 2


def test_a_raw_reply_with_an_error_status_ends_with_1(call):
    ended = call('submit', 'raw', '/v1/rerank', '{"model": "demo", "query": "x"}', '--wait')
    assert ended.code == 1
    assert 'connect an Ollama' in json.loads(ended.out)['error']['message']
    assert ended.err == 'The engine answered with HTTP status 501.\n'
    stream = call('submit', 'raw', '/v1/rerank', '--stream', stdin='{"model": "demo"}')
    assert (stream.code, 'connect an Ollama' in stream.out) == (1, True)


def test_a_job_that_fails_ends_with_1_and_the_reason(says):
    for how in ('--stream', '--wait'):
        ended = says('x', how, fail={'code': 'engine_error', 'detail': 'out of \x1b[31mcoffee', 'after': 0})
        assert ended.code == 1
        assert ended.err.endswith(' failed: engine_error: out of coffee\n')


def test_an_answer_that_begins_anew_is_told_apart(says):
    ended = says('some words here', '--stream', chars_per_s=100, fail={'code': 'flaky', 'after': 2, 'retryable': True})
    assert ended.code == 1
    seen = ended.out.count('some')  # of three runs; one that failed before a word of it was read is not shown
    assert 1 <= seen <= 3
    assert ended.err.count('— the answer begins anew —') in (seen - 1, seen)


def test_the_same_key_is_the_same_job(call):
    first, second = (call('submit', 'chat', 'hi', '--key', 'k1', '-o', 'json').json for _ in range(2))
    assert (first['duplicate'], second['duplicate']) == (False, True)
    assert first['job_id'] == second['job_id']
    assert call('submit', 'chat', 'hi', '--key', 'k1', '--stream').code == 0
    other = call('submit', 'chat', 'other', '--key', 'k1')
    assert (other.code, other.out) == (1, '')
    assert 'refused' in other.err


def test_a_job_comes_after_another_and_has_its_answer(call, says):
    first = says('the first answer', '-o', 'json').json['job_id']
    assert first in call('list', '-n', '1').out
    assert '> then the first answer' in body_of(call, 'chat', 'then {{1}}', '--after', 'last')['text']
    assert '> then the first answer' in body_of(call, 'chat', 'then {{1}}', '--after', first)['text']


def test_priority_user_times_and_deadline_reach_the_queue(call):
    arguments = ('--priority', 'high', '--user', 'me', '--delay', '10m', '--deadline', '1h')
    job = call('submit', 'chat', 'x', *arguments, '-o', 'json').json
    found = call('status', job['job_id'], '-o', 'json').json
    assert (found['priority'], found['user'], found['state']) == (10, 'me', 'delayed')
    assert found['queued_at'] < found['due_at'] < found['deadline_at']
    call('cancel', job['job_id'])
    guessed = call('submit', 'chat', 'this is urgent', '--priority', 'auto', '--at', '2999-01-01', '-o', 'json').json
    assert guessed['priority'] > 5
    call('cancel', guessed['job_id'])


def test_in_a_pipe_it_says_once_what_waiting_alone_does_not_solve(call, start):
    waiting = start('submit', 'chat', 'x', '--model', 'nobody:has', '--wait')
    assert waiting.stderr.readline() == 'The job is waiting: no machine has this model.\n'
    call('cancel', 'last')
    assert waiting.wait(30) == 1
    assert waiting.stderr.read().endswith('was cancelled.\n')


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['--priority', '16'], '--priority 16 is not allowed: it should be 0 to 15 or one of auto, realtime,'),
        (['--at', 'soon'], '--at soon is not allowed: it should be a time like 18:30'),
        (['--delay', 'x'], '--delay x is not allowed: it should be a length of time like'),
        (['--delay', '1m', '--at', '18:00'], '--at and --delay say the same'),
        (['--option', 'x'], '--option x is not allowed: it should be a name and a value'),
        (['--file', 'none.txt'], 'none.txt cannot be read: no such file or directory.'),
        (['--after', 'abc'], 'abc is no job id: that is 32 hexadecimal digits'),
        (['--after', '0' * 32], 'A job that it should come after is not there any more.'),
        (['--deadline', '1s', '--delay', '1h'], 'The queue refused that: '),
    ],
)
def test_a_wrong_option_is_one_sentence(call, arguments, sentence):
    ended = call('submit', 'chat', 'x', *arguments)
    assert ended.code in (1, 2)
    assert ended.out == ''
    assert ended.err.startswith(sentence)
    assert ended.err.count('\n') == 1


def test_nothing_to_ask_is_wrong_usage(call):
    assert (
        call('submit', 'chat', stdin='').err == 'There is no prompt: give it as an argument, with --file or on stdin.\n'
    )
    assert call('submit', 'raw', '/x', 'no json').err.startswith('The body is not a JSON object')
    assert call('submit', 'embed', stdin=' \n').code == 2


def test_ctrl_c_in_a_stream_cancels_the_job_and_says_so(call, start):
    slow = 'demo={"chars_per_s": 50, "text": "word ", "length": 100000}'
    process = start('submit', 'chat', 'hi', '--user', 'impatient', '--option', slow, '--stream')
    assert process.stdout.read(4) == 'word'
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    (job,) = call('list', '--user', 'impatient', '-o', 'json').json
    assert process.returncode == 130
    assert err == f'Job {job["job_id"]} was cancelled.\n'
    assert out.endswith('\n')
    assert call('result', job['job_id'], '--wait').err.endswith('was cancelled.\n')


def test_ctrl_c_in_a_wait_leaves_the_job_alone(call, start):
    process = start('submit', 'chat', 'hi', '--user', 'patient', '--delay', '1h', '--wait', stderr=None)
    wait_for(lambda: call('list', '--user', 'patient', '-o', 'json').json, 40, 'the job is there')
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    (job,) = call('list', '--user', 'patient', '-o', 'json').json
    assert (process.returncode, job['state']) == (130, 'delayed')
    call('cancel', job['job_id'])


def test_a_reader_that_goes_is_no_stack_trace_and_the_job_is_cancelled(call, start):
    slow = 'demo={"length": 200000, "chars_per_s": 500}'
    process = start('submit', 'chat', 'hi', '--user', 'gone', '--stream', '--option', slow)
    assert process.stdout.read(1)
    process.stdout.close()
    assert process.stderr.read() == ''
    assert process.wait(40) == 141
    (job,) = call('list', '--user', 'gone', '-o', 'json').json
    assert call('result', job['job_id'], '--wait').err.endswith('was cancelled.\n')


def test_vectors_and_pictures_are_what_they_were(tmp_path):
    (tmp_path / 'p.jpg').write_bytes(b'\xff\xd8\xff\xe0rest')
    text, images = request.prompt('look', [str(tmp_path / 'p.jpg')])
    assert (text, [base64.b64decode(image) for image in images]) == ('look', [b'\xff\xd8\xff\xe0rest'])
    lines = [b'{"status":200}', b'{"b64":"AAE="}', b'{"b64":"Ag=="}']
    assert (answers.status(lines), answers.body(lines)) == (200, b'\x00\x01\x02')
    chat = [b'{"message":{"content":"a","thinking":"t"}}', b'garbage', b'{"message":{"content":"b"},"done":true}']
    assert (answers.text('chat', chat), answers.thinking('chat', chat)) == ('ab', 't')


def test_on_a_terminal_a_model_thinks_dimly_and_only_there(capsys):
    out = Output(as_json=False)
    lines = (b'{"message":{"thinking":"h\\u001b[31mm"}}', b'{"message":{"content":"yes"}}', b'{"done":true}')
    job = Job(job_id='a', order=1, kind='chat', model='m', priority=5, queued_at=1.0, state=State.COMPLETED)
    for out.on_terminal, printed in ((True, '\x1b[2mhm\x1b[0m\nyes\n'), (False, 'yes\n')):
        speaker = telling._Speaker(SimpleNamespace(out=out), 'chat')
        assert [speaker.hear(news) for news in (follow.Lines(lines), follow.Ended(job))] == [None, job]
        assert capsys.readouterr().out == printed
