"""watch: every step as a line, or the queue on a screen."""

import json
import os
import pty
import re
import signal

import pytest

from app.board import Board
from app.commands import watch
from broker import protocol
from tests.app.news import T0, News

pytestmark = pytest.mark.whole


def test_in_a_pipe_each_step_of_a_job_is_a_line(says, start):
    for form in ('json', 'table'):
        process = start('watch', '--output', form)
        assert process.stderr.readline() == 'Watching; Ctrl-C ends it.\n'
        job_id = says('x', '-o', 'json').json['job_id']
        lines = []
        while not any('completed' in line.lower() for line in lines):
            line = process.stdout.readline()
            lines += [line] if job_id in line else []
        process.send_signal(signal.SIGINT)
        assert process.wait(40) == 130
        assert len(lines) == 3
        if form == 'json':
            assert [json.loads(line)['fact'] for line in lines] == ['JobQueued', 'JobStarted', 'JobCompleted']


def test_on_a_terminal_the_queue_is_shown_until_ctrl_c(call, start):
    job_id = call('submit', 'chat', 'x', '--delay', '1h', '--user', 'somebody', '-o', 'json').json['job_id']
    call('pause', 'model', 'other')
    screen, inside = pty.openpty()
    process = start('watch', stdout=inside)
    os.close(inside)
    shown = b''
    while job_id.encode() not in shown or b'paused: model other' not in shown:
        shown += os.read(screen, 65536)
    process.send_signal(signal.SIGINT)
    assert process.wait(40) == 130
    os.close(screen)
    assert re.search(rb'\d+ waiting, \d+ running on 1 worker with 2 slots', shown)
    call('cancel', job_id)
    call('resume', 'model', 'other')


def test_a_row_says_where_a_job_stands_or_how_far_it_is():
    board, news = Board(clock=lambda: T0), News()
    for job_id in 'ab':
        board.apply(news.queued(job_id))
    place = protocol.Place(job_id='b', ahead=1, latest_at=T0 + 8)
    board.apply(protocol.Standing(places=(place,), waiting=1))
    board.apply(news.started('a'))
    assert [watch.row(job, T0 + 1)[-1] for job in board.waiting(2)] == ['1 goes first, starts within 7.0 s']
    (running,) = board.running()
    assert ', 0 tokens, ' in watch.row(running, T0 + 1)[-1]


def test_a_row_says_what_a_job_waits_for_and_nothing_that_steers_the_terminal():
    board, news = Board(clock=lambda: T0), News()
    board.apply(news.queued('a' * 32, user='\x1b[31mevil'))
    (job,) = board.waiting(1)
    cells = watch.row(job, T0 + 60)
    assert cells[0] == 'a' * 32
    assert 'evil' in cells
    assert not any('\x1b' in cell for cell in cells)
