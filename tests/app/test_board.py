"""A job on the board: its life, its text and its end."""

import time

import pytest

from app.board import KEEP_FINISHED, Board, Need
from app.chats.answer import Answer
from broker import facts, protocol
from broker.job import State
from tests.app import news as n
from tests.app.news import News, chat_lines, feed, lines, snapshot, tokens


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
