"""What a job's own facts tell about its past."""

from app.jobs import attempts
from tests.app.news import T0, News


def told(*items):
    return attempts.told(item.fact for item in items)


def test_every_attempt_is_told_with_what_went_wrong():
    news = News()
    past = told(
        news.queued('a', parent='b1', schedule='nightly', priority=10, priority_rule='urgent'),
        news.started('a', 1, worker='w:1'),
        news.requeued('a', 'retry', 1, code='busy', detail='503', trace='Traceback …'),
        news.due('a'),
        news.started('a', 2, worker='w:2'),
        news.requeued('a', 'worker_lost', 2),
        news.started('a', 3, worker='w:3'),
        news.died('a', epoch=3, code='engine_error', detail='out of memory'),
    )
    first, second, third = past.attempts
    assert (first.number, first.worker, first.outcome, first.code, first.detail) == (1, 'w:1', 'retry', 'busy', '503')
    assert (first.trace, first.started_at, first.ended_at) == ('Traceback …', T0 + 2, T0 + 3)
    assert (second.outcome, second.code, second.worker) == ('worker_lost', '', 'w:2')
    assert (third.outcome, third.code, third.detail) == ('dead', 'engine_error', 'out of memory')
    assert (past.batch, past.schedule, past.rule) == ('b1', 'nightly', 'urgent')


def test_one_that_goes_on_has_no_outcome_yet_and_a_changed_priority_has_no_rule():
    news = News()
    past = told(news.queued('a', priority_rule='urgent'), news.moved('a', 1), news.started('a'), news.stopping('a'))
    assert [(each.outcome, each.ended_at) for each in past.attempts] == [('', 0.0)]
    assert past.rule == ''


def test_a_job_that_ended_without_a_start_and_one_that_is_half_forgotten_have_no_attempts():
    news = News()
    assert told(news.queued('a'), news.died('a', epoch=0, code='deadline')).attempts == []
    assert told(news.completed('a', 1)) == attempts.NOTHING
