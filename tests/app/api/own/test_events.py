"""A job's events: whoever comes back gets the rest, exactly, and is told when the answer began anew."""

import asyncio
import itertools
import json
from typing import Any

import pytest

from app.api.own import event_lines
from app.api.own.events import PIECE_BYTES, Place, Telling, place_of
from app.api.own.room import Room
from app.api.trouble import Trouble
from app.api.work import Doors
from app.board import Board
from broker import errors, protocol
from broker.job import Job, State
from tests.app import news as n
from tests.app.api.own.conftest import STEADY, problem
from tests.app.news import News
from tests.conftest import PATIENCE_S, wait_for


def parsed(blocks):
    """Server-sent events as (event, id, data), by the rules of the standard, from lines without their ends."""
    found, event, place, data = [], 'message', '', []
    for line in blocks:
        name, _, value = line.partition(':')
        value = value.removeprefix(' ')
        if not line:
            if data:
                found.append((event, place, '\n'.join(data)))
            event, data = 'message', []
        elif name == 'event':
            event = value
        elif name == 'id':
            place = value
        elif name == 'data':
            data.append(value)
    return found


def follow(http, job_id, last='', stop_after=10**9):
    """The events of one connection, which the client closes after so many lines of the answer."""
    found, block = [], []
    with http.stream('GET', f'/api/jobs/{job_id}/events', headers={'Last-Event-ID': last} if last else {}) as reply:
        assert reply.status_code == 200 and reply.headers['content-type'].startswith('text/event-stream')
        for line in reply.iter_lines():
            block.append(line)
            if line == '':
                found += parsed(block)
                block = []
                if sum(event == 'line' for event, _, _ in found) >= stop_after:
                    break
    return found


@pytest.mark.whole
@pytest.mark.parametrize('cut', [1, 3, 7, 10**9])
def test_a_stream_that_is_cut_again_and_again_gives_exactly_what_is_stored(http, cut):
    job = http.post('/api/jobs', json={'model': 'steady', 'prompt': f'cut {cut}'}).json()
    lines, last, ends, connections = [], '', [], 0
    while not ends:
        connections += 1
        for event, place, data in follow(http, job['id'], last, cut):
            last = place or last
            assert event in ('state', 'line', 'end'), data
            lines += [data] if event == 'line' else []
            ends += [json.loads(data)] if event == 'end' else []
    stored = http.get(f'/api/jobs/{job["id"]}/lines').content
    assert ''.join(line + '\n' for line in lines).encode() == stored
    assert connections >= min(len(lines) // min(cut, 1000), 1000) and len(lines) > 50
    assert ends[0]['state'] == 'completed' and ends[0]['lines'] == len(lines) and ends[0]['usage']['output_tokens'] > 0
    assert ''.join(json.loads(line)['response'] for line in lines) == STEADY
    assert http.get(f'/api/jobs/{job["id"]}/events', headers={'Last-Event-ID': last}).status_code == 204


@pytest.mark.whole
def test_each_new_attempt_begins_with_a_reset(http):
    job = http.post('/api/jobs', json={'model': 'breaks', 'prompt': 'x'}).json()
    events = follow(http, job['id'])
    named = [event for event, _, _ in events if event != 'state']
    assert named.count('reset') == 2 and named[-1] == 'end' and named[0] == 'line'
    epochs = {place.partition('-')[0] for event, place, _ in events if event == 'line'}
    assert epochs == {'1', '2', '3'}
    last = named[: len(named) - named[::-1].index('reset')]
    assert json.loads(events[-1][2])['lines'] == len(named) - len(last) - 1
    assert json.loads(events[-1][2])['error']['code']


@pytest.mark.whole
def test_a_place_that_never_was_is_answered_with_a_reset_and_everything(http, ask):
    job = ask()
    total = job['lines']
    for forged in (f'1-{total + 5}', '99-3'):
        events = follow(http, job['id'], forged)
        assert [event for event, _, _ in events] == ['reset', *['line'] * total, 'end']
    assert [event for event, _, _ in follow(http, job['id'], f'1-{total}')] == ['end']


@pytest.mark.whole
@pytest.mark.parametrize('last', ['x', '1', '1-', '-1-2', '1-2-3', '1-2-end-end', '９-1', '1' * 20 + '-1'])
def test_an_id_that_is_not_ours_is_refused(http, ask, last):
    job = ask()
    assert problem(http.get(f'/api/jobs/{job["id"]}/events', params={'after': last})) == (422, 'invalid')
    with pytest.raises(Trouble):
        place_of(last)


@pytest.mark.whole
def test_a_client_that_leaves_leaves_nothing_behind_and_the_job_goes_on(http, upstream):
    job = http.post('/api/jobs', json={'model': 'slow', 'prompt': 'mark-own-leaves'}).json()
    follow(http, job['id'], stop_after=2)
    seen = upstream.wait('mark-own-leaves', lambda each: each['lines'])
    assert not seen['over'] and http.get(f'/api/jobs/{job["id"]}').json()['state'] == 'running'
    http.delete(f'/api/jobs/{job["id"]}')
    wait_for(lambda: http.get(f'/api/jobs/{job["id"]}').json()['state'] == 'cancelled', 40, 'the end')


class OneJob:
    """A broker with one job, whose lines a test sets."""

    def __init__(self) -> None:
        self.job = Job(job_id='j', order=1, kind='chat', model='m', priority=5, queued_at=n.T0)
        self.lines: tuple[bytes, ...] = ()
        self.page = 10_000  # lines of an answer at a time
        self.asked: list[int] = []  # from which line on, each time
        self.error: errors.BrokerError | None = None

    async def get(self, job_id: str) -> protocol.JobState:
        return protocol.JobState(job=self.job)

    async def read(self, job_id: str, epoch: int = 0, index: int = 0) -> protocol.Lines:
        if self.error is not None:
            raise self.error
        self.asked.append(index)
        await asyncio.sleep(0)
        start = index if epoch in (0, self.job.epoch) else 0
        lines = self.lines[start : start + self.page]
        return protocol.Lines(
            job_id=job_id, epoch=self.job.epoch, index=start, lines=lines, total=len(self.lines),
            ended=self.job.state is State.COMPLETED,
        )  # fmt: skip


FIRST = Place()


class Follower:
    """Collects what one client is told."""

    def __init__(self, place: Place = FIRST, heartbeat_s: float = 60.0) -> None:
        self.board, self.news, self.broker = Board(), News(), OneJob()
        doors = Doors(self.board, heartbeat_s=heartbeat_s)
        doors.open(self.broker)  # type: ignore[arg-type]
        self.room = Room(doors)
        self.say(self.news.joined(models=(n.model('m'),)))
        self.raw = b''
        self._place = place
        self._come = asyncio.Event()

    def say(self, *items: protocol.AnyPublished) -> None:
        for item in items:
            self.board.apply(item, self.news.now)

    def run(self, epoch: int, *lines: bytes, index: int = 0) -> None:
        self.broker.job.epoch = epoch
        self.broker.lines = (self.broker.lines if index else ()) + lines
        self.say(protocol.TokensOut(job_id='j', epoch=epoch, index=index, lines=lines))

    async def listen(self) -> None:
        async for part in Telling(self.room, self.broker.job, self._place).events():
            self.raw += part
            self._come.set()

    def told(self, *names: str) -> list[tuple[str, str, str]]:
        return [each for each in parsed(self.raw.decode().split('\n')) if each[0] in names]

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._come.clear()
                await self._come.wait()


async def test_lines_of_a_run_that_is_lost_are_taken_back_and_the_new_run_is_told_from_its_first_line():
    client = Follower()
    client.say(client.news.queued('j'), client.news.started('j', 1))
    task = asyncio.create_task(client.listen())
    client.run(1, b'{"a":1}', b'{"a":2}')
    await client.until(lambda: len(client.told('line')) == 2)
    client.broker.lines = ()
    client.say(client.news.requeued('j', 'worker_lost', losses=1))
    await client.until(lambda: client.told('reset'))
    client.say(client.news.started('j', 2))
    client.run(2, b'{"b":1}')
    client.run(2, b'{"b":2}', index=1)
    client.broker.job.state, client.broker.job.lines = State.COMPLETED, 2
    client.say(client.news.completed('j', 2, epoch=2))
    await asyncio.wait_for(task, 40)
    events = client.told('line', 'reset', 'end')
    assert [(event, place) for event, place, _ in events] == [
        ('line', '1-1'), ('line', '1-2'), ('reset', '0-0'), ('line', '2-1'), ('line', '2-2'), ('end', '2-2-end'),
    ]  # fmt: skip
    assert json.loads(events[2][2]) == {'reason': 'worker_lost'}


async def test_a_client_with_lines_of_an_older_run_is_told_to_forget_them():
    client = Follower(Place(1, 2))
    client.say(client.news.queued('j'), client.news.started('j', 2))
    client.run(2, b'{"b":1}')
    client.broker.job.state, client.broker.job.lines = State.COMPLETED, 1
    client.say(client.news.completed('j', 1, epoch=2))
    await asyncio.wait_for(client.listen(), 40)
    assert [event for event, _, _ in client.told('line', 'reset', 'end')] == ['reset', 'line', 'end']


async def test_tokens_that_overtake_the_first_look_are_told_once():
    client = Follower(Place(1, 1))
    client.say(client.news.queued('j'), client.news.started('j', 1))
    client.run(1, b'0', b'1', b'2')
    task = asyncio.create_task(client.listen())
    await asyncio.sleep(0)  # it has its tap, and waits for the broker
    client.run(1, b'3', index=3)
    await client.until(lambda: len(client.told('line')) == 3)
    task.cancel()
    assert [data for _, _, data in client.told('line')] == ['1', '2', '3']
    assert [place for _, place, _ in client.told('line')] == ['1-2', '1-3', '1-4']


async def test_a_silent_stream_gives_signs_of_life_that_are_no_events():
    client = Follower(heartbeat_s=0.01)
    client.say(client.news.queued('j'))
    task = asyncio.create_task(client.listen())
    await client.until(lambda: client.raw.count(b': still here\n\n') >= 2)
    task.cancel()
    assert [event for event, _, _ in parsed(client.raw.decode().split('\n'))] == ['state']


async def test_a_change_of_place_is_told_and_what_did_not_change_is_not():
    client = Follower()
    client.say(client.news.queued('j'))
    task = asyncio.create_task(client.listen())
    await client.until(lambda: client.told('state'))
    client.say(client.news.moved('j', 9))
    await client.until(lambda: len(client.told('state')) == 2)
    client.say(client.news.started('j', 1))
    await client.until(lambda: len(client.told('state')) == 3)
    task.cancel()
    states = [json.loads(data) for _, _, data in client.told('state')]
    assert [(each['state'], each['priority']) for each in states] == [('waiting', 5), ('waiting', 9), ('running', 9)]
    assert states[0]['wait']['ahead'] == 0 and states[2]['wait'] is None


async def test_a_broker_that_is_away_ends_the_stream_with_an_error_and_the_client_may_come_back():
    client = Follower()
    client.broker.error = errors.BrokerUnreachable()
    await asyncio.wait_for(client.listen(), 40)
    assert [event for event, _, _ in client.told('error')] == ['error']
    assert client.board._taps == {}


async def test_a_reader_that_does_not_read_holds_nobody_up():
    client = Follower()
    client.say(client.news.queued('j'), client.news.started('j', 1))
    stalled = Telling(client.room, client.broker.job, Place()).events()
    await anext(stalled)
    task = asyncio.create_task(client.listen())
    for index in range(500):
        client.run(1, b'%d' % index, index=index)
        await asyncio.sleep(0)
    await client.until(lambda: len(client.told('line')) == 500)
    task.cancel()
    await stalled.aclose()
    await asyncio.gather(task, return_exceptions=True)
    assert client.board._taps == {}


async def test_many_readers_of_a_flood_share_what_is_written_and_everybody_else_has_a_turn_in_between(monkeypatch):
    written, turns, pieces = [], [0], {}
    write = event_lines.events
    monkeypatch.setattr(event_lines, 'events', lambda *what: written.append(what[2]) or write(*what))
    client = Follower()
    client.say(client.news.queued('j'), client.news.started('j', 1))

    async def read(number: int) -> None:
        async for piece in Telling(client.room, client.broker.job, Place()).events():
            pieces.setdefault(number, []).append((turns[0], piece))

    async def somebody_else() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    readers = [asyncio.create_task(read(number)) for number in range(16)]
    other = asyncio.create_task(somebody_else())
    while len(pieces) < len(readers):  # noqa: ASYNC110 - each has been told the state, and waits
        await asyncio.sleep(0)
    lines = tuple(b'{"a":"%d"}' % number for number in range(6000))
    for first in range(0, len(lines), 2000):
        client.run(1, *lines[first : first + 2000], index=first)
    client.broker.job.state, client.broker.job.lines = State.COMPLETED, len(lines)
    client.say(client.news.completed('j', len(lines)))
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*readers)
    other.cancel()
    told = {b''.join(piece for _, piece in each) for each in pieces.values()}
    assert len(told) == 1 and told.pop().count(b'event: line') == len(lines)
    assert sum(map(len, written)) == len(lines)
    longest = max(len(write(1, 5000, lines[:500])), PIECE_BYTES)
    for each in pieces.values():
        assert all(len(piece) < 2 * longest for _, piece in each)
        assert all(later > earlier for (earlier, _), (later, _) in itertools.pairwise(each[:-1]))
    assert client.board._taps == {}


async def test_a_long_answer_that_has_ended_is_read_a_page_at_a_time():
    client = Follower()
    client.broker.lines = tuple(b'{"a":%d}' % number for number in range(2500))
    client.broker.page = 700
    client.broker.job.state, client.broker.job.epoch, client.broker.job.lines = State.COMPLETED, 1, 2500
    async with asyncio.timeout(PATIENCE_S):
        await client.listen()
    assert [data for _, _, data in client.told('line')] == [line.decode() for line in client.broker.lines]
    assert client.broker.asked == [0, 700, 1400, 2100] and len(client.told('end')) == 1


async def test_many_who_read_a_long_answer_that_has_ended_ask_the_queue_once_for_each_page_but_the_last():
    client = Follower()
    client.broker.lines, client.broker.page = tuple(b'{"a":%d}' % number for number in range(2500)), 700
    client.broker.job.state, client.broker.job.epoch, client.broker.job.lines = State.COMPLETED, 1, 2500

    async def read() -> bytes:
        return b''.join([piece async for piece in Telling(client.room, client.broker.job, Place()).events()])

    async with asyncio.timeout(PATIENCE_S):
        told = {*await asyncio.gather(*(read() for _ in range(20)))}
    assert len(told) == 1 and told.pop().count(b'event: line') == 2500
    assert [client.broker.asked.count(index) for index in (0, 700, 1400)] == [1, 1, 1]


def test_what_was_written_long_ago_is_not_kept():
    kept = event_lines.EventLines(most_bytes=1000)
    for index in range(50):
        kept.of('j', 1, event_lines.Portion(index, (b'x' * 100,)))
    assert sum(map(len, kept._written.values())) == kept._bytes <= 1000 and kept._written
