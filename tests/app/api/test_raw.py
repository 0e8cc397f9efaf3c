"""Posts that no door knows: passed on with their status, headers and bytes, and queued like all others."""

import base64
import json

import pytest

from tests.app.api.door import Door


def head(status: int, **headers: str) -> bytes:
    return json.dumps({'status': status, 'headers': {k.replace('_', '-'): v for k, v in headers.items()}}).encode()


def part(data: bytes) -> bytes:
    return json.dumps({'b64': base64.b64encode(data).decode()}).encode()


@pytest.fixture
async def door():
    async with Door(heartbeat_s=0.005) as door:
        yield door


async def test_status_headers_and_bytes_are_the_engines(door):
    body = b'{"model":"M", "query": "x"}'
    call = door.post('/v1/rerank?top=3', body, x_queue_priority='low')
    job = await door.job()
    assert (job.kind, job.model, job.path, job.body, job.priority) == ('raw', 'm:latest', '/v1/rerank?top=3', body, 1)
    door.answer(job, head(418, content_type='text/x', retry_after='7'), part(b'\x00\xff'), part(b'rest'))
    assert (await call.end()).status == 418 and call.body == b'\x00\xffrest'
    assert call.headers['content-type'] == 'text/x' and call.headers['retry-after'] == '7'
    assert call.headers['x-queue-job-id'] == job.job_id


async def test_nothing_is_said_while_it_waits(door):
    call, other = door.post('/api/fresh', {'model': 'm'}), door.post('/api/chat', {'model': 'm'})
    job = await door.job()
    await other.until(lambda: len(other.messages) > 3)  # time for several signs of life
    assert call.messages == []
    door.answer(job, head(204))
    assert (await call.end()).status == 204 and call.body == b''


@pytest.mark.parametrize(('path', 'shape'), [('/api/fresh', str), ('/v1/fresh', dict)])
async def test_a_failure_before_the_first_byte_has_the_shape_of_its_corner(door, path, shape):
    call = door.post(path, {'model': 'm'})
    door.say(door.news.died((await door.job()).job_id, code='busy', detail='busy'))
    assert (await call.end()).status == 503 and isinstance(call.json['error'], shape)


async def test_a_failure_in_the_middle_breaks_the_connection_off(door):
    call = door.post('/v1/fresh', {'model': 'm'})
    job = await door.job()
    door.say(door.news.started(job.job_id))
    door.lines(job, head(200), part(b'half'))
    await call.until(lambda: call.messages)
    door.say(door.news.died(job.job_id, lines=2))
    await call.end()
    assert call.body == b'half' and call.messages[-1]['more_body'] is True


@pytest.mark.parametrize('body', [b'', b'[]', b'{}', b'{"model":', b'{"mode":"m"}', b'--x\r\nmultipart'])
async def test_what_names_no_model_is_not_known(door, body):
    native, translated = await door.post('/api/fresh', body).end(), await door.post('/v1/fresh', body).end()
    assert native.status == translated.status == 404 and door.broker.submitted == []


async def test_the_older_embeddings_of_ollama_itself_are_passed_on(door):
    door.post('/api/embeddings', {'model': 'm', 'prompt': 'x'})
    job = await door.job()
    assert (job.kind, job.path) == ('raw', '/api/embeddings')
