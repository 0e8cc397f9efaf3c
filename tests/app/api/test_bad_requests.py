"""What no job can be made of: a clear no, at once, in the words and the shape of its contract."""

import json

import pytest

from app.api.own import description
from tests.app.api.door import Door

ASK = {'model': 'm', 'messages': [{'role': 'user', 'content': 'x'}]}
DEEP = b'{"model":"m","messages":' + b'[' * 100_000 + b']' * 100_000 + b'}'
NATIVE = ('/api/chat', '/api/generate', '/api/embed', '/api/embeddings')
TRANSLATED = ('/v1/chat/completions', '/v1/completions', '/v1/embeddings')
BROKEN = {
    'nothing': b'',
    'space': b' \n',
    'no json': b'hello',
    'half': b'{"model": "m',
    'list': b'[]',
    'text': b'"m"',
    'null': b'null',
    'nul': b'{"model":"m"}\x00',
    'nul inside': b'{"model":"m\x00"}',
    'utf-16': '{"model":"m"}'.encode('utf-16'),
    'latin-1': '{"model":"ü"}'.encode('latin-1'),
    'surrogate': b'{"model":"\\ud800"}',
    'byte order mark': b'\xef\xbb\xbf{"model":"m"}',
    'model is a number': b'{"model":7}',
    'model is a list': b'{"model":["m"]}',
    'no model': b'{}',
    'empty model': b'{"model":""}',
    'model with a nul': b'{"model":"a\\u0000b"}',
    'long model': json.dumps({'model': 'm' * 400}).encode(),
    'model that nobody has': b'{"model":"nobody"}',
}


@pytest.fixture
async def door():
    async with Door() as door:
        yield door


@pytest.mark.parametrize('path', [*NATIVE, '/api/show'])
@pytest.mark.parametrize('body', BROKEN.values(), ids=BROKEN)
async def test_ollamas_door_says_no_with_a_string(door, path, body):
    call = await door.post(path, body).end()
    assert call.status in (400, 404) and list(call.json) == ['error'] and isinstance(call.json['error'], str)
    assert call.json['error'] and call.headers['content-type'] == 'application/json; charset=utf-8'
    assert door.broker.submitted == []


@pytest.mark.parametrize('path', TRANSLATED)
@pytest.mark.parametrize('body', BROKEN.values(), ids=BROKEN)
async def test_openais_door_says_no_with_an_object(door, path, body):
    call = await door.post(path, body).end()
    error = call.json['error']
    assert call.status in (400, 404) and set(error) == {'message', 'type', 'param', 'code'}
    assert error['type'] == 'invalid_request_error' and error['message'] and call.headers['x-request-id']
    assert door.broker.submitted == []


@pytest.mark.parametrize(
    ('path', 'body', 'status', 'text'),
    [
        ('/api/chat', b'', 400, 'missing request body'),
        ('/api/chat', b'{}', 400, 'model is required'),
        ('/api/show', b'{}', 400, 'model is required'),
        ('/api/embeddings', b'{}', 400, 'model is required'),
        ('/api/generate', b'{}', 404, "model '' not found"),
        ('/api/embed', b'{}', 404, "model '' not found"),
        ('/api/chat', b'{"model":"x"}', 404, "model 'x' not found"),
        ('/api/generate', b'{"model":"x"}', 404, "model 'x' not found"),
        ('/api/embed', b'{"model":"x"}', 404, 'model "x" not found, try pulling it first'),
        ('/api/embeddings', b'{"model":"x"}', 404, 'model "x" not found, try pulling it first'),
        ('/api/chat', b'{"model":" x"}', 400, 'invalid model name'),
        ('/api/chat', b'[]', 400, 'json: cannot unmarshal array into Go value of type api.ChatRequest'),
        (
            '/api/chat',
            b'{"model":1}',
            400,
            'json: cannot unmarshal number into Go struct field ChatRequest.model of type string',
        ),
        ('/api/chat', b'{"model', 400, 'unexpected EOF'),
        ('/api/chat', b'{"model":x}', 400, "invalid character 'x' at byte 9 of the request"),
    ],
)
async def test_ollamas_own_words(door, path, body, status, text):
    call = await door.post(path, body).end()
    assert (call.status, call.json) == (status, {'error': text})


@pytest.mark.parametrize(
    ('more', 'param', 'word'),
    [
        ({'messages': []}, 'messages', 'too short'),
        ({'messages': None}, 'messages', 'Missing required'),
        ({'messages': 'hi'}, 'messages', 'Expected `array'),
        ({'messages': ['hi']}, 'messages[0]', 'Expected `object'),
        ({'messages': [{'content': 'x'}]}, 'messages[0]', 'role'),
        ({'messages': [{'role': 'user', 'content': 5}]}, 'messages[0].content', 'Expected'),
        ({'messages': [{'role': 'user', 'content': [{'type': 'video'}]}]}, 'messages.0.content', 'video'),
        (
            {
                'messages': [
                    {'role': 'user', 'content': [{'type': 'image_url', 'image_url': {'url': 'http://x/y.png'}}]}
                ]
            },
            'messages.0.content',
            'data: URL',
        ),
        (
            {
                'messages': [
                    {'role': 'user', 'content': [{'type': 'image_url', 'image_url': 'data:image/png;base64,%%'}]}
                ]
            },
            'messages.0.content',
            'base64',
        ),
        (
            {'messages': [{'role': 'assistant', 'tool_calls': [{'function': {'name': 'f', 'arguments': '[]'}}]}]},
            'messages.0.tool_calls',
            'not a JSON object',
        ),
        ({'n': 0}, 'n', '>= 1'),
        ({'n': 17}, 'n', '<= 16'),
        ({'max_tokens': 0}, 'max_tokens', '>= 1'),
        ({'temperature': 'hot'}, 'temperature', 'Expected `float'),
        ({'stop': 7}, 'stop', 'Expected'),
        ({'reasoning_effort': 'lots'}, 'reasoning_effort', 'one of'),
        ({'response_format': {'type': 'xml'}}, 'response_format.type', 'json_schema'),
        ({'response_format': {'type': 'json_schema'}}, 'response_format.json_schema', 'Missing required'),
        ({'service_tier': 'gold'}, 'service_tier', 'one of'),
        ({'tools': [{'type': 'function'}]}, 'tools', 'function'),
        ({'top_logprobs': 21}, 'top_logprobs', '<= 20'),
        ({'stream': 'yes'}, 'stream', 'Expected `bool'),
    ],
)
async def test_openais_door_names_the_field(door, more, param, word):
    call = await door.post('/v1/chat/completions', ASK | more).end()
    error = call.json['error']
    assert call.status == 400 and error['param'] == param and word in error['message']
    assert door.broker.submitted == []


@pytest.mark.parametrize(
    ('path', 'body', 'param'),
    [
        ('/v1/completions', {'model': 'm'}, 'prompt'),
        ('/v1/completions', {'model': 'm', 'prompt': [1, 2]}, 'prompt'),
        ('/v1/completions', {'model': 'm', 'prompt': ['a'] * 9, 'n': 2}, 'prompt'),
        ('/v1/embeddings', {'model': 'm'}, 'input'),
        ('/v1/embeddings', {'model': 'm', 'input': [[1, 2]]}, 'input'),
        ('/v1/embeddings', {'model': 'm', 'input': []}, 'input'),
        ('/v1/embeddings', {'model': 'm', 'input': ['']}, 'input'),
        ('/v1/embeddings', {'model': 'm', 'input': 'x', 'encoding_format': 'hex'}, 'encoding_format'),
    ],
)
async def test_what_is_wrong_with_a_prompt_or_an_input(door, path, body, param):
    call = await door.post(path, body).end()
    assert call.status == 400 and call.json['error']['param'] == param


@pytest.mark.parametrize('path', [*NATIVE, *TRANSLATED])
@pytest.mark.parametrize('value', ['urgent', '16', '-1', '5.5', '٣', '9' * 5000])
async def test_a_priority_that_there_is_not(door, path, value):
    body = ASK | {'prompt': 'x', 'input': 'x'}
    call = door.call('POST', path, body, {'X-Queue-Priority': value.encode().decode('latin-1')})
    await call.end()
    assert call.status == 400 and 'X-Queue-Priority must be 0 to 15' in str(call.json['error'])


@pytest.mark.parametrize('path', [*NATIVE, *TRANSLATED])
async def test_what_is_too_deep_too_large_or_packed(door, path):
    deep, large = await door.post(path, DEEP).end(), await door.post(path, b'x' * (4 * 1024 * 1024 + 1)).end()
    packed = await door.post(path, b'\x1f\x8b', content_encoding='gzip').end()
    assert deep.status == 400 or door.broker.submitted  # Ollama itself may read what is nested deeply
    assert large.status == 413 and '4 MB at most' in str(large.json['error'])
    assert packed.status == 415 and 'gzip' in str(packed.json['error'])


@pytest.mark.parametrize('packed', ['gzip', 'deflate', 'zstd', 'br'])
async def test_every_door_says_what_it_takes_instead_of_a_body_that_is_packed(door, packed):
    description.describe(door.app)
    taking = [
        (method.upper(), path)
        for path, operations in door.app.openapi()['paths'].items()
        for method, told in operations.items()
        if 'requestBody' in told and 'Off:' not in told['summary'] and '{' not in path
    ]
    assert len(taking) >= 15
    for method, path in taking:
        call = await door.call(method, path, b'\x28\xb5\x2f\xfd', {'Content-Encoding': packed}).end()
        assert call.status == 415, (method, path, call.body)
        assert f'Content-Encoding {packed}' in str(call.json) and 'only identity is taken' in str(call.json), path


async def test_unknown_paths_and_methods_have_their_contracts_shape(door):
    for method, path, status, text in (
        ('GET', '/api/nothing', 404, '404 page not found'),
        ('POST', '/api/nothing', 404, '404 page not found'),
        ('GET', '/api/chat', 405, '405 method not allowed'),
        ('PUT', '/api/tags', 405, '405 method not allowed'),
    ):
        call = await door.call(method, path).end()
        assert (call.status, call.body.decode()) == (status, text), path
        assert call.headers['content-type'].startswith('text/plain')
    for method, path, status in (('GET', '/v1/nothing', 404), ('GET', '/v1/chat/completions', 405)):
        call = await door.call(method, path).end()
        assert call.status == status and set(call.json['error']) == {'message', 'type', 'param', 'code'}


async def test_without_any_machine_a_model_is_not_called_unknown(door):
    door.say(door.news.left())
    native, translated = await door.post('/api/chat', ASK).end(), await door.post('/v1/chat/completions', ASK).end()
    assert native.status == translated.status == 503 and native.headers['retry-after'] == '5'
    assert translated.json['error']['code'] == 'no_backend'


@pytest.mark.parametrize('name', ['m', 'M', 'm:latest', 'M:LATEST', 'library/m', 'registry.ollama.ai/library/m:latest'])
async def test_a_model_goes_by_every_name_that_ollama_takes(door, name):
    door.post('/api/chat', ASK | {'model': name})
    assert (await door.job()).model == 'm:latest'
