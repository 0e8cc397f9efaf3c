"""Whatever goes wrong with Ollama, a client of each API hears of it in its own way and in time."""

import asyncio
import json

import httpx
import pytest

from tests.app.api.conftest import serving

pytestmark = pytest.mark.whole
PATHS = ('/api/chat', '/v1/chat/completions')
ASK = [{'role': 'user', 'content': 'Say something.'}]
BEFORE = {  # fails before the first word, whatever was tried: the status, and a word of the reason
    'error-500': (500, 'failed to load model'),
    'error-503': (503, 'server busy'),
    'crash': (500, 'unexpectedly stopped'),
    'hang-first': (504, 'nothing came for'),
}
MID = {  # after some words
    'error-mid': (500, 'unexpected EOF'),
    'busy-mid': (503, 'server busy'),
    'crash-mid': (500, 'unexpectedly stopped'),
    'reset': (503, 'connection to Ollama was lost'),
    'cut': (503, 'connection to Ollama was lost'),
    'garbage': (500, 'the engine sent'),
    'hang': (504, 'nothing came for'),
}


@pytest.fixture(scope='module')
def url(upstream, tmp_path_factory):
    """A desk that does not wait long for Ollama."""
    hasty = {'worker__first_token_timeout_s': '0.7', 'worker__idle_timeout_s': '0.7'}
    with serving(upstream, tmp_path_factory.mktemp('faults'), **hasty) as url:
        yield url


@pytest.fixture
def ask(url):
    """A function that asks a model by both APIs at once; returns both replies."""

    async def send(model: str, stream: bool) -> list[httpx.Response]:
        body = {'model': model, 'messages': ASK, 'stream': stream}
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            return await asyncio.gather(*(client.post(path, json=body) for path in PATHS))

    return send


@pytest.mark.parametrize('stream', [True, False])
@pytest.mark.parametrize('model', BEFORE)
async def test_before_the_first_word_it_has_a_status(ask, model, stream):
    status, reason = BEFORE[model]
    native, translated = await ask(model, stream)
    assert native.status_code == translated.status_code == status
    assert reason in native.json()['error'] and reason in translated.json()['error']['message']


@pytest.mark.parametrize('model', MID)
async def test_in_one_piece_it_has_a_status_too(ask, model):
    status, reason = MID[model]
    native, translated = await ask(model, False)
    assert native.status_code == translated.status_code == status
    assert reason in native.json()['error'] and reason in translated.json()['error']['message']


@pytest.mark.parametrize('model', MID)
async def test_in_mid_stream_it_is_the_last_line(ask, model):
    reason = MID[model][1]
    native, translated = await ask(model, True)
    *lines, last = native.text.splitlines()
    assert len(lines) == 3 and all(json.loads(line)['done'] is False for line in lines)
    assert reason in json.loads(last)['error']
    events = translated.text.split('\n\n')[:-1]
    assert reason in json.loads(events[-1].removeprefix('data: '))['error']['message']
    assert all(json.loads(event.removeprefix('data: '))['choices'] for event in events[:-1])


@pytest.mark.parametrize('stream', [True, False])
async def test_an_end_without_a_last_word_and_a_last_word_with_text(ask, stream):
    native, _ = await ask('no-done', stream)
    assert json.loads(native.text.splitlines()[-1])['done'] is True
    said = (await ask('done-text', stream))[1].text
    assert 'the very last' in said and '"finish_reason":"stop"' in said
