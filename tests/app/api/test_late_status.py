"""What a call says while it waits, how it fails before and after its first byte, and what a client that leaves does."""

import json

import pytest

from broker import errors, protocol
from tests.app.api.door import Door

ASK = {'model': 'm', 'messages': [{'role': 'user', 'content': 'x'}]}
OPENAI, OLLAMA = '/v1/chat/completions', '/api/chat'
WORD = b'{"model":"m","created_at":"t","message":{"role":"assistant","content":"Hi"},"done":false}'
LAST = b'{"model":"m","created_at":"t","message":{"role":"assistant","content":"!"},"done":true,"done_reason":"stop"}'


@pytest.fixture
async def door():
    async with Door() as door:
        yield door


@pytest.fixture
async def hasty():
    """Doors that give a sign of life every few milliseconds."""
    async with Door(heartbeat_s=0.005) as door:
        yield door


async def test_the_lines_of_the_engine_pass_as_they_are(door):
    call = door.post(OLLAMA, ASK)
    odd = b'{ "done" : false,\t"message":{"content":"\\u00e9"} , "unheard-of": [1.50] }'
    door.answer(await door.job(), WORD, odd, LAST)
    assert (await call.end()).body == b'\n'.join((WORD, odd, LAST, b''))
    assert call.status == 200 and call.headers['content-type'] == 'application/x-ndjson'


async def test_the_body_reaches_the_queue_as_it_came(door):
    body = b'{"messages" : [ ],\n "model":"M:Latest", "x": 1.50, "options":{"num_ctx":4096}}'
    door.post(OLLAMA, body)
    job = await door.job()
    assert job.body == body and (job.kind, job.model) == ('chat', 'm:latest')


async def test_every_reply_names_its_job_and_how_it_waited(door):
    call = door.post(OLLAMA, ASK, x_request_id='mine')
    job = await door.job()
    door.answer(job, LAST)
    await call.end()
    assert call.headers['x-queue-job-id'] == job.job_id and call.headers['x-request-id'] == 'mine'
    assert call.headers['x-queue-position'] == '0' and call.headers['x-queue-wait-ms'] == '1000'


async def test_nothing_is_said_before_the_first_line(door):
    call = door.post(OLLAMA, ASK)
    job = await door.job()
    door.say(door.news.started(job.job_id))
    assert call.messages == []
    door.lines(job, WORD)
    await call.until(lambda: len(call.messages) == 2)
    assert call.body == WORD + b'\n'


async def test_while_it_waits_an_ollama_client_gets_empty_words_and_no_blank_line(hasty):
    call = hasty.post(OLLAMA, ASK)
    job = await hasty.job()
    await call.until(lambda: len(call.messages) > 3)
    hasty.answer(job, WORD, LAST)
    lines = (await call.end()).body.split(b'\n')
    assert lines[-3:] == [WORD, LAST, b'']
    beats = [json.loads(line) for line in lines[:-3]]
    assert len(beats) > 1
    assert all(beat['message'] == {'role': 'assistant', 'content': ''} and beat['done'] is False for beat in beats)


async def test_while_it_waits_an_openai_client_gets_comments_with_its_place(hasty):
    call = hasty.post(OPENAI, ASK | {'stream': True})
    job = await hasty.job()
    place = protocol.Place(job_id=job.job_id, ahead=3, earliest_at=9e9, latest_at=9.1e9)
    hasty.say(protocol.Standing(places=(place,), waiting=4))
    await call.until(lambda: b': queue position=3 eta=' in call.body)
    assert call.headers['content-type'].startswith('text/event-stream')
    hasty.answer(job, WORD, LAST)
    events = (await call.end()).body.decode().split('\n\n')
    assert events[-2:] == ['data: [DONE]', ''] and all(event[:2] in (': ', 'da') for event in events[:-1])


async def test_an_answer_in_one_piece_waits_in_silence(hasty):
    calls = [hasty.post(path, ASK | {'stream': False}) for path in (OLLAMA, OPENAI)]
    other = hasty.post(OLLAMA, ASK)  # it shows that time for a sign of life has passed
    first, second = await hasty.job(1), await hasty.job(2)
    await other.until(lambda: len(other.messages) > 3)
    assert [call.messages for call in calls] == [[], []]
    hasty.answer(first, WORD, LAST)
    hasty.answer(second, WORD, LAST)
    assert (await calls[0].end()).json['message']['content'] == 'Hi!'
    assert (await calls[1].end()).json['choices'][0]['message']['content'] == 'Hi!'


FAILURES = [
    ('model_not_found', "model 'm' not found", 404),
    ('bad_request', 'does not support tools', 400),
    ('busy', 'server busy', 503),
    ('refused', 'not allowed', 403),
    ('refused_401', 'unauthorized', 401),
    ('refused_429', 'slow down', 429),
    ('refused_451', 'not here', 451),
    ('unreachable', 'Ollama cannot be reached', 503),
    ('engine_error', 'failed to load model', 500),
    ('idle_timeout', 'nothing came for 120 s', 504),
]


@pytest.mark.parametrize(('code', 'detail', 'status'), FAILURES)
@pytest.mark.parametrize('stream', [True, False])
async def test_a_failure_before_the_first_byte_has_a_status_of_its_own(door, code, detail, status, stream):
    native, translated = (door.post(path, ASK | {'stream': stream}) for path in (OLLAMA, OPENAI))
    for count in (1, 2):
        door.say(door.news.died((await door.job(count)).job_id, code=code, detail=detail))
    assert (await native.end()).status == status and native.json == {'error': detail}
    assert (await translated.end()).status == status and translated.json['error']['message'] == detail
    assert native.headers['content-type'] == 'application/json; charset=utf-8'
    assert native.headers['x-queue-job-id'] and translated.headers['x-queue-job-id']
    if status == 503:
        assert 1 <= int(native.headers['retry-after']) <= 60
    elif status >= 500:
        assert translated.headers['x-should-retry'] == 'false'


async def test_after_the_first_byte_a_failure_is_the_last_line(door):
    native, translated = (door.post(path, ASK | {'stream': True}) for path in (OLLAMA, OPENAI))
    for count in (1, 2):
        job = await door.job(count)
        door.lines(job, WORD)
        door.say(door.news.died(job.job_id, lines=1, code='engine_error', detail='it broke'))
    assert (await native.end()).status == 200 and native.body == WORD + b'\n{"error":"it broke"}\n'
    last = (await translated.end()).body.decode().split('\n\n')[-2]
    assert json.loads(last.removeprefix('data: '))['error']['message'] == 'it broke'
    assert b'[DONE]' not in translated.body


async def test_after_a_sign_of_life_a_failure_is_a_line_too(hasty):
    call = hasty.post(OLLAMA, ASK)
    job = await hasty.job()
    await call.until(lambda: call.messages)
    hasty.say(hasty.news.died(job.job_id, code='model_not_found', detail='gone'))
    assert (await call.end()).status == 200 and call.body.endswith(b'\n{"error":"gone"}\n')


async def test_a_retry_before_the_first_line_is_not_seen(door):
    call = door.post(OLLAMA, ASK)
    job = await door.job()
    door.say(door.news.started(job.job_id), door.news.requeued(job.job_id, 'retry', detail='busy', due_at=1.0))
    door.say(door.news.due(job.job_id))
    door.answer(job, WORD, LAST, epoch=2)
    assert (await call.end()).body == WORD + b'\n' + LAST + b'\n'


@pytest.mark.parametrize('reason', ['retry', 'worker_lost'])
async def test_an_answer_that_begins_anew_after_some_words_ends_the_stream_and_its_job(door, reason):
    call = door.post(OLLAMA, ASK)
    job = await door.job()
    door.say(door.news.started(job.job_id))
    door.lines(job, WORD)
    await call.until(lambda: call.messages)
    door.say(door.news.requeued(job.job_id, reason, detail='it crashed' if reason == 'retry' else ''))
    said, failure, _ = (await call.end()).body.split(b'\n')
    assert said == WORD and 'began anew' in json.loads(failure)['error']
    await door.until(lambda: door.broker.cancelled == [job.job_id])


async def test_an_answer_in_one_piece_is_that_of_the_last_run(door):
    call = door.post(OLLAMA, ASK | {'stream': False})
    job = await door.job()
    door.say(door.news.started(job.job_id))
    door.lines(job, WORD)
    door.say(door.news.requeued(job.job_id, 'worker_lost'))
    door.answer(job, LAST, epoch=2)
    assert (await call.end()).json['message']['content'] == '!'


async def test_a_cancel_by_somebody_else_is_told(door):
    native, translated = (door.post(path, ASK) for path in (OLLAMA, OPENAI))
    for count in (1, 2):
        door.say(door.news.cancelled((await door.job(count)).job_id))
    assert (await native.end()).status == 499 and native.json == {'error': 'request canceled'}
    assert (await translated.end()).status == 499 and translated.json['error']['code'] == 'cancelled'


async def test_a_client_that_leaves_cancels_its_job(door):
    waiting, running = door.post(OLLAMA, ASK), door.post(OPENAI, ASK | {'stream': True, 'n': 2})
    first = await door.job(1)
    second, third = await door.job(2), await door.job(3)
    door.say(door.news.started(second.job_id))
    door.lines(second, WORD)
    await running.until(lambda: running.messages)
    for call in (waiting, running):
        call.leave()
        await call.end()
    await door.until(lambda: len(door.broker.cancelled) == 3)
    assert set(door.broker.cancelled) == {first.job_id, second.job_id, third.job_id}
    assert waiting.messages == []


async def test_a_client_that_leaves_while_its_job_is_on_the_way_cancels_it_afterwards(door):
    door.broker.held.clear()
    call = door.post(OLLAMA, ASK)
    await door.until(lambda: door.broker.submitted)
    call.leave()
    await call.end()
    assert door.broker.cancelled == []
    door.broker.held.set()
    await door.until(lambda: door.broker.cancelled)


async def test_a_client_that_got_all_cancels_nothing(door):
    call = door.post(OLLAMA, ASK)
    door.answer(await door.job(), LAST)
    await call.end()
    call.leave()
    assert door.broker.cancelled == [] and not door.board._taps


async def test_a_full_queue_is_busy_for_ollama_and_a_rate_limit_for_openai(door):
    door.broker.error = errors.Refused('queue_full', '9 jobs are waiting, which is the limit; try again later', 90.0)
    native, translated = [await door.post(path, ASK).end() for path in (OLLAMA, OPENAI)]
    assert native.status == 503 and native.headers['retry-after'] == '60'
    assert native.json == {'error': 'server busy, please try again.  maximum pending requests exceeded'}
    assert translated.status == 429 and translated.headers['retry-after'] == '60'
    assert translated.json['error']['code'] == 'queue_full' and door.broker.cancelled == []


async def test_without_a_broker_it_says_so_soon(door):
    door.broker.error = errors.BrokerUnreachable()
    native, translated = [await door.post(path, ASK).end() for path in (OLLAMA, OPENAI)]
    assert native.status == translated.status == 503
    assert 'try again soon' in native.json['error'] and translated.json['error']['type'] == 'server_error'


async def test_a_job_that_a_new_database_does_not_know_ends_its_call(door):
    call = door.post(OLLAMA, ASK)
    await door.job()
    door.board.restore(protocol.Snapshot(seq=0, jobs=(), workers=()))
    assert (await call.end()).status == 500 and 'does not know' in call.json['error']


@pytest.mark.parametrize('stream', [True, False])
async def test_an_answer_that_is_not_kept_any_more_is_not_given_as_an_empty_one(door, stream):
    call = door.post(OLLAMA, ASK | {'stream': stream})
    job = await door.job()
    door.say(door.news.started(job.job_id), door.news.completed(job.job_id, lines=2))
    door.board.cannot_fill(job.job_id)
    assert (await call.end()).json == {'error': 'the answer is not kept any more'}


async def test_a_client_that_would_not_wait_so_long_is_told_at_once(door):
    call = door.post(OPENAI, ASK, x_stainless_read_timeout='30')
    job = await door.job()
    place = protocol.Place(job_id=job.job_id, ahead=3, earliest_at=9e9, latest_at=9.1e9)
    door.say(protocol.Standing(places=(place,), waiting=4))
    assert (await call.end()).status == 429 and call.headers['retry-after'] == '60'
    assert call.json['error']['code'] == 'too_long_wait'
    await door.until(lambda: door.broker.cancelled == [job.job_id])


@pytest.mark.parametrize(
    ('headers', 'more', 'priority'),
    [
        ({}, {}, 5),
        ({'x_queue_priority': '12'}, {}, 12),
        ({'x_queue_priority': 'High'}, {}, 10),
        ({}, {'service_tier': 'flex'}, 1),
        ({}, {'service_tier': 'priority', 'priority': 3}, 10),
        ({'x_queue_priority': 'batch'}, {'service_tier': 'priority'}, 0),
    ],
)
async def test_how_urgent_a_call_is(door, headers, more, priority):
    door.post(OPENAI, ASK | more, **headers)
    assert (await door.job()).priority == priority


@pytest.mark.parametrize(
    ('headers', 'more', 'user'),
    [
        ({}, {}, '10.0.0.9'),
        ({}, {'user': 'ann'}, 'ann'),
        ({}, {'user': 'ann', 'safety_identifier': 'bob'}, 'bob'),
        ({'x_openwebui_user_id': 'u1'}, {'user': 'ann'}, 'u1'),
        ({'x_queue_user': 'eve', 'x_openwebui_user_id': 'u1'}, {}, 'eve'),
        ({}, {'user': 'x' * 400}, 'x' * 300),
    ],
)
async def test_for_whom_a_call_is(door, headers, more, user):
    door.post(OPENAI, ASK | more, **headers)
    assert (await door.job()).user == user


async def test_a_fault_of_ours_shows_no_trace(door, monkeypatch):
    monkeypatch.setattr('app.api.native.whole', lambda *_: 1 / 0)
    call = door.post(OLLAMA, ASK | {'stream': False})
    door.answer(await door.job(), WORD, LAST)
    assert (await call.end()).status == 500 and 'Traceback' not in call.json['error'] and 'log' in call.json['error']
