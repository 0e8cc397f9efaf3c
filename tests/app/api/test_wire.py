"""Raw HTTP against the running desk: bytes, headers, and what a closed connection does to Ollama."""

import json
import socket
import time
from urllib.parse import urlsplit

import httpx
import pytest

from tests.conftest import PATIENCE_S, wait_for

pytestmark = pytest.mark.whole
BIG = b'{"model":"qwen3","messages":[{"role":"user","content":"' + b'x' * 10_000_000 + b'"}]}'


@pytest.fixture
def http(url):
    with httpx.Client(base_url=url, timeout=30) as client:
        yield client


@pytest.mark.parametrize('path', ['/api/chat', '/api/generate'])
def test_request_and_stream_pass_byte_for_byte(http, upstream, path):
    mark = f'mark-bytes-{path[5:]}'
    body = f'{{ "model": "Qwen3",\n "prompt":"{mark}", "messages":[{{"role":"user", "content":"é\\u00e9 {mark}"}}] }}'
    answer = http.post(path, content=body.encode())
    seen = upstream.wait(mark, lambda each: each['over'])
    assert seen['path'] == path and seen['body'] == body
    assert answer.content == b''.join(line.encode() + b'\n' for line in seen['lines'])
    assert answer.headers['content-type'] == 'application/x-ndjson' and len(seen['lines']) > 10


@pytest.mark.parametrize('path', ['/api/chat', '/api/generate'])
def test_an_answer_in_one_piece_is_the_one_that_ollama_gives(http, upstream, path):
    body = {'model': 'qwen3', 'prompt': 'x', 'messages': [{'role': 'user', 'content': 'x'}], 'stream': False}
    ours, theirs = http.post(path, json=body), httpx.post(upstream.url + path, json=body)
    assert ours.headers['content-type'] == theirs.headers['content-type'] == 'application/json; charset=utf-8'
    measured = {'created_at', 'total_duration', 'prompt_eval_duration', 'eval_duration'}
    assert list(ours.json()) == list(theirs.json())
    assert all(ours.json()[key] == value for key, value in theirs.json().items() if key not in measured)


def test_an_embedding_passes_byte_for_byte(http, upstream):
    answer = http.post('/api/embed', json={'model': 'nomic-embed-text', 'input': 'mark-embed'})
    (line,) = upstream.wait('mark-embed', lambda each: each['over'])['lines']
    assert answer.text == line


def test_loading_is_answered_in_one_piece_although_a_stream_is_the_default(http):
    answer = http.post('/api/chat', json={'model': 'qwen3'})
    assert answer.headers['content-type'] == 'application/json; charset=utf-8'
    assert answer.json()['done_reason'] == 'load' and not answer.text.endswith('\n')


def test_no_header_of_a_client_reaches_ollama(http, upstream):
    http.post(
        '/api/chat',
        json={'model': 'qwen3', 'messages': [{'role': 'user', 'content': 'mark-headers'}]},
        headers={'Authorization': 'Bearer secret', 'Origin': 'http://localhost:3000', 'Cookie': 'a=b'},
    )
    headers = upstream.wait('mark-headers', lambda each: each['over'])['headers']
    assert not {'authorization', 'origin', 'cookie'} & headers.keys()
    assert headers['host'] == urlsplit(upstream.url).netloc


@pytest.mark.parametrize('path', ['/api/chat', '/v1/chat/completions'])
@pytest.mark.parametrize(('model', 'stream'), [('slow', True), ('slow', False), ('silent', True)])
def test_a_client_that_leaves_frees_the_slot_at_once(url, upstream, path, model, stream):
    mark = f'mark-leave-{path.count("/")}-{model}-{stream}'
    body = json.dumps({'model': model, 'messages': [{'role': 'user', 'content': mark}], 'stream': stream})
    with _sent(url, path, body) as connection:
        if model == 'slow' and stream:
            assert connection.recv(65536).startswith(b'HTTP/1.1 200')
        else:
            upstream.wait(mark, bool)
        began = time.monotonic()
    upstream.wait(mark, lambda each: each['closed'])
    assert time.monotonic() - began < 20  # long before any time limit, also where the machine is busy


def test_a_client_that_leaves_the_line_never_reaches_ollama(url, http, upstream):
    ask = {'model': 'silent', 'messages': [{'role': 'user', 'content': 'mark-fills-all-slots'}]}
    holding = [_sent(url, '/api/chat', json.dumps(ask)) for _ in range(8)]
    try:
        upstream.wait('mark-fills-all-slots', lambda _: len(upstream.served('mark-fills-all-slots')) == 8)
        ask['messages'][0]['content'] = 'mark-never'
        before = _cancelled(http)
        _sent(url, '/api/chat', json.dumps(ask)).close()
        # The slots are full until it is out of the line
        wait_for(lambda: _cancelled(http) != before, 45, 'it is out of the line')
    finally:
        for connection in holding:
            connection.close()
    answer = http.post('/api/chat', json={'model': 'qwen3', 'messages': [{'role': 'user', 'content': 'after'}]})
    assert answer.status_code == 200 and upstream.served('mark-never') == []


def _cancelled(http):
    """The newest jobs that were cancelled."""
    return [job['id'] for job in http.get('/api/jobs', params={'state': 'cancelled', 'model': 'silent'}).json()['jobs']]


@pytest.mark.parametrize('path', ['/api/chat', '/v1/chat/completions'])
@pytest.mark.parametrize('chunked', [False, True])
def test_ten_megabytes_are_refused_in_the_contracts_shape(http, path, chunked):
    content = (BIG[start : start + 65536] for start in range(0, len(BIG), 65536)) if chunked else BIG
    answer = http.post(path, content=content)
    assert answer.status_code == 413 and '4 MB at most' in str(answer.json()['error'])
    assert isinstance(answer.json()['error'], str if path.startswith('/api') else dict)


@pytest.mark.parametrize(
    ('path', 'where', 'kind'),
    [
        ('/api/chat', 'error', str),
        ('/v1/chat/completions', 'error', dict),
        ('/api/jobs', 'error', dict),
        ('/api/v1/messages', 'error', str),
        ('/ai-task/v1/chat/completions', 'detail', str),
    ],
)
@pytest.mark.parametrize('began', ['Content-Length: 900\r\n\r\n', 'Transfer-Encoding: chunked\r\n\r\n20\r\n'])
def test_a_client_that_closes_its_side_in_the_middle_of_a_body_is_told_in_the_contracts_shape(
    http, path, where, kind, began
):
    host, port = http.base_url.host, http.base_url.port
    head = f'POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\n{began}'
    with socket.create_connection((host, port), timeout=PATIENCE_S) as half:
        half.sendall(head.encode() + b'{"model": "qwen3", ')
        half.shutdown(socket.SHUT_WR)
        with half.makefile('rb') as read:
            told, _, body = read.read().partition(b'\r\n\r\n')
    assert told.startswith(b'HTTP/1.1 400 ') and b'shorter than its headers say' in body
    assert isinstance(json.loads(body)[where], kind)


def test_the_root_is_a_page_for_people_and_a_sign_of_life_for_programs(http):
    assert http.get('/').text == 'Ollama is running' and http.head('/').status_code == 200
    page = http.get('/', headers={'Accept': 'text/html,*/*'})
    assert page.status_code == 307 and page.headers['location'] == '/chat' and page.headers['vary'] == 'Accept'


def test_the_version_is_one_that_clients_can_read(http, upstream):
    version = http.get('/api/version').json()['version']
    assert version == httpx.get(f'{upstream.url}/api/version').json()['version']
    assert all(part.isdigit() for part in version.split('.'))
    assert http.head('/api/version').status_code == http.head('/api/tags').status_code == 200


def test_lists_are_answered_while_all_slots_are_taken(url, http, upstream):
    ask = {'model': 'silent', 'messages': [{'role': 'user', 'content': 'mark-lists'}]}
    holding = [_sent(url, '/api/chat', json.dumps(ask)) for _ in range(8)]
    try:
        upstream.wait('mark-lists', lambda _: len(upstream.served('mark-lists')) == 8)
        for path in ('/api/tags', '/api/ps', '/api/version', '/v1/models'):
            assert http.get(path, timeout=30).status_code == 200  # a slot becomes free after 60 s
        assert http.post('/api/show', json={'name': 'qwen3'}, timeout=30).json()['model_info']
    finally:
        for connection in holding:
            connection.close()


def test_a_page_on_this_machine_may_call_and_one_from_elsewhere_may_not(http):
    ask = {'method': 'OPTIONS', 'url': '/v1/chat/completions'}
    wanted = {'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'authorization,x-stainless-os'}
    asked = http.request(**ask, headers={'Origin': 'http://localhost:3000', **wanted})
    assert asked.status_code == 204 and asked.headers['access-control-allow-origin'] == 'http://localhost:3000'
    assert asked.headers['access-control-allow-headers'] == wanted['Access-Control-Request-Headers']
    assert 'access-control-allow-credentials' not in asked.headers
    got = http.get('/v1/models', headers={'Origin': 'http://localhost:3000'})
    assert got.headers['access-control-allow-origin'] == 'http://localhost:3000' and 'Origin' in got.headers['vary']
    for method, path in (('OPTIONS', '/v1/models'), ('GET', '/v1/models'), ('POST', '/api/chat')):
        answer = http.request(method, path, headers={'Origin': 'http://evil.example', **wanted})
        assert answer.status_code == 403 and 'access-control-allow-origin' not in answer.headers
        assert answer.json()['error']


@pytest.mark.parametrize('path', ['/api/chat', '/v1/chat/completions'])
def test_the_same_request_with_the_same_key_is_the_same_job(url, http, upstream, path):
    mark, headers = f'mark-key-{path[1:3]}', {'Idempotency-Key': f'key{path}'}
    body = {'model': 'brisk', 'messages': [{'role': 'user', 'content': mark}], 'stream': True}
    data = json.dumps(body)
    with _sent(url, path, data, **headers) as connection:
        assert b'200 OK' in connection.recv(65536)
    with http.stream('POST', path, content=data, headers=headers) as joined:  # while it runs, and the first has left
        first = joined.read()
    again = http.post(path, content=data, headers=headers)
    assert len({answer.headers['x-queue-job-id'] for answer in (joined, again)}) == 1
    assert _said(first) == _said(again.content) and len(upstream.served(mark)) == 1
    other = http.post(path, json=body | {'model': 'qwen3'}, headers=headers)
    assert other.status_code == 422 and 'key' in str(other.json()['error'])


def test_what_no_door_knows_is_queued_and_passed_on_as_it_is(http, upstream):
    body = b'{"model": "qwen3",  "query":"mark-raw"}'
    for path, status in (('/v1/rerank?x=1', 201), ('/api/fresh', 418)):
        answer = http.post(path, content=body, headers={'Content-Type': 'application/json'})
        assert answer.status_code == status and answer.headers['x-queue-job-id']
        assert answer.content == b'\x00\xffraw' and answer.headers['content-type'] == 'application/octet-stream'
    assert {(each['path'], each['body']) for each in upstream.served('mark-raw')} == {
        ('/v1/rerank?x=1', body.decode()),
        ('/api/fresh', body.decode()),
    }
    assert http.post('/v1/rerank', json={'model': 'demo'}).status_code == 501


def _said(stream: bytes) -> list[bytes]:
    """The lines of a stream without what differs between two calls."""
    kept = (line.partition(b'"choices"')[2] or line for line in stream.split(b'\n'))
    return [line for line in kept if line]


def _sent(url: str, path: str, body: str, **headers: str) -> socket.socket:
    host, _, port = urlsplit(url).netloc.partition(':')
    connection = socket.create_connection((host, int(port)), timeout=30)
    data = body.encode()
    told = {'Host': f'{host}:{port}', 'Content-Length': len(data), **headers}
    head = [f'POST {path} HTTP/1.1', *(f'{name}: {value}' for name, value in told.items()), '', '']
    connection.sendall('\r\n'.join(head).encode() + data)
    return connection
