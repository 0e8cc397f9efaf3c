"""How a child process lives."""

import asyncio
import io
import logging
import sys

from broker import child


def test_on_windows_the_loop_is_one_that_zeromq_can_use(monkeypatch):
    made = []

    class Selector(asyncio.SelectorEventLoop):
        def __init__(self):
            super().__init__()
            made.append(self)

    async def loop():
        return asyncio.get_running_loop()

    monkeypatch.setattr(asyncio, 'SelectorEventLoop', Selector)
    assert child.run(loop()) is not None and made == []
    monkeypatch.setattr(child, 'WINDOWS', True)
    assert [child.run(loop())] == made


def test_nothing_that_is_logged_can_look_like_a_line_of_its_own():
    forged = 'm\n2026-01-01 00:00:00,000 ERROR all is lost'
    try:
        raise ValueError(forged)
    except ValueError:
        told = sys.exc_info()
    record = logging.LogRecord('room', logging.INFO, __file__, 1, 'model %s', (forged,), told)
    record.job_id = 'j'
    first, *rest = child._Line('%(message)s').format(record).splitlines()
    assert first == r'model m\n2026-01-01 00:00:00,000 ERROR all is lost job_id=j'
    assert rest[0] == '  Traceback (most recent call last):'
    assert all(line.startswith('  ') for line in rest)


def test_stderr_that_is_a_file_does_not_grow_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(child, 'MOST_ERRORS_BYTES', 1000)
    record = logging.LogRecord('room', logging.ERROR, __file__, 1, 'x' * 100, (), None)
    with (tmp_path / 'room.err').open('a') as file:
        errors = child._Errors(file)
        for _ in range(100):
            errors.emit(record)
        assert 0 < (tmp_path / 'room.err').stat().st_size <= 1101
    errors = child._Errors(io.StringIO())
    errors.emit(record)
    assert errors.stream.getvalue()
