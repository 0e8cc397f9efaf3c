"""dead and retry: jobs that failed for good."""

import pytest

pytestmark = pytest.mark.whole
FAIL = {'fail': {'code': 'engine_error', 'detail': 'no \x1b[31mluck'}}


def died(says, user):
    return says('x', '--wait', '--user', user, '-o', 'json', **FAIL).json['job_id']


def test_dead_jobs_are_listed_with_their_reason(call, says):
    job_id = died(says, 'unlucky')
    (found,) = call('dead', 'list', '--user', 'unlucky', '-o', 'json').json
    assert (found['job_id'], found['state'], found['code']) == (job_id, 'dead', 'engine_error')
    table = call('dead', 'list', '--user', 'unlucky').out
    assert 'engine_error: no luck' in table
    assert '\x1b' not in table


def test_a_dead_job_is_done_again_once(call, says):
    job_id = died(says, 'again')
    first, second = (call('retry', job_id) for _ in range(2))
    assert first.out.startswith(f'{job_id}  queued as ')
    assert second.out == first.out.replace('queued', 'was queued before')
    new = first.out.split()[-1]
    assert call('result', new, '--wait').err.startswith(f'Job {new} failed: engine_error')
    assert len(call('list', '--user', 'again', '-o', 'json').json) == 2
    assert call('dead', 'replay', job_id).out == second.out


def test_all_that_match_are_done_again(call, says):
    for _ in range(3):
        died(says, 'many')
    assert call('dead', 'replay').code == 2
    assert call('dead', 'replay', '--user', 'many').out == '3 jobs are queued again.\n'
    assert len(call('list', '--user', 'many', '-o', 'json').json) == 6


def test_only_dead_jobs_are_done_again_or_removed(call, says):
    job_id = says('fine', '--wait', '-o', 'json').json['job_id']
    for arguments in (('retry',), ('dead', 'replay'), ('dead', 'purge')):
        ended = call(*arguments, job_id)
        assert ended.code == 1
        assert 'nly a job that failed for good can be' in ended.err


def test_dead_jobs_are_removed_one_by_one_or_by_age(call, says):
    one, other = died(says, 'purged'), died(says, 'purged')
    assert call('dead', 'purge', one).out == '1 job is removed.\n'
    assert [job['job_id'] for job in call('dead', 'list', '--user', 'purged', '-o', 'json').json] == [other]
    assert call('dead', 'purge').code == 2
    assert call('dead', 'purge', '--older', 'x').err.startswith('--older x is not allowed')
    assert call('dead', 'purge', '--older', '1d', '-o', 'json').json == {'count': 0}
    assert call('status', one).code == 1
