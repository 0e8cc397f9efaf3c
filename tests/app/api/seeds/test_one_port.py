"""All six APIs at once on the one port of the running product, each spoken to as its own clients do."""

import asyncio
import json
import re
import shlex
import time
from collections.abc import AsyncIterator

import httpx
import ollama
import openai
import pytest
import websockets

from tests.conftest import PATIENCE_S, ROOT

pytestmark = pytest.mark.whole
MODEL = 'qwen3'


@pytest.fixture
async def http(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        yield client


async def demo6(http: httpx.AsyncClient) -> str:
    asked = {'userId': 'ann', 'prompt': 'Hi?', 'conversationHistory': [], 'priority': 8, 'model': MODEL}
    name = (await http.post('/api/chat', json=asked)).json()['jobId']
    text = ''
    async with http.stream('GET', f'/stream/result/{name}') as stream:
        async for line in stream.aiter_lines():
            event = json.loads(line.removeprefix('data: ')) if line else {}
            text += event.get('content', '')
    async with http.stream('GET', f'/stream/status/{name}') as stream:
        lines = [line async for line in stream.aiter_lines() if line]
    assert json.loads(lines[-1].removeprefix('data: '))['result']['response'] == text
    return text


async def ollama_queue(http: httpx.AsyncClient) -> str:
    task = {'type': 'chat', 'model': MODEL, 'priority': 15, 'payload': {'messages': [{'role': 'user', 'content': 'x'}]}}
    name = (await http.post('/api/tasks', json=task)).json()['task_id']

    async def status() -> dict:
        return (await http.get(f'/api/tasks/{name}')).json()

    return (await _ended(status, lambda told: told['status'] == 'completed'))['result']['message']['content']


async def llm_mq(http: httpx.AsyncClient) -> str:
    asked = {'user_id': 'u', 'content': 'x', 'priority': 'realtime', 'model': MODEL}
    told = (await http.post('/api/v1/messages', json=asked)).json()

    async def status() -> dict:
        return (await http.get(f'/api/v1/messages/{told["message_id"]}')).json()['data']

    return (await _ended(status, lambda data: data['status'] == 'completed'))['response']


async def ai_task(http: httpx.AsyncClient) -> str:
    told = (await http.post('/v1/chat/completions', json={'prompt': 'x', 'model': MODEL})).json()

    async def status() -> dict:
        return (await http.get(f'/v1/tasks/{told["task_id"]}')).json()

    text = (await _ended(status, lambda task: task['status'] == 1))['response_text']
    history = (await http.get(f'/v1/conversations/{told["conversation_id"]}/history')).json()
    assert [message['content'] for message in history['messages']] == ['x', text]
    return text


async def test_all_of_them_at_once_beside_the_official_clients(url, http):
    said = [{'role': 'user', 'content': 'x'}]
    api = openai.AsyncOpenAI(base_url=f'{url}/v1', api_key='none')
    async with ollama.AsyncClient(url) as native, api as translated, asyncio.TaskGroup() as group:
        seeds = [group.create_task(door(http)) for door in (demo6, ollama_queue, llm_mq, ai_task) for _ in range(3)]
        one = [group.create_task(native.chat(MODEL, said)) for _ in range(3)]
        two = [group.create_task(translated.chat.completions.create(model=MODEL, messages=said)) for _ in range(3)]
    texts = {task.result() for task in seeds} | {task.result().message.content for task in one}
    texts |= {task.result().choices[0].message.content for task in two}
    assert len(texts) == 1 and texts.pop()


async def test_every_call_is_in_the_list_and_the_figures(http):
    name = (await http.post('/api/chat', json={'userId': 'eve', 'prompt': 'x', 'model': MODEL})).json()['jobId']

    async def listed() -> list[dict]:
        return [task for task in (await http.get('/api/tasks')).json() if task['id'] == name]

    (task,) = await _ended(listed, lambda found: found and found[0]['status'] == 'completed')
    assert task['model'] == 'qwen3:latest' and task['payload']['messages'][-1]['content'] == 'x'
    status = (await http.get('/api/status')).json()
    assert status['cloud'] == {'disabled': True, 'source': 'none'} and status['workers_idle'] > 0
    health = (await http.get('/health')).json()
    assert {'status', 'version', 'timestamp', 'time'} <= health.keys() and health['status'] == 'ok'


async def test_the_list_comes_through_a_socket_but_not_to_pages_of_other_sites(url, http):
    address = url.replace('http', 'ws', 1) + '/ws'
    async with websockets.connect(address) as socket:
        first = json.loads(await socket.recv())
        name = (await http.post('/api/chat', json={'userId': 'zoe', 'prompt': 'x', 'model': MODEL})).json()['jobId']
        async with asyncio.timeout(40):
            while name not in {task['id'] for task in json.loads(await socket.recv())}:
                pass
        assert isinstance(first, list)
    async with websockets.connect(address, origin='http://localhost:3000') as socket:
        assert isinstance(json.loads(await socket.recv()), list)
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(address, origin='http://evil.example')
    assert refused.value.response.status_code == 403


async def test_pages_on_this_machine_may_call_the_older_paths_and_others_may_not(http):
    for path in ('/api/queue/stats', '/stream/status/x', '/api/v1/health', '/demo6/api/queue/stats'):
        ours = await http.get(path, headers={'Origin': 'http://localhost:3001'})
        assert ours.headers['access-control-allow-origin'] == 'http://localhost:3001'
        foreign = await http.get(path, headers={'Origin': 'http://evil.example'})
        assert foreign.status_code == 403 and 'access-control-allow-origin' not in foreign.headers


async def test_four_megabytes_are_the_limit_in_each_shape(http):
    for path, key in (
        ('/api/tasks', 'error'),
        ('/api/v1/messages', 'details'),
        ('/ai-task/v1/chat/completions', 'detail'),
    ):
        answer = await http.post(path, content=b'x' * 5_000_000)
        assert answer.status_code == 413 and '4 MB at most' in str(answer.json()[key])


def test_the_examples_in_the_readme_queue_a_job_each(url):
    section = (ROOT / 'docs' / 'apis.md').read_text(encoding='utf-8').partition('\n## APIs of older queues\n')[2]
    (examples,) = re.findall(r'```bash\n(.*?)```', section.partition('\n## ')[0], re.DOTALL)
    keys = ('jobId', 'task_id', 'message_id', 'task_id')
    for example, key in zip(examples.strip().splitlines(), keys, strict=True):
        words = shlex.split(example.replace('http://127.0.0.1:8080', url))
        told = httpx.post(
            words[1], content=words[3].encode(), headers={'Content-Type': 'application/x-www-form-urlencoded'}
        )
        assert words[0] == 'curl' and words[2] == '-d' and told.json()[key], told.text


async def _ended(ask, ready):
    """Ask until it is as it should be."""
    deadline = time.monotonic() + PATIENCE_S
    while not ready(told := await ask()):
        assert time.monotonic() < deadline, told
    return told
