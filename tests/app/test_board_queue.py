"""The queue on the board: places, limits and pauses, workers and their models."""

import pytest

from app.board import Board
from broker import facts, protocol
from broker.job import State, Terms
from tests.app import news as n
from tests.app.news import News, feed, lines, standing, tokens


def test_the_waiting_stand_in_dispatch_order(board: Board, news: News):
    feed(board, news.joined(), news.queued('a'), news.queued('b', priority=10), news.queued('c'))
    feed(board, news.queued('d'), news.started('d'), news.requeued('d', 'retry', due_at=n.T0 + 60))
    assert [job.job_id for job in board.waiting()] == ['b', 'a', 'c', 'd']
    assert [job.job_id for job in board.waiting(2)] == ['b', 'a']


def test_the_brokers_standing_gives_the_places_and_the_order(board: Board, news: News):
    feed(board, news.queued('a'), news.queued('b'), news.queued('c', model='nobody'))
    feed(board, standing(('b', 0), ('a', 1), ('c', 0, 'no_worker')))
    assert [(job.job_id, job.ahead, job.reason) for job in board.waiting(3)] == [
        ('b', 0, 'ahead'),
        ('a', 1, 'ahead'),
        ('c', 0, 'no_worker'),
    ]
    feed(board, news.started('b'))
    assert board.job('b').ahead is None


def test_the_brokers_order_wins_over_priority_and_time(board: Board, news: News):
    feed(board, news.joined(), news.queued('a'), news.queued('b'), news.queued('c', priority=10))
    feed(board, standing(('b', 0), ('c', 1), ('a', 2)))
    assert [job.job_id for job in board.waiting()] == ['b', 'c', 'a']


def test_a_job_with_a_new_priority_moves_at_once(board: Board, news: News):
    feed(board, news.joined(), news.queued('a'), news.queued('b'), news.queued('c'))
    feed(board, standing(('a', 0), ('b', 1), ('c', 2)), news.moved('c', 10))
    assert [(job.job_id, job.ahead) for job in board.waiting()] == [('c', 0), ('a', 0), ('b', 1)]
    feed(board, news.moved('c', 1, was=10))
    assert [(job.job_id, job.ahead) for job in board.waiting()] == [('a', 0), ('b', 1), ('c', 2)]


def test_a_standing_may_come_before_the_fact_that_it_is_about(board: Board, news: News):
    feed(board, standing(('a', 0), ('b', 1)), news.queued('a'), news.queued('b'))
    assert [(job.job_id, job.ahead) for job in board.waiting()] == [('a', 0), ('b', 1)]
    feed(board, news.started('a'), standing(('b', 0), ('a', 1)), news.requeued('a', 'handed_back'))
    assert board.job('a').ahead == 1


def test_until_the_broker_tells_a_new_job_stands_where_its_priority_puts_it(board: Board, news: News):
    feed(board, news.joined(), news.queued('a'), news.queued('b'), news.queued('c', priority=10))
    feed(board, news.queued('x', model='nobody'), news.queued('y', model='nobody'))
    assert [(job.job_id, job.ahead, job.reason) for job in board.waiting()] == [
        ('c', 0, 'ahead'),
        ('a', 0, 'ahead'),
        ('b', 1, 'ahead'),
        ('x', 0, 'no_worker'),
        ('y', 1, 'no_worker'),
    ]


def test_in_a_long_queue_a_new_job_has_at_least_so_many_ahead(board: Board, news: News):
    ids = [f'{number:04}' for number in range(2 * protocol.STANDING_LIMIT)]
    feed(board, *map(news.queued, ids))
    feed(board, standing(*((job_id, place) for place, job_id in enumerate(ids[:500])), waiting=1000))
    feed(board, news.queued('last'))
    assert board.job('last').ahead == protocol.STANDING_LIMIT
    assert board.waiting(3)[0].job_id == '0000' and len(board.waiting()) == 1001
    feed(board, news.moved(ids[999], 15))
    assert board.job(ids[999]).ahead == protocol.STANDING_LIMIT  # until the broker tells


def test_counts_and_speed_add_up(board: Board, news: News):
    feed(board, news.joined(), news.queued('a'), news.queued('b'), news.queued('c'), news.started('a'))
    for moment in range(11):  # eleven tokens in one second: ten after the first
        feed(board, tokens('a', moment, 'x'), now=n.T0 + moment / 10)
    counts = board.counts()
    assert (counts.waiting, counts.running, counts.workers, counts.slots) == (2, 1, 1, 2)
    assert counts.tokens_per_s == pytest.approx(10)


def test_lines_read_in_one_burst_do_not_count_as_speed(board: Board, news: News):
    feed(board, news.queued('a'), news.started('a'))
    feed(board, tokens('a', 0, 'a'), now=n.T0)
    board.fill(lines('a', 0, *'abcdefgh'), now=n.T0 + 0.05)
    feed(board, tokens('a', 8, 'i'), now=n.T0 + 0.1)
    feed(board, tokens('a', 9, 'j'), now=n.T0 + 1.1)
    assert board.job('a').tokens_per_s == pytest.approx(1)


def test_a_job_held_back_by_a_limit_says_until_when(board: Board, news: News):
    feed(board, news.joined(), news.queued('a'), news.queued('b'))
    places = (
        protocol.Place(job_id='b', ahead=0),
        protocol.Place(job_id='a', ahead=0, reason='limited', not_before=n.T0 + 9),
    )
    feed(board, protocol.Standing(places=places, waiting=2))
    view = board.job('a')
    assert view and (view.reason, view.not_before) == ('limited', n.T0 + 9)
    assert [job.job_id for job in board.waiting()] == ['b', 'a']


def test_what_is_paused_is_known_and_the_facts_of_jobs_go_on(board: Board, news: News):
    feed(board, protocol.FactOut(fact=facts.Paused(seq=1, at=n.T0, scope='model', name='m')))
    assert board.pauses == {('model', 'm')}
    feed(board, protocol.FactOut(fact=facts.Resumed(seq=2, at=n.T0, scope='model', name='m')))
    assert board.pauses == set()
    board.restore(protocol.Snapshot(seq=9, jobs=(), workers=(), pauses=(protocol.PauseInfo(scope='all'),)), n.T0)
    assert board.pauses == {('all', '')}


def test_a_job_for_later_is_shown_as_such(board: Board):
    fact = facts.JobQueued(seq=1, at=n.T0, job_id='a', kind='chat', model='m', priority=5, due_at=n.T0 + 60)
    feed(board, protocol.FactOut(fact=fact))
    view = board.job('a')
    assert view and (view.state, view.due_at) == (State.DELAYED, n.T0 + 60)


def test_a_job_that_comes_after_others_is_blocked_until_they_are_completed(board: Board, news: News):
    feed(board, news.queued('first'), news.queued('second', blocked_by=2, priority=15))
    job = board.job('second')
    assert (job.state, job.after, job.waits) == (State.BLOCKED, 2, True)
    assert [each.job_id for each in board.waiting()] == ['first', 'second']
    feed(board, news.unblocked('second'))
    assert (job.state, job.ahead) == (State.WAITING, 0)
    restored = n.job('third', state=State.BLOCKED, terms=Terms(after=('a', 'b', 'c')))
    board.restore(n.snapshot(9, restored), n.T0)
    assert (board.job('third').state, board.job('third').after) == (State.BLOCKED, 3)


def test_what_the_broker_tells_about_the_wait_is_there_until_the_job_starts(board: Board, news: News):
    feed(board, news.queued('a'))
    place = protocol.Place(
        job_id='a', ahead=2, load_s=9.0, alternative='small', alternative_at=n.T0 + 6, earliest_at=n.T0 + 30
    )
    feed(board, protocol.Standing(places=(place,), waiting=3))
    job = board.job('a')
    assert (job.load_s, job.alternative, job.alternative_at, job.earliest_at) == (9.0, 'small', n.T0 + 6, n.T0 + 30)
    told = protocol.Place(job_id='a', ahead=0, reason='no_worker', hint='pull_model')
    feed(board, protocol.Standing(places=(told,), waiting=1))
    assert (job.hint, job.alternative, job.load_s) == ('pull_model', '', 0.0)
    feed(board, protocol.Standing(places=(place,), waiting=1), news.started('a'))
    assert (job.alternative, job.alternative_at, job.load_s, job.ahead) == ('', 0.0, 0.0, None)


def test_the_rule_that_guessed_a_priority_is_told_until_somebody_changes_it(board: Board, news: News):
    feed(board, news.queued('a', priority=10, priority_rule='urgent', parent='b', schedule='nightly'))
    job = board.job('a')
    assert (job.priority, job.priority_rule, job.parent, job.schedule) == (10, 'urgent', 'b', 'nightly')
    feed(board, news.moved('a', 5, was=10))
    assert (job.priority, job.priority_rule) == (5, '')
    board.restore(n.snapshot(9, n.job('a', terms=Terms(priority_rule='urgent'))), n.T0)
    assert board.job('a').priority_rule == '', 'it never comes back'


def test_callers_who_share_a_job_are_counted_and_other_news_changes_nothing(board: Board, news: News):
    feed(board, news.queued('a'), news.paused('model', 'm'), news.shared('a', 2))
    assert board.job('a').claims == 2
    feed(board, *news.of_no_job())
    assert board.pauses == {('model', 'm')} and board.seq == news.seq


def test_workers_join_change_and_leave_and_busy_is_counted(board: Board, news: News):
    feed(board, news.joined('w:2'), news.joined('w:1'), news.queued('a'), news.started('a', worker='w:1'))
    assert [(worker.worker, worker.busy) for worker in board.workers()] == [('w:1', 1), ('w:2', 0)]
    feed(board, news.changed('w:1', slots=5, problem='unreachable'), news.left('w:2'))
    assert [(worker.worker, worker.slots, worker.problem) for worker in board.workers()] == [('w:1', 5, 'unreachable')]
    feed(board, news.completed('a', lines=0))
    assert board.workers()[0].busy == 0


def test_demo_models_hide_while_a_real_one_can_answer(board: Board, news: News):
    feed(board, news.joined('d:1', engine='demo', models=(n.model('demo', 'demo'),)))
    assert [model.name for model in board.models()] == ['demo'] and board.engine().kind == 'demo'
    feed(board, news.joined('w:1', models=(n.model('qwen3'), n.model('gemma'))), news.joined('w:2'))
    assert [(model.name, model.slots) for model in board.models()] == [('gemma', 2), ('m', 2), ('qwen3', 2)]
    assert (board.engine().kind, board.engine().version) == ('ollama', '0.33')
    feed(board, news.changed('w:1', models=(), problem='unreachable'))
    feed(board, news.changed('w:2', models=(), problem='unreachable'))
    assert [model.name for model in board.models()] == ['demo'] and board.engine().kind == 'demo'
    feed(board, news.left('d:1'))
    assert not board.models() and board.engine().problem == 'unreachable'


def test_the_demo_hides_behind_the_real_models_of_a_worker_that_has_both(board: Board, news: News):
    feed(board, news.joined(models=(n.model('qwen3'), n.model('demo', 'demo'))))
    assert [model.name for model in board.models()] == ['qwen3']
    assert board.engine().kind == 'ollama'


def test_the_demo_can_be_picked_while_ollama_has_no_model(board: Board, news: News):
    feed(board, news.joined(engine='demo', models=(n.model('demo', 'demo'),), problem='no_models'))
    assert [model.name for model in board.models()] == ['demo']
    assert (board.engine().kind, board.engine().problem) == ('demo', 'no_models')


def test_the_slots_of_a_model_add_up_over_workers(board: Board, news: News):
    feed(board, news.joined('w:1'), news.joined('w:2', slots=3))
    assert [(model.name, model.slots) for model in board.models()] == [('m', 5)]
