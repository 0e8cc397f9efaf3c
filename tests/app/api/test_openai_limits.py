"""Rate limits as the official ``openai`` package sees them."""

import asyncio

import httpx
import openai
import pytest

from app.api import openai_limits
from broker import errors, protocol
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
    async with openai.AsyncOpenAI(
        base_url='http://desk/v1', api_key='none', http_client=transport, max_retries=0
    ) as client:
        yield client


def limits_in(headers):
    return {name: value for name, value in headers.items() if name.startswith('x-ratelimit-')}


def told(limit, remaining, reset):
    return {openai_limits.LIMIT: limit, openai_limits.REMAINING: remaining, openai_limits.RESET: reset}


@pytest.mark.parametrize('stream', [False, True])
async def test_an_answer_says_what_the_limits_leave(door, client, stream):
    door.broker.quotas = [protocol.Quota(limit=10, remaining=3, reset_s=42.25)]
    asking = asyncio.create_task(client.chat.completions.with_raw_response.create(**ASK, stream=stream))
    door.answer(await door.job(), LAST)
    answer = await asking
    assert limits_in(answer.headers) == told('10', '3', '42.25s')


async def test_several_choices_are_several_jobs_and_the_last_one_counts(door, client):
    door.broker.quotas = [protocol.Quota(limit=10, remaining=left, reset_s=60 - left) for left in (9, 8)]
    asking = asyncio.create_task(client.chat.completions.with_raw_response.create(**ASK, n=2))
    for number in (1, 2):
        door.answer(await door.job(number), LAST)
    assert limits_in((await asking).headers) == told('10', '8', '52s')


async def test_nothing_is_said_where_nothing_is_limited(door, client):
    asking = asyncio.create_task(client.chat.completions.with_raw_response.create(**ASK))
    door.answer(await door.job(), LAST)
    assert limits_in((await asking).headers) == {}


@pytest.mark.parametrize(('wait_s', 'after'), [(5.0, '5'), (300.0, '60'), (0.2, '1')])
async def test_a_full_queue_names_its_bound_and_when_to_come_back(door, client, wait_s, after):
    door.broker.refusals.append(errors.Refused('queue_full', 'full', wait_s, limit=1000))
    with pytest.raises(openai.RateLimitError) as refused:
        await client.chat.completions.create(**ASK)
    headers = refused.value.response.headers
    reset = openai_limits.span(float(after))
    assert limits_in(headers) == told('1000', '0', reset) and headers['retry-after'] == after


@pytest.mark.parametrize(
    ('seconds', 'text'),
    [
        (0, '0s'),
        (0.0001, '1ms'),
        (0.12, '120ms'),
        (1, '1s'),
        (7.66, '7.66s'),
        (59.9995, '1m0s'),
        (90, '1m30s'),
        (360, '6m0s'),
        (3600, '1h0m0s'),
        (90061.5, '25h1m1.5s'),
    ],
)
def test_a_time_is_written_as_clients_of_this_api_read_it(seconds, text):
    assert openai_limits.span(seconds) == text
