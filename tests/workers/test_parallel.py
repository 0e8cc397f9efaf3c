"""How many jobs an engine runs at once, found out against a model of one that queues without a word."""

import heapq
import itertools
import random

import pytest

from broker import facts
from workers.parallel import FIRST_PAUSE_S, MOST, NEEDED, Parallel, waited


class Engine:
    """Runs ``parallel`` requests at once and lets the rest wait, first come, first served."""

    def __init__(self, parallel: int, seed: int) -> None:
        self.parallel = parallel
        self.random = random.Random(seed)
        self.now = 0.0
        self.queue: list[tuple[float, int]] = []  # when sent, and how many were in flight
        self.running: list[tuple[float, float, int, facts.Usage]] = []
        self.most_queued = 0
        self.queued_s = 0.0

    def send(self, in_flight: int) -> None:
        self.queue.append((self.now, in_flight))
        self._start()

    def next(self) -> tuple[float, int, facts.Usage]:
        """Let time pass until a request is over."""
        before = self.now
        self.now, sent_at, in_flight, usage = heapq.heappop(self.running)
        self.queued_s += len(self.queue) * (self.now - before)
        self._start()
        return sent_at, in_flight, usage

    def _start(self) -> None:
        while self.queue and len(self.running) < self.parallel:
            sent_at, in_flight = self.queue.pop(0)
            chance, tokens = self.random, self.random.randint(20, 400)
            load_s = chance.choice([0.0, 0.0, 0.0, 6.0])
            prompt_s, decode_s, network_s = chance.uniform(0.05, 2), tokens * 0.03, chance.uniform(0.001, 0.03)
            waited_s = self.now - sent_at
            first_s = waited_s + load_s + prompt_s + 0.03 + network_s
            total_s = waited_s + load_s + prompt_s + decode_s + network_s
            usage = facts.Usage(
                output_tokens=tokens, load_s=load_s, prompt_s=prompt_s, decode_s=decode_s,
                first_token_s=first_s, total_s=total_s,
            )  # fmt: skip
            heapq.heappush(self.running, (sent_at + total_s, sent_at, in_flight, usage))
        self.most_queued = max(self.most_queued, len(self.queue))


def work(parallel: Parallel, engine: Engine, runs: int) -> list[int]:
    """So many runs with always more to do; the slots after each."""
    busy, slots = len(engine.running) + len(engine.queue), []
    for _ in range(runs):
        while busy < parallel.slots:
            busy += 1
            engine.send(busy)
        sent_at, in_flight, usage = engine.next()
        busy -= 1
        parallel.ended(in_flight=in_flight, sent_at=sent_at, waited=bool(waited(usage)), now=engine.now)
        slots.append(parallel.slots)
    return slots


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('takes', [1, 2, 4])
def test_it_settles_at_what_the_engine_takes_and_queues_one_at_most(takes, seed):
    parallel, engine = Parallel(), Engine(takes, seed)
    slots = work(parallel, engine, 400)
    assert max(slots) == takes + 1  # the probe
    settled = slots[NEEDED * (takes + 2) * 3 :]
    assert set(settled) <= {takes, takes + 1} and settled.count(takes) > 0.8 * len(settled)
    assert engine.most_queued == 1 and parallel.saturated
    assert engine.queued_s < 0.1 * engine.now


def test_probes_become_more_and_more_seldom():
    parallel, engine = Parallel(), Engine(2, 7)
    began = []
    was = parallel.slots
    while engine.now < 20_000:
        (slots,) = work(parallel, engine, 1)
        if slots == 3 and was == 2:
            began.append(engine.now)
        was = slots
    pauses = [later - earlier for earlier, later in itertools.pairwise(began)]
    assert len(pauses) >= 3 and pauses[0] >= FIRST_PAUSE_S
    assert all(later > 1.5 * earlier for earlier, later in itertools.pairwise(pauses) if later < 3_600)


@pytest.mark.parametrize('seed', range(5))
def test_an_engine_that_takes_fewer_than_before_is_followed_at_once(seed):
    parallel, engine = Parallel(), Engine(4, seed)
    work(parallel, engine, 100)
    engine.parallel = 1
    slots = work(parallel, engine, 100)
    assert set(slots[15:]) <= {1, 2} and slots.count(1) > 80
    engine.most_queued = 0
    work(parallel, engine, 100)
    assert engine.most_queued <= 1


@pytest.mark.parametrize('seed', range(5))
def test_an_engine_that_takes_more_than_before_is_found_out_in_time(seed):
    parallel, engine = Parallel(), Engine(1, seed)
    work(parallel, engine, 50)
    assert parallel.saturated
    engine.parallel = 4
    while engine.now < 3_000:
        work(parallel, engine, 1)
    assert parallel.slots in (4, 5)


def test_few_jobs_never_make_it_take_more():
    parallel = Parallel()
    for second in range(100):
        parallel.ended(in_flight=1, sent_at=second, waited=False, now=second + 0.5)
        if parallel.slots == 2:
            break
    for second in range(200, 300):  # one at a time, though there is room for two
        parallel.ended(in_flight=1, sent_at=second, waited=False, now=second + 0.5)
    assert parallel.slots == 2


def test_there_is_an_end_to_it():
    parallel = Parallel()
    for second in range(10 * MOST):
        parallel.ended(in_flight=parallel.slots, sent_at=second, waited=False, now=second + 0.5)
    assert parallel.slots == MOST


def test_slots_that_were_given_stay_but_it_is_still_seen_that_they_are_too_many():
    parallel, engine = Parallel(fixed=3), Engine(1, 1)
    assert set(work(parallel, engine, 50)) == {3} and parallel.saturated
    engine.parallel = 3
    while engine.now < 2_000:
        work(parallel, engine, 1)
    assert parallel.slots == 3 and not parallel.saturated


def test_somebody_else_at_the_engine_makes_it_saturated_and_slots_one():
    parallel = Parallel()
    parallel.ended(in_flight=1, sent_at=1.0, waited=True, now=5.0)
    assert parallel.slots == 1 and parallel.saturated


def test_another_server_is_measured_anew():
    parallel = Parallel()
    work(parallel, Engine(4, 1), 100)
    parallel.forget(1e6)
    assert parallel.slots == 1 and not parallel.saturated
    parallel.ended(in_flight=1, sent_at=1e6 - 1, waited=False, now=1e6 + 1)  # it was sent to the old one
    for second in range(NEEDED - 1):
        parallel.ended(in_flight=1, sent_at=1e6 + second, waited=False, now=1e6 + second + 0.5)
    assert parallel.slots == 1


def usage(**seconds: float) -> facts.Usage:
    fields = {'load_s': 2.0, 'prompt_s': 1.0, 'decode_s': 10.0, 'first_token_s': 3.1, 'total_s': 13.1}
    return facts.Usage(output_tokens=100, **(fields | seconds))


@pytest.mark.parametrize(
    ('times', 'expected'),
    [
        (usage(), False),
        (usage(first_token_s=3.9, total_s=13.9), True),
        (usage(first_token_s=12.9), False),  # it held its tokens back, but accounts for all the time
        (usage(decode_s=200.0, first_token_s=5.5, total_s=205.0), False),  # 2 s a token: the first one takes as long
        (usage(decode_s=200.0, first_token_s=60.0, total_s=260.0), True),
        (usage(prompt_s=0.0), None),  # an embedding
        (usage(decode_s=0.0), None),
        (facts.Usage(), None),
    ],
)
def test_what_an_answer_spent_in_the_engines_queue_is_told_by_its_times(times, expected):
    assert waited(times) is expected
