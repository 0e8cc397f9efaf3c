"""Who goes next: priority, fair share, first come first served, and the bound on waiting."""

import itertools
import math
import random

import pytest

from broker import share
from broker.durations import Durations, Traits
from broker.heap import PriorityHeap
from broker.job import Job
from broker.order import MAX_LANES, Fairness, Waiting
from broker.playback import in_order
from broker.share import Ledger
from tests.broker.desk import Desk, finished, job_id

ANY = lambda model: True  # noqa: E731


class Line:
    """A waiting line with one server and a clock."""

    def __init__(self, fairness=Fairness(), guess_s=5.0):  # noqa: B008
        self.ledger, self.durations = Ledger(), Durations(guess_s)
        self.waiting = Waiting(fairness, self.ledger, self.durations)
        self.jobs, self.now = {}, 1.0e9

    def add(self, number, user='', priority=5, model='m', runner=''):
        job = self.jobs[job_id(number)] = Job(
            job_id=job_id(number),
            order=number,
            kind='chat',
            model=model,
            priority=priority,
            queued_at=self.now,
            user=user,
            runner=runner,
        )
        self.waiting.add(job)
        return job

    def serve(self, works_s=5.0):
        """The next job starts, runs and ends; returns it."""
        turn = self.waiting.best(ANY, self.now)
        job = self.jobs[turn.job_id]
        charged_s = self.waiting.started(job, self.now, overdue=not turn.regular)
        self.now += works_s
        self.waiting.charge(job.user, works_s - charged_s, self.now)
        self.durations.learn(Traits(job.model), works_s)
        return job

    def order(self):
        return [int(name, 16) for name in in_order(self.waiting, ANY, self.now)]


def test_higher_priority_first_then_first_come_first_served():
    line = Line()
    for number, priority in ((1, 5), (2, 1), (3, 15), (4, 5), (5, 15)):
        line.add(number, priority=priority)
    assert line.order() == [3, 5, 1, 4, 2]
    assert [line.serve().order for _ in range(5)] == [3, 5, 1, 4, 2]


def test_one_message_does_not_wait_behind_a_flood():
    line = Line()
    for number in range(1, 1001):
        line.add(number, user='flood')
    line.serve()
    line.add(2000, user='one message')
    served = [line.serve().user for _ in range(2)]
    assert 'one message' in served


def test_users_get_equal_work_not_equal_numbers_of_jobs():
    line = Line(Fairness(overdue_after_s=1e9))
    for number in range(1, 2001):
        line.add(number, user='long' if number % 2 else 'short')
    work_s = {'long': 0.0, 'short': 0.0}
    for _ in range(600):
        user = line.jobs[line.waiting.best(ANY, line.now).job_id].user
        seconds = 20.0 if user == 'long' else 2.0
        assert line.serve(seconds).user == user
        work_s[user] += seconds
    assert work_s['long'] == pytest.approx(work_s['short'], rel=0.1)


def test_what_somebody_used_is_forgotten_over_hours():
    line = Line()
    line.waiting.charge('busy yesterday', 3600.0, line.now)
    line.now += 24 * 3600
    line.waiting.charge('busy now', 10.0, line.now)
    line.add(1, user='busy now')
    line.add(2, user='busy yesterday')
    assert line.order() == [2, 1]
    assert line.ledger.used_s(line.now) == {'busy now': pytest.approx(10.0)}


def test_priority_stands_above_fairness():
    line = Line()
    line.waiting.charge('heavy', 1e5, line.now)
    line.add(1, user='light', priority=5)
    line.add(2, user='heavy', priority=6)
    assert line.order() == [2, 1]


def test_an_endless_stream_of_high_priority_does_not_starve_a_low_job():
    line = Line(Fairness(overdue_after_s=60.0, overdue_every=3))
    low = line.add(1, priority=0)
    numbers = itertools.count(2)
    for _ in range(1000):
        line.add(next(numbers), user='vip', priority=15)
        if line.serve(1.0) is low:
            break
    assert line.now - low.queued_at <= 60.0 + 3 * 1.0


def test_a_backlog_of_overdue_jobs_does_not_push_the_chat_aside():
    line = Line(Fairness(overdue_after_s=60.0, overdue_every=3))
    for number in range(1, 501):
        line.add(number, user='batch', priority=0)
    line.now += 3600
    served = []
    for number in range(1000, 1030):
        line.add(number, user='chat', priority=15)
    for _ in range(30):
        served.append(line.serve(1.0).user)
    assert served.count('chat') == 20 and served.count('batch') == 10


def test_a_job_that_changes_level_keeps_its_place_in_the_new_one():
    line = Line()
    jobs = [line.add(number, priority=5 if number == 1 else 8) for number in (1, 2, 3)]
    line.waiting.remove(jobs[0])
    jobs[0].priority = 8
    line.waiting.add(jobs[0])
    assert line.order() == [1, 2, 3]


def test_models_are_one_line_and_only_those_that_can_run_count():
    line = Line()
    for each in ((1, '', 5, 'a'), (2, '', 9, 'b'), (3, '', 15, 'c')):
        line.add(*each)
    assert line.order() == [3, 2, 1]
    assert line.waiting.best(lambda model: model != 'c', line.now).job_id == job_id(2)
    assert line.waiting.best(lambda model: False, line.now) is None


def test_a_low_job_starts_within_its_bound_beside_an_endless_stream_for_another_model():
    line = Line(Fairness(overdue_after_s=60.0, overdue_every=3))
    low = line.add(1, priority=0, model='rare')
    numbers = itertools.count(2)
    for _ in range(1000):
        line.add(next(numbers), user='vip', priority=15, model='busy')
        if line.serve(1.0) is low:
            break
    assert line.now - low.queued_at <= 60.0 + 3 * 1.0


def test_overdue_jobs_of_several_models_take_no_more_than_their_share_together():
    line = Line(Fairness(overdue_after_s=60.0, overdue_every=3))
    for number in range(1, 401):
        line.add(number, user='batch', priority=0, model=f'm{number % 4}')
    line.now += 3600
    for number in range(1000, 1030):
        line.add(number, user='chat', priority=15, model='chat')
    served = [line.serve(1.0) for _ in range(30)]
    assert [job.user for job in served].count('batch') == 10
    assert [job.order for job in served if job.user == 'batch'] == list(range(1, 11)), 'the oldest go first'


def test_runners_beyond_the_lanes_of_a_model_share_one_and_lose_nothing():
    line = Line(Fairness(overdue_after_s=1e9))
    for number in range(200):
        line.add(number, priority=number % 3, runner=f'm num_ctx={number}')
    assert len(line.waiting.lanes) == MAX_LANES + 1
    assert sorted(line.order()) == list(range(200))
    assert [line.serve().order for _ in range(200)] == sorted(range(200), key=lambda n: (-(n % 3), n))
    assert not line.waiting.lanes and not line.waiting.models()


@pytest.mark.parametrize('seed', range(30))
def test_the_order_that_is_told_is_the_order_that_happens(seed):
    """Through users, models, priorities, changes and overdue jobs; every job takes what was expected."""
    chance = random.Random(seed)
    line = Line(Fairness(overdue_after_s=30.0, overdue_every=chance.randrange(1, 5)), guess_s=2.0)
    line.durations.learn(Traits('m'), 2.0)
    line.durations.learn(Traits('n'), 2.0)
    numbers = itertools.count(1)
    for _ in range(60):
        for _ in range(chance.randrange(4)):
            line.add(next(numbers), chance.choice('xyz'), chance.randrange(16), chance.choice('mn'))
        if len(line.waiting) and chance.random() < 0.3:
            job = line.jobs[chance.choice(list(in_order(line.waiting, ANY, line.now)))]
            line.waiting.remove(job)
            job.priority = chance.randrange(16)
            line.waiting.add(job)
        if len(line.waiting) and chance.random() < 0.6:
            line.serve(2.0)
        line.now += chance.choice((0.0, 1.0, 20.0))
    told = line.order()
    assert len(told) == len(line.waiting)
    happened = []
    while len(line.waiting):  # all start now, as the forecast assumes
        turn = line.waiting.best(ANY, line.now)
        job = line.jobs[turn.job_id]
        line.waiting.started(job, line.now, overdue=not turn.regular)
        happened.append(job.order)
    assert told == happened


def test_charging_and_taking_back_leaves_the_rank_as_it_was():
    ledger = Ledger()
    ledger.charge('u', 7.0, 1e9)
    before = ledger.rank('u')
    ledger.charge('u', 5.0, 1e9 + 50)
    ledger.charge('u', -5.0, 1e9 + 50)
    assert ledger.rank('u') == pytest.approx(before)
    ledger.charge('u', -100.0, 1e9 + 50)
    assert ledger.used_s(1e9 + 50) == {}


def test_a_start_looks_at_the_lines_of_its_user_only_when_they_are_asked(monkeypatch):
    """With many models and levels most lines are not asked between two starts, and must cost nothing."""
    pushes = []
    push = PriorityHeap.push
    monkeypatch.setattr(PriorityHeap, 'push', lambda heap, *args: pushes.append(args) or push(heap, *args))
    desk = Desk()
    worker = desk.join('w', models=('m0',))
    for number in range(200):
        desk.submit(number, model=f'm{number % 20}', priority=number // 20, user='u')
    pushes.clear()
    desk.tell(worker, finished(0, 1, 0))
    assert desk.assigned() == [(worker.routing_id, job_id(180), 1)]
    assert len(pushes) < 20


def test_who_has_used_nothing_for_days_is_forgotten(monkeypatch):
    monkeypatch.setattr(share, 'MANY', 100)
    ledger = share.Ledger()
    for number in range(5_000):
        ledger.charge(f'user {number}', 5.0, number * 600.0)
        assert len(ledger) <= 202
    assert ledger.rank('user 0') == -math.inf < ledger.rank('user 4990') < ledger.rank('user 4999')
