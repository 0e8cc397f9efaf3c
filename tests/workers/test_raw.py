"""Requests that are passed on as they are, and their answers, byte for byte."""

import asyncio
import base64
import json
import os

import pytest

from tests.standin import BUSY, CRASHED, Reply
from tests.workers.benches import collect
from workers.engines import raw
from workers.engines.answer import MAX_LINE_BYTES, Deadlines
from workers.engines.demo import DemoEngine
from workers.engines.failure import EngineFailure
from workers.engines.ollama import OllamaEngine

ASKED = b' {"model":"qwen3", "stream" : false,"documents":["\xe4\xbd\xa0"]}\n'


@pytest.fixture
async def engine(ollama):
    made = OllamaEngine(ollama.url, deadlines=Deadlines(first_token_s=0.5, idle_s=0.2, total_s=5))
    yield made
    await made.aclose()


async def ask(engine, path, model='qwen3'):
    """Status, headers, body, usage, and the failure or None."""
    lines, usage, failure = await collect(engine, 'raw', model, ASKED, path)
    first, *rest = [json.loads(line) for line in lines] or [{}]
    body = b''.join(base64.b64decode(line['b64'], validate=True) for line in rest)
    return first.get('status'), first.get('headers'), body, usage, failure


async def test_body_and_answer_travel_byte_for_byte(engine, ollama):
    parts = tuple(os.urandom(size) for size in (1, 3, 70_000, 1_000_000, 2))
    ollama.replies['/v1/audio/speech'] = Reply(parts, content_type='audio/mpeg', headers={'Set-Cookie': 'a=1'})
    status, headers, body, _, failure = await ask(engine, '/v1/audio/speech?format=mp3')
    assert (status, headers, failure) == (200, {'content-type': 'audio/mpeg'}, None)
    assert body == b''.join(parts)
    (served,) = ollama.served
    assert (served.path, served.body) == ('/v1/audio/speech?format=mp3', ASKED)
    assert served.headers['content-type'] == 'application/json' and served.headers['accept-encoding'] == 'identity'


async def test_lines_are_never_too_long():
    data = os.urandom(MAX_LINE_BYTES)
    lines = list(raw.lines(data))
    assert max(map(len, lines)) < 1_000_000
    assert b''.join(base64.b64decode(json.loads(line)['b64']) for line in lines) == data


async def test_a_packed_answer_stays_packed_and_says_so(engine, ollama):
    ollama.replies['/v1/x'] = Reply((b'\x1f\x8b not really',), headers={'Content-Encoding': 'gzip'})
    _, headers, body, _, _ = await ask(engine, '/v1/x')
    assert headers['content-encoding'] == 'gzip' and body == b'\x1f\x8b not really'


async def test_a_stream_streams(engine, ollama):
    ollama.replies['/v1/x'] = Reply((b'data: 1\n\n', b'data: 2\n\n'), content_type='text/event-stream', fault='hang')
    seen = []
    async with engine.run('raw', 'qwen3', ASKED, '/v1/x') as answer:
        async for line in answer:
            seen.append(line)
            if b'data: 2' in b''.join(base64.b64decode(json.loads(each).get('b64', '')) for each in seen):
                break
    await ollama.until(lambda s: s.closes_seen == 1 and s.in_flight == 0)


async def test_cancelling_closes_upstream(engine, ollama):
    ollama.replies['/v1/x'] = Reply((), fault='hang')
    asked = asyncio.create_task(ask(engine, '/v1/x'))
    await ollama.until(lambda s: s.in_flight == 1)
    asked.cancel()
    await ollama.until(lambda s: s.closes_seen == 1 and s.in_flight == 0)
    assert (await asyncio.gather(asked, return_exceptions=True))[0].__class__ is asyncio.CancelledError


@pytest.mark.parametrize('status', [201, 302, 400, 401, 404, 422, 429, 500, 501])
async def test_another_status_is_an_answer_too(engine, ollama, status):
    ollama.replies['/v1/x'] = Reply((b'{"error":"its', b' own words"}'), status=status, headers={'Retry-After': '7'})
    got, headers, body, _, failure = await ask(engine, '/v1/x')
    assert (got, body, failure) == (status, b'{"error":"its own words"}', None)
    assert headers['retry-after'] == '7'


@pytest.mark.parametrize(
    ('status', 'data', 'good'),
    [
        (200, b'{"usage":{"prompt_tokens":2}}', True),
        (200, b'{}', False),
        (404, b'{"usage":{"prompt_tokens":2}}', False),
    ],
)
async def test_only_the_counts_of_a_good_answer_show_that_a_model_was_at_work(engine, ollama, status, data, good):
    ollama.replies['/v1/x'] = Reply((data,), status=status)
    async with engine.run('raw', 'qwen3', ASKED, '/v1/x') as answer:
        async for _ in answer:
            assert not answer.good
        assert answer.good is good


async def test_a_long_error_is_passed_on_whole(engine, ollama):
    parts = tuple(os.urandom(50_000) for _ in range(5))
    ollama.replies['/v1/x'] = Reply(parts, status=500, content_type='text/html')
    status, _, body, _, failure = await ask(engine, '/v1/x')
    assert (status, failure) == (500, None) and body == b''.join(parts)


async def test_an_answer_without_a_body_has_one_line(engine, ollama):
    ollama.replies['/v1/x'] = Reply((), status=204)
    lines, _, failure = await collect(engine, 'raw', 'qwen3', ASKED, '/v1/x')
    assert failure is None and lines == [b'{"status":204,"headers":{"content-type":"application/json"}}']


@pytest.mark.parametrize(
    ('reply', 'expected'),
    [
        (Reply((b'{"error":"%s"}' % BUSY.encode(),), status=503), ('busy', True)),
        (Reply(status=502), ('busy', True)),
        (Reply(status=504), ('busy', True)),
        (Reply((b'{"error":"%s"}' % CRASHED.encode(),), status=500), ('runner_crashed', True)),
        (Reply(fault='reset'), ('connection_lost', True)),
        (Reply(fault='hang'), ('idle_timeout', True)),
    ],
)
async def test_what_is_worth_another_try_fails_as_ever(engine, ollama, reply, expected):
    ollama.replies['/v1/x'] = reply
    *_, failure = await ask(engine, '/v1/x')
    assert (failure.code, failure.retryable) == expected


@pytest.mark.parametrize(
    ('content_type', 'data', 'counts'),
    [
        (
            'application/json; charset=utf-8',
            b'{"results":[], "usage": {"prompt_tokens": 9, "total_tokens": 9}}',
            (9, 0),
        ),
        ('application/json', b'{"usage":{"prompt_tokens":9,"completion_tokens":4,"x":[1]},"usage2":1}', (9, 4)),
        ('application/json', b'{"type":"message","usage":{"input_tokens":7,"output_tokens":3}}', (7, 3)),
        ('application/json', b'{"response":"x","done":true,"prompt_eval_count":5,"eval_count":2}', (5, 2)),
        ('application/x-ndjson', b'{"done":false}\n{"done":true,"prompt_eval_count":5,"eval_count":2}\n', (5, 2)),
        (
            'text/event-stream',
            b'data: {"choices":[]}\n\n' * 9000 + b'data: {"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
            b'data: [DONE]\n\n',
            (1, 2),
        ),
        (
            'text/event-stream',
            b'event: x\r\ndata: {"response":{"usage":{"input_tokens":6,"output_tokens":8}}}\r\n\r\n',
            (6, 8),
        ),
        ('application/json', b'{"usage":{"prompt_tokens":"many"}}', (0, 0)),
        ('application/json', b'{"usage":{"prompt_tokens":1e300}, "eval_count":-3}', (2**53, 0)),
        ('application/json', b'[' * 100_000, (0, 0)),
        ('audio/mpeg', b'\xff\xfb{"eval_count":2}', (0, 0)),
    ],
)
async def test_counts_are_read_where_a_reply_has_them(engine, ollama, content_type, data, counts):
    ollama.replies['/v1/x'] = Reply((data,), content_type=content_type)
    _, _, body, usage, failure = await ask(engine, '/v1/x')
    assert failure is None and body == data
    assert (usage.prompt_tokens, usage.output_tokens) == counts
    assert 0 < usage.first_token_s <= usage.total_s


ADMIN = ('pull', 'push', 'create', 'copy', 'delete', 'blobs', 'blobs/sha256:1', 'PULL', 'delete/', 'pull?x=1')


@pytest.mark.parametrize(
    'path',
    [
        '', 'v1/x', '//evil.example/x', '/v1//x', '/v1/../api/x', '/v1/..', '/./v1', '/v1\\x', '/v1/x\n',
        '/v1/x\r\nA: b', '/v1/x y', '/v1/\x00', '/v1/é', '/v1/x#y', 'http://evil.example/', '@evil.example',
        '/%2e%2e/x', '/v1/%0d%0aA:b', '/v1/%252e%252e/x', '/v1/%ff', '/%2Fevil', '/v1/x?y=\n',
        *(f'/api/{name}' for name in ADMIN),
        '/api%2Fdelete', '/api/%64elete', '/%61pi/pull', '/api/%2564elete', '/api/./delete', '/api/signout',
    ],
)  # fmt: skip
async def test_a_path_that_leads_astray_is_refused(engine, ollama, path):
    status, _, _, _, failure = await ask(engine, path)
    assert status is None and (failure.code, failure.retryable) == ('bad_request', False)
    assert failure.detail and not ollama.served and ollama.connections_made == 0


@pytest.mark.parametrize(
    'path', ['/v1/rerank', '/api/show', '/v1/audio/transcriptions', '/api/pulled', '/x?next=a/b&c=%20', '/v1/m:latest']
)
def test_other_paths_are_open(path):
    raw.check(path)


async def test_admin_paths_are_open_where_the_worker_allows_it(ollama):
    engine = OllamaEngine(ollama.url, deadlines=Deadlines(), allow_admin=True)
    ollama.replies['/api/pull'] = Reply((b'{"status":"success"}\n',), content_type='application/x-ndjson')
    status, _, body, _, _ = await ask(engine, '/api/pull')
    assert (status, body) == (200, b'{"status":"success"}\n')
    with pytest.raises(EngineFailure):
        raw.check('/api/../api/pull', allow_admin=True)
    await engine.aclose()


async def test_the_demo_says_that_it_does_not_do_that():
    for path in ('/v1/rerank', '/api/new'):
        status, headers, body, _, failure = await ask(DemoEngine(), path, 'demo')
        assert (status, headers, failure) == (501, {'content-type': 'application/json'}, None)
        said = json.loads(body)['error']
        assert (said['message'] if path.startswith('/v1/') else said).startswith('The demo answers chat')
    for path, model, code in (('/api/../x', 'demo', 'bad_request'), ('/v1/x', 'nobody', 'model_not_found')):
        *_, failure = await ask(DemoEngine(), path, model)
        assert failure.code == code
