"""How many workers run: the policy in a simulated hour, and how its decisions are carried out."""

import json
import logging
import random

import pytest

from app.launching.crew import Crew
from app.launching.pool import Change, Machine, Pool, PoolSettings, WorkerLoad
from app.launching.supervisor import ProcessSpec

IDLE_MACHINE = Machine(cpu_percent=10.0, free_mb=8_000.0)


def busy(wanted=True, saturated=False):
    return WorkerLoad(busy=1, slots=1, wanted=wanted, saturated=saturated)


def idle():
    return WorkerLoad(busy=0, slots=1, wanted=False, saturated=False)


def after(pool, load, seconds, *, starting=0, machine=IDLE_MACHINE, start=0):
    """What it decides in each of so many seconds under the same load."""
    return [pool.decide(load, starting, machine, float(start + second)) for second in range(seconds + 1)]


class Street:
    """Workers with one slot each, a queue in front of them, and a pool that looks once a second."""

    def __init__(self, minimum, maximum, *, start_s=2, machine=lambda now: IDLE_MACHINE, saturated_from=99):
        self.pool = Pool(minimum, maximum, PoolSettings())
        self.free_at = {f'w{place}': 0.0 for place in range(1, minimum + 1)}  # by worker
        self.starting: dict[str, float] = {}
        self.maximum, self.start_s, self.machine, self.saturated_from = maximum, start_s, machine, saturated_from
        self.waiting: list[float] = []
        self.sizes: list[int] = []
        self.changes: list[tuple[float, int]] = []

    def second(self, now, arriving, runs_s):
        self.waiting += [runs_s] * arriving
        for name in [name for name, at in self.starting.items() if at <= now]:
            self.free_at[name] = now
            del self.starting[name]
        for name, at in self.free_at.items():
            if at <= now and self.waiting:
                self.free_at[name] = now + self.waiting.pop(0)
        saturated = len(self.free_at) >= self.saturated_from
        load = {
            name: WorkerLoad(int(at > now), 1, bool(self.waiting), saturated)
            for name, at in sorted(self.free_at.items())
        }
        change = self.pool.decide(load, len(self.starting), self.machine(now), now)
        if change.grow:
            names = (f'w{place}' for place in range(1, self.maximum + 1))
            self.starting[next(name for name in names if name not in self.free_at)] = now + self.start_s
            self.changes.append((now, 1))
        elif change.leave:
            assert self.free_at.pop(change.leave) <= now, 'only a worker without a job may be ended'
            self.changes.append((now, -1))
        self.sizes.append(len(self.free_at) + len(self.starting))


def test_an_hour_of_bursts_is_followed_without_flapping():
    street = Street(1, 4)
    for now in range(3_600):
        street.second(float(now), 40 if now % 900 == 100 else 0, 12.0)
    assert (min(street.sizes), max(street.sizes)) == (1, 4)
    assert [change for _, change in street.changes] == [1, 1, 1, -1, -1, -1] * 4
    assert street.waiting == []
    assert all(
        later - earlier > 50 for (earlier, up), (later, down) in zip(street.changes, street.changes[1:], strict=False)
        if up > down
    )  # fmt: skip


def test_load_that_comes_and_goes_every_few_seconds_changes_nothing_for_long():
    street = Street(1, 4)
    for now in range(3_600):
        street.second(float(now), 2 if now % 20 == 0 else 0, 8.0)
    assert [change for _, change in street.changes] == [1]
    assert street.sizes[-1] == 2


@pytest.mark.parametrize('seed', range(20))
def test_whatever_comes_the_bounds_hold_and_the_workers_are_enough(seed):
    chance = random.Random(seed)
    street = Street(2, 5, start_s=chance.choice([1, 5, 30]))
    rate = 0.0
    for now in range(3_600):
        if now % 300 == 0:
            rate = chance.choice([0.0, 0.05, 0.2, 0.5])
        street.second(float(now), int(chance.random() < rate), chance.uniform(1, 15))
    assert min(street.sizes) >= 2 and max(street.sizes) <= 5
    assert len(street.changes) < 60
    for now in range(3_600, 4_600):
        street.second(float(now), 0, 0.0)
    assert (street.sizes[-1], street.waiting) == (2, [])


def test_it_grows_when_jobs_have_waited_for_a_while_and_then_waits_for_the_new_one():
    pool = Pool(1, 3, PoolSettings())
    assert after(pool, {'a': busy()}, 5) == [Change()] * 5 + [Change(grow=True)]
    assert after(pool, {'a': busy()}, 60, starting=1, start=6) == [Change()] * 61
    assert after(pool, {'a': busy(), 'b': busy()}, 5, start=70)[-1] == Change(grow=True)


def test_free_slots_or_no_job_for_them_are_no_reason_to_grow():
    pool = Pool(1, 3, PoolSettings())
    assert set(after(pool, {'a': busy(wanted=False)}, 60)) == {Change()}
    assert set(after(pool, {'a': busy(), 'b': idle()}, 60)) == {Change()}


@pytest.mark.parametrize(
    ('load', 'machine', 'why'),
    [
        ({'a': busy()}, Machine(95.0, 8_000.0), 'the processors are busier than 90 %'),
        ({'a': busy()}, Machine(10.0, 1_000.0), 'less than 1024 MB of memory are available'),
        ({'a': busy(saturated=True)}, IDLE_MACHINE, 'Ollama does not run more at once than it does now'),
        ({'a': busy(), 'b': busy()}, IDLE_MACHINE, '2 workers is the most that --workers allows'),
    ],
)
def test_it_says_why_it_does_not_grow_and_grows_at_once_when_that_is_over(load, machine, why):
    pool = Pool(1, 2, PoolSettings())
    decided = after(pool, load, 30, machine=machine)
    assert set(decided[:5]) == {Change()} and set(decided[5:]) == {Change(why=why)}
    if len(load) == 1:
        assert pool.decide({'a': busy()}, 0, IDLE_MACHINE, 31.0) == Change(grow=True)


def test_one_worker_that_could_take_more_is_reason_enough_to_try():
    pool = Pool(1, 3, PoolSettings())
    assert after(pool, {'a': busy(saturated=True), 'b': busy()}, 5)[-1] == Change(grow=True)


def test_it_shrinks_one_by_one_from_the_end_and_only_what_is_idle():
    pool = Pool(1, 3, PoolSettings())
    load = {'a': idle(), 'b': idle(), 'c': busy(wanted=False)}
    assert after(pool, load, 60) == [Change()] * 60 + [Change(leave='b')]
    del load['b']
    assert set(after(pool, load, 58, start=61)) == {Change()}
    assert pool.decide(load, 0, IDLE_MACHINE, 120.0) == Change(leave='a')
    assert set(after(pool, {'c': idle()}, 600, start=122)) == {Change()}, 'the last one stays'


def test_spread_jobs_that_fit_fewer_workers_end_none_in_the_middle_of_one():
    pool = Pool(1, 2, PoolSettings())
    two_of_four = WorkerLoad(busy=1, slots=2, wanted=False, saturated=False)
    assert set(after(pool, {'a': two_of_four, 'b': two_of_four}, 600)) == {Change()}
    assert pool.decide({'a': two_of_four, 'b': two_of_four._replace(busy=0)}, 0, IDLE_MACHINE, 601.0).leave == 'b'


class Stage:
    """What the crew sees of the supervisor."""

    def __init__(self, *names):
        self.running, self.gone = list(names), []

    def keeps(self, name):
        return name in self.running

    def knows(self, name):
        return name in self.running or name in self.gone

    def add(self, spec):
        self.running.append(spec.name)

    def remove(self, name):
        self.running.remove(name)
        self.gone.append(name)  # it drains


def a_crew(stage, maximum=3, **settings):
    specs = [
        ProcessSpec(name=f'worker-{place}', argv=(), settings_json=json.dumps({'worker': f'host:{place}'}))
        for place in range(1, maximum + 1)
    ]
    rules = {'grow_after_s': 0, 'shrink_after_s': 0} | settings
    return Crew(Pool(1, maximum, PoolSettings(**rules)), specs, stage)


def report(**workers):
    """The broker's words about these workers, by place."""
    names = {f'host:{place[1:]}': worker._asdict() for place, worker in workers.items()}
    elsewhere = {'gpu:1': busy()._asdict()}  # on another machine: not ours to count
    return {'load': {'waiting': 1, 'running': 1, 'slots': 1, 'workers': {**names, **elsewhere}}}


def test_the_crew_does_what_is_decided_and_keeps_names_stable(caplog):
    caplog.set_level(logging.INFO)
    stage = Stage('worker-1')
    crew = a_crew(stage)
    crew.look(IDLE_MACHINE, 0.0)
    assert stage.running == ['worker-1'], 'nothing is known yet'
    crew.on_report(report(w1=busy()))
    crew.look(IDLE_MACHINE, 1.0)
    assert stage.running == ['worker-1', 'worker-2']
    crew.look(IDLE_MACHINE, 2.0)
    assert len(stage.running) == 2, 'one is starting'
    crew.on_report(report(w1=busy(wanted=False), w2=idle()))
    crew.look(IDLE_MACHINE, 3.0)
    assert stage.running == ['worker-1']
    crew.on_report(report(w1=busy(), w2=idle()))
    crew.look(IDLE_MACHINE, 4.0)
    assert stage.running == ['worker-1', 'worker-3'], 'the second one still drains'
    stage.gone.clear()
    crew.on_report(report(w1=busy(), w3=busy()))
    crew.look(IDLE_MACHINE, 5.0)
    assert stage.running == ['worker-1', 'worker-3', 'worker-2']
    assert [record.action for record in caplog.records] == ['grow', 'shrink', 'grow', 'grow']


def test_in_the_place_of_one_that_was_told_to_leave_another_one_starts():
    pool = Pool(2, 4, PoolSettings())
    hot = Machine(cpu_percent=99.0, free_mb=10.0)  # what the pool may not fall below does not depend on it
    assert after(pool, {'a': idle()}, 5, machine=hot) == [Change()] * 5 + [Change(grow=True)]
    stage = Stage('worker-1')
    crew = a_crew(stage)
    stage.remove('worker-1')
    crew.on_report(report())
    crew.look(IDLE_MACHINE, 1.0)
    assert stage.running == ['worker-2']
    crew.look(IDLE_MACHINE, 2.0)
    assert stage.running == ['worker-2']


def test_a_broker_that_begins_anew_is_listened_to_before_anything_is_changed():
    stage = Stage('worker-1')
    crew = a_crew(stage)
    crew.on_report(report(w1=busy()))
    crew.on_report({'ready': True})
    crew.look(IDLE_MACHINE, 1.0)
    assert stage.running == ['worker-1']


def test_the_reason_not_to_grow_is_said_once(caplog):
    caplog.set_level(logging.INFO)
    crew = a_crew(Stage('worker-1'))
    crew.on_report(report(w1=busy()))
    hot, full = Machine(99.0, 8_000.0), Machine(1.0, 10.0)
    for now, machine in enumerate([hot, hot, full, full, hot]):
        crew.look(machine, float(now))
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        'jobs wait, but no worker is started: the processors are busier than 90 %',
        'jobs wait, but no worker is started: less than 1024 MB of memory are available',
        'jobs wait, but no worker is started: the processors are busier than 90 %',
    ]


def test_what_the_machine_can_take_is_measured_without_waiting():
    crew = a_crew(Stage())
    machine = crew._machine()
    assert 0 <= machine.cpu_percent <= 100 and machine.free_mb > 1
