"""What the reader of one job gets: every line once, in order, at once, whatever way it came."""

import itertools

import pytest

from app.board import Board
from app.tap import Tap
from tests.app import news as n

LINES = [b'a', b'b', b'c', b'd', b'e', b'f']
PARTS = [(0, LINES[0:2]), (2, LINES[2:3]), (3, LINES[3:6]), (1, LINES[1:4])]


class Reader:
    """A tap on a board, and how often it was woken."""

    def __init__(self, board: Board, job_id: str = 'a') -> None:
        self.woken = 0
        self.tap = board.tap(job_id, self._wake)

    def _wake(self) -> None:
        self.woken += 1


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.mark.parametrize('order', list(itertools.permutations(PARTS)), ids=str)
def test_parts_in_any_order_make_the_same_lines(order):
    tap = Tap('a', lambda: None)
    got = []
    for index, lines in order:
        tap.give(1, index, lines)
        got += tap.take()
    assert got == LINES


def test_each_line_is_given_at_once_and_once(board, news):
    reader = Reader(board)
    n.feed(board, news.queued('a'), news.started('a'), n.tokens('a', 0, 'x'))
    assert reader.tap.take() == list(n.chat_lines('x'))
    woken = reader.woken
    n.feed(board, n.tokens('a', 0, 'x', 'y'))
    assert reader.tap.take() == list(n.chat_lines('y')) and reader.woken == woken + 1


def test_lines_can_be_taken_a_few_at_a_time_and_all_readers_find_the_same_portions(board, news):
    readers = [Reader(board).tap for _ in range(3)]
    n.feed(board, news.queued('a'), news.started('a'), n.tokens('a', 0, *'vwxyz'))
    found = []
    while readers[0].waits:
        found.append(readers[0].take_portion(2))
    assert [portion.first for portion in found] == [0, 2, 4]
    assert [line for portion in found for line in portion.lines] == list(n.chat_lines(*'vwxyz'))
    assert [readers[1].take_portion(2) for _ in found] == found
    assert readers[2].take(3) + readers[2].take(3) == list(n.chat_lines(*'vwxyz')) and not readers[2].waits
    n.feed(board, n.tokens('a', 5, *'ab'))
    assert readers[0].take_portion().lines is readers[1].take_portion().lines


def test_what_is_left_of_a_portion_goes_when_the_run_begins_anew_and_nothing_was_taken(board, news):
    tap = Reader(board).tap
    n.feed(board, news.queued('a'), news.started('a'), n.tokens('a', 0, *'abc'), news.requeued('a', 'worker_lost'))
    n.feed(board, news.started('a', 2), n.tokens('a', 0, *'xyz', epoch=2))
    assert tap.take(2) + tap.take(2) == list(n.chat_lines(*'xyz'))


def test_a_gap_is_filled_before_what_came_after_it(board, news):
    reader = Reader(board)
    n.feed(board, news.queued('a'), news.started('a'), n.tokens('a', 2, 'z'))
    assert reader.tap.take() == [] and [need.index for need in board.take_needs()] == [0]
    board.fill(n.lines('a', 0, 'x', 'y'), n.T0)
    assert reader.tap.take() == list(n.chat_lines('x', 'y', 'z'))


def test_the_end_comes_with_the_last_line_and_not_before(board, news):
    reader = Reader(board)
    n.feed(board, news.queued('a'), news.started('a'), news.completed('a', lines=2))
    assert reader.tap.ended is None
    board.fill(n.lines('a', 0, 'x', 'y', ended=True), n.T0)
    assert reader.tap.ended is not None and len(reader.tap.take()) == 2


def test_a_run_that_begins_anew_unread_is_not_noticed(board, news):
    reader = Reader(board)
    n.feed(board, news.queued('a'), news.started('a'), n.tokens('a', 0, 'old'), news.requeued('a', 'worker_lost'))
    n.feed(board, news.started('a', 2), n.tokens('a', 0, 'new', epoch=2))
    assert not reader.tap.restarted and reader.tap.take() == list(n.chat_lines('new'))


def test_a_run_that_begins_anew_after_reading_is_told_with_its_reason(board, news):
    reader = Reader(board)
    n.feed(board, news.queued('a'), news.started('a'), n.tokens('a', 0, 'old'))
    reader.tap.take()
    n.feed(board, n.tokens('a', 1, 'rest'), news.requeued('a', 'retry', detail='it crashed'), news.started('a', 2))
    n.feed(board, n.tokens('a', 0, 'new', epoch=2))
    assert reader.tap.restarted == 'it crashed' and reader.tap.take() == list(n.chat_lines('rest'))


def test_lines_of_a_run_that_is_over_are_not_given(board, news):
    reader = Reader(board)
    n.feed(board, news.queued('a'), news.started('a', 2), n.tokens('a', 0, 'new', epoch=2), n.tokens('a', 0, 'late'))
    assert reader.tap.take() == list(n.chat_lines('new'))


def test_how_many_went_first_stays_what_it_was_at_first(board, news):
    n.feed(board, news.joined(), news.queued('first'), news.queued('second'))
    reader = Reader(board)
    n.feed(board, news.queued('a'))
    assert reader.tap.position == 2
    n.feed(board, news.started('first'), n.standing(('second', 0), ('a', 1)))
    assert reader.tap.position == 2


def test_a_restart_of_the_broker_goes_on_where_it_was(board, news):
    reader = Reader(board)
    n.feed(board, news.queued('a'), news.started('a'), n.tokens('a', 0, 'x'))
    board.restore(n.snapshot(news.seq, n.job('a', state='running', epoch=1)), n.T0)
    n.feed(board, n.tokens('a', 1, 'y'))
    assert reader.tap.take() == list(n.chat_lines('x', 'y')) and not reader.tap.lost


def test_a_job_that_another_database_does_not_know_is_lost(board, news):
    reader = Reader(board)
    n.feed(board, news.queued('a'))
    board.restore(n.snapshot(0), n.T0)
    assert reader.tap.lost


def test_a_closed_tap_gets_nothing_and_leaves_nothing(board, news):
    reader, other = Reader(board), Reader(board)
    reader.tap.close()
    reader.tap.close()
    n.feed(board, news.queued('a'), news.started('a'), n.tokens('a', 0, 'x'))
    assert reader.woken == 0 and reader.tap.take() == [] and other.tap.take()
    other.tap.close()
    assert board._taps == {}
