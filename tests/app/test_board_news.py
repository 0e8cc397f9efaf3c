"""How the board begins, who is told of changes, and what it makes of news that are lost or shuffled."""

import random

import pytest

from app.board import Board, Need
from broker.job import State
from tests.app import news as n
from tests.app.news import News, feed, lines, snapshot, standing, tokens


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
