"""What our own API says when something behind it is away, full or broken, and how much it costs to be followed."""

import asyncio
import json

import pytest

from app.api.own.events import Place, Telling
from broker import errors
from broker.job import State
from tests.app.api.door import Door
from tests.app.api.own.test_events import Follower, parsed

ASK = {'model': 'm', 'prompt': 'x'}


@pytest.fixture
async def door():
    async with Door() as door:
        yield door


@pytest.mark.parametrize(
    ('error', 'status', 'code', 'again'),
    [
        (errors.BrokerUnreachable(), 503, 'broker_away', True),
        (errors.Refused('queue_full', 'it is full', 7.0), 429, 'queue_full', True),
        (errors.Refused('disk_full', 'no room', 30.0), 507, 'disk_full', True),
        (errors.Refused('conflict', 'another request'), 409, 'conflict', False),
        (errors.Refused('circle', 'a waits for b waits for a'), 422, 'circle', False),
        (errors.Refused('body_too_large', 'too much'), 413, 'body_too_large', False),
        (RuntimeError('secret inside'), 500, 'desk_error', False),
    ],
)
async def test_each_no_of_the_queue_has_its_status(door, error, status, code, again):
    door.broker.error = error
    call = await door.post('/api/jobs', ASK).end()
    assert call.status == status and call.json['error']['code'] == code
    assert ('retry-after' in call.headers) == ('retry_after_s' in call.json['error']) == again
    assert 'secret' not in call.body.decode() and 'Traceback' not in call.body.decode()


@pytest.mark.parametrize('path', ['/api/webhooks', '/api/stats/summary', '/api/webhooks/x/deliveries'])
async def test_what_only_a_whole_desk_has_is_away_where_there_is_none(door, path):
    call = await door.call('GET', path).end()
    assert call.status == 503 and call.json['error']['code'] == 'unavailable' and call.headers['retry-after']


async def test_before_there_is_a_broker_every_path_says_so():
    door = Door()
    for path in ('/api/jobs', '/api/jobs/x', '/api/batches', '/api/schedules', '/api/workers', '/api/facts'):
        call = await door.call('GET', path).end()
        assert call.status == 503 and call.json['error']['code'] == 'broker_away', path


async def test_the_user_is_the_one_that_the_request_names_else_the_address(door):
    for headers, body, user in (
        ({}, ASK, '10.0.0.9'),
        ({}, ASK | {'user': 'ann'}, 'ann'),
        ({'X-Queue-User': 'bob'}, ASK | {'user': 'ann'}, 'bob'),
    ):
        count = len(door.broker.submitted)
        door.call('POST', '/api/jobs', body, headers)
        assert (await door.job(count + 1)).user == user


async def test_64_readers_that_are_cut_every_50_lines_get_each_line_once_and_a_stalled_one_harms_none():
    desk, count = Follower(), 1500
    desk.say(desk.news.queued('j'), desk.news.started('j', 1))
    stalled = Telling(desk.room, desk.broker.job, Place()).events()
    await anext(stalled)

    async def reader() -> list[str]:
        seen: list[str] = []
        place = Place()
        while True:
            raw = b''
            events = Telling(desk.room, desk.broker.job, place).events()
            async for part in events:
                raw += part
                if raw.count(b'event: line') >= 50 or b'event: end' in raw:
                    break
            await events.aclose()
            found = parsed(raw.decode().split('\n'))
            lines = [data for event, _, data in found if event == 'line']
            seen += lines
            assert not [event for event, _, _ in found if event == 'reset']
            place = Place(1, place.line + len(lines))
            if any(event == 'end' for event, _, _ in found):
                return seen

    readers = [asyncio.create_task(reader()) for _ in range(64)]
    for index in range(count):
        desk.run(1, json.dumps({'n': index}).encode(), index=index)
        if index % 10 == 0:
            await asyncio.sleep(0)
    desk.broker.job.state, desk.broker.job.lines = State.COMPLETED, count
    desk.say(desk.news.completed('j', count))
    expected = [line.decode() for line in desk.broker.lines]
    async with asyncio.timeout(30):
        for task in readers:
            assert await task == expected
    await stalled.aclose()
    assert len(expected) == count and desk.board._taps == {}
