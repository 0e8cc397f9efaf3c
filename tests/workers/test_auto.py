"""Ollama as soon as it is there, the demo until then."""

import pytest

from tests.standin import Loaded, Reply, StandIn
from tests.workers.benches import body, collect
from workers.engines.answer import Deadlines
from workers.engines.auto import AutoEngine
from workers.engines.demo import DemoEngine
from workers.engines.ollama import OllamaEngine


@pytest.fixture
async def engine(ollama):
    made = AutoEngine(OllamaEngine(ollama.url, deadlines=Deadlines()), DemoEngine(chars_per_s=1e6))
    yield made
    await made.aclose()


async def test_without_ollama_it_is_the_demo_and_with_it_ollama(engine, ollama):
    await ollama.__aexit__()
    state = await engine.describe()
    assert (state.engine, [model.name for model in state.models], state.problem) == ('demo', ['demo'], '')
    assert engine.check_again_s() < 4
    async with StandIn(port=ollama.port, faults=False):
        state = await engine.describe()
        names = [(model.name, model.engine) for model in state.models]
        assert state.engine == 'ollama' and names[0] == ('qwen3:latest', 'ollama')
        assert names[-1] == ('demo', 'demo')


async def test_an_ollama_without_models_leaves_the_demo_and_says_why(engine, ollama):
    ollama.models.clear()
    state = await engine.describe()
    assert (state.engine, [model.name for model in state.models], state.problem) == ('demo', ['demo'], 'no_models')


async def test_a_path_and_a_canary_go_to_the_engine_of_the_model(engine, ollama):
    ollama.replies['/v1/x'] = Reply()
    ollama.loaded['qwen3:latest'] = Loaded(4096)
    await engine.describe()
    lines, _, failure = await collect(engine, 'raw', 'qwen3', b'{}', '/v1/x')
    assert failure is None and lines[0].startswith(b'{"status":200')
    lines, _, _ = await collect(engine, 'raw', 'demo', b'{}', '/v1/x')
    assert lines[0].startswith(b'{"status":501')
    assert engine.canary('qwen3:latest') is not None and engine.canary('demo') is None


async def test_each_model_runs_on_its_own_engine(engine, ollama):
    for model, served in (('demo', 0), ('llama3.2', 1)):
        _, _, failure = await collect(engine, 'chat', model, body('chat', model, {}))
        assert failure is None and len(ollama.served) == served
