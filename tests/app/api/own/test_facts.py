"""The facts through our own API: pages, events that resume, and a WebSocket."""

import asyncio
import json

import httpx
import pytest
import websockets

from app.api.own.bulletin import Bulletin, entry
from broker import protocol
from tests.app.api.door import Door
from tests.app.api.own.conftest import problem
from tests.app.api.own.test_events import parsed
from tests.app.news import News

whole = pytest.mark.whole


def stream(http, count, **params):
    """The first ``count`` events of a connection."""
    headers = {'Last-Event-ID': params.pop('last')} if 'last' in params else {}
    lines = []
    with http.stream('GET', '/api/facts/stream', params=params, headers=headers) as reply:
        assert reply.headers['content-type'].startswith('text/event-stream')
        for line in reply.iter_lines():
            lines.append(line)
            if line == '' and len(parsed(lines)) >= count:
                break
    return parsed(lines)[:count]


@whole
def test_pages_have_every_fact_once_and_in_order(http, ask):
    job = ask()
    seqs, after, head = [], 0, 1
    while after < head:
        page = http.get('/api/facts', params={'after': after, 'limit': 7}).json()
        seqs += [fact['seq'] for fact in page['facts']]
        after, head = seqs[-1], page['head']
    assert seqs == list(range(1, head + 1))
    about = http.get('/api/facts', params={'after': max(0, head - 200)}).json()['facts']
    names = [fact['fact'] for fact in about if fact.get('job_id') == job['id']]
    assert names == ['JobQueued', 'JobStarted', 'JobCompleted']
    assert http.get('/api/facts', params={'after': head}).json() == {'facts': [], 'head': head}


@whole
def test_a_stream_that_is_cut_after_every_fact_misses_none(http, ask):
    head = http.get('/api/facts', params={'after': 2**50}).json()['head']
    ask()
    ask()
    expected = http.get('/api/facts', params={'after': head}).json()['facts']
    seen, last = [], str(head)
    for _ in expected:
        ((name, last, data),) = stream(http, 1, last=last)
        seen.append(json.loads(data))
        assert seen[-1]['fact'] == name and str(seen[-1]['seq']) == last
    assert seen == expected and len(seen) >= 6


@whole
def test_a_stream_gives_only_the_facts_that_were_asked_for(http, ask):
    head = http.get('/api/facts', params={'after': 2**50}).json()['head']
    job = ask()
    ((name, _, data),) = stream(http, 1, after=head, fact='JobCompleted')
    assert name == 'JobCompleted' and json.loads(data)['job_id'] == job['id']


@whole
@pytest.mark.parametrize('wrong', [{'fact': 'Nonsense'}, {'last': 'x'}, {'last': '1-2'}, {'after': -1}])
def test_what_names_no_fact_is_refused(http, wrong):
    headers = {'Last-Event-ID': wrong.pop('last')} if 'last' in wrong else {}
    assert problem(http.get('/api/facts/stream', params=wrong, headers=headers)) == (422, 'invalid')


@whole
async def test_a_web_socket_tells_facts_live_and_from_where_a_client_left_off(desk):
    where = desk.replace('http://', 'ws://') + '/api/facts/ws'
    async with httpx.AsyncClient(base_url=desk, timeout=30) as http, asyncio.timeout(30):
        async with websockets.connect(f'{where}?fact=JobQueued&fact=JobCompleted') as socket:
            body = {'model': 'qwen3', 'prompt': 'x'}
            job = (await http.post('/api/jobs', params={'wait': 20}, json=body)).json()
            told = [json.loads(await socket.recv()) for _ in range(2)]
        assert [(fact['fact'], fact['job_id']) for fact in told] == [
            ('JobQueued', job['id']), ('JobCompleted', job['id']),
        ]  # fmt: skip
        async with websockets.connect(f'{where}?after={told[0]["seq"]}') as socket:
            assert json.loads(await socket.recv())['seq'] == told[0]['seq'] + 1


@whole
@pytest.mark.parametrize('query', ['?fact=Nonsense', '?after=x'])
async def test_a_web_socket_with_a_wrong_wish_is_refused(desk, query):
    with pytest.raises(websockets.InvalidStatus):
        await websockets.connect(desk.replace('http://', 'ws://') + f'/api/facts/ws{query}')


@whole
async def test_a_foreign_page_gets_no_web_socket(desk):
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(desk.replace('http://', 'ws://') + '/api/facts/ws', origin='https://evil.example')
    assert refused.value.response.status_code == 403


def facts(count):
    news = News()
    return [news.queued(f'j{number}').fact for number in range(count)]


def test_a_bulletin_gives_what_it_has_and_says_when_it_does_not_reach_back():
    made, bulletin = facts(10), Bulletin(kept=4)
    assert bulletin.after(0, 5) is None and bulletin.head == 0
    for fact in made:
        bulletin.push(fact)
    assert bulletin.after(5, 9) is None and bulletin.head == 10
    assert bulletin.after(6, 9) == [entry(fact) for fact in made[6:]]
    assert bulletin.after(7, 2) == [entry(fact) for fact in made[7:9]]
    assert bulletin.after(10, 9) == bulletin.after(99, 9) == []


def test_after_a_gap_a_bulletin_keeps_nothing_older():
    made, bulletin = facts(10), Bulletin()
    for fact in (*made[:3], *made[5:7]):
        bulletin.push(fact)
    assert bulletin.after(2, 9) is None and [each.seq for each in bulletin.after(5, 9)] == [6, 7]
    bulletin.push(made[6])
    assert [each.seq for each in bulletin.after(5, 9)] == [6, 7]


async def test_all_that_wait_hear_of_the_next_fact():
    bulletin = Bulletin()
    waiting = [asyncio.create_task(bulletin.news(5)) for _ in range(3)]
    await asyncio.sleep(0)
    bulletin.push(facts(1)[0])
    assert await asyncio.gather(*waiting) == [True] * 3
    assert not await bulletin.news(0.01)


async def test_a_web_socket_whose_client_leaves_ends_although_nothing_happens():
    came: asyncio.Queue = asyncio.Queue()
    sent = []

    async def send(message):
        sent.append(message['type'])

    async with Door() as door:
        door.broker.ping = lambda: asyncio.sleep(0, protocol.Pong(seq=0))
        door.broker.facts_after = lambda seq, limit: asyncio.sleep(0, protocol.Facts(facts=(), head=0))
        scope = {
            'type': 'websocket', 'path': '/api/facts/ws', 'raw_path': b'', 'query_string': b'', 'root_path': '',
            'headers': [(b'host', b'localhost')], 'client': ('10.0.0.9', 1), 'server': ('x', 1), 'subprotocols': [],
            'scheme': 'ws', 'http_version': '1.1', 'asgi': {'version': '3.0', 'spec_version': '2.3'},
        }  # fmt: skip
        for message in ({'type': 'websocket.connect'}, {'type': 'websocket.receive', 'text': 'hello'}):
            came.put_nowait(message)
        socket = asyncio.create_task(door.app(scope, came.get, send))
        await asyncio.wait([socket], timeout=0.05)
        assert sent == ['websocket.accept'] and not socket.done()
        came.put_nowait({'type': 'websocket.disconnect', 'code': 1001})
        await asyncio.wait_for(socket, 40)
