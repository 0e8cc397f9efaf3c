"""Which models Ollama has in memory, and how it is asked for a token without changing that."""

import json

import pytest

from tests.standin import Loaded, Script
from tests.workers.benches import body, collect
from workers.engines.answer import Deadlines
from workers.engines.demo import DemoEngine
from workers.engines.ollama import OllamaEngine


@pytest.fixture
async def engine(ollama):
    ollama.models |= {name: Script(text='one two') for name in ('qwen3:latest', 'llama3.2:latest')}
    made = OllamaEngine(ollama.url, deadlines=Deadlines(first_token_s=0.3, idle_s=0.2, total_s=5))
    yield made
    await made.aclose()


async def resident(engine):
    return [model.name for model in (await engine.describe()).models if model.resident]


async def peck(engine, model):
    """Ask the canary; its failure or None."""
    async with engine.canary(model) as answer:
        return [json.loads(line) async for line in answer]


async def test_what_is_in_memory_is_told(engine, ollama):
    assert await resident(engine) == []
    await collect(engine, 'chat', 'qwen3', body('chat', 'qwen3', {}))
    assert await resident(engine) == ['qwen3:latest'] and (await engine.describe()).lasting == ()
    await collect(engine, 'chat', 'llama3.2', body('chat', 'llama3.2', {}, {'keep_alive': -1}))
    assert await resident(engine) == ['qwen3:latest', 'llama3.2:latest']
    assert (await engine.describe()).lasting == ('llama3.2:latest',)
    del ollama.loaded['qwen3:latest']
    assert await resident(engine) == ['llama3.2:latest']


async def test_an_ollama_that_does_not_tell_what_is_in_memory_is_no_worse_otherwise(engine, ollama):
    ollama.knows_ps = False
    ollama.loaded['qwen3:latest'] = Loaded(4096)
    assert await resident(engine) == [] and (await engine.describe()).problem == ''


async def test_the_demo_is_always_in_memory_and_needs_no_canary():
    engine = DemoEngine()
    assert await resident(engine) == ['demo'] and engine.canary('demo') is None


async def test_a_canary_is_one_token_and_loads_nothing(engine, ollama):
    asked = body('chat', 'qwen3', {'num_ctx': 8192, 'num_thread': 3, 'temperature': 1})
    await collect(engine, 'chat', 'qwen3', asked)
    await engine.describe()
    lines = await peck(engine, 'qwen3:latest')
    assert lines[-1]['done'] and lines[-1]['eval_count'] == 1
    sent = json.loads(ollama.served[-1].body)
    assert ollama.served[-1].path == '/api/generate' and 'keep_alive' not in sent
    assert sent['options'] == {'num_ctx': 8192, 'num_thread': 3, 'num_predict': 1}
    assert ollama.loads == ['qwen3:latest']


async def test_a_canary_follows_what_somebody_else_has_loaded(engine, ollama):
    await collect(engine, 'chat', 'qwen3', body('chat', 'qwen3', {'num_ctx': 8192}))
    ollama.loaded['qwen3:latest'] = Loaded(num_ctx=2048)
    await engine.describe()
    await peck(engine, 'qwen3:latest')
    assert ollama.loads == ['qwen3:latest'] and ollama.loaded['qwen3:latest'].num_ctx == 2048


async def test_what_is_not_in_memory_is_not_asked(engine, ollama):
    assert engine.canary('qwen3:latest') is None
    await engine.describe()
    assert engine.canary('qwen3:latest') is None and engine.canary('nobody') is None and not ollama.served


async def test_a_model_that_only_embeds_is_asked_for_a_vector_and_one_that_does_neither_for_nothing(engine, ollama):
    ollama.models['paints:latest'] = Script(capabilities=('image',))
    for name in ('nomic-embed-text:latest', 'paints:latest'):
        ollama.loaded[name] = Loaded(2048)
    await engine.describe()
    assert engine.canary('paints:latest') is None
    lines = await peck(engine, 'nomic-embed-text:latest')
    assert len(lines[0]['embeddings']) == 1 and ollama.served[-1].path == '/api/embed' and ollama.loads == []
