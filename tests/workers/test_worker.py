"""A worker against a broker that the test plays, on the demo and on a stand-in Ollama."""

import asyncio
import contextlib
import json
import time
from pathlib import Path

import pytest

from broker import protocol
from tests.standin import Reply, Script
from tests.workers.benches import body, text_of
from tests.workers.fake_broker import JOB, FakeBroker
from workers.engines import choice
from workers.engines.demo import DemoEngine
from workers.runs import MAX_TRACE_CHARS, trace_of
from workers.settings import WorkerSettings
from workers.worker import Worker

HANG = {'demo': {'chars_per_s': 1e6, 'text': 'one two three', 'hang_after': 3}}
FAST = {'demo': {'chars_per_s': 1e6}}
Outcome = protocol.Finished | protocol.Failed | protocol.Stopped | protocol.HandBack


@pytest.fixture
async def broker():
    async with FakeBroker() as made:
        yield made


def start(broker, **settings):
    """A worker and the task that runs it."""
    fields = {'worker': 'here:1', 'engine': 'demo', 'slots': 2, 'drain_s': 0.0, 'data_dir': Path('nowhere')}
    made = WorkerSettings(endpoints=broker.endpoints, **(fields | settings))
    worker = Worker(made, choice.make(made))
    return worker, asyncio.create_task(worker.run())


@contextlib.asynccontextmanager
async def working(broker, **settings):
    """A worker that has signed in. It is drained at the end, unless the test has done so."""
    worker, task = start(broker, **settings)
    try:
        await broker.hear(protocol.Ready)
        yield worker
    finally:
        worker.stop()
        async with asyncio.timeout(40):
            await task


def assign(options=FAST, *, model='demo', job_id=JOB, epoch=1, kind='chat'):
    return protocol.Assign(job_id=job_id, epoch=epoch, kind=kind, model=model, body=body(kind, model, options))


def words(count):
    """A text of so many chunks."""
    return 'word' + ' word' * (count - 1)


def stop(*, job_id=JOB, epoch=1, stale=False):
    return protocol.Stop(job_id=job_id, epoch=epoch, stale=stale)


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


async def test_a_job_comes_back_line_by_line_and_ends_with_its_usage(broker):
    async with working(broker):
        broker.tell(assign())
        finished = await broker.hear(protocol.Finished)
        lines = broker.lines()
    assert 'ollama pull qwen3' in text_of(lines)
    last = json.loads(lines[-1])
    assert (finished.job_id, finished.epoch, finished.lines) == (JOB, 1, len(lines))
    assert finished.usage.output_tokens == last['eval_count'] and finished.usage.done_reason == 'stop'


async def test_the_first_line_comes_alone_and_fast_ones_are_joined(broker):
    async with working(broker):
        broker.tell(assign({'demo': {'chars_per_s': 2000, 'text': words(200)}}))
        await broker.hear(protocol.Finished)
    batches = [len(tokens.lines) for tokens in broker.of(protocol.Tokens)]
    assert batches[0] == 1 and sum(batches) == len(broker.lines()) == 201
    assert len(batches) < 60


async def test_lines_of_ollama_arrive_byte_for_byte(broker, ollama):
    ollama.models['m:latest'] = Script(text='你好 "q" \\n </x> ' * 50, thinking='嗯', done_text='!')
    async with working(broker, engine='ollama', ollama_url=ollama.url):
        broker.tell(assign({}, model='m'))
        await broker.hear(protocol.Finished)
    assert broker.lines() == ollama.served[0].lines


async def test_the_engine_is_asked_before_the_log_has_it(broker, monkeypatch, caplog):
    asked, run = [], DemoEngine.run

    def noted(self, *order):
        asked.append(started(caplog))
        return run(self, *order)

    monkeypatch.setattr(DemoEngine, 'run', noted)
    with caplog.at_level('INFO', logger='workers.worker'):
        async with working(broker):
            broker.tell(assign())
            await broker.hear(protocol.Finished)
    assert asked == [[]] and started(caplog) == [JOB]


def started(caplog):
    """The jobs of which the log says that they were begun."""
    return [record.job_id for record in caplog.records if getattr(record, 'action', '') == 'start']


async def test_a_failure_comes_after_the_lines_before_it(broker):
    async with working(broker):
        script = {'after': 2, 'code': 'busy', 'detail': 'full', 'retryable': True}
        broker.tell(assign({'demo': {'chars_per_s': 1e6, 'fail': script}}))
        failed = await broker.hear(protocol.Failed)
    assert (failed.code, failed.detail, failed.retryable, failed.usage.output_tokens) == ('busy', 'full', True, 2)
    assert len(broker.lines()) == 2 and isinstance(broker.heard[broker.heard.index(failed) - 1], protocol.Tokens)


@pytest.mark.parametrize('model', ['hang', 'hang-first', 'deaf'])
async def test_a_stop_closes_upstream_at_once(broker, ollama, model):
    async with working(broker, engine='ollama', ollama_url=ollama.url):
        broker.tell(assign({}, model=model))
        await ollama.until(lambda s: s.in_flight == 1)
        if model == 'hang':
            await broker.hear(protocol.Tokens)
        told = time.monotonic()
        broker.tell(stop())
        stopped = await broker.hear(protocol.Stopped)
        assert (stopped.job_id, stopped.epoch) == (JOB, 1)
        await ollama.until(lambda s: s.closes_seen == 1)
        assert ollama.served[0].closed_at - told < 20  # long before any time limit, also where the machine is busy


async def test_an_engine_that_does_not_let_go_holds_the_slot_for_a_while_only(broker, monkeypatch):
    let_go = asyncio.Event()

    async def stubborn(self, *_):
        while not let_go.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await let_go.wait()
        yield b'{}'

    monkeypatch.setattr('workers.engines.demo.DemoEngine._lines', stubborn)
    async with working(broker):
        broker.tell(assign())
        await until_held(broker, 1)
        broker.tell(stop())
        try:
            await broker.hear(protocol.Stopped)
        finally:
            let_go.set()


async def until(condition):
    """Wait for something that happens inside the worker and is told to nobody."""
    async with asyncio.timeout(40):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def until_held(broker, count):
    """Ask until the worker shows so many runs."""
    broker.tell(protocol.Identify())
    await broker.until(lambda: len(broker.of(protocol.Ready)[-1].runs) == count)


async def test_a_stop_for_an_unknown_run_is_answered_unless_it_is_stale(broker):
    async with working(broker):
        broker.tell(stop(epoch=9, stale=True), stop(epoch=8))
        assert (await broker.hear(protocol.Stopped)).epoch == 8
    assert len(broker.of(protocol.Stopped)) == 1


async def test_a_stale_stop_drops_the_run_in_silence(broker, ollama):
    async with working(broker, engine='ollama', ollama_url=ollama.url):
        broker.tell(assign({}, model='hang'))
        await broker.hear(protocol.Tokens)
        broker.tell(stop(stale=True))
        await ollama.until(lambda s: s.closes_seen == 1)
        await until_held(broker, 0)
    assert not broker.of(protocol.Stopped) and not broker.of(protocol.HandBack)


async def test_the_same_assign_twice_is_one_run(broker, ollama):
    async with working(broker, engine='ollama', ollama_url=ollama.url):
        broker.tell(assign({}, model='llama3.2'), assign({}, model='llama3.2'))
        await broker.hear(protocol.Tokens)
        broker.tell(assign({}, model='llama3.2'))
        await broker.hear(protocol.Finished)
    assert len(ollama.served) == 1 and broker.lines() == ollama.served[0].lines


async def test_an_assign_of_a_run_that_has_ended_brings_its_outcome_again(broker):
    broker.settles = False
    async with working(broker):
        broker.tell(assign())
        await broker.hear(protocol.Finished)
        broker.tell(assign())
        await broker.until(lambda: len(broker.of(protocol.Finished)) == 2)
        broker.tell(stop())
        await broker.until(lambda: len(broker.of(protocol.Finished)) == 3)
        broker.tell(protocol.Settled(job_id=JOB, epoch=1))
        await until_held(broker, 0)
    assert broker.lines()[-1] and len(set(broker.of(protocol.Finished))) == 1


async def test_a_newer_epoch_replaces_the_run_and_an_older_one_is_ignored(broker, ollama):
    async with working(broker, slots=1, engine='ollama', ollama_url=ollama.url):
        broker.tell(assign({}, model='hang', epoch=2))
        await broker.until(lambda: len(broker.lines(2)) == 3)
        broker.tell(assign({}, model='qwen3', epoch=1), assign({}, model='qwen3', epoch=3))
        finished = await broker.hear(protocol.Finished)
        await ollama.until(lambda s: s.closes_seen == 1)  # the old one is closed upstream
    assert finished.epoch == 3 and len(broker.lines(3)) == finished.lines
    assert not broker.lines(1) and len(ollama.served) == 2


async def test_a_job_beyond_the_slots_is_handed_back(broker):
    async with working(broker, slots=1):
        broker.tell(assign(HANG), assign(job_id='f' * 32))
        assert (await broker.hear(protocol.HandBack)).job_id == 'f' * 32


async def test_the_slot_is_free_once_the_outcome_is_known(broker):
    broker.settles = False
    async with working(broker, slots=1):
        for number in range(1, 4):
            broker.tell(assign(job_id=f'{number:032x}'))
            await broker.until(lambda: len(broker.of(protocol.Finished)) == number)  # noqa: B023
    assert len({finished.job_id for finished in broker.of(protocol.Finished)}) == 3


async def test_a_resend_gives_the_lines_from_there_and_the_outcome(broker):
    broker.settles = False
    async with working(broker):
        broker.tell(assign())
        await broker.hear(protocol.Finished)
        before = broker.lines()
        broker.heard.clear()
        broker.tell(protocol.Resend(job_id=JOB, epoch=1, index=7))
        finished = await broker.hear(protocol.Finished)
        again = broker.of(protocol.Tokens)
    assert again[0].index == 7 and [line for tokens in again for line in tokens.lines] == before[7:]
    assert broker.heard.index(finished) > broker.heard.index(again[-1])


async def test_a_long_answer_is_sent_again_in_messages_of_bounded_size(broker):
    broker.settles = False
    async with working(broker):
        broker.tell(assign({'demo': {'chars_per_s': 1e9, 'text': 'word ', 'length': 200_000}}))
        await broker.hear(protocol.Finished)
        whole = broker.lines()
        broker.heard.clear()
        broker.tell(protocol.Resend(job_id=JOB, epoch=1, index=0))
        await broker.hear(protocol.Finished)
    assert broker.lines() == whole and len(broker.of(protocol.Tokens)) > 1
    for tokens in broker.of(protocol.Tokens):
        assert sum(map(len, tokens.lines)) <= protocol.MAX_BATCH_BYTES


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


async def test_frames_that_are_not_understood_are_counted_and_dropped(broker, caplog):
    async with working(broker) as worker:
        for frame in (b'', b'\x00', b'\xff' * 1000, b'\x81\xa1t\xa6Assign', b'\x91' * 5000):
            broker.tell_raw(frame)
        broker.tell_raw(b'two', b'frames')
        broker.tell(assign())
        await broker.hear(protocol.Finished)
        assert worker._link.malformed == 6
    assert 'not understood' in caplog.text


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


@pytest.mark.parametrize('allowed', [True, False])
async def test_what_changes_ollama_is_open_only_where_the_settings_say_so(broker, ollama, allowed):
    ollama.replies['/api/pull'] = Reply()
    async with working(broker, engine='ollama', ollama_url=ollama.url, allow_admin=allowed):
        broker.tell(protocol.Assign(job_id=JOB, epoch=1, kind='raw', model='m', body=b'{}', path='/api/pull'))
        if allowed:
            await broker.hear(protocol.Finished)
        else:
            failed = await broker.hear(protocol.Failed)
            assert (failed.code, failed.retryable) == ('bad_request', False) and 'allow_admin' in failed.detail
    assert len(ollama.served) == allowed


async def test_a_raw_job_is_posted_to_its_path(broker, ollama):
    ollama.replies['/v1/rerank'] = Reply((b'{"usage":{"prompt_tokens":3}}',))
    broker.heartbeat_s = 0.05
    async with working(broker, engine='ollama', ollama_url=ollama.url):
        broker.tell(
            protocol.Assign(job_id=JOB, epoch=1, kind='raw', model='m', body=b'{"model":"m"}', path='/v1/rerank')
        )
        finished = await broker.hear(protocol.Finished)
        assert [served.path for served in ollama.served] == ['/v1/rerank'] and finished.usage.prompt_tokens == 3
        head, *parts = broker.lines()
        await broker.until(lambda: any(beat.quiet_s >= 0 for beat in broker.of(protocol.Heartbeat)))
    assert json.loads(head)['status'] == 200 and len(parts) == finished.lines - 1 == 1


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


async def test_a_bug_in_an_engine_is_a_failure_and_not_the_end_of_the_worker(broker, monkeypatch, caplog):
    def broken(self, *asked):
        try:
            raise ValueError(asked)
        except ValueError as error:
            raise KeyError('oops') from error

    async with working(broker):
        monkeypatch.setattr('workers.engines.demo.DemoEngine.run', broken)
        broker.tell(assign())
        failed = await broker.hear(protocol.Failed)
        assert (failed.code, failed.retryable) == ('worker_error', True)
        assert failed.trace.endswith('KeyError') and 'in broken' in failed.trace and 'workers/worker.py' in failed.trace
        assert 'ValueError' in failed.trace
        assert 'What is a queue?' not in failed.trace and 'What is a queue?' not in failed.detail
        monkeypatch.undo()
        broker.tell(assign(epoch=2))
        await broker.hear(protocol.Finished)
    assert 'oops' in caplog.text


def test_a_trace_is_cut_at_its_far_end_and_holds_no_words_of_anybody():
    def deeper(secret, depth):
        return deeper(secret, depth - 1) if depth else int(secret)

    secret = ' '.join(('my', 'secret'))
    with pytest.raises(ValueError) as caught:
        deeper(secret, 2)
    trace = trace_of(caught.value)
    assert trace.count('in deeper') == 3 and trace.endswith('ValueError') and secret not in trace
    error = caught.value
    for _ in range(50):
        outer = RuntimeError(secret)
        outer.__context__ = error
        outer.__traceback__ = error.__traceback__
        error = outer
    caught.value.__context__ = error  # a circle
    trace = trace_of(error)
    assert len(trace) == MAX_TRACE_CHARS and trace.endswith('RuntimeError') and secret not in trace


async def test_an_answer_without_end_is_ended(broker, monkeypatch):
    monkeypatch.setattr('workers.runs.MAX_ANSWER_BYTES', 10_000)
    async with working(broker):
        broker.tell(assign({'demo': {'chars_per_s': 1e9, 'text': 'word ', 'length': 10_000}}))
        assert (await broker.hear(protocol.Failed)).code == 'answer_too_large'
