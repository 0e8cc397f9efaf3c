"""A worker runs jobs for a broker that the test plays, on the demo and on a stand-in Ollama."""

import asyncio
import contextlib
import json
import time

import pytest

from broker import protocol
from tests.standin import Reply, Script
from tests.workers.benches import text_of
from tests.workers.crew import HANG, assign, stop, until_held, words, working
from tests.workers.fake_broker import JOB
from workers.engines.demo import DemoEngine
from workers.runs import MAX_TRACE_CHARS, trace_of


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


async def test_frames_that_are_not_understood_are_counted_and_dropped(broker, caplog):
    async with working(broker) as worker:
        for frame in (b'', b'\x00', b'\xff' * 1000, b'\x81\xa1t\xa6Assign', b'\x91' * 5000):
            broker.tell_raw(frame)
        broker.tell_raw(b'two', b'frames')
        broker.tell(assign())
        await broker.hear(protocol.Finished)
        assert worker._link.malformed == 6
    assert 'not understood' in caplog.text


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
