"""ollama-queue's clients: tasks of three types, their list, their status, schedules, and the list as it changes."""

import asyncio
import json
from collections import Counter

import pytest

from broker import protocol
from tests.app.api.seeds.conftest import Yard
from tests.app.api.seeds.socket import Socket

CHAT = {'type': 'chat', 'model': 'm', 'priority': 10, 'payload': {'messages': [{'role': 'user', 'content': 'Hi?'}]}}


async def test_a_task_is_queued_and_gives_ollamas_own_answer(yard):
    told = await yard.post('/api/tasks', CHAT | {'options': {'temperature': 0.5}, 'max_retries': 4})
    assert told == {'status': 'ok', 'task_id': told['id'], 'id': told['id']}
    run = await yard.run()
    assert run.kind == 'chat' and run.body == {
        'model': 'm:latest',
        'messages': CHAT['payload']['messages'],
        'stream': True,
        'options': {'temperature': 0.5},
    }
    running = await yard.get(f'/api/tasks/{told["id"]}')
    assert running['status'] == 'running' and 'result' not in running and 'completed_at' not in running
    await run.say('He')
    await run.line({'message': {'role': 'assistant', 'content': 'y'}, 'done': True, 'done_reason': 'stop'})
    await run.end()
    task = await yard.get(f'/api/tasks/{told["id"]}')
    times = [task.pop(name) for name in ('created_at', 'started_at', 'completed_at')]
    assert times == sorted(times) and all(time.endswith('Z') for time in times)
    assert task == {
        'id': told['id'], 'type': 'chat', 'priority': 10, 'status': 'completed', 'model': 'm:latest',
        'payload': CHAT['payload'], 'options': {'temperature': 0.5}, 'retry_count': 0, 'max_retries': 4,
        'result': {
            'model': 'm:latest', 'message': {'role': 'assistant', 'content': 'Hey'},
            'done': True, 'done_reason': 'stop',
        },
    }  # fmt: skip


async def test_each_type_becomes_what_ollama_takes(yard):
    for kind, payload, body in (
        ('generate', {'prompt': 'x', 'system': 's', 'raw': True}, {'prompt': 'x', 'system': 's', 'raw': True}),
        ('embed', {'input': ['a', 'b'], 'truncate': False}, {'input': ['a', 'b'], 'truncate': False}),
        ('embed', {'prompt': 'what the form sends'}, {'input': 'what the form sends'}),
        ('chat', {'prompt': 'the same'}, {'messages': [{'role': 'user', 'content': 'the same'}]}),
        (
            'chat',
            {'messages': [{'role': 'user', 'content': 'x'}], 'system': 'be short', 'stream': False},
            {'messages': [{'role': 'system', 'content': 'be short'}, {'role': 'user', 'content': 'x'}]},
        ),
    ):
        await yard.post('/api/tasks', {'type': kind, 'model': 'm', 'payload': payload})
        run = await yard.run()
        asked = {name: value for name, value in run.body.items() if name not in ('model', 'stream')}
        assert (run.kind, asked) == (kind, body) and run.body.get('stream') is not False
        await run.end()


async def test_what_is_wrong_is_said_in_one_sentence(yard):
    for change, status, word in (
        ({'type': 'talk'}, 400, 'type must be one of chat, generate, embed'),
        ({'model': ''}, 400, 'model is required'),
        ({'model': 'x'}, 404, "model 'x' not found"),
        ({'payload': {}}, 400, 'payload.messages must be a list of messages'),
        ({'payload': 'Hi'}, 400, 'payload must be an object'),
        ({'priority': 'high'}, 400, 'priority must be a number: critical 15, high 10, normal 5, low 1'),
        ({'max_retries': -1}, 400, 'max_retries must be 0 to 99'),
        ({'scheduled_at': 'tomorrow'}, 400, 'scheduled_at must be a time like 2030-01-31T09:00:00Z'),
        ({'type': 'generate', 'payload': {}}, 400, 'payload.prompt is required'),
        ({'type': 'embed', 'payload': {'input': [1]}}, 400, 'payload.input must be a text or a list of texts'),
        ({'id': 'x' * 200}, 400, 'id may have 190 characters'),
    ):
        assert await yard.refused('POST', '/api/tasks', status, CHAT | change) == {'error': word}
    assert await yard.refused('POST', '/api/tasks', 400, b'{"type":') == {'error': 'unexpected EOF'}
    assert 'cannot unmarshal array' in (await yard.refused('POST', '/api/tasks', 400, []))['error']


async def test_priorities_are_any_number_and_five_without_one(yard):
    for asked, priority in ((15, 15), (10, 10), (5, 5), (1, 1), (0, 0), (99, 15), (-3, 0), (None, 5)):
        told = await yard.post('/api/tasks', CHAT | {'priority': asked})
        assert (await yard.get(f'/api/tasks/{told["id"]}'))['priority'] == priority


async def test_an_id_of_ones_own_is_kept_and_taken_once(yard):
    for own in ('my/task 1', '0d5b8d3a-5b1e-4a7e-9c53-7f0f7f2f8a11'):
        for _ in range(2):
            assert (await yard.post('/api/tasks', CHAT | {'id': own}))['task_id'] == own
        assert (await yard.get(f'/api/tasks/{own}'))['id'] == own
        other = CHAT | {'id': own, 'payload': {'prompt': 'other'}}
        assert 'is taken by another request' in (await yard.refused('POST', '/api/tasks', 400, other))['error']
    assert {task['id'] for task in await yard.get('/api/tasks')} == {
        'my/task 1',
        '0d5b8d3a-5b1e-4a7e-9c53-7f0f7f2f8a11',
    }


async def test_an_empty_list_is_an_array(yard):
    answer = await yard.http.get('/api/tasks')
    assert answer.content == b'[]' and answer.headers['content-type'] == 'application/json'


async def test_the_list_honours_the_filters_that_its_client_sends(yard):
    kinds = (('chat', 10), ('generate', 5), ('chat', 1), ('embed', 5))
    payload = {'prompt': 'x'}
    ids = [
        (await yard.post('/api/tasks', {'type': kind, 'model': 'm', 'priority': priority, 'payload': payload}))['id']
        for kind, priority in kinds
    ]
    running = await yard.run()
    await yard.held(running.job_id)

    async def found(**filters):
        return [ids.index(task['id']) for task in await yard.get('/api/tasks', **filters)]

    assert await found() == [3, 2, 1, 0]
    assert await found(type='chat') == [2, 0]
    assert await found(type=['embed', 'generate']) == [3, 1]
    assert await found(priority=['5', '1']) == [3, 2, 1]
    assert await found(status='running') == [0] and await found(status=['pending', 'running'], limit=2) == [3, 2]
    assert await found(limit=2, offset=1) == [2, 1] and await found(status='completed') == []
    assert 'there is no status "done"' in (await yard.refused('GET', '/api/tasks?status=done', 400))['error']
    assert 'limit must be a whole number' in (await yard.refused('GET', '/api/tasks?limit=x', 400))['error']


async def test_cancel_and_priority_while_it_waits_and_afterwards(yard):
    first, second = [(await yard.post('/api/tasks', CHAT))['id'] for _ in range(2)]
    run = await yard.run()
    assert await yard.post(f'/api/tasks/{second}/priority', {'priority': 15}) == {'status': 'ok'}
    assert (await yard.get(f'/api/tasks/{second}'))['priority'] == 15
    assert await yard.post(f'/api/tasks/{second}/cancel') == {'status': 'ok'}
    assert (await yard.get(f'/api/tasks/{second}'))['status'] == 'cancelled'
    assert 'stays so' in (await yard.refused('POST', f'/api/tasks/{second}/cancel', 400))['error']
    assert (await yard.refused('POST', f'/api/tasks/{first}/priority', 400, {}))['error'].startswith('priority is req')
    assert 'error' in await yard.refused('POST', f'/api/tasks/{first}/priority', 400, {'priority': 1})
    assert await yard.post(f'/api/tasks/{first}/cancel') == {'status': 'ok'}
    await run.stopped()
    assert (await yard.get(f'/api/tasks/{first}'))['status'] == 'cancelled'
    for method, path in (('GET', '/api/tasks/x'), ('POST', '/api/tasks/x/cancel')):
        assert await yard.refused(method, path, 404) == {'error': 'task not found'}


async def test_a_task_that_failed_says_why(yard):
    told = await yard.post('/api/tasks', CHAT)
    await (await yard.run()).fail('it broke')
    task = await yard.get(f'/api/tasks/{told["id"]}')
    assert (task['status'], task['error'], task['retry_count']) == ('failed', 'it broke', 1)


async def test_a_task_may_begin_later(yard):
    told = await yard.post('/api/tasks', CHAT | {'scheduled_at': '2100-01-01T00:00:00Z'})
    task = await yard.get(f'/api/tasks/{told["id"]}')
    assert task['status'] == 'pending' and task['scheduled_at'].startswith('2100-01-01T00:00:00')


async def test_the_status_has_the_keys_of_ollama_too(broker, tmp_path):
    async with Yard(broker, tmp_path, with_figures=True) as yard:
        for priority in (10, 5, 5, 1):
            await yard.post('/api/tasks', CHAT | {'priority': priority})
        await yard.run()
        await yard.until(lambda: yard.board.counts().waiting == 3)
        figures = {
            'pending_tasks': 3, 'running_tasks': 1, 'completed_tasks': 0, 'failed_tasks': 0, 'cancelled_tasks': 0,
            'total_tasks': 4, 'queues_by_priority': {'5': 2, '1': 1}, 'workers_active': 1, 'workers_idle': 0,
        }  # fmt: skip
        assert await yard.get('/api/stats') == figures
        assert await yard.get('/api/status') == figures | {'cloud': {'disabled': True, 'source': 'none'}}
        assert (await yard.http.get('/ollama-queue/')).headers['location'] == '/queue'


async def test_schedules_are_those_of_the_queue(yard):
    template = {'type': 'generate', 'model': 'm', 'priority': 10, 'payload': {'prompt': 'x'}, 'options': {'seed': 1}}
    cron = {'name': 'daily', 'cron_expr': '0 9 * * 1-5', 'enabled': True, 'task_template': template}
    told = await yard.post('/api/cron', cron, 201)
    assert told['next_run'].endswith('T09:00:00.000000Z')
    (info,) = (await yard.broker.schedules()).schedules
    assert (info.schedule.cron, info.schedule.priority, info.schedule.kind) == ('0 9 * * 1-5', 10, 'generate')
    assert json.loads(info.schedule.body) == {
        'model': 'm:latest',
        'prompt': 'x',
        'stream': True,
        'options': {'seed': 1},
    }
    path = f'/api/cron/{told["id"]}'
    shown = await yard.get(path)
    assert shown['task_template'] == template | {'model': 'm:latest'} and shown['name'] == 'daily'
    assert await yard.get('/api/cron') == [shown] == await yard.get('/api/cron', enabled='true', name='daily')
    assert (await yard.http.put(f'{path}/disable')).json() == {'status': 'ok'}
    assert (await yard.get(path))['enabled'] is False and await yard.get('/api/cron', enabled='true') == []
    assert (await yard.http.put(f'{path}/enable')).status_code == 200
    changed = (await yard.http.put(path, json=cron | {'cron_expr': '*/5 * * * *'})).json()
    assert changed['cron_expr'] == '*/5 * * * *' and changed['id'] == told['id']
    assert 'error' in await yard.refused('POST', '/api/cron', 400, cron | {'cron_expr': '61 * * * *'})
    assert (await yard.refused('POST', '/api/cron', 400, {'name': 'x'}))['error'].startswith('cron_expr is required')
    assert (await yard.http.delete(path)).status_code == 200
    assert await yard.get('/api/cron') == [] and 'error' in await yard.refused('GET', path, 404)


async def test_the_whole_list_is_sent_on_connecting_and_after_changes(yard, monkeypatch):
    monkeypatch.setattr('app.api.seeds.task_feed.PACE_S', 0.01)
    async with Socket(yard.app, '/ws') as socket:
        assert await socket.text() == '[]'
        told = await yard.post('/api/tasks', CHAT)
        assert [task['id'] for task in json.loads(await socket.text())] == [told['id']]
        await socket.say('whatever a client says is not listened to')
        run = await yard.run()
        await run.say('Hi')
        await run.end()
        while (tasks := json.loads(await socket.text()))[0]['status'] != 'completed':
            assert len(tasks) == 1
        assert tasks == await yard.get('/api/tasks') and tasks[0]['result']['message']['content'] == 'Hi'
    async with Socket(yard.app, '/ollama-queue/ws') as socket:
        assert json.loads(await socket.text()) == tasks
    assert not yard.board._on_queue or len(yard.board._on_queue) == 0


async def test_a_list_that_did_not_change_is_not_sent_again(yard, monkeypatch):
    monkeypatch.setattr('app.api.seeds.task_feed.PACE_S', 0.0)
    asked = Counter()
    find = yard.broker.find

    async def counted(request: protocol.FindJobs) -> protocol.Jobs:
        asked['find'] += 1
        return await find(request)

    monkeypatch.setattr(yard.broker, 'find', counted)
    async with Socket(yard.app, '/ws') as one, Socket(yard.app, '/ws') as other:
        assert await one.text() == await other.text() == '[]'
        assert asked['find'] <= 2  # one list for all
        await yard.broker.pause('all')
        await yard.until(lambda: yard.board.pauses)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(one.text(), 0.3)
