"""What another order would have done: the record played through the queue's own scheduling."""

import heapq
import random

import msgspec
import pytest

from broker import rehearsal, settings
from broker.endpoints import Endpoints
from broker.limits import Limits, Rate
from broker.order import Fairness
from broker.rehearsal import POLICIES, Recorded, rehearse
from broker.rules import Rules
from broker.runtime import Runtime

WORKERS = {'a': 2, 'b': 1}


def ran(ready_at, ran_s, **fields):
    values = {'waited_s': 0.0, 'load_s': 0.0, 'model': 'm', 'runner': '', 'worker': 'a', 'user': 'u', 'priority': 5}
    return Recorded(ready_at=ready_at, ran_s=ran_s, **(values | fields))


def first_come_first_served(arrivals, slots):
    """The waits in a queue with one line and several servers, by a program of three lines."""
    free = [0.0] * slots
    waits = []
    for at, ran_s in arrivals:
        start = max(at, heapq.heappop(free))
        heapq.heappush(free, start + ran_s)
        waits.append(start - at)
    return waits


def a_week(seed, count, busy=0.9):
    """Jobs of some users, as a queue in the order of arrival would have recorded them."""
    chance = random.Random(seed)
    slots = sum(WORKERS.values())
    at, arrivals = 0.0, []
    for _ in range(count):
        at += chance.expovariate(slots * busy / 10.0)
        arrivals.append((at, chance.expovariate(1 / 10.0)))
    waits = first_come_first_served(arrivals, slots)
    return [
        ran(at, ran_s, waited_s=waited_s, user=f'u{number % 7}', priority=chance.choice((1, 5, 5, 10)))
        for number, ((at, ran_s), waited_s) in enumerate(zip(arrivals, waits, strict=True))
    ]


def test_fifo_agrees_with_what_a_fifo_run_recorded():
    jobs = a_week(1, 3_000)
    found, was = rehearse(jobs, 'fifo', slots={'a': 3}), rehearsal.recorded(jobs)
    assert was.waits.mean_s > 5.0
    assert found.waits.mean_s == pytest.approx(was.waits.mean_s, rel=0.02)
    assert found.waits.p95_s == pytest.approx(was.waits.p95_s, rel=0.02)
    assert found.busy == pytest.approx(0.9, abs=0.05)


def test_the_same_record_always_gives_the_same_answer():
    jobs = a_week(2, 500)
    for policy in POLICIES:
        assert rehearse(jobs, policy) == rehearse(jobs, policy)


def test_levels_help_the_high_and_nobody_else_than_before_is_forgotten():
    jobs = a_week(3, 2_000)
    flat, levels = rehearse(jobs, 'fifo', slots={'a': 3}), rehearse(jobs, 'priority', slots={'a': 3})
    assert levels.by_level['high'].p95_s < flat.by_level['high'].p95_s / 2
    assert levels.by_level['low'].mean_s > flat.by_level['low'].mean_s
    assert flat.waits.jobs == levels.waits.jobs == sum(each.jobs for each in levels.by_level.values()) == 2_000


def test_a_flood_of_one_user_holds_up_another_only_where_users_do_not_share():
    flood = [ran(0.001 * number, 1.0, user='flood') for number in range(200)]
    jobs = [*flood, *(ran(50.0 + number, 1.0, user='one') for number in range(5))]
    waits = {policy: rehearse(jobs, policy, slots={'a': 1}).by_user['one'] for policy in ('priority', 'fair')}
    assert waits['priority'].mean_s > 100.0
    assert waits['fair'].longest_s < 3.0
    assert list(rehearse(jobs, 'fair').by_user) == ['flood', 'one'], 'the busiest first'


def test_models_are_swapped_less_where_those_loaded_may_go_first():
    jobs = [
        ran(0.5 * number, 2.0 + (6.0 if number < 4 else 0.0), load_s=6.0 if number < 4 else 0.0, model=model)
        for number, model in enumerate('ABABABABABABABABABABAB')
    ]
    apart, together = (rehearse(jobs, policy, slots={'a': 1}) for policy in ('fair', 'affinity'))
    assert apart.loads == len(jobs)
    assert together.loads < apart.loads / 2
    assert together.waits.mean_s < apart.waits.mean_s
    assert rehearse(jobs, 'fair', slots={'a': 1}, resident=2).loads == 2


def test_a_model_that_takes_the_place_of_a_busy_one_waits_for_its_end():
    jobs = [ran(0.0, 10.0), ran(1.0, 5.0 + 2.0, model='n', load_s=2.0)]
    assert rehearse(jobs, 'fifo', slots={'a': 2}).span_s == pytest.approx(10.0 + 2.0 + 5.0)


def test_slots_are_as_many_as_ran_at_once():
    jobs = [ran(0.0, 5.0), ran(1.0, 5.0), ran(5.0, 1.0, waited_s=1.0), ran(0.0, 1.0, worker='b')]
    assert rehearsal.slots_of(jobs) == WORKERS
    hair = [ran(1.7e9, 5.000002), ran(1.7e9 + 1.0, 3.0, waited_s=4.0)]  # times are sums, and rounded
    assert rehearsal.slots_of(hair) == {'a': 1}


def test_what_was_recorded_is_told_as_it_was():
    jobs = [ran(0.0, 4.0), ran(1.0, 2.0, waited_s=3.0, load_s=1.0, priority=13), ran(2.0, 1.0, waited_s=4.0, user='v')]
    was = rehearsal.recorded(jobs)
    assert (was.policy, was.loads, was.span_s, was.busy) == ('recorded', 1, 7.0, 1.0)
    waits = rehearsal.Waits(jobs=3, mean_s=7 / 3, p50_s=3.0, p95_s=4.0, longest_s=4.0)
    assert was.waits == waits
    assert {user: each.jobs for user, each in was.by_user.items()} == {'u': 2, 'v': 1}
    assert list(was.by_level) == ['realtime', 'normal']


def test_nothing_recorded_is_nothing_played_and_an_unknown_policy_is_refused():
    for policy in POLICIES:
        assert rehearse([], policy).waits.jobs == 0
    with pytest.raises(ValueError, match='the policies are: fifo, priority, fair, affinity'):
        rehearse([], 'best')


def test_the_limits_of_the_settings_hold_under_every_order():
    jobs = [ran(0.0, 1.0, user=f'u{number % 2}') for number in range(6)]
    rules = Rules(limits=Limits(rate=Rate(1, 10.0, 1)))
    for policy in POLICIES:
        assert rehearse(jobs, policy, rules).waits.longest_s == pytest.approx(50.0)
    own = Rules(limits=Limits(user_running=1))
    assert rehearse(jobs, 'fifo', own).waits.longest_s == pytest.approx(2.0)
    assert rehearse(jobs, 'fifo', Rules(limits=Limits(user_rate=Rate(1, 10.0, 1)))).waits.longest_s == 20.0


def test_the_bound_on_waiting_is_that_of_the_settings():
    low = ran(0.005, 1.0, priority=1, user='low')
    jobs = [ran(0.0, 1.0), low, *(ran(0.01 * number, 1.0, priority=10) for number in range(1, 60))]
    soon, late = (
        rehearse(jobs, 'priority', Rules(fairness=Fairness(overdue_after_s=bound)), slots={'a': 1}).by_user['low']
        for bound in (5.0, 600.0)
    )
    assert soon.longest_s < 10.0 and late.longest_s > 50.0


def test_the_wait_for_room_in_memory_is_no_loading():
    first, other = ran(0.0, 10.0), ran(1.0, 9.0 + 4.0 + 1.0, model='n', load_s=13.0)  # as an engine says it
    alone = ran(100.0, 1.0, model='n')  # loads in 4 s, as the other one did after 9 s for the first to end
    found = rehearse([first, other, ran(50.0, 1.0), alone], 'fifo', slots={'a': 2})
    assert found.span_s == pytest.approx(105.0)


def test_as_a_process_it_tells_how_far_it_is_and_what_came_of_each(monkeypatch, capsysbinary):
    wish = rehearsal.Wish(jobs=tuple(a_week(4, 50)), policies=('fifo', 'fair'))
    monkeypatch.setattr('sys.stdin', type('In', (), {'buffer': __import__('io').BytesIO(msgspec.msgpack.encode(wish))}))
    rehearsal.main()
    news = [msgspec.json.decode(line, type=rehearsal.News) for line in capsysbinary.readouterr().out.splitlines()]
    assert [each.outcome.policy for each in news if each.outcome] == ['recorded', 'fifo', 'fair']
    assert news[-1].done == 100 and [each.done for each in news] == sorted(each.done for each in news)


def test_the_process_goes_by_the_settings_that_the_broker_tells(monkeypatch, capsysbinary):
    here = settings.BrokerSettings(
        data_dir='.', endpoints=Endpoints(client='c', worker='w', facts='f'), rate='1 per 10 s', overdue_after_s=7.0
    )
    assert settings.rules_of(Runtime(here).told()) == here.rules()
    jobs = tuple(ran(0.0, 1.0) for _ in range(3))
    wish = rehearsal.Wish(jobs=jobs, policies=('fifo',), settings=Runtime(here).told())
    monkeypatch.setattr('sys.stdin', type('In', (), {'buffer': __import__('io').BytesIO(msgspec.msgpack.encode(wish))}))
    rehearsal.main()
    last = msgspec.json.decode(capsysbinary.readouterr().out.splitlines()[-1], type=rehearsal.News)
    assert last.outcome.waits.longest_s == 20.0
