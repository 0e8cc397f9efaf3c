"""Loading, pulling and removing models: both engines, and the worker that is sent on errands."""

import asyncio

import pytest

from broker import errand, protocol
from tests.standin import Library, Script, StandIn
from tests.workers.fake_broker import FakeBroker
from workers.engines.answer import Deadlines
from workers.engines.auto import AutoEngine
from workers.engines.demo import DemoEngine
from workers.engines.demo_models import DemoModels
from workers.engines.failure import EngineFailure
from workers.engines.ollama import OllamaEngine
from workers.errands import Errands
from workers.settings import WorkerSettings
from workers.worker import Worker


@pytest.fixture
async def ollama():
    async with StandIn(faults=False) as standin:
        yield standin


@pytest.fixture
async def engine(ollama):
    engine = OllamaEngine(ollama.url, deadlines=Deadlines())
    yield engine
    await engine.aclose()


def order(action, model, **fields):
    return errand.Order(errand_id=f'{action} {model}', action=action, model=model, **fields)


async def tend(engine, action, model, **fields):
    return [progress async for progress in engine.tend(order(action, model, **fields))]


async def names(engine):
    return [model.name for model in (await engine.describe()).models]


async def in_memory(engine):
    return {loaded.name: loaded for loaded in (await engine.describe()).loaded}


async def test_a_pull_tells_how_far_all_parts_together_are_and_the_model_is_there_then(ollama, engine):
    ollama.library['tiny:latest'] = Library(parts=(1000, 20), steps=4)
    told = await tend(engine, 'pull', 'tiny')
    assert [progress.completed for progress in told if progress.total == 1020][-1] == 1020
    assert sorted(progress.completed for progress in told) == [progress.completed for progress in told]
    assert told[-1].status == 'success'
    assert 'tiny:latest' in await names(engine)


async def test_a_pull_that_was_broken_goes_on_where_it_was(ollama, engine):
    ollama.library['tiny:latest'] = Library(parts=(1000, 20), steps=4, fault='reset')
    with pytest.raises(EngineFailure) as failure:
        await tend(engine, 'pull', 'tiny')
    assert failure.value.code == 'connection_lost'
    ollama.library['tiny:latest'] = Library(parts=(1000, 20), steps=4)
    assert next(p for p in await tend(engine, 'pull', 'tiny') if p.part_total == 1000).part_completed == 1000


@pytest.mark.parametrize(
    ('library', 'code'),
    [
        (None, 'unknown_model'),
        (Library(error='write /models/blobs/x: no space left on device'), 'disk_full'),
        (Library(error='Get "https://registry": dial tcp: lookup registry: no such host'), 'offline'),
        (Library(status=412, error='this model requires a newer version of Ollama'), 'engine_old'),
    ],
)
async def test_why_a_pull_failed_is_said_in_a_sentence_that_says_what_to_do(ollama, engine, library, code):
    if library is not None:
        ollama.library['tiny:latest'] = library
    with pytest.raises(EngineFailure) as failure:
        await tend(engine, 'pull', 'tiny')
    assert failure.value.code == code
    assert ';' in failure.value.detail


async def test_a_model_is_loaded_for_as_long_as_asked_and_unloaded(ollama, engine):
    await engine.describe()
    await tend(engine, 'load', 'qwen3:latest', keep_s=errand.FOR_EVER)
    await tend(engine, 'load', 'llama3.2:latest')
    await tend(engine, 'load', 'nomic-embed-text:latest')
    found = await in_memory(engine)
    assert found['qwen3:latest'].expires_at == errand.FOR_EVER
    assert found['llama3.2:latest'].expires_at > 0
    assert found['llama3.2:latest'].vram_bytes > 0
    assert 'nomic-embed-text:latest' in found
    for model in ('qwen3:latest', 'nomic-embed-text:latest'):
        await tend(engine, 'unload', model)
    assert list(await in_memory(engine)) == ['llama3.2:latest']


async def test_a_model_is_removed_and_one_that_is_not_there_is_named(ollama, engine):
    await tend(engine, 'remove', 'qwen3:latest')
    assert 'qwen3:latest' not in await names(engine)
    with pytest.raises(EngineFailure, match="model 'qwen3:latest' not found"):
        await tend(engine, 'remove', 'qwen3:latest')


async def test_an_engine_that_is_away_is_said_to_be(ollama):
    engine = OllamaEngine('http://127.0.0.1:9', deadlines=Deadlines())
    for action in ('pull', 'load', 'remove'):
        with pytest.raises(EngineFailure) as failure:
            await tend(engine, action, 'm')
        assert failure.value.code == 'unreachable'
    await engine.aclose()


async def test_the_demo_plays_it_all_and_says_so():
    demo = DemoEngine(models=DemoModels(pull_s=0))
    told = await tend(demo, 'pull', 'qwen3:8b')
    assert 'nothing is downloaded' in told[0].status
    assert await names(demo) == ['demo', 'qwen3:8b']
    async with demo.run('chat', 'qwen3:8b', b'{"messages": [], "options": {}}') as answer:
        assert [line async for line in answer]
    assert 'qwen3:8b' in await in_memory(demo)
    await tend(demo, 'unload', 'qwen3:8b')
    assert list(await in_memory(demo)) == ['demo']
    await tend(demo, 'remove', 'qwen3:8b')
    assert await names(demo) == ['demo']
    for action, model in (('remove', 'demo'), ('pull', 'no-such-model'), ('load', 'x')):
        with pytest.raises(EngineFailure):
            await tend(demo, action, model)


async def test_without_a_model_the_first_is_pulled_by_ollama_and_not_played(ollama):
    ollama.models.clear()
    both = AutoEngine(OllamaEngine(ollama.url, deadlines=Deadlines()), DemoEngine(models=DemoModels(pull_s=0)))
    await both.describe()
    await tend(both, 'pull', 'smollm')
    assert ollama.admin == [('/api/pull', 'smollm')]
    assert await names(both) == ['smollm:latest', 'demo']
    await both.aclose()


@pytest.fixture
async def at_work(ollama, tmp_path):
    """A worker on the stand-in, known to a fake broker."""
    async with FakeBroker() as broker:
        settings = WorkerSettings(data_dir=tmp_path, endpoints=broker.endpoints, worker='w:1', drain_s=0)
        worker = Worker(settings, OllamaEngine(ollama.url, deadlines=Deadlines()))
        running = asyncio.create_task(worker.run())
        await broker.hear(protocol.Ready)
        yield broker
        worker.stop()
        await running


def news(broker, errand_id):
    return [each.errand for each in broker.of(protocol.ErrandNews) if each.errand.errand_id == errand_id]


async def test_a_pulled_model_is_announced_before_the_end_of_the_pull_is(at_work):
    pull = order('pull', 'smollm:latest')
    at_work.tell(protocol.DoErrand(order=pull), protocol.DoErrand(order=pull))
    await at_work.until(lambda: any(each.final for each in news(at_work, pull.errand_id)))
    assert news(at_work, pull.errand_id)[-1].state == 'done'
    ready = max(i for i, m in enumerate(at_work.heard) if isinstance(m, protocol.Ready))
    assert 'smollm:latest' in [model.name for model in at_work.heard[ready].models]
    end = next(i for i, m in enumerate(at_work.heard) if isinstance(m, protocol.ErrandNews) and m.errand.final)
    assert ready < end


async def test_a_pull_is_cancelled_and_the_connection_to_the_engine_closed(ollama, at_work):
    ollama.library['long:latest'] = Library(steps=100_000, pause_s=0.01)
    at_work.tell(protocol.DoErrand(order=order('pull', 'long')))
    await at_work.until(lambda: any(each.completed for each in news(at_work, 'pull long')))
    at_work.tell(protocol.StopErrand(errand_id='pull long'))
    await at_work.until(lambda: news(at_work, 'pull long')[-1].state == 'cancelled')


async def test_a_broker_that_begins_anew_is_told_of_errands_again(ollama, at_work):
    ollama.library['long:latest'] = Library(steps=100_000, pause_s=0.01)
    at_work.tell(protocol.DoErrand(order=order('pull', 'long')))
    await at_work.until(lambda: news(at_work, 'pull long'))
    await at_work.stop()
    at_work.heard.clear()
    at_work.start()
    await at_work.until(lambda: news(at_work, 'pull long'))
    assert news(at_work, 'pull long')[0].state == 'running'


async def test_the_end_of_an_errand_is_told_once_and_again_only_where_it_did_not_get_out(at_work):
    at_work.tell(protocol.DoErrand(order=order('pull', 'smollm:latest')))
    await at_work.until(lambda: any(each.final for each in news(at_work, 'pull smollm:latest')))
    at_work.heard.clear()
    at_work.tell(protocol.Identify())
    await at_work.hear(protocol.Ready)
    at_work.tell(protocol.DoErrand(order=order('pull', 'smollm:latest')))  # it is asked for, so it is told
    await at_work.hear(protocol.ErrandNews)
    assert len(news(at_work, 'pull smollm:latest')) == 1


async def test_a_worker_that_stops_does_not_wait_for_a_pull(ollama, tmp_path):
    ollama.library['long:latest'] = Library(steps=100_000, pause_s=0.01)
    async with FakeBroker() as broker:
        settings = WorkerSettings(data_dir=tmp_path, endpoints=broker.endpoints, worker='w:1', drain_s=0)
        worker = Worker(settings, OllamaEngine(ollama.url, deadlines=Deadlines()))
        running = asyncio.create_task(worker.run())
        await broker.hear(protocol.Ready)
        broker.tell(protocol.DoErrand(order=order('pull', 'long')))
        await broker.until(lambda: any(each.completed for each in news(broker, 'pull long')))
        ollama.slow_tags_s = 60.0
        worker.stop()
        async with asyncio.timeout(40):
            await running


async def test_how_the_machine_and_the_engine_are_comes_with_the_first_heartbeat(ollama, at_work):
    await at_work.until(lambda: any(beat.vitals for beat in at_work.of(protocol.Heartbeat)))
    felt = next(beat.vitals for beat in at_work.of(protocol.Heartbeat) if beat.vitals)
    assert felt.memory_total > 0
    assert felt.cpus > 0
    ollama.models['extra:latest'] = Script()
    at_work.tell(protocol.DoErrand(order=order('load', 'extra:latest', keep_s=60)))
    await at_work.until(
        lambda: any(
            b.vitals and [m.name for m in b.vitals.loaded] == ['extra:latest'] for b in at_work.of(protocol.Heartbeat)
        )
    )


async def test_an_errand_that_is_stopped_in_the_moment_it_is_asked_for_is_told_as_cancelled():
    said, ended = [], asyncio.Event()

    def send(message):
        said.append(message.errand.state)
        if message.errand.final:
            ended.set()
        return True

    async def look():
        pass

    errands = Errands('w', DemoEngine(), send=send, look=look)
    errands.do(order('pull', 'tiny'))
    errands.stop('pull tiny')
    await asyncio.wait_for(ended.wait(), 40)
    errands.stop('pull tiny')
    assert said == ['running', 'cancelled', 'cancelled']
