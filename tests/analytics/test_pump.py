"""Facts reach the file from wherever they come, once, and no trouble stops the app."""

import asyncio
import contextlib

import pytest

from analytics import errors, ledger, pump, recorder
from tests.analytics import made


@contextlib.asynccontextmanager
async def pumping(sink, queue):
    """A running pump; ``until(condition)`` waits until it is true after something was recorded."""
    told = asyncio.Event()
    running = pump.Pump(sink, queue.facts_after, told.set, gather_s=0.001)
    task = asyncio.create_task(running.run())

    async def until(condition):
        async with asyncio.timeout(40):
            while not condition():
                told.clear()
                if condition():
                    return
                await told.wait()

    running.until = until
    yield running
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def count(sink):
    return (await sink.store.read('SELECT count(*), count(DISTINCT seq) FROM jobs_ended'))[0]


async def test_what_happened_before_the_start_is_fetched_page_by_page(opened):
    queue = made.Queue(made.life(1000), limit=700)
    async with pumping(opened, queue) as running:
        await running.until(lambda: opened.last_seq() == 3000)
    assert queue.asked == [0, 700, 1400, 2100, 2800]
    assert await count(opened) == (1000, 1000)


async def test_pushed_facts_need_no_fetching(opened):
    queue = made.Queue()
    async with pumping(opened, queue) as running:
        story = made.life(10)
        queue.facts = story
        for fact in story:
            running.push(fact)
        await running.until(lambda: opened.last_seq() == 30)
        asked = len(queue.asked)
        queue.facts = made.life(11)
        for fact in queue.facts[30:]:
            running.push(fact)
        await running.until(lambda: opened.last_seq() == 33)
        assert len(queue.asked) == asked
    assert await count(opened) == (11, 11)


async def test_a_gap_in_what_is_pushed_is_fetched(opened):
    queue = made.Queue(made.life(10))
    async with pumping(opened, queue) as running:
        await running.until(lambda: opened.last_seq() == 30)
        queue.facts = made.life(20)
        running.push(queue.facts[-1])
        await running.until(lambda: opened.last_seq() == 60)
    assert await count(opened) == (20, 20)


async def test_facts_that_the_queue_keeps_no_longer_are_no_gap(opened):
    queue = made.Queue(made.life(10), limit=7)
    queue.forgotten = 12
    async with pumping(opened, queue) as running:
        await running.until(lambda: opened.last_seq() == 30)
    assert await count(opened) == (6, 6)


async def test_a_file_rebuilt_while_facts_were_fetched_is_not_left_without_the_older_ones(opened):
    story = made.life(10)
    with pytest.raises(errors.Gap):
        await opened.record(story[6:], fetched_after=6)  # but this file is at 0
    assert opened.last_seq() == 0


async def test_a_file_deleted_while_running_is_filled_from_the_queue(path, opened):
    queue = made.Queue(made.life(10))
    async with pumping(opened, queue) as running:
        await running.until(lambda: opened.last_seq() == 30)
        path.unlink()
        queue.facts = made.life(11)
        running.push(queue.facts[30])
        await running.until(lambda: opened.last_seq() == 33)
    assert await count(opened) == (11, 11)


async def test_a_rebuild_that_a_query_caused_is_followed_by_feeding_anew(opened):
    queue = made.Queue(made.life(10))
    async with pumping(opened, queue) as running:
        await running.until(lambda: opened.last_seq() == 30)
        await opened.start_over('a test')
        assert opened.last_seq() == 0
        opened.store.on_rebuild()
        await running.until(lambda: opened.last_seq() == 30)
    assert await count(opened) == (10, 10)


async def test_a_queue_that_was_begun_anew_begins_the_file_anew(path):
    sink = await recorder.Recorder.open(path)
    await sink.record(made.life(100))
    queue = made.Queue(made.life(2))
    async with pumping(sink, queue) as running:
        await running.until(lambda: sink.last_seq() == 6)
    assert await count(sink) == (2, 2)
    await sink.close()


async def test_a_silent_queue_is_asked_again(opened, monkeypatch):
    queue = made.Queue(made.life(1))
    queue.silent = True
    monkeypatch.setattr(pump, 'MAX_PAUSE_S', 0.01)
    async with pumping(opened, queue) as running:
        async with asyncio.timeout(40):
            await queue.was_asked_thrice.wait()
        queue.silent = False
        await running.until(lambda: opened.last_seq() == 3)


async def test_too_many_facts_in_memory_are_dropped_and_fetched(opened, monkeypatch):
    monkeypatch.setattr(pump, 'MAX_WAITING', 5)
    queue = made.Queue()
    async with pumping(opened, queue) as running:
        async with asyncio.timeout(40):
            await queue.was_asked.wait()
        queue.facts = made.life(10)
        for fact in queue.facts:
            running.push(fact)
        await running.until(lambda: opened.last_seq() == 30)
    assert await count(opened) == (10, 10)


async def test_the_ledger_records_answers_and_tells_its_watchers(path):
    queue = made.Queue(made.life(3))
    book = await ledger.Ledger.open(path, queue.facts_after)
    told, other = asyncio.Event(), []

    def fails():
        raise RuntimeError('a page that is gone')

    book.watch(fails)
    book.watch(told.set)
    remove = book.watch(lambda: other.append(1))
    remove()
    remove()
    async with asyncio.timeout(40):
        await told.wait()
    assert book.last_seq() == 9
    assert book.problem == ''
    found = await book.summary(since=made.T0, until=made.T0 + 60)
    assert (found.total, found.completed, found.failed) == (3, 2, 1)
    assert len(await book.per_minute(since=made.T0, until=made.T0 + 60)) == 1
    assert len(await book.by_model(since=made.T0, until=made.T0 + 60)) == 1
    assert other == []
    await book.close()


async def test_what_was_pushed_just_before_the_end_is_recorded(path):
    queue = made.Queue()
    book = await ledger.Ledger.open(path, queue.facts_after)
    queue.facts = made.life(3)
    for fact in queue.facts:
        book.push(fact)
    await book.close()
    assert book.last_seq() == 9


async def test_what_the_queue_knows_at_the_end_is_recorded_but_a_silent_queue_is_not_waited_for(path, monkeypatch):
    queue = made.Queue()
    book = await ledger.Ledger.open(path, queue.facts_after)
    queue.facts = made.life(3)
    await book.close()
    assert book.last_seq() == 9

    monkeypatch.setattr(pump, 'FLUSH_S', 0.01)
    queue.hangs = True
    book = await ledger.Ledger.open(path, queue.facts_after)
    async with asyncio.timeout(40):
        await book.close()


async def test_the_ledger_closes_whatever_it_is_doing_and_goes_on_the_next_time(path, monkeypatch):
    queue = made.Queue(made.life(2000), limit=500)
    monkeypatch.setattr(pump, 'FLUSH_S', 0.001)
    for _ in range(3):
        book = await ledger.Ledger.open(path, queue.facts_after)
        await asyncio.sleep(0)
        await book.close()
    book = await ledger.Ledger.open(path, queue.facts_after)
    told = asyncio.Event()
    book.watch(told.set)
    async with asyncio.timeout(60):
        while book.last_seq() < 6000:
            told.clear()
            await told.wait()
    found = await book.summary(since=0, until=2 * made.T0)
    assert found.total == 2000
    await book.close()


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level('CRITICAL', 'corral.analytics')
