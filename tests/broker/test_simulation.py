"""The queue through chaos, from seeds; and proof that the checker would see what it looks for."""

import msgspec
import pytest

from broker import facts, protocol
from broker.core import BrokerCore
from broker.job import State
from tests.broker.simulation import simulate

SEEDS = range(1_000)


@pytest.mark.parametrize('first', SEEDS[::100])
def test_every_promise_holds_through_chaos(first):
    for seed in range(first, first + 100):
        try:
            simulate(seed)
        except AssertionError as broken:
            pytest.fail(f'{broken}\nreplay: python -m tests.broker.simulation {seed}')


def test_a_seed_always_tells_the_same_story():
    assert [facts.encode(fact) for fact in simulate(3).facts] == [facts.encode(fact) for fact in simulate(3).facts]


def test_the_chaos_reaches_the_rare_paths():
    seen = set()
    for seed in range(60):
        for fact in simulate(seed).facts:
            seen.add(type(fact).__name__)
            seen.add(getattr(fact, 'reason', None) or getattr(fact, 'code', None))
    assert {'JobCompleted', 'JobCancelled', 'JobCancelRequested', 'JobPriorityChanged', 'JobDue'} <= seen
    assert {'retry', 'worker_lost', 'handed_back', 'poison', 'lost', 'replaced', 'drained'} <= seen


class NoFencing(BrokerCore):
    """Takes what a worker says about a run of any epoch."""

    def _run_of(self, worker, job_id, epoch):
        return self._runs.get(job_id)


class LastComeFirstServed(BrokerCore):
    """Serves the newest job of a user first."""

    def _submit(self, request, now):
        return super()._submit(request, 3_000.0 - now)


class TrustsTheIndex(BrokerCore):
    """Appends whatever lines come, gaps and repetitions included."""

    def _tokens(self, worker, run, message, now):
        super()._tokens(
            worker,
            run,
            protocol.Tokens(job_id=message.job_id, epoch=message.epoch, index=len(run.lines), lines=message.lines),
            now,
        )


class CompletesTheCancelled(BrokerCore):
    """Lets a result overrule a cancel."""

    def _settle(self, run, move, fact, usage, now):
        super()._settle(run, move, facts.JobCompleted, usage, now)


class KeepsNoLeases(BrokerCore):
    """Never takes a run from a silent worker."""

    def _lease_due(self, job_id, now):
        pass

    def _worker_due(self, name, now):
        pass


class IgnoresPriority(BrokerCore):
    """Serves all in the order in which they came."""

    def _submit(self, request, now):
        reply = super()._submit(request, now)
        job = self._jobs.get(request.job_id)
        if job is not None and job.state is State.WAITING:
            self._waiting.remove(job)
            told, job.priority = job.priority, 5
            self._waiting.add(job)
            self._told[job.job_id] = told
        return reply

    def restore(self, jobs, *rest):
        self._told = {}
        super().restore(jobs, *rest)


class PutsTheLostAtTheEnd(BrokerCore):
    """A job whose worker was lost has to queue again."""

    def _lose(self, run, now):
        self._order += 1
        run.job.order, run.job.queued_at = self._order, now
        super()._lose(run, now)


class KeepsTheEpoch(BrokerCore):
    """Every start of a job has the same epoch."""

    def _hold(self, job, *, session, now):
        job.epoch = 1
        return super()._hold(job, session=session, now=now)


class TakesAnUnfinishedAnswer(BrokerCore):
    """Believes a worker that is done, whatever lines are missing."""

    def _serve_run(self, worker, message, now):
        if isinstance(message, protocol.Finished):
            message = msgspec.structs.replace(message, lines=0)
        super()._serve_run(worker, message, now)


class StartsWhatRunsAlready(BrokerCore):
    """After a restart every running job is started again at once."""

    def restore(self, jobs, *rest):
        jobs = list(jobs)
        for job in jobs:
            if job.state is State.RUNNING:
                job.state = State.WAITING
        super().restore(jobs, *rest)


class SkipsANumber(BrokerCore):
    """Now and then a fact gets a number too high."""

    def _next_seq(self):
        seq = super()._next_seq()
        self._seq += seq == 40
        return self._seq


class ForgetsTheCancel(BrokerCore):
    """After a restart a job that was being cancelled just runs on."""

    def restore(self, jobs, *rest):
        jobs = list(jobs)
        for job in jobs:
            if job.state is State.CANCELLING:
                job.state = State.RUNNING
        super().restore(jobs, *rest)


FAULTS = [
    NoFencing,
    LastComeFirstServed,
    TrustsTheIndex,
    CompletesTheCancelled,
    KeepsNoLeases,
    IgnoresPriority,
    PutsTheLostAtTheEnd,
    KeepsTheEpoch,
    TakesAnUnfinishedAnswer,
    StartsWhatRunsAlready,
    SkipsANumber,
    ForgetsTheCancel,
]


@pytest.mark.parametrize('fault', FAULTS)
def test_a_planted_fault_is_found(fault):
    with pytest.raises((AssertionError, KeyError)):
        for seed in SEEDS:
            simulate(seed, core=fault)


def test_speaking_before_storing_is_found():
    with pytest.raises(AssertionError):
        for seed in range(600):
            simulate(seed, commit_first=False)
