"""What of OpenAI's API outlives its call: the official package, strict about every reply, against the running desk."""

import json
import time

import openai
import pytest

from tests.conftest import PATIENCE_S

pytestmark = pytest.mark.whole


@pytest.fixture
def client(url):
    with openai.OpenAI(base_url=f'{url}/v1', api_key='none', max_retries=0, _strict_response_validation=True) as client:
        yield client


@pytest.mark.parametrize('model', ['demo', 'qwen3'])
def test_a_response_streams_is_kept_and_goes_on(client, model):
    with client.responses.stream(model=model, input='Say something.') as stream:
        said = ''.join(event.delta for event in stream if event.type == 'response.output_text.delta')
        made = stream.get_final_response()
    assert made.status == 'completed' and made.output_text == said == client.responses.retrieve(made.id).output_text
    more = client.responses.create(model=model, input='And then?', previous_response_id=made.id)
    assert more.output_text and more.usage.input_tokens > 0 and more._request_id


def test_a_model_that_thinks_and_calls(client):
    tool = {'type': 'function', 'name': 'weather', 'parameters': {'type': 'object', 'properties': {}}, 'strict': False}
    made = client.responses.create(model='caller', input='x', tools=[tool])
    thought, called = made.output
    assert thought.summary[0].text == 'Let me see. ' and json.loads(called.arguments) == {'place': 'Köln', 'n': 1.5}
    output = {'type': 'function_call_output', 'call_id': called.call_id, 'output': 'sunny'}
    more = client.responses.create(model='qwen3', input=[output], previous_response_id=made.id)
    assert more.output_text


def test_one_in_the_background_is_taken_up_again_and_cancelled(client, upstream):
    made = client.responses.create(model='slow', input='mark-background', background=True)
    assert made.status == 'queued'
    with client.responses.retrieve(made.id, stream=True) as stream:
        first = [next(stream).sequence_number for _ in range(6)]
    with client.responses.retrieve(made.id, stream=True, starting_after=first[-1]) as stream:
        then = [next(stream).sequence_number for _ in range(3)]
    assert first + then == list(range(9))  # and nobody who went away has stopped it
    assert client.responses.retrieve(made.id).status == 'in_progress'
    assert client.responses.cancel(made.id).status == 'cancelled'
    assert upstream.wait('mark-background', lambda each: each['over'])
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


@pytest.mark.parametrize(
    ('model', 'error'), [('nope', openai.NotFoundError), ('nomic-embed-text', openai.BadRequestError)]
)
def test_errors_have_the_classes_of_the_sdk(client, model, error):
    for more in ({}, {'stream': True}):
        with pytest.raises(error):
            client.responses.create(model=model, input='x', **more)


async def test_a_batch_from_its_file_to_its_answers(url):
    async with openai.AsyncOpenAI(base_url=f'{url}/v1', api_key='none', _strict_response_validation=True) as client:
        asks = {model: {'model': model, 'messages': [{'role': 'user', 'content': 'x'}]} for model in ('demo', 'qwen3')}
        lines = [
            {'custom_id': name, 'method': 'POST', 'url': '/v1/chat/completions', 'body': ask}
            for name, ask in asks.items()
        ]
        data = '\n'.join(map(json.dumps, lines)).encode()
        file = await client.files.create(file=('lines.jsonl', data), purpose='batch')
        batch = await client.batches.create(
            input_file_id=file.id, endpoint='/v1/chat/completions', completion_window='24h'
        )
        until = time.monotonic() + PATIENCE_S
        while batch.status != 'completed':
            assert time.monotonic() < until and batch.status in ('validating', 'in_progress', 'finalizing'), batch
            batch = await client.batches.retrieve(batch.id)
        answers = [json.loads(line) for line in (await client.files.content(batch.output_file_id)).text.splitlines()]
        assert {answer['custom_id']: answer['response']['body']['model'] for answer in answers} == {
            'demo': 'demo', 'qwen3': 'qwen3',
        }  # fmt: skip
        assert batch.request_counts.completed == 2
