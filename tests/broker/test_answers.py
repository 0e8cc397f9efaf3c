"""A long answer is unpacked once for all its pages, and not kept for longer than somebody reads it."""

import pytest

from broker import protocol
from broker.answers import KEPT_S, Answers
from broker.job import Job

LINES = [b'%d' % number for number in range(10)]


@pytest.fixture(autouse=True)
def small_pages(monkeypatch):
    monkeypatch.setattr(protocol, 'MAX_BATCH_BYTES', 4)


class Shelf:
    """Counts how often an answer is loaded."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.answers = Answers(self.load)
        self.of = {'long': LINES, 'other': LINES, 'short': LINES[:2]}

    def load(self, job_id: str) -> list[bytes]:
        self.loaded.append(job_id)
        return self.of[job_id]

    def read(self, job_id: str, index: int = 0, now: float = 0.0, order: int = 1) -> protocol.Lines:
        job = Job(job_id=job_id, order=order, kind='chat', model='m', priority=5, queued_at=0.0, epoch=1)
        return self.answers.page(protocol.Read(job_id=job_id, epoch=1, index=index), job, now)


def test_all_pages_of_an_answer_come_from_one_look_whoever_reads_them():
    shelf = Shelf()
    for _ in range(3):
        lines = []
        while len(lines) < len(LINES):
            page = shelf.read('long', len(lines))
            assert page.total == len(LINES) and page.ended and 0 < len(page.lines) <= 4
            lines += page.lines
        assert lines == LINES
    assert shelf.loaded == ['long']


def test_what_nobody_reads_any_more_is_let_go():
    shelf = Shelf()
    shelf.read('long', 0, now=0.0)
    shelf.read('long', 4, now=KEPT_S)
    shelf.answers.forget(2 * KEPT_S)
    assert shelf.answers._lines
    shelf.answers.forget(2 * KEPT_S + 1)
    assert not shelf.answers._lines and shelf.read('long', 8).lines == (b'8', b'9')
    assert shelf.loaded == ['long', 'long']


def test_another_job_is_not_answered_with_what_was_kept():
    shelf = Shelf()
    shelf.read('long', order=1)
    assert shelf.read('short', order=2).lines == (b'0', b'1')
    shelf.of['long'] = LINES[::-1]  # the id was used again after the job was purged
    assert shelf.read('long', order=3).lines == (b'9', b'8', b'7', b'6')
