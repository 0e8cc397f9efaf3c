"""The queue through chaos, from seeds; and proof that the checker would see what it looks for."""

import subprocess
import sys
from collections import Counter

import pytest

from broker import facts
from tests.broker.sim import faults
from tests.broker.simulation import Violation, command, simulate
from tests.nightly import many

SEEDS = range(many(200, 5_000))
STORM = 50  # seeds in one test
SHOWS_MUCH = (106, 48, 13, 70, 51, 31, 28)  # seeds that show planted faults which few others do
SEARCHED = (*SHOWS_MUCH, *range(1_000))

# What the planted faults break; of two names either may come first. The core's own books stay closed for them: the
# checker has to see it from outside.
BREAKS = {
    faults.NoFencing: 'I11 I12',
    faults.LastComeFirstServed: 'I6 I7',
    faults.BreaksTiesById: 'I6 I7',
    faults.IgnoresPriority: 'I6',
    faults.HeadOfTheLineBlocks: 'I7',
    faults.ForgetsWhoRuns: 'I14',
    faults.WakesTheDelayedEarly: 'I6',
    faults.TrustsTheIndex: 'I11',
    faults.PublishesFromTheStart: 'I11',
    faults.CompletesTheCancelled: 'I3',
    faults.SpeaksForTheCancelled: 'I12',
    faults.KeepsNoLeases: 'I1',
    faults.IgnoresWhatWasUsed: 'I8',
    faults.PutsTheLostAtTheEnd: 'I6 I7',
    faults.NeverOverdue: 'I7',
    faults.AlwaysLoaded: 'I6',
    faults.ForgetsTheLimits: 'I9',
    faults.LosesAPermit: 'I14',
    faults.OneSlotTooMany: 'I10',
    faults.OneMoreThanFits: 'I13',
    faults.KeepsTheEpoch: 'I4',
    faults.TriesForEver: 'I5',
    faults.TakesAnUnfinishedAnswer: 'I11',
    faults.StartsWhatRunsAlready: 'I6 I14',
    faults.SkipsANumber: 'I15',
    faults.ForgetsTheCancel: 'I3 I12',
    faults.ForgetsThePauses: 'I6',
    faults.StartsThePaused: 'I6',
    faults.StartsTheBlocked: 'I6',
    faults.LeavesTheFollowersBehind: 'I1 I6',
    faults.TakesEveryKey: 'I2',
    faults.ForgetsTheKeyAtTheEnd: 'I2',
    faults.ForgetsTheBatches: 'I1',
    faults.CountsABatchWrong: 'I15',
    faults.RunsATickTwice: 'I2',
    faults.StartsAfterTheDeadline: 'I6',
    faults.TakesJobsWithoutRoom: 'I17',
    faults.PrunesWhatOthersNeed: 'I18',
    faults.PrunesTooEarly: 'I18',
    faults.PurgesTheNewestToo: 'I18',
    faults.ForgetsThePurgedOfABatch: 'I15',
    faults.KeepsTheKeysOfThePurged: 'I18',
    faults.DoesItAgainLessUrgently: 'I19',
}

# What must have happened somewhere, or the storms would not be worth much.
SOMETIMES = {
    'a commit found the disk full',
    'a lease ended while its worker lived',
    'ageing changed an order',
    'affinity',
    'attached',
    'cancel raced done',
    'cancelled in portions',
    'clock back',
    'clock forward',
    'crash between store and send',
    'dead: deadline',
    'dead: poison',
    'dead: predecessor',
    'dead: sim',
    'done again',
    'done came twice',
    'handed_back',
    'limited over a restart',
    'pruned',
    'purged',
    'refused while full',
    'refused while low',
    'refused: conflict',
    'refused: not_dead',
    'refused: queue_full',
    'replay served a gap',
    'retry',
    'sent again after a lost answer',
    'the broker stood still',
    'tick missed',
    'tick ran',
    'worker_lost',
    *(kind.__name__ for kind in (facts.BatchEnded, facts.JobCancelRequested, facts.JobDue, facts.JobPriorityChanged)),
    *(kind.__name__ for kind in (facts.JobShared, facts.JobUnblocked, facts.Resumed, facts.WorkerLeft)),
}


@pytest.mark.parametrize('first', SEEDS[::STORM])
def test_every_promise_holds_through_chaos(first):
    for seed in range(first, first + STORM):
        try:
            simulate(seed)
        except Exception as broken:
            raise AssertionError(f'{type(broken).__name__} {broken}\nreplay: {command(seed)}') from broken


def test_a_seed_always_tells_the_same_story():
    assert [facts.encode(fact) for fact in simulate(3).facts] == [facts.encode(fact) for fact in simulate(3).facts]


def test_the_chaos_reaches_the_rare_paths():
    saw = Counter()
    for seed in range(2_000, 3_000):
        saw += simulate(seed).saw
        if saw.keys() >= SOMETIMES:
            break
    assert saw.keys() >= SOMETIMES, SOMETIMES - saw.keys()


def test_every_planted_fault_has_an_invariant_that_names_it():
    assert BREAKS.keys() == set(faults.FAULTS)
    named = {name for names in BREAKS.values() for name in names.split()} | {'I16'}  # of the test below
    assert named == {f'I{number}' for number in range(1, 20)}


@pytest.mark.parametrize('fault', BREAKS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_found(fault):
    parts = faults.planted(fault)
    for seed in SEARCHED:
        try:
            simulate(seed, **parts, books=False)
        except Violation as broken:
            assert broken.invariant in BREAKS[fault].split(), f'seed {seed}: {broken}'
            return
    pytest.fail('nobody has seen it')


def test_speaking_before_storing_is_found():
    with pytest.raises(Violation, match=r'^I1[56]:'):
        for seed in SEARCHED:
            simulate(seed, commit_first=False)


def test_a_core_that_believes_in_what_found_no_room_is_found():
    with pytest.raises(Violation, match=r'^I(15|16):'):
        for seed in SEARCHED:
            simulate(seed, takes_back=False, books=False)


def test_the_core_sees_itself_when_its_books_do_not_agree():
    with pytest.raises(Violation, match=r'^books:'):
        for seed in range(1_000):
            simulate(seed, **faults.planted(faults.LosesAPermit))


def test_a_seed_is_replayed_by_one_line():
    done = subprocess.run([sys.executable, *command(7).split()[1:]], capture_output=True, text=True, check=True)
    told = [facts.decode(line.encode()) for line in done.stdout.splitlines()]
    assert told == simulate(7).facts


def test_a_night_goes_through_seeds_and_tells_how_fast():
    asked = [sys.executable, '-m', 'tests.broker.simulation', '--minutes', '0.01', '--from', '5']
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert 'seeds, 0 failed' in done.stdout
