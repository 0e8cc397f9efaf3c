"""The queue through chaos, from seeds; and proof that the checker would see what it looks for."""

import pytest

from broker import facts, protocol
from broker.core import BrokerCore
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


@pytest.mark.parametrize(
    'fault', [NoFencing, LastComeFirstServed, TrustsTheIndex, CompletesTheCancelled, KeepsNoLeases]
)
def test_a_planted_fault_is_found(fault):
    with pytest.raises((AssertionError, KeyError)):
        for seed in SEEDS:
            simulate(seed, core=fault)


def test_speaking_before_storing_is_found():
    with pytest.raises(AssertionError):
        for seed in range(600):
            simulate(seed, commit_first=False)
