"""How often OpenAI's own client tries again, told by the headers of our replies."""

import asyncio
import time

import httpx
import openai
import pytest

from broker import errors
from tests.app.api.door import Door

ASK = {'model': 'm', 'messages': [{'role': 'user', 'content': 'x'}]}
LAST = b'{"message":{"role":"assistant","content":"Hi"},"done":true,"done_reason":"stop"}'


@pytest.fixture
async def door():
    async with Door() as door:
        yield door


@pytest.fixture
async def client(door):
    transport = httpx.AsyncClient(transport=httpx.ASGITransport(app=door.app))
    async with openai.AsyncOpenAI(base_url='http://desk/v1', api_key='none', http_client=transport) as client:
        yield client


async def test_a_full_queue_is_tried_once_more_after_the_time_we_say(door, client):
    door.broker.refusals.append(errors.Refused('queue_full', 'full', 1.0))
    began = time.monotonic()
    asking = asyncio.create_task(client.chat.completions.create(**ASK))
    job = await door.job(2)
    assert time.monotonic() - began >= 1.0
    door.answer(job, LAST)
    assert (await asking).choices[0].message.content == 'Hi' and len(door.broker.submitted) == 2


async def test_what_will_not_pass_is_not_tried_again(door, client):
    asking = asyncio.create_task(client.chat.completions.create(**ASK))
    door.say(door.news.died((await door.job()).job_id, code='runner_crashed', detail='it crashed thrice'))
    with pytest.raises(openai.InternalServerError, match='it crashed thrice'):
        await asking
    assert len(door.broker.submitted) == 1


async def test_a_client_that_loses_patience_leaves_no_job_behind(door):
    """Each try that it gives up is cancelled, so that there is never more than one."""
    call = door.post('/v1/chat/completions', ASK)
    first = await door.job()
    call.leave()
    door.post('/v1/chat/completions', ASK, x_stainless_retry_count='1')
    await door.job(2)
    await door.until(lambda: door.broker.cancelled == [first.job_id])
