"""The official ``ollama`` package against the running desk, with the demo and with the stand-in Ollama."""

import ollama
import pytest

from tests import standin

pytestmark = pytest.mark.whole
MODELS = ('demo', 'qwen3')
ASK = [{'role': 'user', 'content': 'Say something.'}]


@pytest.fixture
def client(url):
    with ollama.Client(url) as client:
        yield client


@pytest.mark.parametrize('model', MODELS)
def test_a_chat_in_one_piece(client, model):
    answer = client.chat(model, ASK)
    assert answer.message.role == 'assistant' and len(answer.message.content) > 50
    assert answer.done and answer.done_reason == 'stop' and answer.eval_count > 0 and answer.total_duration > 0


@pytest.mark.parametrize('model', MODELS)
def test_a_chat_that_streams_says_the_same(client, model):
    parts = list(client.chat(model, ASK, stream=True))
    assert len(parts) > 3 and [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert ''.join(part.message.content for part in parts) == client.chat(model, ASK).message.content


@pytest.mark.parametrize('model', MODELS)
def test_what_follows_a_prompt(client, model):
    whole = client.generate(model, 'Say something.')
    parts = list(client.generate(model, 'Say something.', stream=True, options={'num_predict': 4}))
    assert len(whole.response) > 50 and whole.done_reason == 'stop'
    assert len(parts) == 5 and parts[-1].done_reason == 'length'
    assert whole.response.startswith(''.join(part.response for part in parts))


@pytest.mark.parametrize('model', ['demo', 'nomic-embed-text'])
def test_embeddings_new_and_old(client, model):
    found = client.embed(model, ['one', 'two'])
    assert len(found.embeddings) == 2 and found.embeddings[0] != found.embeddings[1]
    old = client.embeddings(model, 'one').embedding
    # Ollama's older ones are not normalised, so they have to be its own
    assert old == (pytest.approx(found.embeddings[0]) if model == 'demo' else [3.0, 4.0])


@pytest.mark.parametrize('model', MODELS)
def test_loading_and_unloading(client, model):
    assert client.chat(model, []).done_reason == 'load'
    assert client.generate(model, keep_alive=0).done_reason == 'unload'


async def test_all_of_it_asynchronously(url):
    async with ollama.AsyncClient(url) as client:
        for model in MODELS:
            whole = await client.chat(model, ASK)
            parts = [part async for part in await client.chat(model, ASK, stream=True)]
            assert ''.join(part.message.content for part in parts) == whole.message.content
            assert (await client.generate(model, 'x')).response
        assert len((await client.embed('demo', 'x')).embeddings) == 1
        assert (await client.list()).models and (await client.show('qwen3')).capabilities


def test_what_it_asks_beside_its_calls(client):
    listed = client.list().models
    assert 'qwen3:latest' in {model.model for model in listed} and 'demo' not in {model.model for model in listed}
    assert all(len(model.digest) == 64 and model.size > 0 for model in listed)
    shown = client.show('qwen3')
    assert shown.details.parameter_size == '8.2B' and 'completion' in shown.capabilities and shown.modelinfo
    client.ps()


@pytest.mark.parametrize(
    'call',
    [
        lambda client: client.pull('x'),
        lambda client: client.push('x'),
        lambda client: client.create('x', from_='qwen3'),
        lambda client: client.copy('qwen3', 'x'),
        lambda client: client.delete('qwen3'),
        lambda client: next(client.pull('x', stream=True)),
    ],
)
def test_models_cannot_be_changed_and_it_says_so(client, call):
    with pytest.raises(ollama.ResponseError) as refused:
        call(client)
    assert refused.value.status_code == 403 and 'does not let programs change its models' in refused.value.error


@pytest.mark.parametrize(
    ('model', 'status', 'text'),
    [
        ('nope', 404, "model 'nope' not found"),
        ('error-500', 500, 'failed to load model'),
        ('error-503', 503, standin.BUSY),
        ('crash', 500, standin.CRASHED),
        ('nomic-embed-text', 400, '"nomic-embed-text" does not support chat'),
    ],
)
@pytest.mark.parametrize('stream', [False, True])
def test_a_failure_before_the_first_word_has_ollamas_status_and_text(client, model, status, text, stream):
    with pytest.raises(ollama.ResponseError) as refused:
        list(client.chat(model, ASK, stream=stream))
    assert (refused.value.status_code, refused.value.error) == (status, text)


def test_a_failure_in_mid_answer_is_told_by_the_stream(client):
    said = []
    with pytest.raises(ollama.ResponseError, match='unexpected EOF'):
        said += (part.message.content for part in client.chat('error-mid', ASK, stream=True))
    with pytest.raises(ollama.ResponseError, match='unexpected EOF') as refused:
        client.chat('error-mid', ASK)
    assert refused.value.status_code == 500


def test_an_answer_that_ends_without_a_last_word_gets_one(client):
    last = list(client.chat('no-done', ASK, stream=True))[-1]
    assert last.done and last.done_reason == 'stop'
