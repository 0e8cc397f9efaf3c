"""Responses: kept, continued, in the background, cancelled, deleted, and their events from any of them on."""

import asyncio
import json

import openai
import pytest
import pytest_asyncio

from app.api.openai_responses import Kept
from run import Corral
from tests.app.api.office import Office, until

pytestmark = pytest.mark.asyncio(loop_scope='module')
USER = 'reader'
WEATHER = {'type': 'function', 'name': 'weather', 'parameters': {'type': 'object', 'properties': {}}, 'strict': False}


@pytest.fixture(scope='module')
def queue(tmp_path_factory):
    folder = tmp_path_factory.mktemp('queue')
    with Corral(folder, engine='demo', worker={'demo_chars_per_s': 1e6}):
        yield folder


@pytest_asyncio.fixture(scope='module', loop_scope='module')
async def desk(queue, tmp_path_factory):
    async with Office(queue, tmp_path_factory.mktemp('desk'), user=USER) as made:
        yield made


@pytest_asyncio.fixture(loop_scope='module')
async def office(desk):
    yield desk
    await desk.broker.resume('user', USER)


def says(text, **script):
    return {'model': 'demo', 'extra_body': {'options': {'demo': {'text': text, **script}}}}


async def when(office, name, condition):
    async def found():
        response = await office.client.responses.retrieve(name)
        return response if condition(response) else None

    return await until(found)


async def ended(office, name):
    return await when(office, name, lambda response: response.status not in ('queued', 'in_progress'))


async def test_a_response_is_kept_with_its_input(office):
    made = await office.client.responses.create(
        input=[
            {'role': 'user', 'content': 'one'},
            {'type': 'message', 'role': 'assistant', 'content': 'two'},
            {'type': 'function_call', 'call_id': 'call_1', 'name': 'weather', 'arguments': '{}'},
            {'type': 'function_call_output', 'call_id': 'call_1', 'output': 'sunny'},
            {'role': 'user', 'content': [{'type': 'input_text', 'text': 'three'}]},
        ],
        instructions='Be kind.',
        tools=[WEATHER],
        metadata={'a': 'b'},
        service_tier='flex',
        text={'format': {'type': 'json_schema', 'name': 'x', 'schema': {'type': 'object'}}},
        reasoning={'effort': 'low'},
        **says('Hello.'),
    )
    assert (made.status, made.output_text, made.model, made.service_tier) == ('completed', 'Hello.', 'demo', 'flex')
    assert made.usage.total_tokens == made.usage.input_tokens + made.usage.output_tokens > 1
    assert (made.instructions, made.metadata, made.tools[0].name, made.text.format.name) == (
        'Be kind.', {'a': 'b'}, 'weather', 'x',
    )  # fmt: skip
    assert (await office.client.responses.retrieve(made.id)).output == made.output
    items = [item async for item in await office.client.responses.input_items.list(made.id, order='asc', limit=2)]
    assert [item.type for item in items] == [
        'message', 'message', 'function_call', 'function_call_output', 'message',
    ]  # fmt: skip
    assert items[0].content[0].text == 'one' and len({item.id for item in items}) == 5
    newest = await office.client.responses.input_items.list(made.id, limit=1)
    assert newest.data[0].content[0].text == 'three' and newest.has_more
    asked = json.loads(await office.broker.body(made.id.removeprefix('resp_')))
    assert asked['messages'] == [
        {'role': 'system', 'content': 'Be kind.'},
        {'role': 'user', 'content': 'one'},
        {
            'role': 'assistant',
            'content': 'two',
            'tool_calls': [{'id': 'call_1', 'function': {'name': 'weather', 'arguments': {}}}],
        },
        {'role': 'tool', 'content': 'sunny', 'tool_call_id': 'call_1', 'tool_name': 'weather'},
        {'role': 'user', 'content': 'three'},
    ]
    assert asked['format'] == {'type': 'object'} and asked['think'] == 'low'
    assert asked['tools'][0]['function']['name'] == 'weather'


async def test_a_response_can_be_continued(office):
    first = await office.client.responses.create(input='one', instructions='Old.', **says('two'))
    more = {'previous_response_id': first.id, 'instructions': 'New.'}
    second = await office.client.responses.create(input='three', **more, **says('four'))
    assert second.previous_response_id == first.id
    third = await office.client.responses.create(input='five', previous_response_id=second.id, **says('six'))
    asked = json.loads(await office.broker.body(third.id.removeprefix('resp_')))
    assert [(message['role'], message['content']) for message in asked['messages']] == [
        ('user', 'one'), ('assistant', 'two'), ('user', 'three'), ('assistant', 'four'), ('user', 'five'),
    ]  # fmt: skip
    with pytest.raises(openai.NotFoundError) as raised:
        await office.client.responses.create(model='demo', input='x', previous_response_id='resp_' + '0' * 32)
    assert raised.value.param == 'previous_response_id'


async def test_events_can_be_taken_up_again_at_any_of_them(office):
    live = [event async for event in await office.client.responses.create(input='x', stream=True, **says('one two'))]
    assert [event.sequence_number for event in live] == list(range(len(live)))
    assert [event.type for event in live] == [
        'response.created', 'response.queued', 'response.in_progress', 'response.output_item.added',
        'response.content_part.added', 'response.output_text.delta', 'response.output_text.delta',
        'response.output_text.done', 'response.content_part.done', 'response.output_item.done', 'response.completed',
    ]  # fmt: skip
    name = live[0].response.id
    for after in (None, 0, 5, len(live) - 1):
        more = {} if after is None else {'starting_after': after}
        rest = [event async for event in await office.client.responses.retrieve(name, stream=True, **more)]
        told = [event.model_dump(exclude={'response': {'completed_at'}}) for event in rest]
        first = 0 if after is None else after + 1
        assert told == [event.model_dump(exclude={'response': {'completed_at'}}) for event in live[first:]]


async def test_in_the_background_it_waits_runs_and_outlives_the_desk(queue, office, tmp_path):
    async with Office(queue, tmp_path, user='walker') as first:
        await first.broker.pause('user', 'walker')
        made = await first.client.responses.create(input='x', background=True, **says('patience'))
        assert made.status == 'queued' and made.background and made.output == [] and made.usage is None
        assert (await first.client.responses.retrieve(made.id)).status == 'queued'
    async with Office(queue, tmp_path, user='walker') as second:
        asking = asyncio.create_task(second.client.responses.retrieve(made.id, stream=True, starting_after=0))
        await second.broker.resume('user', 'walker')
        seen = [event.type async for event in await asking]  # this transport gives a reply when it is complete
        assert seen[0] == 'response.queued' and seen[-1] == 'response.completed'
        done = await second.client.responses.retrieve(made.id)
        assert (done.status, done.output_text) == ('completed', 'patience') and done.completed_at


@pytest.mark.parametrize(('window', 'priority'), [('2h', 1), ('8h', 0)])
async def test_one_that_has_time_goes_behind_the_others(office, window, priority):
    await office.broker.pause('user', USER)
    made = await office.client.responses.create(
        model='demo', input='x', background=True, background_options={'completion_window': window}
    )
    job = (await office.broker.get(made.id.removeprefix('resp_'))).job
    assert job.priority == priority and job.deadline_at == pytest.approx(job.queued_at + int(window[0]) * 3600, abs=5)
    assert (await office.client.responses.cancel(made.id)).status == 'cancelled'


async def test_one_that_runs_is_shown_so_far_and_can_be_cancelled(office):
    made = await office.client.responses.create(input='x', background=True, **says('one two three', hang_after=2))
    now = await when(office, made.id, lambda response: response.output_text == 'one two')
    assert now.status == 'in_progress' and now.output[0].status == 'in_progress'
    for _ in range(2):
        assert (await office.client.responses.cancel(made.id)).status == 'cancelled'
    last = [event async for event in await office.client.responses.retrieve(made.id, stream=True)][-1]
    assert (last.type, last.response.status, last.response.error) == ('response.failed', 'cancelled', None)


async def test_a_failure_is_told_by_status_in_the_object_and_in_the_stream(office):
    fail = says('one two', fail={'code': 'engine_error', 'detail': 'it broke', 'after': 1})
    with pytest.raises(openai.InternalServerError, match='it broke'):
        await office.client.responses.create(input='x', **fail)
    events = [event async for event in await office.client.responses.create(input='x', stream=True, **fail)]
    assert events[-1].type == 'response.failed' and events[-1].response.error.message == 'it broke'
    made = await office.client.responses.create(input='x', background=True, **fail)
    done = await ended(office, made.id)
    assert (done.status, done.error.code, done.error.message) == ('failed', 'server_error', 'it broke')
    cut = await office.client.responses.create(input='x', max_output_tokens=1, **says('one two'))
    assert (cut.status, cut.incomplete_details.reason, cut.output_text) == ('incomplete', 'max_output_tokens', 'one')


async def test_what_is_deleted_or_was_not_to_be_kept_is_not_shown(office):
    kept = await office.client.responses.create(input='x', **says('x'))
    await office.client.responses.delete(kept.id)
    secret = await office.client.responses.create(input='x', store=False, **says('x'))
    for name in (kept.id, secret.id, 'resp_x', 'resp_' + 'f' * 32):
        for ask in (
            office.client.responses.retrieve,
            office.client.responses.cancel,
            office.client.responses.delete,
            office.client.responses.input_items.list,
        ):
            with pytest.raises(openai.NotFoundError):
                await ask(name)
    running = await office.client.responses.create(input='x', background=True, **says('x', hang_after=0))
    await office.client.responses.delete(running.id)

    async def stopped():
        return (await office.broker.get(running.id.removeprefix('resp_'))).job.state == 'cancelled'

    await until(stopped)


async def test_what_is_kept_of_a_response_goes_after_its_job(office, monkeypatch):
    made = await office.client.responses.create(input='x', **says('x'))
    gone, shelf = 'f' * 32, office.entrance._papers.shelf
    await shelf.keep('response', gone, Kept(job_id=gone, created_at=1))
    monkeypatch.setattr('app.api.openai_responses.TIDY_S', -60.0)
    await office.entrance._papers.responses.tidy()
    assert await shelf.kept('response', gone, Kept) is None
    assert (await office.client.responses.retrieve(made.id)).output_text == 'x'


async def test_any_chat_can_be_looked_at_as_a_response(office):
    asked = {'messages': [{'role': 'user', 'content': 'x'}]}
    chat = await office.client.chat.completions.with_raw_response.create(**asked, **says('by another door'))
    found = await office.client.responses.retrieve(f'resp_{chat.headers["x-queue-job-id"]}')
    assert (found.status, found.output_text, found.model) == ('completed', 'by another door', 'demo')


async def test_the_same_key_is_the_same_response(office):
    key = {'Idempotency-Key': 'once'}
    for more in ({'background': True}, {}):
        key = {'Idempotency-Key': f'once {more}'}
        made = [
            await office.client.responses.create(input='x', extra_headers=key, **more, **says('x')) for _ in range(2)
        ]
        assert made[0].id == made[1].id and (await ended(office, made[0].id)).output_text == 'x'
        assert [item.type async for item in await office.client.responses.input_items.list(made[0].id)] == ['message']


@pytest.mark.parametrize(
    ('more', 'param'),
    [
        ({'input': None}, 'input'),
        ({'input': []}, 'input'),
        ({'input': [{'type': 'item_reference', 'id': 'x'}]}, 'input.0'),
        ({'input': [{'role': 'user', 'content': [{'type': 'input_file'}]}], 'instructions': 'x'}, 'input.0.content'),
        ({'tools': [{'type': 'web_search'}]}, 'tools'),
        ({'conversation': 'conv_1'}, 'conversation'),
        ({'prompt': {'id': 'x'}}, 'prompt'),
        ({'background': True, 'store': False}, 'store'),
        ({'background': True, 'background_options': {'completion_window': '1y'}}, 'background_options'),
        ({'text': {'format': {'type': 'yaml'}}}, 'text.format'),
        ({'reasoning': {'effort': 'enormous'}}, 'reasoning.effort'),
        ({'max_output_tokens': 0}, 'max_output_tokens'),
        ({'model': 'nobody'}, 'model'),
        ({'service_tier': 'golden'}, 'service_tier'),
    ],
)
async def test_what_cannot_be_is_refused_with_the_name_of_its_field(office, more, param):
    answer = await office.http.post('/v1/responses', json={'model': 'demo', 'input': 'x', **more})
    error = answer.json()['error']
    assert answer.status_code in (400, 404) and error['param'] == param and error['message'] and len(error) == 4
