"""The number of worker processes follows the load of the running product, and no job suffers from it."""

import asyncio

import pytest

from broker import facts, protocol
from tests.conftest import wait_for
from tests.whole.test_kills import a_job, is_fact, queue_of, text_of, until

pytestmark = pytest.mark.whole

TEXT = 'one of many. ' * 30
QUICK = {
    'CORRAL_POOL__GROW_AFTER_S': '0.1',
    'CORRAL_POOL__SHRINK_AFTER_S': '0.5',
    'CORRAL_POOL__MAX_CPU_PERCENT': '100',
    'CORRAL_POOL__MIN_FREE_MB': '0',
}


def is_step(item, *kinds):
    return isinstance(item, protocol.FactOut) and isinstance(item.fact, kinds)


def workers_of(desk):
    return sorted(name for name in desk.pids() if name.startswith('worker'))


async def test_a_burst_brings_more_workers_and_when_it_is_over_they_go(corral):
    desk = corral('--engine', 'demo', '--workers', '1..3', env=QUICK)
    assert workers_of(desk) == ['worker-1']
    assert desk.stderr == 'Starting broker, 1 worker (up to 3) and desk …\n'
    async with queue_of(desk) as queue:
        jobs, ends = [], []
        used: set[str] = set()
        feed = queue.feed(0)
        while len(used) < 3 or len(ends) < len(jobs):
            while len(used) < 3 and len(jobs) - len(ends) < 18:  # until the third worker, which starts late, has a job
                jobs.append(a_job(chars_per_s=400, text=TEXT))
                await queue.submit(jobs[-1])
            fact = (await until(feed, lambda item: is_step(item, facts.JobStarted, facts.JobEnded))).fact
            if isinstance(fact, facts.JobEnded):
                ends.append(fact)
            else:
                used.add(fact.worker.rpartition(':')[2])
        # Which of them stays depends on which was busy last.
        await asyncio.to_thread(wait_for, lambda: len(workers_of(desk)) == 1, 30, 'one worker again')
        assert sorted(fact.job_id for fact in ends) == sorted(job.job_id for job in jobs)
        assert all(isinstance(fact, facts.JobCompleted) for fact in ends)
        assert {(fact.failures, fact.losses) for fact in ends} == {(0, 0)}, 'no attempt is charged'
        for job in jobs:
            assert text_of((await queue.read_all(job.job_id)).lines) == TEXT
        assert 'is started again' not in desk.stderr
        one_more = a_job(chars_per_s=5_000, text=TEXT)
        await queue.submit(one_more)
        await until(queue.feed(0), is_fact(facts.JobCompleted, one_more))
    log = (desk.data_dir / 'logs' / 'run.log').read_text()
    assert log.count('action=grow') == log.count('action=shrink') >= 2
    assert desk.stop() == 0
