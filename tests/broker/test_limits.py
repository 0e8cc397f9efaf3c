"""Limits: what may start in any window, who waits for it, and that nobody else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import facts, limits, protocol
from broker.limits import Gcra, Limits, Rate, parse
from broker.rules import Rules
from broker.settings import BrokerSettings
from tests.broker.desk import CLIENT, Desk, finished, job_id


@pytest.mark.parametrize(
    ('text', 'rate'),
    [
        ('10 per min', Rate(10, 60.0, 10)),
        ('1 per 30 s', Rate(1, 30.0, 1)),
        ('100 per 2h burst 5', Rate(100, 7200.0, 5)),
        ('  3   per  d ', Rate(3, 86400.0, 3)),
    ],
)
def test_a_rate_is_read_as_people_write_it(text, rate):
    assert parse(text) == rate


@pytest.mark.parametrize(
    'text', ['', '10', '10/min', 'ten per min', '0 per min', '5 per 0 s', '5 per min burst 0', '-1 per s']
)
def test_a_rate_that_cannot_be_read_or_lets_nothing_through_is_refused(text):
    with pytest.raises(ValueError, match='rate'):
        parse(text)


@given(
    st.integers(1, 20),
    st.floats(0.1, 100.0),
    st.integers(1, 20),
    st.lists(st.floats(0.0, 30.0), min_size=1, max_size=80),
)
def test_no_window_ever_has_more_starts_than_the_rate_allows(starts, period_s, burst, pauses):
    rate = Rate(starts, period_s, burst)
    gate, now, allowed = Gcra(rate), 1e3, []
    for pause in pauses:
        now += pause
        if gate.eligible_at('k') <= now:
            gate.take('k', now)
            allowed.append(now)
    for first, begin in enumerate(allowed):
        for last in range(first, len(allowed)):
            window_s = allowed[last] - begin
            assert last - first + 1 <= burst + window_s / rate.step_s + 1e-6


def test_the_time_that_is_told_is_the_time_from_which_on_it_works():
    gate = Gcra(parse('6 per min burst 2'))
    for at in (100.0, 100.0):
        assert gate.eligible_at('k') <= at
        gate.take('k', at)
    assert gate.eligible_at('k') == pytest.approx(110.0)
    assert gate.eligible_at('other') <= 100.0


def desk_with(**limits):
    return Desk(Rules(lease_ttl_s=1e6, limits=Limits(**limits)))  # so that workers need no heartbeats


def started(desk):
    return [int(name, 16) for _, name, _ in desk.assigned()]


def test_a_user_over_the_rate_waits_and_stands_in_nobodys_way():
    desk = desk_with(user_rate=parse('6 per min burst 1'))
    worker = desk.join('w', slots=10)
    for number in (1, 2, 3):
        desk.submit(number, user='eager', priority=15)
    desk.submit(4, user='other', priority=0)
    assert started(desk) == [4]
    assert len(desk.core.snapshot().workers[0].models) == 1 and desk.core.snapshot().workers[0].busy == 2
    desk.wait(9.9)
    assert started(desk) == []
    desk.wait(0.1)
    assert started(desk) == [2]
    desk.wait(10)
    assert started(desk) == [3]
    assert worker


def test_a_limited_job_says_when_it_may_start():
    desk = desk_with(user_rate=parse('6 per min burst 1'))
    desk.join('w', slots=10)
    for number in (1, 2):
        desk.submit(number, user='eager')
    begun = desk.now
    desk.wait(1)
    (place,) = desk.published(protocol.Standing)[-1].places
    assert (place.job_id, place.reason) == (job_id(2), 'limited')
    assert place.not_before == pytest.approx(begun + 10)


def test_a_rate_for_a_model_holds_up_that_model_only():
    desk = desk_with(model_rates=(('m', parse('1 per 60 s')),))
    desk.join('w', slots=10, models=('m', 'n'))
    for number, model in ((1, 'm'), (2, 'm'), (3, 'n')):
        desk.submit(number, model=model)
    assert desk.core.snapshot().workers[0].busy == 2
    desk.wait(60)
    assert started(desk) == [2]


def test_a_rate_for_all_holds_up_all():
    desk = desk_with(rate=parse('1 per 10 s'))
    desk.join('w', slots=10)
    for number in (1, 2, 3):
        desk.submit(number, user=str(number))
    assert desk.core.snapshot().workers[0].busy == 1
    desk.wait(10)
    assert started(desk) == [2]
    desk.wait(10)
    assert started(desk) == [3]


def test_only_so_many_jobs_of_a_user_run_at_the_same_time():
    desk = desk_with(user_running=1)
    worker = desk.join('w', slots=10)
    for number, user in ((1, 'u'), (2, 'u'), (3, 'v')):
        desk.submit(number, user=user)
    assert desk.core.snapshot().workers[0].busy == 2
    desk.wait(1)
    (place,) = desk.published(protocol.Standing)[-1].places
    assert (place.job_id, place.reason, place.not_before) == (job_id(2), 'limited', 0.0)
    desk.tell(worker, finished(1, 1, 0))
    assert started(desk) == [2]


def test_only_so_many_jobs_run_at_the_same_time_in_all():
    desk = desk_with(running=2)
    worker = desk.join('w', slots=10)
    for number in (1, 2, 3):
        desk.submit(number, user=str(number))
    assert desk.core.snapshot().workers[0].busy == 2
    desk.tell(worker, finished(1, 1, 0))
    assert started(desk) == [3]


def test_a_restart_does_not_open_the_gate():
    desk = desk_with(user_rate=parse('6 per min burst 2'))
    worker = desk.join('w', slots=10)
    for number in (1, 2, 3, 4):
        desk.submit(number, user='eager')
    for number in (1, 2):
        desk.tell(worker, finished(number, 1, 0))
    desk.restart()
    desk.join('w', slots=10)
    assert started(desk) == []
    desk.wait(10)
    assert started(desk) == [3]


def test_running_jobs_count_after_a_restart():
    desk = desk_with(user_running=1)
    desk.join('w', slots=10)
    for number in (1, 2):
        desk.submit(number, user='u')
    desk.restart()
    desk.join('w', slots=10, runs=(protocol.Run(job_id=job_id(1), epoch=1, index=0),))
    assert started(desk) == []


def test_a_user_may_have_only_so_many_jobs_waiting():
    desk = Desk(Rules(max_waiting_per_user=2))
    for number in (1, 2):
        desk.submit(number, user='u')
    refused = desk.submit(3, user='u')
    assert isinstance(refused, protocol.Refused) and (refused.code, refused.retry_after_s > 0) == ('queue_full', True)
    assert isinstance(desk.submit(4, user='v'), protocol.Accepted)
    desk.ask(protocol.Cancel(job_id=job_id(1)))
    assert isinstance(desk.submit(5, user='u'), protocol.Accepted)


def test_a_limited_job_can_be_cancelled_and_moved():
    desk = desk_with(user_rate=parse('1 per h'))
    desk.join('w', slots=10)
    for number in (1, 2, 3):
        desk.submit(number, user='u')
    desk.did(desk.core.receive(CLIENT, protocol.SetPriority(job_id=job_id(3), priority=15), desk.now))
    desk.did(desk.core.receive(CLIENT, protocol.Cancel(job_id=job_id(2)), desk.now))
    assert desk.history(2)[-1] == 'JobCancelled'
    desk.wait(3600)
    assert started(desk) == [3]


def test_limits_are_set_as_people_write_them(tmp_path):
    endpoints = {'client': 'ipc://c', 'worker': 'ipc://w', 'facts': 'ipc://f'}
    settings = BrokerSettings(
        data_dir=tmp_path, endpoints=endpoints, user_rate='10 per min', model_rates={'m': '1 per s', 'n': ''}, running=3
    )
    assert settings.limits() == Limits(user_rate=Rate(10, 60.0, 10), model_rates=(('m', Rate(1, 1.0, 1)),), running=3)
    with pytest.raises(ValueError, match=r"model_rates[\s\S]*a rate is written like '10 per min'"):
        BrokerSettings(data_dir=tmp_path, endpoints=endpoints, model_rates={'m': 'often'})


def test_many_users_in_force_do_not_make_every_start_look_at_all_of_them(monkeypatch):
    monkeypatch.setattr(limits, 'MANY', 10)
    gate, looks = limits.Gcra(limits.Rate(1, 1_000.0, 1)), 0
    for number in range(500):
        before = gate._tat
        gate.take(f'user {number}', 0.0)
        looks += gate._tat is not before
    assert looks < 10
    gate.take('later', 5_000.0)
    for number in range(2_000):
        gate.take(f'other {number}', 5_000.0 + number * 1_000)
    assert len(gate._tat) < 1_100


def test_a_start_tells_how_long_limits_held_it():
    gate = limits.Gate(Limits(user_rate=parse('1 per 10 s'), running=2))
    assert gate.limited_s('u', 'm', 90.0, 100.0) == 0
    gate.started('u', 'm', 100.0)  # u may go on at 110
    gate.started('v', 'm', 104.0)  # two run now: nobody may go on …
    gate.ended('v', 106.0)  # … until now
    assert gate.limited_s('u', 'm', 95.0, 108.0) == 8  # 100 to 108; what overlaps counts once
    assert gate.limited_s('w', 'm', 95.0, 108.0) == 2  # the cap alone
    gate.started('u', 'm', 110.0)
    assert gate.limited_s('u', 'm', 95.0, 120.0) == 20
    assert gate.limited_s('u', 'm', 105.0, 112.0) == 7


def test_a_long_wait_behind_a_limit_is_in_the_fact_of_the_start():
    desk = desk_with(user_rate=parse('6 per min burst 1'))
    desk.join('w', slots=10)
    for number in (1, 2, 3):
        desk.submit(number, user='eager')
    told = []
    for _ in range(2):
        told += [a.fact.limited_s for a in desk.wait(10) if isinstance(getattr(a, 'fact', None), facts.JobStarted)]
    assert told == [pytest.approx(10), pytest.approx(20)]


# what is left of a limit


def test_what_is_left_is_told_as_reckoned_by_hand():
    """6 per minute, 2 at once: a step of 10 s, so a full debt is 20 s."""
    gate = Gcra(parse('6 per min burst 2'))
    assert gate.room('k', 0, 100.0) == limits.Room(2, 2, 0.0)
    assert gate.room('k', 1, 100.0) == limits.Room(2, 1, 10.0)
    gate.take('k', 100.0)
    assert gate.room('k', 0, 100.0) == limits.Room(2, 1, 10.0)
    assert gate.room('k', 3, 100.0) == limits.Room(2, 0, 40.0)
    assert gate.room('k', 0, 107.5) == limits.Room(2, 1, 2.5)
    assert gate.room('k', 0, 110.0) == limits.Room(2, 2, 0.0)
    assert gate.room('other', 0, 100.0) == limits.Room(2, 2, 0.0)


@given(st.integers(1, 50), st.floats(0.1, 1e5), st.integers(1, 50), st.integers(0, 60))
def test_so_many_as_are_left_may_start_at_once_and_no_more(starts, period_s, burst, taken):
    gate = Gcra(Rate(starts, period_s, burst))
    for _ in range(taken):
        gate.take('k', 1e3)
    left = gate.room('k', 0, 1e3).remaining
    assert left == max(0, burst - taken)
    for _ in range(left):
        assert gate.eligible_at('k') <= 1e3 + 1e-6
        gate.take('k', 1e3)
    assert gate.eligible_at('k') > 1e3


def quota(limit, remaining, reset_s):
    return protocol.Quota(limit=limit, remaining=remaining, reset_s=reset_s)


def test_who_is_let_in_hears_of_the_tightest_limit():
    rates = Limits(parse('60 per min'), parse('6 per min burst 3'), (('m', parse('1 per min burst 4')),))
    desk = Desk(Rules(limits=rates))
    assert desk.submit(1, user='u').quota == quota(3, 2, 10.0)
    assert desk.submit(2, user='u', model='free').quota == quota(3, 1, 20.0)
    assert desk.submit(3, user='v').quota == quota(4, 2, 120.0)  # the model's: as few are left as of the user's, longer
    desk.join('w', slots=1)  # one of them starts; nothing was used but what waited before
    assert desk.submit(4, user='w').quota == quota(4, 1, 180.0)
    desk.wait(10.0)
    assert desk.submit(5, user='new').quota == quota(4, 0, 230.0)


def test_where_nothing_is_limited_nothing_is_said_of_limits():
    assert Desk().submit(1).quota is None


def test_the_bound_on_what_a_user_has_waiting_is_a_limit_too():
    desk = Desk(Rules(max_waiting_per_user=2))
    assert [desk.submit(number, user='u').quota.remaining for number in (1, 2)] == [1, 0]
    refused = desk.submit(3, user='u')
    assert (refused.code, refused.quota) == ('queue_full', quota(2, 0, refused.retry_after_s))
    assert desk.submit(4, user='v').quota.remaining == 1


def test_a_queue_that_is_full_names_its_bound():
    desk = Desk(Rules(max_waiting=1))
    assert desk.submit(1).quota is None
    assert desk.submit(2).quota == quota(1, 0, 5.0)
