import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from app.board import Board
from app.feed import Feed
from broker import errors, facts, protocol
from broker.job import State
from tests.app import news as n
from tests.app.news import News, lines, snapshot, tokens


class FakeBroker:
    """What ``BrokerClient`` gives the feed, from lists: publish with ``say``."""

    def __init__(self) -> None:
        self.boot = 'b1'
        self.snapshot_now = snapshot(0)
        self.history: list[facts.AnyFact] = []
        self.answers: dict[str, protocol.Lines | Exception] = {}
        self.reads: list[tuple[str, int, int]] = []
        self.unreachable = 0
        self._published: asyncio.Queue[protocol.AnyPublished] = asyncio.Queue()

    def say(self, *items: protocol.AnyPublished) -> None:
        for item in items:
            if isinstance(item, protocol.FactOut):
                self.history.append(item.fact)
            self._published.put_nowait(item)

    async def ping(self) -> protocol.Pong:
        if self.unreachable:
            self.unreachable -= 1
            raise errors.BrokerUnreachable()
        return protocol.Pong(boot=self.boot)

    async def snapshot(self) -> protocol.Snapshot:
        return self.snapshot_now

    async def facts_after(self, seq: int, limit: int = 1000) -> protocol.Facts:
        found = [fact for fact in self.history if fact.seq > seq][:limit]
        return protocol.Facts(facts=tuple(found), head=self.history[-1].seq if self.history else 0)

    async def read_all(self, job_id: str, epoch: int, index: int) -> protocol.Lines:
        self.reads.append((job_id, epoch, index))
        answer = self.answers[job_id]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def feed(self, after_seq: int) -> AsyncIterator[protocol.AnyPublished]:
        while True:
            item = await self._published.get()
            if not isinstance(item, protocol.FactOut) or item.fact.seq > after_seq:
                yield item


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
async def follow(broker: FakeBroker, board: Board) -> AsyncIterator[Callable[[], list[facts.AnyFact]]]:
    """A function that starts the feed; returns the list of the facts that it passes on."""
    tasks: list[asyncio.Task[None]] = []

    def start() -> list[facts.AnyFact]:
        passed: list[facts.AnyFact] = []
        tasks.append(asyncio.create_task(Feed(broker, board, passed.append).run()))
        return passed

    yield start
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(board: Board, condition: Callable[[], object]) -> None:
    """Wait for the board to tell of a change that makes ``condition`` true."""
    changed = asyncio.Event()
    stops = [board.on_queue(changed.set), board.on_workers(changed.set), board.on_ended(lambda _: changed.set())]
    async with asyncio.timeout(40):
        while not condition():
            await changed.wait()
            changed.clear()
    for stop in stops:
        stop()


async def test_it_begins_with_a_snapshot_and_reads_what_runs(broker, board, follow):
    broker.snapshot_now = snapshot(3, n.job('a', state=State.RUNNING, epoch=2), workers=(n.worker(),))
    broker.answers['a'] = lines('a', 0, 'so ', 'far', epoch=2)
    follow()
    await until(board, lambda: board.broker_alive and board.job('a'))
    broker.say(tokens('a', 2, ' on', epoch=2), News(3).completed('a', lines=3, epoch=2))
    await until(board, lambda: board.job('a').complete)
    assert board.job('a').text == 'so far on' and broker.reads == [('a', 2, 0)]


async def test_every_fact_is_passed_on_and_a_gap_in_the_tokens_is_read(broker, board, follow):
    news = News()
    broker.answers['a'] = lines('a', 0, 'x', 'y', 'z', ended=True)
    heard = follow()
    broker.say(news.queued('a'), news.started('a'), tokens('a', 2, 'z'), news.completed('a', lines=3))
    await until(board, lambda: board.job('a') and board.job('a').complete)
    assert board.job('a').text == 'xyz' and [fact.seq for fact in heard] == [1, 2, 3]


async def test_an_answer_that_is_gone_ends_the_question(broker, board, follow):
    news = News()
    broker.answers['a'] = errors.Refused('not_found', 'gone')
    follow()
    broker.say(news.queued('a'), news.started('a'), news.completed('a', lines=3))
    await until(board, lambda: board.job('a') and board.job('a').complete)
    assert board.job('a').text == ''


async def test_it_waits_for_a_broker_that_is_not_there_yet(broker, board, follow):
    broker.unreachable = 1
    broker.snapshot_now = snapshot(0, workers=(n.worker(),))
    follow()
    await until(board, board.workers)
    assert board.broker_alive


async def test_a_restarted_broker_is_looked_at_anew_and_no_end_is_missed(broker, board, follow):
    """The end came while nothing was published: it must be told although the new snapshot is past it."""
    news, told = News(), []
    board.on_ended(lambda job: told.append((job.job_id, job.text)))
    follow()
    broker.say(news.pulse('b1'), news.joined('w:old'), news.queued('a'), news.started('a'), tokens('a', 0, 'x'))
    await until(board, lambda: board.job('a') and board.job('a').text == 'x' and board.seq == 3)
    ended = news.completed('a', lines=1)
    broker.history.append(ended.fact)
    broker.boot, broker.snapshot_now = 'b2', snapshot(news.seq, workers=(n.worker('w:new'),))
    broker.say(news.pulse('b2'))
    await until(board, lambda: told)
    assert told == [('a', 'x')]
    assert [worker.worker for worker in board.workers()] == ['w:new'] and board.boot == 'b2'


async def test_another_database_replaces_all_that_was_known(broker, board, follow):
    news = News(90)
    follow()
    broker.say(news.pulse('b1'), news.queued('old'))
    await until(board, lambda: board.job('old'))
    broker.boot, broker.snapshot_now, broker.history = 'b2', snapshot(2, n.job('new')), []
    broker.say(protocol.Pulse(boot='b2', seq=2))
    await until(board, lambda: board.job('new'))
    assert board.job('old') is None and board.seq == 2
    broker.say(News(2).queued('later'))
    await until(board, lambda: board.job('later'))
