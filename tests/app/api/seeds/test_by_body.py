"""Two paths have two owners each; the body says whose call it is. And a job is one job, whoever asks for it."""

import contextlib
import json

import pytest

from app.api import corner
from tests.app.api.door import Door, FakeBroker
from tests.app.api.seeds.conftest import Yard, entrance_with
from tests.app.news import News

SAID = [{'role': 'user', 'content': 'x'}]
OLLAMA, OPENAI = '/api/chat', '/v1/chat/completions'
MISSING = 'Missing required fields: userId, prompt'
EMPTY = "[] is too short - 'messages'"

# What is sent, whose it is at /api/chat, and whose at /v1/chat/completions; a text is the error that is told there.
TABLE = [
    ({'model': 'm', 'messages': SAID}, 'ollama', 'openai'),
    ({'model': 'm', 'messages': []}, 'ollama', EMPTY),
    ({'model': 'm'}, 'ollama', 'messages'),
    ({'model': 'm', 'keep_alive': 0}, 'ollama', 'messages'),
    ({'model': 'm', 'prompt': 'x'}, 'ollama', 'ai-task'),
    ({'prompt': 'x'}, MISSING, 'ai-task'),
    ({'userId': 'u', 'prompt': 'x'}, 'demo6', 'ai-task'),
    ({'userId': 'u', 'prompt': 'x', 'model': 'm', 'priority': 3, 'conversationHistory': []}, 'demo6', 'ai-task'),
    ({'userId': 'u'}, MISSING, 'openai 400'),
    ({'model': 'm', 'messages': SAID, 'prompt': 'x', 'userId': 'u'}, 'ollama', 'openai'),
    ({}, 'model is required', 'openai 400'),
    (b'{', 'unexpected EOF', 'openai 400'),
    (b'[]', 'json: cannot unmarshal array', 'openai 400'),
    (b'"prompt"', 'json: cannot unmarshal string', 'openai 400'),
    ({'prompt': None}, MISSING, 'openai 400'),
    ({'prompt': ''}, MISSING, 'openai 400'),
    ({'prompt': ['x']}, MISSING, 'openai 400'),
    ({'model': 'm', 'prompt': None}, 'ollama', 'messages'),
    ({'model': 'm', 'prompt': ['x']}, 'ollama', 'messages'),
    ({'model': 'm', 'prompt': ''}, 'ollama', 'messages'),
]


class OneDoor(Door):
    """It stands in front of the same doors every time."""

    def __init__(self) -> None:
        self.board, self.app, self._entrance = entrance_with()
        self.board.__init__()
        self.news, self.broker = News(), FakeBroker()
        self._calls = []
        self._stack = contextlib.AsyncExitStack()


@pytest.fixture
async def door():
    async with OneDoor() as door:
        yield door


@pytest.mark.parametrize(('body', 'here', 'there'), TABLE, ids=[str(row[0])[:60] for row in TABLE])
async def test_the_body_decides_whose_call_it_is(door, body, here, there):
    await _is(door, OLLAMA, body, here)
    await _is(door, OPENAI, body, there)


async def _is(door: Door, path: str, body: object, whose: str) -> None:
    """The doors of the seeds have no desk here, so what they would keep there they cannot queue."""
    count = len(door.broker.submitted)
    call = door.post(path, body)
    if whose in ('ollama', 'openai', 'demo6'):
        job = await door.job(count + 1)
        if whose == 'ollama':
            assert job.body == json.dumps(body).encode()  # byte for byte
        elif whose == 'openai':
            assert json.loads(job.body)['messages'] == SAID
        else:
            assert (await call.end()).json['success'] is True and job.user == 'u'
        return
    await call.end()
    if whose == 'ai-task':
        assert call.status == 500 and 'starting' in call.json['detail']  # no desk: it can queue nothing
    elif path == OLLAMA:
        assert call.status == 400 and call.json['error'].startswith(whose)
    else:
        assert call.status == 400 and set(call.json['error']) == {'message', 'type', 'param', 'code'}
        assert whose == 'openai 400' or whose in call.json['error']['message']
    assert len(door.broker.submitted) == count


async def test_a_body_that_cannot_be_read_is_refused_by_the_first_owner(door):
    for path in (OLLAMA, OPENAI):
        packed = await door.post(path, b'\x1f\x8b', content_encoding='gzip').end()
        assert packed.status == 415 and isinstance(packed.json['error'], str if path == OLLAMA else dict)


async def test_every_door_knows_every_job(yard):
    task = {'id': 'mine', 'type': 'generate', 'model': 'm', 'payload': {'prompt': 'x'}}
    made = {
        'demo6': (await yard.post('/api/chat', {'userId': 'a/b', 'prompt': 'x'}))['jobId'],
        'task': (await yard.post('/api/tasks', task))['id'],
        'message': (await yard.post('/api/v1/messages', {'user_id': 'u', 'content': 'x'}, 202))['id'],
        'prompt': (await yard.post('/v1/chat/completions', {'prompt': 'x'}))['task_id'],
    }  # fmt: skip
    for _ in made:
        run = await yard.run()
        await run.line({'response': 'y', 'message': {'content': 'y'}, 'done': True})
        await run.end()
    bare = made['message']
    dashed = f'{bare[:8]}-{bare[8:12]}-{bare[12:16]}-{bare[16:20]}-{bare[20:]}'
    for name in (*(name.replace('%', '%25') for name in made.values()), f'resp_{bare}', f'msg_{dashed}'):
        job = await yard.get(f'/api/job/{name}')
        task = await yard.get(f'/api/tasks/{name}')
        told = await yard.get(f'/v1/tasks/{name}')
        message = (await yard.get(f'/api/v1/messages/{name}'))['data']
        assert (job['state'], task['status'], told['status'], message['status']) == (
            'completed', 'completed', 1, 'completed',
        )  # fmt: skip
        assert job['result']['response'] == told['response_text'] == message['response'] == 'y'
        assert message['content'] == told['prompt'] == job['data']['prompt'] == 'x'
    assert {task['id'] for task in await yard.get('/api/tasks')} == set(made.values())


async def test_states_have_each_doors_own_words(yard):
    async def told(name: str) -> tuple[object, ...]:
        return (
            (await yard.get(f'/api/job/{name}'))['state'],
            (await yard.get(f'/api/tasks/{name}'))['status'],
            (await yard.get(f'/api/v1/messages/{name}'))['data']['status'],
            (await yard.get(f'/v1/tasks/{name}'))['status'],
        )

    names = [(await yard.post('/v1/chat/completions', {'prompt': 'x'}))['task_id'] for _ in range(3)]
    run = await yard.run()
    await yard.held(run.job_id)
    assert await told(names[0]) == ('active', 'running', 'processing', 0)
    assert await told(names[1]) == ('waiting', 'pending', 'pending', 0)
    await yard.post(f'/api/tasks/{names[1]}/cancel')
    assert await told(names[1]) == ('failed', 'cancelled', 'failed', 2)
    await run.fail('too long', code='total_timeout')
    assert await told(names[0]) == ('failed', 'failed', 'timeout', 2)
    await (await yard.run()).fail('no')
    assert await told(names[2]) == ('failed', 'failed', 'failed', 2)


def test_refusals_before_any_door_have_the_shape_of_the_path():
    for path, key in (
        ('/api/v1/messages', 'details'), ('/llm-mq/api/v1/messages', 'details'), ('/ai-task/v1/tasks/x', 'detail'),
        ('/demo6/api/chat', 'error'), ('/ollama-queue/api/tasks', 'error'), ('/stream/status/x', 'error'),
        ('/ws', 'error'), ('/api/tasks', 'error'),
    ):  # fmt: skip
        told = json.loads(corner.refusal(path, 413, 'Too large.')[1])
        assert key in told and 'Too large.' in told.values()
        assert told.get('code', 413) == 413


async def test_wrong_methods_are_told_apart_from_unknown_paths(yard):
    for method, path, status in (
        ('DELETE', '/api/v1/queues/status', 405), ('GET', '/api/v1/odd', 404), ('PUT', '/llm-mq/api/v1/messages', 405),
        ('GET', '/llm-mq/odd', 404), ('POST', '/demo6/stream/status/x', 405), ('GET', '/ollama-queue/odd', 404),
        ('DELETE', '/ai-task/v1/tasks/x', 405),
    ):  # fmt: skip
        await yard.refused(method, path, status)
    assert (await yard.http.delete('/api/tasks')).status_code == 405


async def test_nothing_of_the_inside_gets_out(yard: Yard, monkeypatch):
    monkeypatch.setattr('app.api.seeds.calls.question_of', lambda _: 1 / 0)
    sent = (await yard.post('/v1/chat/completions', {'prompt': 'x'}))['task_id']
    for path in (f'/v1/tasks/{sent}', f'/api/job/{sent}'):
        told = await yard.refused('GET', path, 500)
        assert 'log' in str(told) and 'ZeroDivision' not in str(told)
