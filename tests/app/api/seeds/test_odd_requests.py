"""Whatever is sent, the answer is a clear no in the shape of the path, never a fault of ours."""

import json
from typing import Any

ODD: list[Any] = [
    None, True, 0, -1, 1e300, 10**40, '', ' ', '\x00', '\ud800', 'x' * 70_000, '9' * 5000, [], [[]], {}, {'a': None},
    [None], [{'role': 7}], [{'content': {}}], '2030-01-01T00:00:00Z', '99999-01-01', '../../x', '😀',
]  # fmt: skip
DOORS: dict[str, tuple[str, dict[str, Any]]] = {
    '/api/chat': ('error', {'userId': 'u', 'prompt': 'x', 'priority': 5, 'conversationHistory': []}),
    '/api/tasks': (
        'error',
        {'type': 'chat', 'model': 'm', 'payload': {'prompt': 'x'}, 'priority': 5, 'options': {}, 'id': None}
        | {'max_retries': 1, 'scheduled_at': None},
    ),
    '/api/cron': (
        'error',
        {'cron_expr': '* * * * *', 'name': 'x', 'id': None, 'enabled': True, 'timezone': 'UTC'}
        | {'task_template': {'type': 'chat', 'model': 'm', 'payload': {'prompt': 'x'}}},
    ),
    '/api/v1/messages': (
        'details',
        {'user_id': 'u', 'content': 'x', 'priority': 1, 'metadata': {}, 'timeout': None, 'id': None}
        | {'conversation_id': None, 'model': 'm'},
    ),
    '/api/v1/conversations': (
        'details',
        {'user_id': 'u', 'title': 'x', 'context': 'x', 'priority': 1, 'metadata': {}, 'state': 'active'},
    ),
    '/v1/chat/completions': ('detail', {'prompt': 'x', 'model': 'm', 'conversation_id': None}),
}
RAW = [b'', b' ', b'{', b'nul', b'\xff\xfe', b'{"a":' * 5000, b'{"prompt":"\xff"}', b'[' * 100_000]


async def test_odd_values_in_every_field(yard):
    for path, (key, sound) in DOORS.items():
        for name in sound:
            for value in ODD:
                content = json.dumps(sound | {name: value}).encode()
                answer = await yard.http.post(path, content=content)
                assert answer.status_code < 500 or answer.status_code == 503, (path, name, value, answer.text)
                if answer.status_code >= 400:
                    told = answer.json()
                    assert key in told or 'error' in told, (path, name, value, told)


async def test_bodies_that_are_no_object(yard):
    for path in (*DOORS, '/ai-task/v1/chat/completions', '/demo6/api/chat'):
        for body in RAW:
            answer = await yard.http.post(path, content=body)
            assert 400 <= answer.status_code < 500, (path, body[:20], answer.text)
            assert answer.headers['content-type'].startswith('application/json')


async def test_odd_ids_and_queries(yard):
    for odd in ('x' * 3000, '%00', '%FF', '..%2F..', '%F0%9F%98%80', '%25', "'; DROP TABLE jobs"):
        for path in ('/api/job/', '/api/tasks/', '/api/v1/messages/', '/api/v1/conversations/', '/v1/tasks/'):
            assert (await yard.http.get(f'{path}{odd}')).status_code in (404, 400), (path, odd)
    for query in ('limit=-5', 'limit=9999999999999999999', 'offset=1e9', 'page=0', 'page_size=-1', 'status=%00'):
        for path in ('/api/tasks', '/api/cron', '/api/v1/messages', '/api/v1/conversations'):
            assert (await yard.http.get(f'{path}?{query}')).status_code in (200, 400), (path, query)
