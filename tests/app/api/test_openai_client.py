"""The official ``openai`` package, strict about every reply, against the running desk."""

import base64
import json

import httpx
import openai
import pytest

pytestmark = pytest.mark.whole
MODELS = ('demo', 'qwen3')
ASK = [{'role': 'user', 'content': 'Say something.'}]
PIXEL = base64.b64encode(b'\x89PNG\r\n\x1a\n').decode()
WEATHER = {
    'type': 'function',
    'function': {
        'name': 'weather',
        'description': 'The weather at a place',
        'parameters': {'type': 'object', 'properties': {'place': {'type': 'string'}}, 'required': ['place']},
    },
}


@pytest.fixture
def client(url):
    with openai.OpenAI(base_url=f'{url}/v1', api_key='none', max_retries=0, _strict_response_validation=True) as client:
        yield client


@pytest.fixture
def sent(upstream):
    """A function that gives the body in which a mark reached Ollama."""
    return lambda mark: json.loads(upstream.wait(mark, lambda each: each['over'])['body'])


@pytest.mark.parametrize('model', MODELS)
def test_a_chat_in_one_piece(client, model):
    raw = client.chat.completions.with_raw_response.create(model=model, messages=ASK)
    answer = raw.parse()
    assert answer.object == 'chat.completion' and answer.id.startswith('chatcmpl-') and answer.model == model
    choice = answer.choices[0]
    assert choice.finish_reason == 'stop' and len(choice.message.content) > 50 and answer.service_tier is None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 10
    assert answer.id == f'chatcmpl-{raw.headers["x-queue-job-id"]}' and answer._request_id


@pytest.mark.parametrize('model', MODELS)
def test_a_chat_that_streams_says_the_same(client, model):
    chunks = list(client.chat.completions.create(model=model, messages=ASK, stream=True))
    assert len({chunk.id for chunk in chunks}) == len({chunk.created for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == 'assistant'
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ['stop']
    said = ''.join(chunk.choices[0].delta.content or '' for chunk in chunks)
    assert said == client.chat.completions.create(model=model, messages=ASK).choices[0].message.content


def test_usage_ends_a_stream_that_asked_for_it(client):
    more = {'stream': True, 'stream_options': {'include_usage': True}}
    *others, last = client.chat.completions.create(model='qwen3', messages=ASK, max_completion_tokens=4, **more)
    assert all(chunk.usage is None and chunk.choices for chunk in others)
    assert others[-1].choices[0].finish_reason == 'length'
    assert last.choices == [] and (last.usage.prompt_tokens, last.usage.completion_tokens) == (11, 4)


def test_several_choices_are_several_jobs(client):
    raw = client.chat.completions.with_raw_response.create(model='qwen3', messages=ASK, n=3, seed=7)
    answer = raw.parse()
    assert [choice.index for choice in answer.choices] == [0, 1, 2] and len(raw.headers['x-queue-job-id']) == 3 * 33 - 1
    assert answer.usage.prompt_tokens == 11 and answer.usage.completion_tokens % 3 == 0
    said = {}
    for chunk in client.chat.completions.create(model='qwen3', messages=ASK, n=3, stream=True):
        said[chunk.choices[0].index] = said.get(chunk.choices[0].index, '') + (chunk.choices[0].delta.content or '')
    assert said == {choice.index: choice.message.content for choice in answer.choices}


def test_what_follows_a_prompt(client):
    answer = client.completions.create(model='qwen3', prompt=['one', 'two'], max_tokens=3, echo=True)
    assert [choice.finish_reason for choice in answer.choices] == ['length', 'length']
    assert answer.object == 'text_completion' and answer.choices[1].text.startswith('twoHere')


def test_what_follows_a_prompt_streams(url):
    """Not in strict mode: its type has no room for the null that ends no chunk but the last."""
    with openai.OpenAI(base_url=f'{url}/v1', api_key='none') as client:
        chunks = list(client.completions.create(model='qwen3', prompt='x', max_tokens=3, stream=True))
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, None, 'length']


@pytest.mark.parametrize('model', ['demo', 'nomic-embed-text'])
def test_embeddings_in_both_encodings(url, client, model):
    plain = client.embeddings.create(model=model, input='one', encoding_format='float')
    with openai.OpenAI(base_url=f'{url}/v1', api_key='none') as lax:  # what it asks for by default it is too strict for
        packed = lax.embeddings.create(model=model, input=['one', 'two'])
    assert len(packed.data) == 2 and packed.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-6)
    assert packed.usage.total_tokens > 0


def test_models(client):
    listed = {model.id for model in client.models.list()}
    assert 'qwen3:latest' in listed and 'demo' not in listed
    assert client.models.retrieve('qwen3').id == 'qwen3'
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve('hf.co/someone/nothing:q4')


async def test_all_of_it_asynchronously(url):
    async with openai.AsyncOpenAI(base_url=f'{url}/v1', api_key='none', _strict_response_validation=True) as client:
        for model in MODELS:
            whole = await client.chat.completions.create(model=model, messages=ASK)
            stream = await client.chat.completions.create(model=model, messages=ASK, stream=True)
            said = ''.join([chunk.choices[0].delta.content or '' async for chunk in stream])
            assert said == whole.choices[0].message.content
        assert (await client.embeddings.create(model='demo', input='x', encoding_format='float')).data
        assert (await client.completions.create(model='demo', prompt='x')).choices[0].text
        assert (await client.models.list()).data


def test_parameters_reach_ollama_in_its_own_words(client, sent):
    client.chat.completions.create(
        model='qwen3',
        messages=[
            {'role': 'developer', 'content': 'mark-parameters'},
            {
                'role': 'user',
                'content': [
                    {'type': 'text', 'text': 'What is it?'},
                    {'type': 'image_url', 'image_url': {'url': f'data:image/png;base64,{PIXEL}'}},
                ],
            },
            {
                'role': 'assistant',
                'content': None,
                'tool_calls': [
                    {'id': 'call_1', 'type': 'function', 'function': {'name': 'weather', 'arguments': '{"place":"X"}'}}
                ],
            },
            {'role': 'tool', 'tool_call_id': 'call_1', 'content': 'sunny'},
        ],
        max_completion_tokens=5,
        temperature=0.5,
        seed=3,
        stop='END',
        frequency_penalty=0.1,
        presence_penalty=0.2,
        reasoning_effort='low',
        tools=[WEATHER],
        response_format={'type': 'json_schema', 'json_schema': {'name': 'x', 'schema': {'type': 'object'}}},
        metadata={'ignored': 'yes'},
        parallel_tool_calls=True,
        extra_body={'options': {'num_ctx': 2048}, 'keep_alive': '10m'},
    )
    assert sent('mark-parameters') == {
        'model': 'qwen3:latest',
        'messages': [
            {'role': 'system', 'content': 'mark-parameters'},
            {'role': 'user', 'content': 'What is it?', 'images': [PIXEL]},
            {
                'role': 'assistant',
                'content': '',
                'tool_calls': [{'id': 'call_1', 'function': {'name': 'weather', 'arguments': {'place': 'X'}}}],
            },
            {'role': 'tool', 'content': 'sunny', 'tool_call_id': 'call_1', 'tool_name': 'weather'},
        ],
        'stream': True,
        'tools': [WEATHER],
        'format': {'type': 'object'},
        'think': 'low',
        'options': {
            'num_ctx': 2048,
            'temperature': 0.5,
            'top_p': 1.0,
            'num_predict': 5,
            'seed': 3,
            'stop': ['END'],
            'frequency_penalty': 0.1,
            'presence_penalty': 0.2,
        },
        'keep_alive': '10m',
    }


def test_a_model_that_thinks_and_calls(client):
    asked = {'model': 'caller', 'messages': ASK, 'tools': [WEATHER]}
    whole = client.chat.completions.create(**asked).choices[0]
    assert whole.finish_reason == 'tool_calls' and whole.message.content is None
    assert whole.message.reasoning == 'Let me see. '
    called = whole.message.tool_calls[0]
    assert called.id and called.function.name == 'weather'
    assert json.loads(called.function.arguments) == {'place': 'Köln', 'n': 1.5}
    with client.chat.completions.stream(**asked) as stream:
        last = stream.get_final_completion().choices[0]
    assert last.finish_reason == 'tool_calls'
    assert last.message.tool_calls[0].function.arguments == called.function.arguments


@pytest.mark.parametrize(('asked', 'told'), [('auto', 'default'), ('flex', 'flex'), ('priority', 'priority')])
def test_the_service_tier_is_told_when_it_was_asked_for(client, asked, told):
    assert client.chat.completions.create(model='demo', messages=ASK, service_tier=asked).service_tier == told


def test_errors_have_the_classes_of_the_sdk(client):
    for model, error, status in (
        ('nope', openai.NotFoundError, 404),
        ('nomic-embed-text', openai.BadRequestError, 400),
        ('error-500', openai.InternalServerError, 500),
        ('error-503', openai.InternalServerError, 503),
    ):
        for stream in (False, True):
            with pytest.raises(error) as raised:
                client.chat.completions.create(model=model, messages=ASK, stream=stream)
            body = raised.value.body
            assert raised.value.status_code == status and set(body) == {'message', 'type', 'param', 'code'}
    assert raised.value.response.headers['retry-after'] == '5'
    with pytest.raises(openai.NotFoundError) as raised:
        client.chat.completions.create(model='nope', messages=ASK)
    assert (raised.value.code, raised.value.param) == ('model_not_found', 'model')


def test_a_failure_in_mid_stream_is_raised(client):
    with pytest.raises(openai.APIError, match='unexpected EOF'):
        list(client.chat.completions.create(model='error-mid', messages=ASK, stream=True))


def test_a_failure_that_will_not_pass_is_not_tried_again(url, upstream):
    ask = [{'role': 'user', 'content': 'mark-no-retry'}]
    with (
        openai.OpenAI(base_url=f'{url}/v1', api_key='none') as client,
        pytest.raises(openai.InternalServerError),
    ):
        client.chat.completions.create(model='error-500', messages=ask)
    assert len(upstream.served('mark-no-retry')) == 1


def test_every_event_of_a_stream_is_data_or_a_comment(url):
    asked = {'model': 'qwen3', 'messages': ASK, 'stream': True}
    answer = httpx.post(f'{url}/v1/chat/completions', json=asked)
    assert answer.headers['content-type'].startswith('text/event-stream')
    events = answer.text.split('\n\n')
    assert events[-2:] == ['data: [DONE]', ''] and all(event.startswith('data: {') for event in events[:-2])
