"""The stand-in says what Ollama 0.33 says."""

import asyncio
import json
import sys
from pathlib import Path

import httpx
import pytest

from tests.standin import Reply, Script


@pytest.fixture
async def http(ollama):
    async with httpx.AsyncClient(base_url=ollama.url, trust_env=False, verify=False) as client:
        yield client


async def test_it_greets_and_tells_its_version(http):
    assert (await http.get('/')).text == 'Ollama is running'
    assert (await http.head('/')).status_code == 200
    assert (await http.get('/api/version')).json() == {'version': '0.33.0'}
    assert (await http.get('/api/nothing')).text == '404 page not found'
    assert (await http.get('/api/chat')).status_code == 405


async def test_models_are_listed_shown_and_loaded(http):
    (first, *_) = (await http.get('/api/tags')).json()['models']
    assert first['name'] == first['model'] == 'qwen3:latest' and first['details']['quantization_level'] == 'Q4_K_M'
    shown = (await http.post('/api/show', json={'name': 'QWEN3'})).json()
    assert shown['model_info'] and 'completion' in shown['capabilities']
    assert (await http.get('/api/ps')).json() == {'models': []}
    loaded = await http.post('/api/chat', json={'model': 'qwen3'})
    assert loaded.headers['content-type'].startswith('application/json')
    assert loaded.json()['done_reason'] == 'load'
    assert [model['name'] for model in (await http.get('/api/ps')).json()['models']] == ['qwen3:latest']
    assert (await http.post('/api/generate', json={'model': 'qwen3', 'keep_alive': 0})).json()[
        'done_reason'
    ] == 'unload'
    assert (await http.get('/api/ps')).json() == {'models': []}


@pytest.mark.parametrize(
    ('path', 'sent', 'status', 'error'),
    [
        ('/api/chat', b'', 400, 'missing request body'),
        ('/api/chat', b'{}', 400, 'model is required'),
        ('/api/show', b'{}', 400, 'model is required'),
        ('/api/generate', b'{}', 404, "model '' not found"),
        ('/api/embed', b'{}', 404, "model '' not found"),
        ('/api/chat', b'{"model":"x"}', 404, "model 'x' not found"),
        ('/api/show', b'{"model":"x"}', 404, "model 'x' not found"),
        ('/api/embed', b'{"model":"x"}', 404, 'model "x" not found, try pulling it first'),
        ('/api/embed', b'{"model":"qwen3","input":[1]}', 400, 'invalid input type'),
        ('/api/chat', b'{"model":"nomic-embed-text"}', 400, '"nomic-embed-text" does not support chat'),
        ('/api/chat', b'{"model":"qwen3","options":{"seed":"x"}}', 500, 'option "seed" must be of type integer'),
        (
            '/api/chat',
            b'{"model":"error-503"}',
            503,
            'server busy, please try again.  maximum pending requests exceeded',
        ),
    ],
)
async def test_errors_have_their_status_and_words(http, path, sent, status, error):
    reply = await http.post(path, content=sent)
    assert (reply.status_code, reply.json()) == (status, {'error': error})


async def test_it_streams_unless_told_not_to(http, ollama):
    ollama.models['m:latest'] = Script(text='one two')
    asked = {'model': 'm', 'messages': [{'role': 'user', 'content': 'x'}]}
    streamed = await http.post('/api/chat', json=asked)
    assert streamed.headers['content-type'] == 'application/x-ndjson'
    chunks = [json.loads(line) for line in streamed.text.splitlines()]
    assert [chunk['message']['content'] for chunk in chunks] == ['one', ' two', '']
    assert [chunk['done'] for chunk in chunks] == [False, False, True]
    whole = await http.post('/api/chat', json=asked | {'stream': False})
    assert whole.headers['content-type'].startswith('application/json')
    assert whole.json()['message']['content'] == 'one two' and whole.json()['eval_count'] == 2


async def test_what_happened_can_be_asked(http, ollama):
    await http.post('/control/models', json={'m:latest': {'text': 'hi'}})
    await http.post('/api/generate', json={'model': 'm', 'prompt': 'x'})
    state = (await http.get('/control/state')).json()
    assert (state['in_flight'], state['closes_seen'], len(state['served'])) == (0, 0, 1)
    assert json.loads(state['served'][0]['lines'][0])['response'] == 'hi'


async def test_it_runs_so_many_at_once_and_the_others_wait_in_their_order(http, ollama):
    ollama.parallel = 2
    ollama.models['m:latest'] = Script(text='x', first_token_s=0.2)
    done = []

    async def ask(number):
        reply = await http.post('/api/generate', json={'model': 'm', 'prompt': 'x', 'stream': False})
        done.append(number)
        return reply.json()

    asked = []
    for number in range(5):
        asked.append(asyncio.create_task(ask(number)))
        await ollama.until(lambda s: len(s.served) == number + 1)  # noqa: B023
    asked[3].cancel()
    replies = await asyncio.gather(*asked, return_exceptions=True)
    assert sorted(done[:2]) == [0, 1] and sorted(done[2:]) == [2, 4] and ollama.most_queued == 3
    times = [replies[number] for number in (0, 1, 2, 4)]
    waited_s = [(t['total_duration'] - t['prompt_eval_duration'] - t['eval_duration']) / 1e9 for t in times]
    assert max(waited_s[:2]) < 0.1 < min(waited_s[2:])
    ollama.parallel = 0
    assert (await ask(9))['done']


async def test_memory_is_kept_as_asked_and_other_options_load_anew(http, ollama):
    ollama.models['qwen3:latest'] = ollama.models['llama3.2:latest'] = Script()
    for options in ({}, {'num_ctx': 4096}, {'num_ctx': 8192}):
        await http.post('/api/generate', json={'model': 'qwen3', 'prompt': 'x', 'options': options, 'stream': False})
    assert ollama.loads == ['qwen3:latest'] * 2
    await http.post('/api/generate', json={'model': 'llama3.2', 'keep_alive': -1})
    shown = {model['name']: model for model in (await http.get('/api/ps')).json()['models']}
    assert shown['qwen3:latest']['context_length'] == 8192 and shown['llama3.2:latest']['expires_at'] > '2100'
    await http.post('/api/generate', json={'model': 'llama3.2', 'prompt': 'x', 'keep_alive': 0, 'stream': False})
    assert [model['name'] for model in (await http.get('/api/ps')).json()['models']] == ['qwen3:latest']


async def test_other_paths_answer_as_they_are_told(http, ollama):
    ollama.replies['/v1/rerank'] = Reply((b'{"a"', b':1}'), status=418, headers={'X-A': 'b'})
    reply = await http.post('/v1/rerank?x=1', content=b'{}')
    assert (reply.status_code, reply.json(), reply.headers['x-a']) == (418, {'a': 1}, 'b')
    assert ollama.served[-1].path == '/v1/rerank?x=1'


@pytest.mark.parametrize('how', ['stdin ends', 'SIGTERM'])
async def test_as_a_process_it_prints_its_address_and_ends_in_order(how):
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        sys.executable, '-m', 'tests.standin', cwd=Path(__file__).parents[2], stdin=pipe, stdout=pipe
    )
    async with asyncio.timeout(60):
        url = json.loads(await child.stdout.readline())['url']
        async with httpx.AsyncClient(base_url=url, trust_env=False, verify=False) as client:
            assert next(m['name'] for m in (await client.get('/api/tags')).json()['models']) == 'qwen3:latest'
        child.stdin.close() if how == 'stdin ends' else child.terminate()
        assert await child.wait() == 0
        await child.stdout.read()
