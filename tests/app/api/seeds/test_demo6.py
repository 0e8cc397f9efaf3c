"""demo6's clients: a prompt is queued, polled, and watched as events."""

import json

from app.api.seeds import demo6
from tests.app.api.seeds.conftest import Yard

ASK = {'userId': 'ann', 'prompt': 'Hi?', 'conversationHistory': [], 'priority': 5}


def events(body: bytes) -> list[dict]:
    """The events of a stream in which there is nothing but ``data:`` lines."""
    parts = body.decode().split('\n\n')
    assert parts[-1] == '' and all(part.startswith('data: ') and '\n' not in part for part in parts[:-1]), body
    return [json.loads(part.removeprefix('data: ')) for part in parts[:-1]]


async def test_a_prompt_is_queued_and_gives_its_answer(yard):
    answer = await yard.http.post('/api/chat', json=ASK)
    told = answer.json()
    assert answer.status_code == 200 and answer.headers['content-type'] == 'application/json'
    assert told == {'success': True, 'jobId': told['jobId'], 'message': 'Task queued successfully'}
    user, _, ms = told['jobId'].rpartition('-')
    assert user == 'ann' and len(ms) == 13
    run = await yard.answer('He', 'llo')
    assert run.body == {'model': 'qwen3:latest', 'messages': [{'role': 'user', 'content': 'Hi?'}], 'stream': True}
    job = await yard.get(f'/api/job/{told["jobId"]}')
    assert (job['jobId'], job['state'], job['progress']) == (told['jobId'], 'completed', 100)
    assert job['result'] == {
        'success': True, 'jobId': told['jobId'], 'response': 'Hello', 'timestamp': job['result']['timestamp'],
    }  # fmt: skip
    assert abs(job['result']['timestamp'] - int(ms)) < 60_000 and 'failedReason' not in job
    assert job['data'] == ASK | {'model': 'qwen3:latest'}


async def test_what_was_said_before_goes_along_and_the_model_is_the_one_asked_for(yard):
    history = [{'role': 'user', 'content': '1'}, {'role': 'assistant', 'content': '2'}, {'role': 'x'}, 7]
    await yard.post('/api/chat', ASK | {'conversationHistory': history, 'model': 'M', 'userId': 7})
    run = await yard.run()
    assert run.body['model'] == 'm:latest' and run.body['messages'] == [
        *history[:2],
        {'role': 'user', 'content': 'Hi?'},
    ]


PRIORITIES = [(None, 5), (1, 1), (10, 10), (99, 10), (0, 1), (7.0, 7), ('low', 2), ('Normal', 5), ('high', 9)]
WRONG = [
    ({'prompt': ''}, demo6.MISSING),
    ({'prompt': None}, demo6.MISSING),
    ({'userId': ''}, demo6.MISSING),
    ({'userId': ['a']}, demo6.MISSING),
    ({'priority': 'soon'}, 'priority must be 1 to 10, or low, normal or high'),
    ({'priority': True}, 'priority must be 1 to 10, or low, normal or high'),
    ({'userId': 'x' * 200}, 'userId may have 150 characters'),
    ({'model': 7}, 'model must be a string'),
]


async def test_priorities_count_here(yard):
    for asked, priority in PRIORITIES:
        told = await yard.post('/api/chat', ASK | {'priority': asked})
        assert (await yard.get(f'/api/job/{told["jobId"]}'))['data']['priority'] == priority, asked


async def test_what_is_wrong_is_said_in_its_own_shape(yard):
    for change, text in WRONG:
        assert await yard.refused('POST', '/api/chat', 400, ASK | change) == {'error': text}


async def test_a_model_that_nobody_has_is_not_replaced_by_another(yard):
    assert await yard.refused('POST', '/api/chat', 404, ASK | {'model': 'x'}) == {'error': "model 'x' not found"}


async def test_the_same_user_twice_in_a_millisecond_has_two_jobs(yard, monkeypatch):
    monkeypatch.setattr('time.time', lambda: 1_795_000_000.0)
    ids = [(await yard.post('/api/chat', ASK | {'prompt': str(n), 'userId': 'eve'}))['jobId'] for n in range(3)]
    assert ids == [f'eve-{1_795_000_000_000 + n}' for n in range(3)]
    assert [(await yard.get(f'/api/job/{name}'))['data']['prompt'] for name in ids] == ['0', '1', '2']


async def test_any_user_can_be_part_of_an_id(yard):
    for user in ('a/b', 'ann b', '安', 'a%2Fb?', 'ann@example.org'):
        name = (await yard.post('/api/chat', ASK | {'userId': user}))['jobId']
        assert '/' not in name and name.isascii()
        asked_for = await yard.get(f'/api/job/{name.replace("%", "%25")}')
        assert asked_for['jobId'] == name and asked_for['data']['userId'] == user
        if '%' not in user:
            assert (await yard.get(f'/api/job/{name}'))['jobId'] == name


async def test_an_unknown_job_is_not_found(yard):
    assert await yard.refused('GET', '/api/job/ann-1', 404) == {'error': 'Job not found'}


async def test_states_are_the_four_that_its_page_knows(yard):
    names = [(await yard.post('/api/chat', ASK | {'prompt': str(n)}))['jobId'] for n in range(3)]
    run = await yard.run()
    assert [(await yard.get(f'/api/job/{name}'))['state'] for name in names] == ['active', 'waiting', 'waiting']
    waiting = await yard.get(f'/api/job/{names[2]}')
    assert (waiting['progress'], waiting['queuePosition'], waiting['result']) == (0, 1, None)
    await run.fail('it broke')
    failed = await yard.get(f'/api/job/{names[0]}')
    assert (failed['state'], failed['failedReason'], failed['result']) == ('failed', 'it broke', None)
    await yard.post(f'/api/tasks/{names[2]}/cancel')
    cancelled = await yard.get(f'/api/job/{names[2]}')
    assert (cancelled['state'], cancelled['failedReason']) == ('failed', 'cancelled')


async def test_the_same_key_is_the_same_job(yard):
    told = [await yard.post('/api/chat', ASK, **{'idempotency-key': 'k'}) for _ in range(2)]
    assert told[0] == told[1]
    assert (await yard.get(f'/api/job/{told[0]["jobId"]}'))['data']['prompt'] == 'Hi?'


async def test_figures_count_what_waits_although_it_has_a_priority(broker, tmp_path):
    async with Yard(broker, tmp_path, with_figures=True) as yard:
        names = [(await yard.post('/api/chat', ASK))['jobId'] for _ in range(4)]
        await yard.answer('x')
        await (await yard.run()).fail('no')
        run = await yard.run()
        await yard.until(lambda: yard.board.counts().waiting == 1)
        await yard.ledger.summary(since=0, until=9e9)

        async def stats() -> dict:
            return await yard.get('/api/queue/stats')

        while (told := await stats())['completed'] + told['failed'] < 2:  # recorded a moment later
            await yard.until(lambda: True)
        assert told == {'waiting': 1, 'active': 1, 'completed': 1, 'failed': 1, 'total': 2}
        await run.end()
        assert len(set(names)) == 4


async def test_a_job_is_watched_byte_by_byte(yard, monkeypatch):
    monkeypatch.setattr('app.api.seeds.following.PACE_S', 0)
    name = (await yard.post('/api/chat', ASK))['jobId']
    run = await yard.run()
    await yard.held(run.job_id)
    watched = yard.stream(f'/stream/status/{name}')
    await watched.until(lambda: b'"active"' in watched.body)
    assert watched.status == 200 and watched.headers['content-type'] == 'text/event-stream; charset=utf-8'
    assert watched.headers['cache-control'] == 'no-cache'
    assert (
        watched.body
        == (
            f'data: {{"type":"connected","jobId":"{name}"}}\n\n'
            f'data: {{"type":"status","jobId":"{name}","state":"active","progress":1}}\n\n'
        ).encode()
    )
    await run.say(*'Hello')
    await run.end()
    told = events((await watched.end()).body)
    assert [each['type'] for each in told] == ['connected', *['status'] * (len(told) - 1)]
    progress = [each['progress'] for each in told[1:]]
    assert progress == sorted(progress) and progress[-1] == 100
    assert told[-1]['state'] == 'completed' and told[-1]['result']['response'] == 'Hello'


async def test_place_in_the_queue_and_failure_are_told_at_once(yard):
    first, second = [(await yard.post('/api/chat', ASK))['jobId'] for _ in range(2)]
    run = await yard.run()
    watched = yard.stream(f'/stream/status/{second}')
    await watched.until(lambda: b'queuePosition' in watched.body)
    assert events(watched.body)[1] == {
        'type': 'status', 'jobId': second, 'state': 'waiting', 'progress': 0, 'queuePosition': 0,
    }  # fmt: skip
    await run.end()
    await (await yard.run()).fail('it broke')
    assert events((await watched.end()).body)[-1] == {
        'type': 'status', 'jobId': second, 'state': 'failed', 'progress': 1, 'failedReason': 'it broke',
    }  # fmt: skip
    again = await yard.stream(f'/stream/status/{first}').end()
    assert [each['type'] for each in events(again.body)] == ['connected', 'status']


async def test_silence_is_broken_by_heartbeats(yard, monkeypatch):
    monkeypatch.setattr(yard._entrance._seeds._demo6, '_heartbeat_s', 0.01)
    await yard.post('/api/chat', ASK)
    name = (await yard.post('/api/chat', ASK))['jobId']  # it waits behind the other
    status, result = yard.stream(f'/stream/status/{name}'), yard.stream(f'/stream/result/{name}')
    await status.until(lambda: status.body.endswith(b'data: {"type":"heartbeat"}\n\n' * 2))
    await result.until(lambda: result.body.endswith(b'data: {"type":"progress","progress":0}\n\n' * 2))


async def test_an_answer_comes_as_chunks_and_again_as_a_whole(yard, monkeypatch):
    monkeypatch.setattr('app.api.seeds.following.PACE_S', 0)
    await yard.post('/api/chat', ASK)
    first = await yard.run()
    name = (await yard.post('/api/chat', ASK))['jobId']
    watched = yard.stream(f'/stream/result/{name}')
    await watched.until(lambda: watched.body == b'data: {"type":"progress","progress":0}\n\n')
    await first.end()
    run = await yard.run()
    await run.say('He')
    await watched.until(lambda: b'He' in watched.body)
    await run.say('llo ', '你好')
    await run.end()
    body = (await watched.end()).body
    told = events(body)
    assert ''.join(each['content'] for each in told if each['type'] == 'chunk') == 'Hello 你好'
    assert body.endswith(b'data: {"type":"chunk","content":"","done":true}\n\n')
    again = await yard.stream(f'/stream/result/{name}').end()
    assert events(again.body) == [
        {'type': 'chunk', 'content': 'Hello 你好', 'done': False},
        {'type': 'chunk', 'content': '', 'done': True},
    ]


async def test_an_answer_that_fails_says_why(yard):
    name = (await yard.post('/api/chat', ASK))['jobId']
    watched = yard.stream(f'/stream/result/{name}')
    run = await yard.run()
    await run.say('He')
    await run.fail('it broke')
    assert events((await watched.end()).body)[-1] == {'type': 'error', 'message': 'it broke'}


async def test_an_unknown_job_ends_its_stream(yard):
    for kind in ('status', 'result'):
        watched = await yard.stream(f'/stream/{kind}/nobody-1').end()
        assert watched.status == 200 and events(watched.body)[-1] == {'type': 'error', 'message': 'Job not found'}


async def test_who_stops_watching_stops_nothing(yard):
    name = (await yard.post('/api/chat', ASK))['jobId']
    watched = yard.stream(f'/stream/status/{name}')
    await watched.until(lambda: b'waiting' in watched.body or b'active' in watched.body)
    watched.leave()
    await watched.end()
    assert not yard.board._taps
    await yard.answer('still')
    assert (await yard.get(f'/api/job/{name}'))['result']['response'] == 'still'


async def test_below_its_own_name_nothing_is_shared(yard):
    health = await yard.get('/demo6/health')
    assert health.keys() == {'status', 'timestamp'} and health['status'] == 'ok'
    name = (await yard.post('/demo6/api/chat', ASK | {'messages': []}))['jobId']
    assert (await yard.get(f'/demo6/api/job/{name}'))['state'] in ('waiting', 'active')
    assert await yard.refused('GET', '/demo6/nothing', 404) == {'error': 'Not found'}
    assert 'error' in await yard.refused('DELETE', '/demo6/api/chat', 405)
    assert await yard.refused('POST', '/demo6/api/chat', 400, b'{') == {'error': 'unexpected EOF'}
