"""Jobs through our own API, against the running desk: every route, as it should go and as it should not."""

import base64
import json
import time

import httpx
import pytest

from tests.app.api.own.conftest import problem
from tests.conftest import wait_for

pytestmark = pytest.mark.whole
NOBODY = '0' * 32
CHAT = {'model': 'qwen3', 'messages': [{'role': 'user', 'content': 'Hello!'}]}


def test_a_job_is_queued_followed_and_read(http):
    reply = http.post('/api/jobs', json=CHAT)
    job = reply.json()
    assert reply.status_code == 202 and reply.headers['location'] == f'/api/jobs/{job["id"]}'
    assert job['kind'] == 'chat' and job['model'] == 'qwen3:latest' and job['priority'] == 5 and not job['duplicate']
    result = http.get(f'/api/jobs/{job["id"]}/result', params={'wait': 20}).json()
    assert result['complete'] and result['state'] == 'completed' and '**Markdown**' in result['text']
    assert result['response']['message']['content'] == result['text'] and result['lines'] is None
    assert http.get(f'/api/jobs/{job["id"]}').json()['state'] == 'completed'


@pytest.mark.parametrize(
    ('fields', 'kind'),
    [
        (CHAT, 'chat'),
        ({'model': 'qwen3', 'prompt': 'x', 'system': 'Be brief.', 'options': {'num_predict': 5}}, 'generate'),
        ({'model': 'nomic-embed-text', 'input': ['one', 'two']}, 'embed'),
        ({'body': CHAT}, 'chat'),
        ({'model': 'qwen3', 'body': {'prompt': 'x'}}, 'generate'),
    ],
)
def test_a_call_that_waits_gets_the_result(http, fields, kind):
    reply = http.post('/api/jobs', params={'wait': 20}, json=fields)
    assert reply.status_code == 200
    found = reply.json()
    assert found['kind'] == kind and found['state'] == 'completed' and found['result']['complete']
    said = found['result']['response']
    assert len(said['embeddings']) == 2 if kind == 'embed' else found['result']['text']
    assert found['usage']['total_s'] > 0 and found['lines'] >= 1


def test_a_raw_job_gives_the_reply_of_the_engine(ask, upstream):
    found = ask(model='qwen3', prompt=None, path='/v1/rerank', body={'query': 'mark-own-raw'})
    raw = found['result']['raw']
    assert found['kind'] == 'raw' and raw['status'] == 201 and base64.b64decode(raw['body_base64']) == b'\x00\xffraw'
    seen = upstream.wait('mark-own-raw', lambda each: each['over'])
    assert json.loads(seen['body']) == {'query': 'mark-own-raw', 'model': 'qwen3:latest'}


def test_all_that_can_be_asked_for_reaches_the_queue(http, paused):
    first = http.post('/api/jobs', json=CHAT).json()
    asked = CHAT | {
        'id': '0197f3a2b4c47d21a3a6a1f0c2d4e6f8', 'priority': 'high', 'user': 'ann', 'conversation_id': 'c1',
        'deadline_at': time.time() + 3600, 'max_failures': 1, 'retry_base_s': 1, 'retry_max_s': 2,
    }  # fmt: skip
    job = http.post('/api/jobs', json=asked).json()
    assert {name: job[name] for name in ('id', 'user', 'conversation_id', 'max_failures', 'priority')} == {
        'id': asked['id'], 'user': 'ann', 'conversation_id': 'c1', 'max_failures': 1, 'priority': 10,
    }  # fmt: skip
    assert job['deadline_at'] == pytest.approx(asked['deadline_at'])
    late = http.post('/api/jobs', json=CHAT | {'delay_s': 3600}).json()
    assert late['state'] == 'delayed' and late['due_at'] > time.time() + 3500
    guessed = http.post('/api/jobs', json=CHAT | {'prompt': None, 'priority': 'auto'}).json()
    assert guessed['priority'] == 5 and guessed['priority_rule'] == ''
    chained = http.post('/api/jobs', json=CHAT | {'after': [first['id']]}).json()
    assert chained['state'] == 'blocked' and chained['after'] == [first['id']]
    for each in (chained, first, job, late, guessed):
        http.delete(f'/api/jobs/{each["id"]}').raise_for_status()


def test_a_waiting_job_tells_its_place_and_why_it_waits(http, paused):
    jobs = [http.post('/api/jobs', json=CHAT | {'user': 'w', 'priority': p}).json() for p in (9, 3)]
    second = wait_for(
        lambda: (job := http.get(f'/api/jobs/{jobs[1]["id"]}').json())['wait']['reason'] == 'paused' and job, 10, 'why'
    )
    assert second['wait']['ahead'] == 1 and second['state'] == 'waiting'
    moved = http.patch(f'/api/jobs/{second["id"]}', json={'priority': 'realtime'}).json()
    assert moved['priority'] == 15 and moved['wait']['ahead'] == 0
    for each in jobs:
        http.delete(f'/api/jobs/{each["id"]}')
    assert problem(http.patch(f'/api/jobs/{jobs[0]["id"]}', json={'priority': 1})) == (409, 'final')


def test_a_model_that_nobody_has_is_waited_for_and_told(http):
    job = http.post('/api/jobs', json=CHAT | {'model': 'nobody-has-it'}).json()
    wait = wait_for(
        lambda: (found := http.get(f'/api/jobs/{job["id"]}').json()['wait'])['reason'] and found, 40, 'a place'
    )
    assert wait['reason'] == 'no_worker' and wait['ahead'] < 100
    cancelled = http.post(f'/api/jobs/{job["id"]}/cancel').json()
    assert cancelled['state'] == 'cancelled' and cancelled['wait'] is None


@pytest.mark.parametrize('where', ['header', 'field'])
def test_the_same_key_is_the_same_job_and_another_request_with_it_is_refused(http, where):
    key = f'key-{where}-{time.time()}'
    headers, fields = ({'Idempotency-Key': key}, {}) if where == 'header' else ({}, {'idempotency_key': key})

    def send(**more):
        return http.post('/api/jobs', json=CHAT | fields | more, headers=headers)

    first, again, other = send(), send(), send(messages=[{'role': 'user', 'content': 'Something else'}])
    assert first.status_code == 202 and again.status_code == 200
    assert again.json()['id'] == first.json()['id'] and again.json()['duplicate']
    assert problem(other) == (409, 'conflict')


def test_two_equal_requests_may_share_a_job(http, paused):
    one, two = (http.post('/api/jobs', json=CHAT | {'attach': True, 'user': 'twins'}).json() for _ in range(2))
    assert one['id'] == two['id'] and two['duplicate'] and two['claims'] == 2
    http.delete(f'/api/jobs/{one["id"]}')


def test_jobs_are_found_by_filters_a_page_at_a_time(http, ask):
    mine = [ask(user='finder', prompt=f'p{number}')['id'] for number in range(3)]
    seen, cursor = [], 0
    while cursor is not None:
        page = http.get('/api/jobs', params={'user': 'finder', 'limit': 2, 'cursor': cursor}).json()
        seen += [job['id'] for job in page['jobs']]
        cursor = page['next_cursor']
    assert seen == mine[::-1]
    oldest = http.get('/api/jobs', params={'user': 'finder', 'order': 'oldest', 'limit': 1}).json()
    rest = http.get('/api/jobs', params={'user': 'finder', 'order': 'oldest', 'cursor': oldest['next_cursor']}).json()
    assert [job['id'] for job in oldest['jobs'] + rest['jobs']] == mine
    both = {'user': 'finder', 'model': 'qwen3', 'state': ['completed', 'dead']}
    assert len(http.get('/api/jobs', params=both).json()['jobs']) == 3
    assert http.get('/api/jobs', params={'user': 'finder', 'state': 'dead'}).json() == {'jobs': [], 'next_cursor': None}


def test_the_lines_come_as_the_engine_wrote_them(http, ask, upstream):
    job = ask(prompt='mark-own-lines')
    theirs = upstream.wait('mark-own-lines', lambda each: each['over'])['lines']
    reply = http.get(f'/api/jobs/{job["id"]}/lines')
    assert reply.content == b''.join(line.encode() + b'\n' for line in theirs)
    assert (reply.headers['x-queue-ended'], reply.headers['x-queue-total']) == ('true', str(len(theirs)))
    rest = http.get(f'/api/jobs/{job["id"]}/lines', params={'from': 5, 'epoch': 1})
    assert rest.content.splitlines() == [line.encode() for line in theirs[5:]] and rest.headers['x-queue-from'] == '5'
    assert http.get(f'/api/jobs/{job["id"]}/result', params={'lines': True}).json()['lines'] == theirs


def test_a_running_job_is_cancelled_and_what_it_said_stays(http):
    job = http.post('/api/jobs', json=CHAT | {'model': 'slow'}).json()
    wait_for(lambda: http.get(f'/api/jobs/{job["id"]}/result').json()['text'], 40, 'a word')
    part = http.get(f'/api/jobs/{job["id"]}/result').json()
    assert not part['complete'] and part['state'] == 'running'
    assert http.delete(f'/api/jobs/{job["id"]}').json()['state'] in ('cancelling', 'cancelled')
    end = http.get(f'/api/jobs/{job["id"]}/result', params={'wait': 10}).json()
    assert end['complete'] and end['state'] == 'cancelled' and end['text'].startswith(part['text'][:5])
    assert problem(http.delete(f'/api/jobs/{job["id"]}')) == (409, 'final')


def test_a_dead_job_tells_every_attempt_and_is_replayed_once(http, ask):
    dead = ask(model='reset', user='fails')
    assert dead['state'] == 'dead' and dead['error']['code'] and dead['result']['error'] == dead['error']
    history = http.get(f'/api/jobs/{dead["id"]}/history').json()
    assert [each['outcome'] for each in history['attempts']] == ['retry', 'retry', 'dead']
    assert all(each['detail'] and each['code'] == dead['error']['code'] for each in history['attempts'])
    assert [fact['fact'] for fact in history['facts']][:2] == ['JobQueued', 'JobStarted']
    errors = http.get('/api/errors', params={'limit': 500}).json()['errors']
    assert [each['outcome'] for each in errors if each['job_id'] == dead['id']] == ['dead', 'retry', 'retry']
    first, again = (http.post(f'/api/jobs/{dead["id"]}/replay') for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 200) and first.json()['id'] == again.json()['id']
    http.get(f'/api/jobs/{first.json()["id"]}/result', params={'wait': 20})
    found = http.get('/api/dead', params={'user': 'fails'}).json()['jobs']
    assert [job['id'] for job in found] == [first.json()['id'], dead['id']]
    assert http.post('/api/dead/replay', json={'user': 'fails'}).json() == {'replayed': 1}  # one was done before
    assert http.delete(f'/api/dead/{dead["id"]}').json() == {'purged': 1}
    assert problem(http.get(f'/api/jobs/{dead["id"]}')) == (404, 'not_found')
    assert http.delete('/api/dead', params={'before': time.time() + 60}).json()['purged'] >= 1


def test_failures_are_told_a_page_at_a_time(http, ask):
    ask(model='error-500', max_failures=1)
    begin = http.get('/api/facts', params={'after': 2**50}).json()['head'] + 1  # more may fail meanwhile
    everything = http.get('/api/errors', params={'limit': 500, 'before': begin}).json()['errors']
    seen, before = [], begin
    while before is not None and len(seen) < 7:
        page = http.get('/api/errors', params={'limit': 2, 'before': before}).json()
        seen += page['errors']
        before = page['next_before']
    assert seen == everything[: len(seen)] and len(seen) >= 1


@pytest.mark.parametrize(
    ('method', 'path'),
    [
        ('GET', ''), ('DELETE', ''), ('PATCH', ''), ('POST', '/cancel'), ('POST', '/replay'), ('GET', '/result'),
        ('GET', '/lines'), ('GET', '/events'), ('GET', '/history'),
    ],
)  # fmt: skip
@pytest.mark.parametrize('job_id', [NOBODY, 'nonsense', '%00', 'ü'])
def test_an_unknown_job_is_not_found(http, method, path, job_id):
    body = {'priority': 3} if method == 'PATCH' else None
    assert problem(http.request(method, f'/api/jobs/{job_id}{path}', json=body)) == (404, 'not_found')


@pytest.mark.parametrize(
    ('body', 'status', 'param'),
    [
        (b'', 422, None),
        (b'{', 400, None),
        (b'\xff\xfe', 400, None),
        (b'[' * 100_000, 400, None),
        (b'[]', 422, None),
        (b'{}', 422, None),
        ({'model': 'm'}, 422, None),
        ({'prompt': 'x'}, 422, None),
        ({'model': 'm', 'prompt': 'x', 'messages': []}, 422, None),
        ({'model': 'm', 'prompt': 'x', 'colour': 'red'}, 422, 'colour'),
        ({'model': 'm', 'prompt': 'x', 'priority': 16}, 422, None),
        ({'model': 'm', 'prompt': 'x', 'priority': 'soon'}, 422, None),
        ({'model': 'm', 'prompt': 'x', 'priority': True}, 422, None),
        ({'model': 'm', 'prompt': 'x', 'id': 'mine'}, 422, 'id'),
        ({'model': 'm', 'prompt': 'x', 'kind': 'embed'}, 422, None),
        ({'model': 'm', 'prompt': 'x', 'after': [NOBODY]}, 422, None),
        ({'model': 'm', 'prompt': 'x', 'due_at': 5, 'delay_s': 5}, 422, None),
        ({'model': 'm', 'prompt': 'x', 'batch': 'none'}, 409, None),
        ({'model': 'm', 'path': '/../x', 'body': {}}, 422, None),
        ({'model': 'm\x00', 'prompt': 'x'}, 422, 'model'),
        ({'model': 'm' * 301, 'prompt': 'x'}, 422, 'model'),
        (b'{"model":"m","prompt":"\\ud800"}', 400, None),
        (b'{"model":"m","prompt":"x","user":"\\udc00x"}', 400, None),
        (b'{"model":"m","body":{"prompt":NaN}}', 422, 'body'),
        (b'{"model":"m","prompt":"x","delay_s":1e999}', 422, 'delay_s'),
    ],
)  # fmt: skip
def test_what_is_no_job_is_refused_with_a_sentence(http, body, status, param):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = http.post('/api/jobs', content=content)
    assert problem(reply)[0] == status, reply.text
    if param:
        assert reply.json()['error']['param'].startswith(param)


def test_a_body_that_is_too_large_or_compressed_is_refused(http):
    assert problem(http.post('/api/jobs', content=b' ' * 5_000_000)) == (413, 'body_too_large')

    def endless():
        for _ in range(6):
            yield b' ' * 1_000_000

    assert problem(http.post('/api/jobs', content=endless())) == (413, 'body_too_large')
    packed = http.post('/api/jobs', content=b'x', headers={'Content-Encoding': 'gzip'})
    assert problem(packed) == (415, 'unsupported')


@pytest.mark.parametrize(
    ('method', 'path', 'expected'),
    [
        ('PUT', '/api/jobs', (405, 'wrong_method')),
        ('POST', f'/api/jobs/{NOBODY}', (405, 'wrong_method')),
        ('GET', '/api/jobs/', (404, 'not_found')),
        ('GET', '/api/jobs/a/b/c', (404, 'not_found')),
        ('GET', '/api/stats/nothing', (404, 'not_found')),
        ('PATCH', '/api/webhooks', (405, 'wrong_method')),
    ],
)
def test_what_is_not_there_is_refused_in_our_shape(http, method, path, expected):
    reply = http.request(method, path)
    assert problem(reply) == expected
    if expected[0] == 405:
        assert 'GET' in reply.headers['allow']


def test_a_foreign_page_is_refused_in_our_shape(http):
    reply = http.post('/api/jobs', json=CHAT, headers={'Origin': 'https://evil.example'})
    assert problem(reply) == (403, 'forbidden')
    assert problem(http.get('/api/jobs', headers={'Host': 'evil.example'})) == (403, 'forbidden')


def test_a_page_that_may_use_the_other_doors_may_not_use_ours_unless_it_is_named(http):
    page = {'Origin': 'http://localhost:3000'}
    assert http.get('/api/tags', headers=page).headers['access-control-allow-origin'] == page['Origin']
    refused = http.get('/api/jobs', headers=page)
    assert problem(refused) == (403, 'forbidden') and 'access-control-allow-origin' not in refused.headers


def test_queue_limits_become_429_with_the_time_of_the_next_try(upstream, tmp_path):
    from tests.app.api.conftest import serving

    with serving(upstream, tmp_path, broker__max_waiting='1') as url, httpx.Client(base_url=url) as http:
        http.put('/api/pauses', json={'scope': 'all'}).raise_for_status()
        assert http.post('/api/jobs', json=CHAT).status_code == 202
        reply = http.post('/api/jobs', json=CHAT)
        assert problem(reply) == (429, 'queue_full')
        assert int(reply.headers['retry-after']) == reply.json()['error']['retry_after_s'] >= 1
