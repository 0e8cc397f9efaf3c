"""A worker that looks after its engine: what is in memory, canaries, the breaker, and how much runs at once."""

import asyncio
import json

import pytest

from broker import protocol
from tests.standin import Loaded, Script, StandIn
from tests.workers.crew import assign, until, working
from tests.workers.fake_broker import JOB

QWEN = 'qwen3:latest'


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Pauses of a test's size."""
    for name, seconds in {
        'workers.watch._LOOK_AFTER_S': 0.01,
        'workers.worker._LOADED_APART_S': 0.02,
        'workers.worker._ENDED_APART_S': 0.05,
        'workers.canary.FIRST_PAUSE_S': 0.1,
        'workers.breaker.FIRST_PAUSE_S': 0.1,
        'workers.engines.ollama._CANARY_S': 0.3,
    }.items():
        monkeypatch.setattr(name, seconds)


def on(ollama, **settings):
    return {'engine': 'ollama', 'ollama_url': ollama.url, 'canary_every_s': 0.0} | settings


def last(broker):
    return broker.of(protocol.Ready)[-1]


def problems(broker):
    return {model.name: model.problem for model in last(broker).models if model.problem}


def resident(broker):
    return [model.name for model in last(broker).models if model.resident]


def pecks(ollama):
    return [served for served in ollama.served if b'"num_predict":1' in served.body]


async def test_a_model_that_was_loaded_for_a_job_is_soon_known_to_be_in_memory(broker, ollama):
    ollama.models[QWEN] = Script()
    async with working(broker, **on(ollama)):
        assert resident(broker) == []
        broker.tell(assign({}, model='hang'))  # while the job still runs
        await broker.until(lambda: resident(broker) == ['hang:latest'])
        assert not broker.of(protocol.Finished)
        broker.tell(assign({}, model='qwen3', job_id='f' * 32))
        await broker.until(lambda: resident(broker) == [QWEN, 'hang:latest'])


async def test_a_model_that_leaves_memory_with_the_end_of_a_job_is_soon_known_to_be_gone(broker, ollama):
    ollama.loaded[QWEN] = Loaded(4096)
    async with working(broker, **on(ollama)):
        assert resident(broker) == [QWEN]
        asked = json.loads(assign({}, model='qwen3').body) | {'keep_alive': 0}
        broker.tell(protocol.Assign(job_id=JOB, epoch=1, kind='chat', model='qwen3', body=json.dumps(asked).encode()))
        await broker.until(lambda: resident(broker) == [])


async def test_a_worker_with_many_jobs_looks_seldom(broker, ollama, monkeypatch):
    monkeypatch.setattr('workers.worker._ENDED_APART_S', 60.0)
    ollama.models[QWEN] = Script(text='x')
    ollama.loaded[QWEN] = Loaded(4096)
    async with working(broker, **on(ollama)):
        for number in range(30):
            broker.tell(assign({}, model='qwen3', job_id=f'{number:032x}'))
            await broker.until(lambda: len(broker.of(protocol.Finished)) > number)  # noqa: B023
    assert ollama.ps_asked == 1  # the first one
    assert len(broker.of(protocol.Ready)) == 1


async def test_heartbeats_tell_how_long_the_engine_has_been_quiet(broker, ollama):
    broker.heartbeat_s = 0.05
    async with working(broker, **on(ollama)):
        assert (await broker.hear(protocol.Heartbeat)).quiet_s == -1.0
        ollama.models[QWEN] = Script()
        broker.tell(assign({}, model='qwen3'))
        await broker.hear(protocol.Finished)
        broker.heard.clear()
        await broker.until(lambda: len(broker.of(protocol.Heartbeat)) >= 3)
        beats = [beat.quiet_s for beat in broker.of(protocol.Heartbeat)]
        assert 0 <= beats[0] < beats[1] < beats[2] < 5


async def test_an_idle_model_in_memory_shows_that_it_works_and_no_other_is_loaded_for_it(broker, ollama):
    broker.heartbeat_s = 0.05
    ollama.loaded[QWEN] = Loaded(4096, keep_s=-1)
    async with working(broker, **on(ollama, canary_every_s=0.1)):
        await ollama.until(lambda s: len(pecks(s)) >= 2)
        await broker.until(
            lambda: broker.of(protocol.Heartbeat)[-1:] and broker.of(protocol.Heartbeat)[-1].quiet_s >= 0
        )
    assert {json.loads(served.body)['model'] for served in ollama.served} == {QWEN}
    assert ollama.loads == [] and problems(broker) == {} and len(broker.of(protocol.Ready)) == 1


async def test_a_model_that_is_to_leave_memory_is_not_kept_there(broker, ollama):
    ollama.loaded[QWEN] = Loaded(4096, keep_s=300)
    ollama.loaded['llama3.2:latest'] = Loaded(4096, keep_s=-1)
    async with working(broker, **on(ollama, canary_every_s=0.05)):
        await ollama.until(lambda s: len(pecks(s)) >= 5)
    asked = [json.loads(served.body)['model'] for served in ollama.served]
    assert asked.count(QWEN) == 1


async def test_a_canary_that_fails_marks_its_model_until_one_succeeds(broker, ollama):
    ollama.models[QWEN] = Script(fault='hang', after=0)
    ollama.loaded[QWEN] = Loaded(4096)
    async with working(broker, **on(ollama, canary_every_s=0.1)):
        await broker.until(lambda: problems(broker) == {QWEN: 'canary_failed'})
        assert last(broker).problem == ''
        ollama.models[QWEN] = Script()
        await broker.until(lambda: problems(broker) == {})
    assert len(pecks(ollama)) >= 2 and ollama.loads == []


async def test_a_job_that_comes_ends_the_canary_at_once(broker, ollama):
    ollama.models[QWEN] = Script(fault='hang', after=0)
    ollama.loaded[QWEN] = Loaded(4096, keep_s=-1)
    async with working(broker, **on(ollama, canary_every_s=0.1)):
        await ollama.until(lambda s: s.in_flight == 1)
        (canary,) = pecks(ollama)
        broker.tell(assign({}, model='llama3.2'))
        await broker.hear(protocol.Finished)
        assert canary.closed_at and canary.closed_at < ollama.served[1].started_at + 0.2
        assert problems(broker) == {}


async def test_no_canary_runs_beside_a_job(broker, ollama):
    ollama.loaded[QWEN] = Loaded(4096, keep_s=-1)
    async with working(broker, **on(ollama, canary_every_s=0.05)):
        broker.tell(assign({}, model='hang'))
        await broker.hear(protocol.Tokens)
        before, looks = len(pecks(ollama)), ollama.ps_asked
        with pytest.raises(TimeoutError):
            await ollama.until(lambda s: len(pecks(s)) > before, timeout_s=0.4)
        assert ollama.ps_asked <= looks + 1
        broker.tell(protocol.Stop(job_id=JOB, epoch=1))
        await ollama.until(lambda s: len(pecks(s)) > before)


async def test_a_model_that_has_left_memory_meanwhile_is_not_loaded_by_a_canary(broker, ollama):
    ollama.loaded[QWEN] = Loaded(4096)
    async with working(broker, **on(ollama, canary_every_s=0.2)):
        ollama.loaded.clear()
        await broker.until(lambda: resident(broker) == [])
    assert not ollama.served and ollama.loads == []


async def fail(broker, count, model='error-503'):
    for number in range(count):
        broker.tell(assign({}, model=model, job_id=f'{number:032x}'))
        await broker.until(lambda: len(broker.of(protocol.Failed)) > number)  # noqa: B023


async def test_after_failures_in_a_row_jobs_are_handed_back_until_a_canary_succeeds(broker, ollama):
    ollama.loaded[QWEN] = Loaded(4096)
    ollama.models[QWEN] = Script(status=503, error='busy')
    async with working(broker, **on(ollama, canary_every_s=300, breaker_failures=3)):
        await fail(broker, 3)
        await broker.until(lambda: last(broker).problem == 'breaker_open')
        # the news come before the outcome, which frees a slot that is none any more
        assert broker.heard.index(last(broker)) < broker.heard.index(broker.of(protocol.Failed)[-1])
        assert last(broker).slots == 2 and QWEN in [model.name for model in last(broker).models]
        broker.tell(assign({}, model='llama3.2', job_id='f' * 32))
        assert (await broker.hear(protocol.HandBack)).job_id == 'f' * 32
        await ollama.until(lambda s: len(pecks(s)) >= 2)  # it asks, in vain
        assert last(broker).problem == 'breaker_open'
        ollama.models[QWEN] = Script()
        await broker.until(lambda: last(broker).problem == '')
        broker.tell(assign({}, model='llama3.2', epoch=2))
        await broker.hear(protocol.Finished)


async def test_without_a_model_in_memory_one_job_decides_whether_the_breaker_closes(broker, ollama):
    async with working(broker, **on(ollama, breaker_failures=2)):
        await fail(broker, 2)
        await broker.until(lambda: last(broker).problem == 'breaker_open')
        await broker.until(lambda: (last(broker).problem, last(broker).slots) == ('', 1))
        broker.tell(assign({}, model='hang', job_id='e' * 32), assign({}, model='qwen3', job_id='f' * 32))
        assert (await broker.hear(protocol.HandBack)).job_id == 'f' * 32
        broker.tell(protocol.Stop(job_id='e' * 32, epoch=1))
        await broker.hear(protocol.Stopped)
        broker.tell(assign({}, model='qwen3', job_id='d' * 32))
        await broker.hear(protocol.Finished)
        await broker.until(lambda: last(broker).slots == 2)


async def test_an_ollama_that_was_away_is_used_again_as_soon_as_it_is_back(broker, ollama, monkeypatch):
    monkeypatch.setattr('workers.engines.ollama._CHECK_SOON_S', 0.05)
    monkeypatch.setattr('workers.engines.ollama._CHECK_AGAIN_S', 0.05)
    monkeypatch.setattr('workers.breaker.FIRST_PAUSE_S', 60.0)
    async with working(broker, **on(ollama, breaker_failures=1)):
        await fail(broker, 1)
        await broker.until(lambda: last(broker).problem == 'breaker_open')
        await ollama.__aexit__()
        await broker.until(lambda: last(broker).problem == 'unreachable')
        async with StandIn(port=ollama.port):
            await broker.until(lambda: last(broker).problem == '' and last(broker).models)


async def test_a_mistake_of_one_caller_does_not_open_the_breaker(broker, ollama):
    async with working(broker, **on(ollama, breaker_failures=2)):
        await fail(broker, 5, model='error-500')
        broker.tell(assign({}, model='qwen3', job_id='f' * 32))
        await broker.hear(protocol.Finished)
    assert not [ready for ready in broker.of(protocol.Ready) if ready.problem]


async def feed(broker, ollama, enough):
    """Keep the worker busy to the brim, as the broker would."""
    given = 0
    while not enough():
        finished = {finished.job_id for finished in broker.of(protocol.Finished)}
        while given - len(finished) < last(broker).slots:
            given += 1
            broker.tell(assign({}, model='qwen3', job_id=f'{given:032x}'))
        before = len(broker.heard)
        await broker.until(lambda: len(broker.heard) > before)  # noqa: B023
        assert ollama.queued <= 1 and not broker.of(protocol.HandBack)


@pytest.mark.parametrize('takes', [1, 2])
async def test_slots_settle_at_what_ollama_runs_at_once_and_one_job_at_most_is_queued_there(
    broker, ollama, takes, monkeypatch
):
    monkeypatch.setattr('workers.parallel._LEAST_WAIT_S', 0.12)
    ollama.parallel = takes
    ollama.models[QWEN] = Script(text='one two three', first_token_s=0.3, chars_per_s=500)
    async with working(broker, **on(ollama, slots=0)):
        assert last(broker).slots == 1
        await feed(broker, ollama, lambda: last(broker).saturated)
        slots = [ready.slots for ready in broker.of(protocol.Ready)]
        assert max(slots) == takes + 1 and slots[-1] == takes
        assert ollama.most_queued == 1


async def test_slots_that_are_given_stay_and_it_is_told_that_they_are_too_many(broker, ollama):
    ollama.parallel = 1
    ollama.models[QWEN] = Script(text='one two three', first_token_s=0.2, chars_per_s=500)
    async with working(broker, **on(ollama, slots=2)):
        broker.tell(*(assign({}, model='qwen3', job_id=f'{number:032x}') for number in range(2)))
        await broker.until(lambda: last(broker).saturated)
        assert {ready.slots for ready in broker.of(protocol.Ready)} == {2}


async def test_a_broken_canary_does_not_end_the_worker(broker, ollama, monkeypatch, caplog):
    tried = asyncio.Event()

    def broken(self, model):
        tried.set()
        raise KeyError('oops')

    monkeypatch.setattr('workers.engines.ollama.OllamaEngine.canary', broken)
    ollama.loaded[QWEN] = Loaded(4096)
    async with working(broker, **on(ollama, canary_every_s=0.05)) as worker:
        async with asyncio.timeout(40):
            await tried.wait()
        broker.tell(assign({}, model='llama3.2'))
        await broker.hear(protocol.Finished)
        await until(worker._idle)
    assert problems(broker) == {} and 'oops' in caplog.text
