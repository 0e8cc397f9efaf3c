"""What programs do with the client, on the real broker: batches, chains, schedules, shared jobs, replays."""

import asyncio
import json
import time

import msgspec
import pytest

from broker import client, errors, facts, protocol
from broker.job import AUTO_PRIORITY, State
from tests.broker.test_server import Broker, HandWorker, a_job, ipc, is_fact, until
from tests.conftest import PATIENCE_S


@pytest.fixture
def broker(tmp_path):
    made = Broker(tmp_path, ipc(tmp_path))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def worker(broker):
    made = HandWorker(broker.endpoints)
    yield made
    made.close()


@pytest.fixture
async def desk(broker):
    async with client.BrokerClient(broker.endpoints.for_peers()) as made:
        yield made


async def does(worker, *texts):
    """The worker takes one job after the other and says these texts; the bodies that it got."""
    bodies = []
    for text in texts:
        assign = await worker.hears(protocol.Assign)
        bodies.append(json.loads(assign.body))
        of_run = {'job_id': assign.job_id, 'epoch': assign.epoch}
        if text is None:
            failed = protocol.Failed(**of_run, code='bad', detail='no', retryable=False, trace='in line 7')
            await worker.say(failed)
        else:
            line = json.dumps({'message': {'content': text}}).encode()
            await worker.say(protocol.Tokens(**of_run, index=0, lines=(line,)))
            await worker.say(protocol.Finished(**of_run, lines=1, usage=facts.Usage()))
        await worker.hears(protocol.Settled)
    return bodies


async def until_ended(desk, job_id):
    def ends(item):
        return (
            isinstance(item, protocol.FactOut) and isinstance(item.fact, facts.JobEnded) and item.fact.job_id == job_id
        )

    await until(desk.feed(0), ends)
    return (await desk.get(job_id)).job


def said(lines):
    return ''.join(json.loads(line)['message']['content'] for line in lines)


async def test_a_batch_gives_its_results_in_the_order_of_submission(desk, worker):
    await worker.ready()
    batch_id = client.new_job_id()
    await desk.open_batch(batch_id, 4, name='four')
    jobs = [a_job(parent=batch_id, priority=number) for number in (1, 9, 5)]
    assert all(isinstance(each, protocol.Accepted) for each in await desk.submit_many(jobs))

    async def results():
        return [(job.job_id, str(job.state), said(lines)) async for job, lines in desk.batch_results(batch_id)]

    collecting = asyncio.create_task(results())
    await does(worker, 'a', 'b')
    last = a_job(parent=batch_id)
    await desk.submit(last)
    await does(worker, 'c', None)
    async with asyncio.timeout(40):
        found = await collecting
    assert [job_id for job_id, _, _ in found] == [job.job_id for job in (*jobs, last)]
    assert sorted(state for _, state, _ in found) == ['completed', 'completed', 'completed', 'dead']
    assert sorted(text for _, _, text in found) == ['', 'a', 'b', 'c']
    batch = await desk.batch(batch_id)
    assert (batch.completed, batch.dead, batch.ended_at > 0) == (3, 1, True)
    assert (await desk.batches())[0] == batch


async def test_a_batch_that_is_cancelled_gives_what_it_has(desk):
    batch_id = client.new_job_id()
    await desk.open_batch(batch_id, 5)
    await desk.open_batch(batch_id, 5)
    await desk.submit_many([a_job(parent=batch_id) for _ in range(3)])
    await desk.cancel_batch(batch_id)
    await desk.cancel_batch(batch_id)
    assert [job.state async for job, _ in desk.batch_results(batch_id)] == ['cancelled'] * 3
    with pytest.raises(errors.Refused, match='batch of yours'):
        await desk.submit(a_job(parent=batch_id))
    with pytest.raises(errors.Refused, match='no such batch'):
        await desk.batch(client.new_job_id())
    with pytest.raises(errors.Refused, match='no such batch'):
        await desk.cancel_batch(client.new_job_id())


async def test_a_long_batch_comes_in_pages(desk, monkeypatch):
    monkeypatch.setattr(client, 'PAGE', 3)
    batch_id = client.new_job_id()
    await desk.open_batch(batch_id, 10)
    jobs = [a_job(parent=batch_id) for _ in range(10)]
    await desk.submit_many(jobs)
    await desk.cancel_batch(batch_id)
    assert [job.job_id async for job, _ in desk.batch_results(batch_id)] == [job.job_id for job in jobs]


async def test_the_answer_of_one_job_is_in_the_question_of_the_next(desk, worker, broker):
    await worker.ready()
    first = a_job()
    second = a_job(after=(first.job_id,), body=b'{"prompt": "shorter: {{1}}"}')
    third = a_job(after=(first.job_id, second.job_id), body=b'{"prompt": "{{2}} or {{1}}"}')
    await desk.submit_many([third, second, first])
    bodies = await does(worker, '"a long"\n{{1}}', 'short', 'well')
    assert bodies[1:] == [{'prompt': 'shorter: "a long"\n{{1}}'}, {'prompt': 'short or "a long"\n{{1}}'}]
    late = a_job(after=(third.job_id,), body=b'{"prompt": "{{1}}"}')
    await until_ended(desk, third.job_id)
    await desk.submit(late)
    assert await does(worker, 'end') == [{'prompt': 'well'}]


async def test_a_body_that_grows_too_large_kills_the_job_with_the_reason(desk, worker):
    await worker.ready()
    first = a_job()
    second = a_job(after=(first.job_id,), body=b'{"prompt": "%s"}' % (b'{{1}}' * 5_000))
    await desk.submit_many([first, second])
    await does(worker, 'x' * 1_000)
    job = await until_ended(desk, second.job_id)
    assert (job.code, job.failures) == ('body_too_large', 1)
    third = a_job()
    await desk.submit(third)
    await does(worker, 'the slot is free')


async def test_a_schedule_makes_a_job_at_its_time(desk, broker, monkeypatch):
    schedule = protocol.Schedule(
        schedule_id='minutely', name='m', cron='* * * * *', kind='chat', model='m', body=b'{}', user='u'
    )
    await desk.set_schedule(schedule)
    with pytest.raises(errors.Refused, match="minute field '60'"):
        await desk.set_schedule(protocol.Schedule(**{**_fields(schedule), 'cron': '60 * * * *'}))
    (info,) = (await desk.schedules(runs=1)).schedules
    assert -PATIENCE_S < info.next_runs[0] - time.time() <= 60  # the minute may end while the answer is on its way
    # somebody puts the wall clock forward to just after the tick
    ahead_s = info.next_runs[0] + 1 - time.time()
    monkeypatch.setattr(broker.server._clock, 'wall_ahead_s', lambda: ahead_s)
    made = (await until(desk.feed(0), is_fact(facts.JobQueued)))[-1].fact
    assert (made.schedule, made.user) == ('minutely', 'u')
    await desk.remove_schedule('minutely')
    with pytest.raises(errors.Refused, match='no such schedule'):
        await desk.remove_schedule('minutely')


def _fields(schedule):
    return {name: getattr(schedule, name) for name in schedule.__struct_fields__}


async def test_schedules_and_keys_are_there_after_a_restart(desk, broker):
    await desk.set_schedule(
        protocol.Schedule(schedule_id='s', name='n', cron='0 0 1 1 *', kind='chat', model='m', body=b'{}')
    )
    first, second = a_job(idempotency_key='k'), a_job(idempotency_key='k')
    await desk.submit(first)
    await desk.cancel(first.job_id)
    broker.stop()
    broker.start()
    assert len((await desk.schedules()).schedules) == 1
    accepted = await desk.submit(second)
    assert (accepted.job_id, accepted.duplicate) == (first.job_id, True)
    with pytest.raises(errors.Refused) as conflict:
        await desk.submit(a_job(idempotency_key='k', body=b'{"other": 1}'))
    assert conflict.value.code == 'conflict'


async def test_two_who_ask_the_same_share_one_answer_and_each_may_leave(desk, worker):
    first, second = a_job(attach=True), a_job(attach=True)
    await desk.submit(first)
    accepted = await desk.submit(second)
    assert (accepted.job_id, accepted.duplicate) == (first.job_id, True)
    await desk.cancel(first.job_id, release=True)
    assert (await desk.get(first.job_id)).job.state is State.WAITING
    await worker.ready()
    await does(worker, 'for both')
    assert said((await desk.read_all(first.job_id)).lines) == 'for both'


async def test_all_dead_jobs_are_done_again_once(desk, worker):
    await worker.ready()
    jobs = [a_job(user='u', max_failures=1) for _ in range(3)]
    await desk.submit_many(jobs)
    await does(worker, None, None, None)
    await until_ended(desk, jobs[-1].job_id)
    assert await desk.replay_all(user='somebody else') == 0
    assert await desk.replay_all(user='u') == 3
    assert await desk.replay_all(user='u') == 0
    await does(worker, 'now', 'it', None)
    dead = [job async for job in desk.find_all(protocol.FindJobs(states=(State.DEAD,)))]
    assert len(dead) == 4
    assert (dead[-1].failures, dead[-1].starts) == (1, 1), 'the counters began anew'
    assert await desk.replay_all() == 1


async def test_a_chain_that_failed_is_done_again_as_a_chain(desk, worker):
    await worker.ready()
    first = a_job(max_failures=1)
    second = a_job(after=(first.job_id,), body=b'{"prompt": "say {{1}}"}')
    await desk.submit_many([first, second])
    await does(worker, None)
    await until_ended(desk, second.job_id)
    with pytest.raises(errors.Refused) as refused:
        await desk.replay(second.job_id, client.new_job_id())
    assert refused.value.code == 'unknown_job' and 'first' in refused.value.detail
    assert await desk.replay_all() == 2
    assert (await does(worker, 'hello', 'done'))[1] == {'prompt': 'say hello'}
    again = await desk.replay(second.job_id, client.replay_id(second.job_id))
    assert again.duplicate


async def test_a_replay_that_dies_at_once_is_not_done_again_in_the_same_go(desk, worker, monkeypatch):
    monkeypatch.setattr(client, 'PAGE', 1)
    await worker.ready()
    await desk.submit_many([a_job() for _ in range(3)])
    await does(worker, None, None, None)
    failing = asyncio.create_task(does(worker, *[None] * 1_000))
    async with asyncio.timeout(60):
        assert await desk.replay_all() == 3
    failing.cancel()
    await asyncio.gather(failing, return_exceptions=True)


async def test_the_stack_trace_of_a_failure_is_in_the_history(desk, worker):
    await worker.ready()
    job = a_job()
    await desk.submit(job)
    await does(worker, None)
    died = (await desk.history(job.job_id))[-1]
    assert isinstance(died, facts.JobDied) and died.trace == 'in line 7'


async def test_what_a_job_asks_can_be_read_while_it_waits_and_after_it_ended(desk, worker):
    job = a_job()
    await desk.submit(job)
    assert await desk.body(job.job_id) == job.body
    await worker.ready()
    await does(worker, 'Hi')
    await until_ended(desk, job.job_id)
    assert await desk.body(job.job_id) == job.body
    with pytest.raises(errors.Refused, match='no such job'):
        await desk.body(client.new_job_id())


async def test_the_first_words_of_jobs_can_be_read_for_lists(desk):
    asked, large = a_job(), a_job()
    asked = msgspec.structs.replace(
        asked, body=b'{"messages": [{"role": "user", "content": "Why is\\nthe sky blue?"}]}'
    )
    large = msgspec.structs.replace(large, body=b'{"prompt": "%s"}' % (b'x' * 200_000))
    await desk.submit(asked)
    await desk.submit(large)
    found = await desk.excerpts([client.new_job_id(), asked.job_id, large.job_id])
    assert found == ('', 'Why is the sky blue?', '')


async def test_a_guessed_priority_comes_back_with_the_rule(desk):
    job = a_job(priority=AUTO_PRIORITY, body='{"prompt": "十万火急"}'.encode())
    await desk.submit(job)
    found = (await desk.get(job.job_id)).job
    assert (found.priority, found.terms.priority_rule) == (10, 'urgent')
