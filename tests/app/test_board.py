import random
import time

import pytest

from app.board import KEEP_FINISHED, Board, Need
from app.chats.answer import Answer
from broker import facts, protocol
from broker.job import State, Terms
from tests.app import news as n
from tests.app.news import News, chat_lines, lines, snapshot, standing, tokens


@pytest.fixture
def news() -> News:
    return News()


@pytest.fixture
def board() -> Board:
    return Board(clock=lambda: n.T0)


def feed(board: Board, *items: protocol.AnyPublished, now: float = n.T0) -> None:
    for item in items:
        board.apply(item, now)


# A job's life


def test_a_queued_job_waits_and_a_started_one_runs(board: Board, news: News):
    feed(board, news.joined(), news.queued('a', user='anna', conversation_id='c1', priority=10))
    view = board.job('a')
    assert view and (view.state, view.user, view.conversation_id, view.priority) == (State.WAITING, 'anna', 'c1', 10)
    assert [job.job_id for job in board.waiting()] == ['a']
    feed(board, news.started('a', waited_s=3.5))
    assert (view.state, view.worker, view.engine, view.waited_s) == (State.RUNNING, 'w:1', 'ollama', 3.5)
    assert [job.job_id for job in board.running()] == ['a'] and not board.waiting()


def test_a_long_answer_takes_time_that_grows_with_its_length_and_not_with_its_square():
    def cpu_s(count: int) -> float:
        said, portions = chat_lines(*['word '] * 500), count // 500
        answer = Answer(1)
        began = time.thread_time()
        for portion in range(portions):
            answer.take(500 * portion, said, n.T0)
        assert answer.lines == count
        return time.thread_time() - began

    short = min(cpu_s(2_000) for _ in range(3))
    assert min(cpu_s(60_000) for _ in range(2)) < 5 * 30 * short


def test_tokens_become_text_and_thinking(board: Board, news: News):
    feed(board, news.queued('a'), news.started('a'))
    thinking = b'{"message":{"content":"","thinking":"hm"},"done":false}'
    feed(board, protocol.TokensOut(job_id='a', epoch=1, index=0, lines=(thinking, *chat_lines('你', '好'))))
    view = board.job('a')
    assert view and (view.text, view.thinking, view.tokens) == ('你好', 'hm', 3)


def test_a_generate_jobs_response_is_its_text_and_garbage_is_only_counted(board: Board, news: News):
    feed(board, news.queued('a', kind='generate'), news.started('a'))
    raw = (b'{"response":"x","thinking":"t"}', b'\xff{', b'[1]', b'{"response":"y","done":true}')
    feed(board, protocol.TokensOut(job_id='a', epoch=1, index=0, lines=raw), news.completed('a', lines=4))
    view = board.job('a')
    assert view and (view.text, view.thinking, view.answer.lines, view.complete) == ('xy', 't', 4, True)


def test_lines_that_were_taken_already_change_nothing(board: Board, news: News):
    feed(board, news.queued('a'), news.started('a'), tokens('a', 0, 'x', 'y'), tokens('a', 1, 'y', 'z'))
    feed(board, tokens('a', 0, 'x'))
    assert board.job('a').text == 'xyz'


def test_a_gap_is_asked_for_once_and_what_came_early_is_used_when_it_is_filled(board: Board, news: News):
    feed(board, news.queued('a'), news.started('a'), tokens('a', 0, 'x'), tokens('a', 3, 'd'), tokens('a', 4, 'e'))
    assert board.job('a').text == 'x'
    assert board.take_needs() == [Need(job_id='a', epoch=1, index=1)]
    feed(board, tokens('a', 5, 'f'))
    assert not board.take_needs()
    board.fill(lines('a', 1, 'b', 'c', 'd'))
    assert board.job('a').text == 'xbcdef' and not board.take_needs()


def test_a_fill_that_leaves_a_gap_asks_again(board: Board, news: News):
    feed(board, news.queued('a'), news.started('a'), tokens('a', 5, 'f'))
    board.take_needs()
    board.fill(lines('a', 0, 'a', 'b'))
    assert board.take_needs() == [Need(job_id='a', epoch=1, index=2)]


def test_an_unanswered_question_is_asked_again_after_a_while(board: Board, news: News):
    feed(board, news.queued('a'), news.started('a'), tokens('a', 1, 'b'))
    assert len(board.take_needs()) == 1
    board.tick(n.T0 + 1)
    assert not board.take_needs()
    board.tick(n.T0 + 3)
    assert board.take_needs() == [Need(job_id='a', epoch=1, index=0)]


def test_a_new_epoch_begins_an_empty_answer_and_an_old_one_is_ignored(board: Board, news: News):
    feed(board, news.queued('a'), news.started('a'), tokens('a', 0, 'old'))
    feed(board, news.requeued('a', 'worker_lost', losses=1))
    view = board.job('a')
    assert (view.state, view.requeue_reason, view.losses, view.text) == (State.WAITING, 'worker_lost', 1, 'old')
    feed(board, news.started('a', epoch=2), tokens('a', 1, 'stale', epoch=1), tokens('a', 0, 'new', epoch=2))
    feed(board, tokens('a', 0, 'stale', 'stale', epoch=1))
    assert (view.text, view.epoch, view.starts) == ('new', 2, 2)


def test_tokens_of_a_newer_epoch_may_come_before_the_fact(board: Board, news: News):
    feed(board, news.queued('a'), news.started('a'), tokens('a', 0, 'old'), tokens('a', 0, 'new', epoch=2))
    feed(board, news.requeued('a', 'worker_lost'), news.started('a', epoch=2))
    assert board.job('a').text == 'new'


def test_a_retry_waits_until_it_is_due_and_says_why(board: Board, news: News):
    feed(board, news.queued('a'), news.started('a'))
    feed(board, news.requeued('a', 'retry', due_at=n.T0 + 9, failures=1, code='upstream_500', detail='boom'))
    view = board.job('a')
    assert (view.state, view.due_at, view.code, view.detail) == (State.DELAYED, n.T0 + 9, 'upstream_500', 'boom')
    feed(board, news.due('a'))
    assert (view.state, view.due_at) == (State.WAITING, 0.0)
    feed(board, news.started('a', epoch=2))
    assert (view.code, view.detail, view.requeue_reason) == ('', '', 'retry')


def test_priority_changes_and_a_cancel_of_a_running_job_show(board: Board, news: News):
    feed(board, news.queued('a'), news.moved('a', 15))
    assert board.job('a').priority == 15
    feed(board, news.started('a'), news.stopping('a'))
    assert board.job('a').state is State.CANCELLING and [job.job_id for job in board.running()] == ['a']


def test_a_fact_that_is_known_already_is_ignored(board: Board, news: News):
    board.restore(snapshot(10, n.job('a', state=State.RUNNING, epoch=2)))
    board.apply(News(seq=8).requeued('a', 'retry'))
    assert board.job('a').state is State.RUNNING and board.seq == 10


# Ends


def test_the_end_is_told_once_with_the_whole_text(board: Board, news: News):
    told = []
    board.on_ended(lambda job: told.append((job.job_id, job.text, type(job.ended), job.state)))
    feed(board, news.queued('a'), news.started('a'), tokens('a', 0, 'x', 'y'), news.completed('a', lines=2))
    assert not told  # nobody hears anything before the flush
    board.flush(n.T0)
    board.flush(n.T0 + 1)
    assert told == [('a', 'xy', facts.JobCompleted, State.COMPLETED)]


def test_an_end_with_more_lines_than_came_waits_for_the_rest(board: Board, news: News):
    told = []
    board.on_ended(lambda job: told.append(job.text))
    feed(board, news.queued('a'), news.started('a'), tokens('a', 0, 'x'), news.completed('a', lines=3))
    board.flush(n.T0)
    view = board.job('a')
    assert view.final and not view.complete and not told
    assert board.take_needs() == [Need(job_id='a', epoch=1, index=1)]
    board.fill(lines('a', 1, 'y', 'z', ended=True))
    board.flush(n.T0)
    board.cannot_fill('a')  # another answer to the same question changes nothing
    board.flush(n.T0)
    assert told == ['xyz'] and view.complete


def test_late_tokens_complete_an_end_too(board: Board, news: News):
    feed(board, news.queued('a'), news.started('a'), news.completed('a', lines=2), tokens('a', 0, 'x', 'y'))
    assert board.job('a').complete and board.job('a').text == 'xy'


@pytest.mark.parametrize('how', ['ended', 'refused'])
def test_an_answer_that_is_gone_is_told_as_far_as_it_is_known(board: Board, news: News, how: str):
    told = []
    board.on_ended(lambda job: told.append(job.text))
    feed(board, news.queued('a'), news.started('a'), tokens('a', 0, 'x'), news.cancelled('a', lines=9))
    board.take_needs()
    if how == 'ended':
        board.fill(lines('a', 1, 'y', ended=True))
    else:
        board.cannot_fill('a')
    board.flush(n.T0)
    assert told == ['xy' if how == 'ended' else 'x']


def test_an_end_that_is_not_yet_readable_is_read_again_later(board: Board, news: News):
    feed(board, news.queued('a'), news.started('a'), news.completed('a', lines=2))
    board.take_needs()
    board.fill(lines('a', 0, 'x', ended=False))
    assert not board.take_needs()
    board.tick(n.T0 + 3)
    assert board.take_needs() == [Need(job_id='a', epoch=1, index=1)]


def test_a_job_cancelled_before_it_ran_is_complete_at_once(board: Board, news: News):
    feed(board, news.queued('a'), news.cancelled('a', started_at=0.0, epoch=0, starts=0))
    view = board.job('a')
    assert (view.state, view.complete, view.text) == (State.CANCELLED, True, '') and not board.take_needs()


def test_a_dead_job_says_what_killed_it(board: Board, news: News):
    feed(board, news.queued('a'), news.started('a'), news.died('a', code='model_not_found', detail='no such model'))
    view = board.job('a')
    assert (view.state, view.code, view.detail) == (State.DEAD, 'model_not_found', 'no such model')


def test_usage_gives_the_final_speed_and_token_count(board: Board, news: News):
    usage = facts.Usage(output_tokens=100, decode_s=4.0)
    feed(board, news.queued('a'), news.started('a'), tokens('a', 0, 'x'), news.completed('a', lines=1, usage=usage))
    assert (board.job('a').tokens, board.job('a').tokens_per_s) == (100, 25.0)


def test_the_end_of_a_job_that_began_while_nobody_looked_is_read_and_told(board: Board, news: News):
    told = []
    board.on_ended(lambda job: told.append((job.conversation_id, job.text)))
    feed(board, news.completed('a', lines=1, conversation_id='c9'))
    assert board.take_needs() == [Need(job_id='a', epoch=1, index=0)]
    board.fill(lines('a', 0, 'x', ended=True))
    board.flush(n.T0)
    assert told == [('c9', 'x')]


def test_finished_jobs_are_kept_newest_first_and_not_for_ever(board: Board, news: News):
    for number in range(KEEP_FINISHED + 5):
        feed(board, news.queued(str(number)), news.cancelled(str(number), epoch=0))
    assert len(board.finished()) == KEEP_FINISHED
    assert board.finished()[0].job_id == str(KEEP_FINISHED + 4) and board.job('0') is None


def test_a_finished_job_is_kept_until_its_answer_is_complete(board: Board, news: News):
    feed(board, news.queued('slow'), news.started('slow'), news.completed('slow', lines=1))
    for number in range(KEEP_FINISHED + 5):
        feed(board, news.queued(str(number)), news.cancelled(str(number), epoch=0))
    assert board.job('slow') is not None


# The queue


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


# Workers and models


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


# Snapshots


def test_a_snapshot_brings_all_that_is_alive_and_reads_what_runs(board: Board):
    running = n.job('r', state=State.RUNNING, epoch=3, started_at=n.T0 + 4, worker='w:1')
    waiting = [n.job('a'), n.job('b', priority=10), n.job('x', model='nobody')]
    board.restore(snapshot(7, running, *waiting, workers=(n.worker(),)))
    assert board.seq == 7 and board.broker_alive
    assert board.take_needs() == [Need(job_id='r', epoch=3, index=0)]
    assert board.job('r').waited_s == 4
    assert [(job.job_id, job.ahead, job.reason) for job in board.waiting()] == [
        ('b', 0, 'ahead'),
        ('a', 1, 'ahead'),
        ('x', 0, 'no_worker'),
    ]


def test_a_second_snapshot_keeps_the_text_of_the_same_epoch_only(board: Board, news: News):
    feed(board, news.queued('a'), news.started('a'), tokens('a', 0, 'x'), news.queued('b'), news.started('b'))
    feed(board, tokens('b', 0, 'old'), news.queued('gone'))
    same, other = n.job('a', state=State.RUNNING, epoch=1), n.job('b', state=State.RUNNING, epoch=2)
    board.restore(snapshot(news.seq, same, other))
    assert (board.job('a').text, board.job('b').text, board.job('gone')) == ('x', '', None)
    assert {need.job_id: need.index for need in board.take_needs()} == {'a': 1, 'b': 0}


# Who is told, and when


def test_many_tokens_are_told_once_per_flush_and_only_to_who_asked(board: Board, news: News):
    feed(board, news.queued('a'), news.started('a'), news.queued('b'))
    board.flush(n.T0)
    told = []
    stop = board.subscribe('a', lambda: told.append(board.job('a').text))
    board.subscribe('b', lambda: told.append('b'))
    for number in range(20):
        feed(board, tokens('a', number, 'x'))
    assert board.restless
    board.flush(n.T0)
    assert told == ['x' * 20]
    stop()
    stop()
    feed(board, tokens('a', 20, 'x'))
    board.flush(n.T0)
    assert told == ['x' * 20] and not board.restless


def test_the_queue_is_told_at_most_four_times_a_second_and_the_last_change_too(board: Board, news: News):
    told = []
    board.on_queue(lambda: told.append(board.counts().waiting))
    moment = n.T0
    for number in range(40):  # two seconds of changes, one every 50 ms
        moment = n.T0 + number * 0.05
        feed(board, news.queued(str(number)), now=moment)
        board.flush(moment)
    assert 8 <= len(told) <= 9
    assert board.restless or told[-1] == 40
    board.flush(moment + 0.25)
    assert told[-1] == 40 and not board.restless


def test_a_place_that_changed_is_told_to_who_watches_the_job(board: Board, news: News):
    feed(board, news.queued('a'), news.queued('b'), standing(('a', 0), ('b', 1)))
    board.flush(n.T0)
    told = []
    board.subscribe('a', lambda: told.append('a'))
    board.subscribe('b', lambda: told.append(board.job('b').ahead))
    feed(board, standing(('b', 0)))
    board.flush(n.T0)
    assert told.count(0) == 1


def test_text_alone_does_not_disturb_the_queue_but_its_speed_does_on_a_tick(board: Board, news: News):
    feed(board, news.queued('a'), news.started('a'))
    before = board.queue_version
    feed(board, tokens('a', 0, 'x'))
    assert board.queue_version == before
    board.tick(n.T0)
    board.tick(n.T0)
    assert board.queue_version == before + 1


def test_a_listener_that_fails_hurts_nobody_else(board: Board, news: News, caplog: pytest.LogCaptureFixture):
    told = []

    def fail() -> None:
        raise RuntimeError('page is gone')

    board.on_queue(fail)
    board.on_queue(lambda: told.append(1))
    feed(board, news.queued('a'))
    board.flush(n.T0)
    assert told == [1] and 'page is gone' in caplog.text


def test_silence_is_noticed_and_any_sign_of_life_ends_it(board: Board, news: News):
    told = []
    board.on_workers(lambda: told.append(board.broker_alive))
    feed(board, news.pulse())
    board.flush(n.T0)
    board.tick(n.T0 + 2.4)
    board.flush(n.T0 + 2.4)
    board.tick(n.T0 + 2.6)
    board.flush(n.T0 + 2.6)
    feed(board, news.pulse(), now=n.T0 + 5)
    board.flush(n.T0 + 5)
    assert told == [True, False, True]


@pytest.mark.parametrize('seed', range(20))
def test_whatever_is_lost_doubled_or_shuffled_the_text_is_right_in_the_end(seed: int):
    chance = random.Random(seed)
    texts = [f'<{number}>' for number in range(60)]
    board, made = Board(clock=lambda: n.T0), News()
    feed(board, made.queued('a'), made.started('a'))
    batches = [tokens('a', start, *texts[start : start + 3]) for start in range(0, 60, 3)]
    heard = [batch for batch in batches if chance.random() > 0.3] + chance.choices(batches, k=4)
    chance.shuffle(heard)
    published = 0
    for batch in heard:
        published = max(published, batch.index + len(batch.lines))
        feed(board, batch)
        for need in board.take_needs():
            if chance.random() > 0.5:
                board.fill(lines('a', need.index, *texts[need.index : published]))
    feed(board, made.completed('a', lines=60))
    board.tick(n.T0 + 10)
    for need in board.take_needs():
        board.fill(lines('a', need.index, *texts[need.index :], ended=True))
    assert board.job('a').text == ''.join(texts) and board.job('a').complete


# Limits and pauses


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
