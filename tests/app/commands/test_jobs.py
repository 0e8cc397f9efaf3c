"""list, status, result, cancel, priority and retry."""

import json
import re

import pytest

pytestmark = pytest.mark.whole

SLOW = ('--option', 'demo={"chars_per_s": 20, "length": 5000}')


def queued(call, *arguments):
    return call('submit', 'chat', 'hi', '--delay', '1h', '-o', 'json', *arguments).json['job_id']


def test_jobs_are_listed_newest_first_and_filtered(call):
    ids = [queued(call, '--user', 'lister', '--priority', str(level)) for level in (3, 4)]
    found = call('list', '--user', 'lister', '-o', 'json').json
    assert [job['job_id'] for job in found] == ids[::-1]
    assert [job['priority'] for job in found] == [4, 3]
    assert {job['state'] for job in found} == {'delayed'}
    assert found[0]['due_at'] > found[0]['queued_at']
    assert len(call('list', '--user', 'lister', '-n', '1', '-o', 'json').json) == 1
    assert call('list', '--user', 'lister', '--state', 'running', '--state', 'dead', '-o', 'json').json == []
    assert call('list', '--user', 'lister', '--model', 'other', '-o', 'json').json == []
    table = call('list', '--user', 'lister')
    assert table.out.split()[:3] == ['id', 'state', 'kind']
    assert ids[0] in table.out
    assert '\x1b' not in table.out
    call('cancel', *ids)


def test_an_empty_list_says_so_and_is_no_failure(call):
    empty = call('list', '--user', 'nobody at all')
    assert (empty.code, empty.out, empty.err) == (0, '', 'No jobs.\n')


def test_the_names_of_users_and_models_cannot_steer_the_terminal(call):
    job_id = queued(call, '--user', '\x1b[31mevil\x1b]0;t\x07\n')
    for arguments in (['list'], ['status', job_id]):
        ended = call(*arguments)
        assert 'evil' in ended.out
        assert '\x1b' not in ended.out + ended.err
    assert call('status', job_id, '-o', 'json').json['user'] == '\x1b[31mevil\x1b]0;t\x07\n'
    call('cancel', job_id)


def test_the_status_of_a_job_has_its_history(call, says):
    job_id = says('an answer', '--wait', '-o', 'json').json['job_id']
    found = call('status', job_id, '-o', 'json').json
    assert found['state'] == 'completed'
    assert [fact['fact'] for fact in found['history']] == ['JobQueued', 'JobStarted', 'JobCompleted']
    text = call('status', 'last').out
    assert job_id in text
    assert 'queued\n' in text
    assert 'completed in' in text


def test_the_status_of_the_whole(call, desk):
    call('pause', 'model', 'a')
    found = call('status', '-o', 'json').json
    assert (found['url'], found['data_dir'], found['slots']) == (desk.url, str(desk.data_dir), 2)
    assert found['workers'][0]['models'][0]['name'] == 'demo'
    assert found['pauses'] == [{'scope': 'model', 'name': 'a', 'draining': False}]
    assert re.search('^paused +model a$', call('status').out, re.MULTILINE)  # as wide as what others have left
    call('resume', 'model', 'a')


def test_a_result_is_the_text_or_the_lines_of_the_engine(call, says):
    job_id = says('first \x1b[31mline\nsecond', '--wait', '-o', 'json').json['job_id']
    assert call('result', job_id).out == 'first line\nsecond\n'
    found = call('result', job_id, '-o', 'json').json
    assert (found['job_id'], found['text'], found['state']) == (job_id, 'first \x1b[31mline\nsecond', 'completed')
    lines = call('result', job_id, '--raw')
    assert json.loads(lines.out.splitlines()[-1])['done'] is True


def test_a_result_that_is_not_complete_ends_with_1(call):
    job_id = queued(call)
    ended = call('result', job_id)
    assert (ended.code, ended.out) == (1, '')
    assert ended.err == f'Job {job_id} is delayed; the answer is not complete. --wait waits for it.\n'
    call('cancel', job_id)
    assert call('result', job_id).err == f'Job {job_id} was cancelled.\n'


def test_jobs_that_wait_and_jobs_that_run_are_cancelled(call):
    waiting, running = queued(call), call('submit', 'chat', 'x', *SLOW, '-o', 'json').json['job_id']
    ended = call('cancel', waiting, running, '-o', 'json')
    assert ended.code == 0
    assert [each['ok'] for each in ended.json] == [True, True]
    assert call('result', running, '--wait').err == f'Job {running} was cancelled.\n'
    again = call('cancel', waiting, running)
    assert again.code == 1
    assert again.err.count('It has already ended.') == 2


def test_only_a_job_that_waits_can_be_moved(call):
    job_id = queued(call)
    assert call('priority', job_id, 12).out == f'{job_id}  priority 12\n'
    assert call('status', job_id, '-o', 'json').json['priority'] == 12
    call('cancel', job_id)
    assert call('priority', job_id, 3).code == 1
    assert call('priority', job_id, 16).code == 2


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['status', 'abc'], 'abc is no job id: that is 32 hexadecimal digits, or "last" for the newest job.\n'),
        (['status', '0' * 32], 'Nothing has this id; it may have been removed after its time.\n'),
        (['batch', 'show', 'x'], 'x is no batch id: that is 32 hexadecimal digits, or "last" for the newest batch.\n'),
        (['cancel', 'abc'], 'abc is no job id: that is 32 hexadecimal digits, or "last" for the newest job.\n'),
    ],
)
def test_a_job_that_is_not_there_is_one_sentence(call, arguments, sentence):
    ended = call(*arguments)
    assert ended.code == (1 if '0' * 32 in arguments else 2)
    assert ended.err == sentence


def test_an_id_may_be_written_as_a_uuid(call):
    job_id = queued(call)
    dashed = '-'.join((job_id[:8], job_id[8:12], job_id[12:16], job_id[16:20], job_id[20:])).upper()
    assert call('status', dashed, '-o', 'json').json['job_id'] == job_id
    call('cancel', job_id)
