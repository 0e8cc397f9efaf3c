from hypothesis import given
from hypothesis import strategies as st

from workers.batcher import Batcher, portions


def test_the_first_line_leaves_at_once():
    batcher = Batcher()
    batcher.add(10)
    assert batcher.due_at(100.0) == 100.0


def test_nothing_is_due_when_nothing_waits():
    batcher = Batcher()
    assert batcher.due_at(1.0) is None
    batcher.add(10)
    batcher.sent(1.0)
    assert batcher.due_at(2.0) is None


def test_lines_that_come_fast_are_joined_for_25_ms():
    batcher = Batcher()
    batcher.add(10)
    batcher.sent(100.0)
    batcher.add(10)
    assert batcher.due_at(100.001) == 100.025
    batcher.add(10)
    assert batcher.due_at(100.020) == 100.025


def test_a_line_after_a_pause_does_not_wait():
    batcher = Batcher()
    batcher.add(10)
    batcher.sent(100.0)
    batcher.add(10)
    assert batcher.due_at(100.5) == 100.5


def test_a_full_batch_does_not_wait():
    batcher = Batcher(max_bytes=100)
    batcher.sent(100.0)
    batcher.add(99)
    assert batcher.due_at(100.001) == 100.025
    batcher.add(1)
    assert batcher.due_at(100.001) == 100.001


def test_a_line_larger_than_a_batch_travels_alone():
    lines = [b'a', b'b' * 50, b'c', b'd']
    assert list(portions(lines, 0, max_bytes=10)) == [(0, (b'a',)), (1, (b'b' * 50,)), (2, (b'c', b'd'))]


@given(st.lists(st.binary(max_size=20)), st.integers(0, 30), st.integers(1, 40))
def test_portions_are_contiguous_complete_and_within_the_limit(lines, start, max_bytes):
    index = start
    for first, part in portions(lines, start, max_bytes):
        assert first == index and part == tuple(lines[first : first + len(part)])
        assert len(part) == 1 or sum(map(len, part)) <= max_bytes
        index += len(part)
    assert index == max(start, len(lines))
