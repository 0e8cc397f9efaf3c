"""cron: schedules."""

import datetime
import itertools

import pytest

pytestmark = pytest.mark.whole


def test_a_schedule_from_its_making_to_its_end(call):
    added = call('cron', 'add', 'daily', '30 9 * * *', 'good morning', '--timezone', 'Asia/Shanghai', '-p', 'low')
    assert (added.code, added.err) == (0, '')
    assert added.out.startswith('Schedule daily is added; it is due at ')
    (found,) = call('cron', 'list', '-o', 'json').json
    assert (found['name'], found['cron'], found['timezone'], found['priority']) == (
        'daily', '30 9 * * *', 'Asia/Shanghai', 1,
    )  # fmt: skip
    assert found['body']['messages'] == [{'role': 'user', 'content': 'good morning'}]
    assert 'Asia/Shanghai' in call('cron', 'list').out
    due = call('cron', 'next', 'daily', '-n', '3', '-o', 'json').json
    times = [datetime.datetime.fromisoformat(each['at']) for each in due]
    assert {time.astimezone(datetime.UTC).strftime('%H:%M') for time in times} == {'01:30'}
    assert [later - sooner for sooner, later in itertools.pairwise(times)] == [datetime.timedelta(days=1)] * 2
    assert call('cron', 'disable', 'daily').out == 'Schedule daily is disabled.\n'
    assert call('cron', 'next').err == 'Nothing is due.\n'
    assert call('cron', 'enable', found['id'], '-o', 'json').json['enabled'] is True
    assert call('cron', 'add', 'daily', '0 8 * * *', 'other').out.startswith('Schedule daily is replaced')
    assert [each['cron'] for each in call('cron', 'list', '-o', 'json').json] == ['0 8 * * *']
    assert call('cron', 'remove', 'daily').out == 'Schedule daily is removed.\n'


def test_schedules_that_are_due_at_the_same_time_are_listed_by_name(call):
    for name in ('second', 'first'):
        call('cron', 'add', name, '0 8 * * *', 'good morning')
    due = call('cron', 'next', '-n', '4', '-o', 'json').json
    assert [each['name'] for each in due] == ['first', 'second', 'first', 'second']
    for name in ('second', 'first'):
        call('cron', 'remove', name)
    assert call('cron', 'list').err == 'No schedules.\n'


@pytest.mark.parametrize('command', ['enable', 'disable', 'remove', 'next'])
def test_a_schedule_that_is_not_there_is_one_sentence(call, command):
    ended = call('cron', command, 'none')
    assert (ended.code, ended.err) == (1, 'There is no schedule called none; "cron list" shows all.\n')


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [(['61 * * * *'], 'cron'), (['0 0 30 2 *'], ''), (['* * * * *', '--timezone', 'Mars/Olympus'], 'Mars/Olympus')],
)
def test_a_line_or_zone_that_is_wrong_is_refused_with_the_reason(call, arguments, words):
    ended = call('cron', 'add', 'wrong', arguments[0], 'x', *arguments[1:])
    assert ended.code == 1
    assert ended.err.startswith('The queue refused that: ')
    assert words in ended.err
    assert call('cron', 'list', '-o', 'json').json == []
