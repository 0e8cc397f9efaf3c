"""The queue through chaos, from seeds; and proof that the checker would see what it looks for."""

import msgspec
import pytest

from broker import facts, protocol
from broker.admission import Admission
from broker.core import BrokerCore
from broker.job import State
from broker.queue import Queue
from broker.staff import Staff
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
    assert {'JobUnblocked', 'JobShared', 'predecessor', 'BatchEnded', 'ScheduleSkipped', 'missed'} <= seen


class NoFencing(Staff):
    """Takes what a worker says about a run of any epoch."""

    def run_of(self, worker, job_id, epoch):
        return self._queue.runs.get(job_id)


class LastComeFirstServed(Admission):
    """Serves the newest job of a user first."""

    def submit(self, request, past, now):
        return super().submit(request, past, 3_000.0 - now)


class TrustsTheIndex(Staff):
    """Appends whatever lines come, gaps and repetitions included."""

    def tokens(self, worker, run, message, now):
        super().tokens(worker, run, msgspec.structs.replace(message, index=len(run.lines)), now)


class CompletesTheCancelled(Queue):
    """Lets a result overrule a cancel."""

    def settle(self, run, move, end, usage, now):
        super().settle(run, move, facts.JobCompleted, usage, now)


class KeepsNoLeases(Staff):
    """Never takes a run from a silent worker."""

    def lease_due(self, job_id, now):
        pass

    def worker_due(self, name, now):
        pass


class IgnoresPriority(Admission):
    """Serves all in the order in which they came."""

    def submit(self, request, past, now):
        reply = super().submit(request, past, now)
        job = self._queue.jobs.get(request.job_id)
        if job is not None and job.state is State.WAITING:
            self._queue.waiting.remove(job)
            job.priority = 5
            self._queue.waiting.add(job)
        return reply


class PutsTheLostAtTheEnd(Queue):
    """A job whose worker was lost has to queue again."""

    def lose(self, run, now):
        self.order += 1
        run.job.order, run.job.queued_at = self.order, now
        super().lose(run, now)


class KeepsTheEpoch(Queue):
    """Every start of a job has the same epoch."""

    def hold(self, job, *, session, now):
        job.epoch = 1
        return super().hold(job, session=session, now=now)


class TakesAnUnfinishedAnswer(Staff):
    """Believes a worker that is done, whatever lines are missing."""

    def serve_run(self, worker, message, now):
        if isinstance(message, protocol.Finished):
            message = msgspec.structs.replace(message, lines=0)
        super().serve_run(worker, message, now)


class StartsWhatRunsAlready(Queue):
    """After a restart every running job is started again at once."""

    def restore(self, jobs, *rest, **more):
        jobs = list(jobs)
        for job in jobs:
            if job.state is State.RUNNING:
                job.state = State.WAITING
        super().restore(jobs, *rest, **more)


class SkipsANumber(Queue):
    """Now and then a fact gets a number too high."""

    def next_seq(self):
        seq = super().next_seq()
        self.seq += seq == 40
        return self.seq


class ForgetsTheCancel(Queue):
    """After a restart a job that was being cancelled just runs on."""

    def restore(self, jobs, *rest, **more):
        jobs = list(jobs)
        for job in jobs:
            if job.state is State.CANCELLING:
                job.state = State.RUNNING
        super().restore(jobs, *rest, **more)


class StartsTheBlocked(Queue):
    """Does not wait for what a job comes after."""

    def accept(self, job, request, now, *, missing=(), schedule=None):
        if job.state is State.BLOCKED:
            job.state = State.WAITING
        super().accept(job, request, now, schedule=schedule)


class TakesEveryKey(Admission):
    """Makes a new job for a key that has one."""

    def _same(self, request, *rest):
        return None


class ForgetsTheBatches(Queue):
    """After a restart a batch that goes on is no longer known."""

    def restore(self, jobs, *rest, open_batches):
        super().restore(jobs, *rest, open_batches=())


class LeavesTheFollowersBehind(Queue):
    """Takes nobody along when a job fails."""

    def doom(self, job, *rest):
        """Nothing."""


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
    StartsTheBlocked,
    TakesEveryKey,
    ForgetsTheBatches,
    LeavesTheFollowersBehind,
]


def core_with(fault):
    """A core with this part in place of the sound one."""
    (base,) = fault.__bases__
    return type(fault.__name__, (BrokerCore,), {f'make_{base.__name__.lower()}': fault})


@pytest.mark.parametrize('fault', FAULTS)
def test_a_planted_fault_is_found(fault):
    with pytest.raises((AssertionError, KeyError)):
        for seed in SEEDS:
            simulate(seed, core=core_with(fault))


def test_speaking_before_storing_is_found():
    with pytest.raises(AssertionError):
        for seed in range(600):
            simulate(seed, commit_first=False)
