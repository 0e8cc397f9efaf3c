"""A worker signs in, tells what changed, outlives its broker, drains and leaves."""

import asyncio
import time
from pathlib import Path

import pytest

from broker import protocol
from tests.workers.benches import text_of
from tests.workers.crew import HANG, assign, start, until, until_held, words, working
from tests.workers.fake_broker import JOB, FakeBroker
from workers.engines import choice
from workers.settings import WorkerSettings
from workers.worker import Worker


async def test_it_signs_in_with_what_it_can_do(broker):
    announced = []
    made = WorkerSettings(endpoints=broker.endpoints, worker='w:7', engine='demo', slots=3, data_dir=Path('nowhere'))
    worker = Worker(made, choice.make(made), on_ready=announced.append)
    task = asyncio.create_task(worker.run())
    ready = await broker.hear(protocol.Ready)
    assert (ready.worker, ready.slots, ready.engine, ready.problem) == ('w:7', 3, 'demo', '')
    assert ready.models[0].name == 'demo' and ready.runs == () and ready.pid and ready.host and ready.session
    await until(lambda: announced)  # it was made welcome
    worker.stop()
    await task
    assert announced == ['demo'] and broker.of(protocol.Ready) == [ready]


async def test_over_tcp_it_signs_in_encrypted_and_comes_back_after_a_restart():
    async with FakeBroker(tcp=True) as broker, working(broker):
        broker.tell(assign())
        await broker.hear(protocol.Finished)
        await broker.stop()
        broker.heard.clear()
        broker.start()
        await broker.hear(protocol.Ready)


async def test_after_a_restart_of_the_broker_the_answer_goes_on_where_it_asks(broker):
    async with working(broker) as worker:
        broker.tell(assign({'demo': {'chars_per_s': 1000, 'text': words(150)}}))
        await broker.until(lambda: len(broker.lines()) >= 20)
        before = broker.lines()
        await broker.stop()
        broker.heard.clear()
        await until(lambda: len(worker._runs[JOB].lines) > len(before) + 3)  # while nobody is there
        broker.start()
        ready = await broker.hear(protocol.Ready)
        (shown,) = ready.runs
        assert (shown.job_id, shown.epoch) == (JOB, 1) and shown.index >= len(before)
        broker.tell(protocol.Resend(job_id=JOB, epoch=1, index=len(before)))
        await broker.until(lambda: any(tokens.index == len(before) for tokens in broker.of(protocol.Tokens)))
        finished = await broker.hear(protocol.Finished)
        rest = {}
        for tokens in broker.of(protocol.Tokens):
            rest |= dict(enumerate(tokens.lines, tokens.index))
    assert sorted(rest)[0] >= len(before) - 1
    whole = before + [rest[index] for index in range(len(before), finished.lines)]
    assert text_of(whole) == words(150)


async def test_an_outcome_that_was_lost_with_the_broker_is_sent_to_the_next_one(broker):
    broker.settles = False
    async with working(broker):
        broker.tell(assign())
        finished = await broker.hear(protocol.Finished)
        await broker.stop()
        broker.heard.clear()
        broker.start()
        broker.settles = True
        assert (await broker.hear(protocol.Ready)).runs == (protocol.Run(job_id=JOB, epoch=1, index=finished.lines),)
        assert await broker.hear(protocol.Finished) == finished
        await until_held(broker, 0)


async def test_a_job_finished_without_any_broker_is_told_to_the_next_one(broker):
    async with working(broker) as worker:
        broker.tell(assign({'demo': {'chars_per_s': 200, 'text': words(10)}}))
        await broker.hear(protocol.Tokens)
        await broker.stop()
        broker.heard.clear()
        await until(lambda: worker._runs[JOB].outcome is not None)
        broker.start()
        finished = await broker.hear(protocol.Finished)
        assert finished.lines == 11


async def test_heartbeats_come_as_often_as_the_broker_wants_and_repeat_what_is_not_settled(broker):
    broker.heartbeat_s, broker.settles = 0.05, False
    async with working(broker):
        broker.tell(assign(HANG), assign(job_id='f' * 32))
        await broker.until(lambda: len(broker.of(protocol.Finished)) >= 3)
        await broker.until(lambda: len(broker.of(protocol.Heartbeat)) >= 3)
        runs = broker.of(protocol.Heartbeat)[-1].runs
        assert {(run.job_id, run.index) for run in runs} >= {(JOB, 3)} and len(runs) == 2
        broker.settles = True


async def test_a_drain_lets_runs_finish_and_takes_no_new_ones(broker):
    async with working(broker, drain_s=5) as worker:
        broker.tell(assign({'demo': {'chars_per_s': 200, 'text': words(10)}}))
        await broker.hear(protocol.Tokens)
        worker.stop()
        await broker.hear(protocol.Bye)
        broker.tell(assign(job_id='f' * 32))
        assert (await broker.hear(protocol.HandBack)).job_id == 'f' * 32
        assert (await broker.hear(protocol.Finished)).lines == 11
        await broker.until(lambda: len(broker.of(protocol.Bye)) == 2)
    assert [bye.draining for bye in broker.of(protocol.Bye)] == [True, False]


async def test_a_drain_hands_back_what_does_not_finish_in_time(broker, ollama):
    began = time.monotonic()
    async with working(broker, engine='ollama', ollama_url=ollama.url, drain_s=0.1) as worker:
        broker.tell(assign({}, model='hang'))
        await broker.hear(protocol.Tokens)
        worker.stop()
        back = await broker.hear(protocol.HandBack)
        assert (back.job_id, back.epoch) == (JOB, 1)
        await ollama.until(lambda s: s.closes_seen == 1)
        await broker.until(lambda: len(broker.of(protocol.Bye)) == 2)
    assert time.monotonic() - began < 30


async def test_a_drain_without_a_broker_ends_in_time(broker):
    began = time.monotonic()
    async with working(broker, drain_s=0.2) as worker:
        broker.tell(assign(HANG))
        await broker.hear(protocol.Tokens)
        await broker.stop()
        worker.stop()
    assert time.monotonic() - began < 30


async def test_told_to_leave_it_takes_nothing_new_and_ends_when_its_runs_have(broker):
    worker, task = start(broker, drain_s=0.0)
    await broker.hear(protocol.Ready)
    broker.tell(assign({'demo': {'chars_per_s': 100, 'text': words(10)}}))
    await broker.hear(protocol.Tokens)
    assert not worker.left
    broker.tell(protocol.Leave(grace_s=60))
    await broker.hear(protocol.Bye)
    broker.tell(assign(job_id='f' * 32))
    assert (await broker.hear(protocol.HandBack)).job_id == 'f' * 32
    assert (await broker.hear(protocol.Finished)).lines == 11
    async with asyncio.timeout(40):
        await task
    await broker.until(lambda: [bye.draining for bye in broker.of(protocol.Bye)] == [True, False])
    assert worker.left


@pytest.mark.parametrize('sooner', [-1.0, 0.1, float('nan'), 'a stop'])
async def test_what_is_left_after_the_grace_is_handed_back_and_the_grace_can_only_get_shorter(broker, sooner):
    worker, task = start(broker, drain_s=0.1)
    await broker.hear(protocol.Ready)
    broker.tell(assign(HANG))
    await broker.hear(protocol.Tokens)
    broker.tell(protocol.Leave(grace_s=60), protocol.Leave(grace_s=600))
    await broker.hear(protocol.Bye)
    assert not task.done()
    worker.stop() if sooner == 'a stop' else broker.tell(protocol.Leave(grace_s=sooner))
    broker.tell(protocol.Leave(grace_s=60))
    assert (await broker.hear(protocol.HandBack)).job_id == JOB
    async with asyncio.timeout(40):
        await task
    assert worker.left


async def test_a_stop_is_no_leave(broker):
    async with working(broker) as worker:
        pass
    assert not worker.left


async def test_labels_are_announced(broker):
    async with working(broker, labels='gpu, big'):
        assert broker.of(protocol.Ready)[0].labels == ('gpu', 'big')


@pytest.mark.parametrize('labels', ['a b', 'x' * 41, '-a', ('a', ''), ','.join(map(str, range(17)))])
def test_labels_are_short_words(broker, labels):
    with pytest.raises(ValueError):
        WorkerSettings(endpoints=broker.endpoints, worker='w', data_dir=Path('nowhere'), labels=labels)


async def test_a_changed_engine_is_announced(broker, ollama, monkeypatch):
    monkeypatch.setattr('workers.engines.ollama._CHECK_SOON_S', 0.05)
    monkeypatch.setattr('workers.engines.ollama._CHECK_AGAIN_S', 0.05)
    await ollama.__aexit__()
    async with working(broker, engine='auto', ollama_url=ollama.url):
        assert broker.of(protocol.Ready)[0].engine == 'demo'
        await ollama.__aenter__()
        await broker.until(lambda: broker.of(protocol.Ready)[-1].engine == 'ollama')
        await ollama.__aexit__()
        await broker.until(lambda: broker.of(protocol.Ready)[-1].engine == 'demo')


async def test_a_model_that_vanished_is_noticed_when_a_job_fails_on_it(broker, ollama):
    async with working(broker, engine='ollama', ollama_url=ollama.url):
        del ollama.models['qwen3:latest']
        broker.tell(assign({}, model='qwen3'))
        assert (await broker.hear(protocol.Failed)).code == 'model_not_found'
        await broker.until(lambda: 'qwen3:latest' not in [m.name for m in broker.of(protocol.Ready)[-1].models])
