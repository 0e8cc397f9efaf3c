"""Schedules in the queue: set, shown, ticking by the wall clock, unique per tick, never lost over a restart."""

import math
from datetime import UTC, datetime

import pytest

from broker import facts, protocol
from broker.job import AUTO_PRIORITY
from broker.schedules import job_id_of
from tests.broker.desk import RULES, Desk, job_id

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
HOUR = 3600.0


@pytest.fixture
def desk():
    made = Desk()
    made.now = NOON + 1
    return made


def set_schedule(desk, schedule_id='s', cron='0 * * * *', **fields):
    values = {'name': 'n', 'kind': 'chat', 'model': 'm', 'body': b'{"n": 1}', **fields}
    return desk.ask(protocol.SetSchedule(schedule=protocol.Schedule(schedule_id=schedule_id, cron=cron, **values)))


def made(desk):
    return [fact for fact in desk.facts if isinstance(fact, facts.JobQueued)]


def skipped(desk):
    return [(fact.ticks, fact.reason) for fact in desk.facts if isinstance(fact, facts.ScheduleSkipped)]


def test_a_tick_makes_one_job_of_the_user_who_set_it(desk):
    assert set_schedule(desk, user='u', priority=7, missed='once') == protocol.Done()
    desk.wait(HOUR)
    (queued,) = made(desk)
    assert (queued.job_id, queued.user, queued.priority) == (job_id_of('s', NOON + HOUR), 'u', 7)
    assert (queued.schedule, queued.at) == ('s', NOON + HOUR)
    job = desk.store.job(queued.job_id)
    assert (job.terms.schedule, desk.store.body(job.job_id)) == ('s', b'{"n": 1}')
    assert desk.store.schedules()[0].last_tick == NOON + HOUR
    desk.wait(2 * HOUR)
    assert len(made(desk)) == 3
    assert skipped(desk) == []


def test_a_schedule_is_shown_with_its_next_runs_and_removed(desk):
    set_schedule(desk, timezone='Asia/Shanghai', cron='30 21 * * *')
    (info,) = desk.ask(protocol.FindSchedules(runs=2)).schedules
    assert info.schedule.name == 'n'
    assert info.next_runs == (NOON + 1.5 * HOUR, NOON + 25.5 * HOUR)
    assert desk.ask(protocol.RemoveSchedule(schedule_id='s')) == protocol.Done()
    assert desk.ask(protocol.RemoveSchedule(schedule_id='s')).code == 'not_found'
    desk.wait(3 * HOUR)
    assert made(desk) == [] and desk.store.schedules() == []
    told = [type(fact).__name__ for fact in desk.facts]
    assert told == ['ScheduleSet', 'ScheduleRemoved']


def test_pages_of_schedules_follow_each_other(desk):
    for number in range(5):
        set_schedule(desk, f's{number}')
    page = desk.ask(protocol.FindSchedules(limit=3))
    assert [info.schedule.schedule_id for info in page.schedules] == ['s0', 's1', 's2'] and page.more
    page = desk.ask(protocol.FindSchedules(limit=3, after_id='s2'))
    assert [info.schedule.schedule_id for info in page.schedules] == ['s3', 's4'] and not page.more


@pytest.mark.parametrize(
    ('fields', 'named'),
    [
        ({'cron': '0 25 * * *'}, "hour field '25'"),
        ({'timezone': 'Mars/Olympus'}, 'Mars/Olympus'),
        ({'missed': 'twice'}, 'missed'),
        ({'schedule_id': ''}, 'schedule_id'),
        ({'schedule_id': 'a\x00b'}, 'schedule_id'),
        ({'name': 'n' * 301}, 'name'),
        ({'model': ''}, 'model'),
        ({'kind': 'raw'}, 'path'),
        ({'priority': 16}, 'priority'),
        ({'body': b''}, 'body'),
        ({'max_failures': 0}, 'max_failures'),
    ],
    ids=str,
)
def test_a_schedule_that_cannot_be_is_refused_in_one_sentence(desk, fields, named):
    reply = set_schedule(desk, **fields)
    assert reply.code == 'bad_request' and named in reply.detail
    assert desk.store.schedules() == []


def test_the_bodies_of_all_schedules_are_bounded(desk, monkeypatch):
    monkeypatch.setattr('broker.agenda.MAX_BYTES', 20)
    assert set_schedule(desk, body=b'{"n": 1234567890}') == protocol.Done()
    assert set_schedule(desk, body=b'{"n": 1234567890123}') == protocol.Done()
    assert set_schedule(desk, 't').code == 'too_many'
    monkeypatch.setattr('broker.agenda.MAX_SCHEDULES', 1)
    assert set_schedule(desk, 't', body=b'{}').code == 'too_many'


def test_a_schedule_may_have_its_priority_guessed(desk):
    set_schedule(desk, priority=AUTO_PRIORITY, body=b'{"prompt": "urgent"}')
    desk.wait(HOUR)
    assert [(fact.priority, fact.priority_rule) for fact in made(desk)] == [(10, 'urgent')]


@pytest.mark.parametrize('policy', ['skip', 'once'])
def test_ticks_missed_while_the_broker_was_down_are_counted_and_made_up_for_once(desk, policy):
    set_schedule(desk, missed=policy)
    desk.now += 5 * HOUR + 600
    desk.restart()
    desk.wait(1.0)
    assert len(made(desk)) == (1 if policy == 'once' else 0)
    assert skipped(desk) == [(4 if policy == 'once' else 5, 'missed')]
    desk.wait(HOUR)
    assert made(desk)[-1].at == NOON + 6 * HOUR
    assert len(skipped(desk)) == 1


def test_a_restart_across_a_tick_loses_and_repeats_nothing(desk):
    set_schedule(desk)
    desk.now = NOON + HOUR - 1
    desk.restart()
    desk.now = NOON + HOUR + 3
    desk.restart()
    desk.wait(0.5)
    desk.restart()
    desk.wait(60.0)
    assert [fact.job_id for fact in made(desk)] == [job_id_of('s', NOON + HOUR)]


def test_when_the_queue_is_full_the_tick_is_skipped_with_the_reason(desk):
    desk.rules = RULES._replace(max_waiting=1)
    desk.restart()
    desk.submit(1)
    set_schedule(desk, missed='once')
    desk.wait(HOUR)
    assert skipped(desk) == [(1, 'queue_full')]
    desk.ask(protocol.Cancel(job_id=desk.core.snapshot().jobs[0].job_id))
    desk.wait(HOUR)
    assert [fact.at for fact in made(desk)][1:] == [NOON + 2 * HOUR]


def test_schedules_follow_the_wall_clock_when_it_is_put_forward(desk):
    set_schedule(desk)
    desk.core.wall_is_ahead(0.75 * HOUR)
    desk.wait(0.25 * HOUR)
    assert [fact.at for fact in made(desk)] == [NOON + 0.25 * HOUR]
    desk.core.wall_is_ahead(4.0 * HOUR)
    desk.wait(1.0)
    assert skipped(desk) == [(3, 'missed')]


def test_a_wall_clock_put_back_repeats_no_tick(desk):
    set_schedule(desk)
    desk.wait(HOUR)
    desk.core.wall_is_ahead(-HOUR)
    desk.wait(1.5 * HOUR)
    assert len(made(desk)) == 1
    desk.wait(HOUR)
    assert len(made(desk)) == 2


def test_a_wall_clock_put_back_by_days_goes_on_and_makes_no_tick_twice(desk):
    set_schedule(desk)
    desk.wait(3 * HOUR)
    assert len(made(desk)) == 3
    desk.core.wall_is_ahead(-6 * HOUR)
    desk.wait(6 * HOUR)
    ids = [fact.job_id for fact in made(desk)]
    assert len(ids) == len(set(ids)) == 6  # 10, 11 and 12 o'clock are new, then those that were made before
    assert skipped(desk) == [(1, 'repeated')] * 3


def test_a_schedule_that_sleeps_does_nothing(desk):
    set_schedule(desk, enabled=False)
    desk.wait(2 * HOUR)
    assert made(desk) == [] and skipped(desk) == []
    assert desk.ask(protocol.FindSchedules()).schedules[0].next_runs == ()


def test_what_a_client_says_about_the_last_tick_does_not_count(desk):
    set_schedule(desk, missed='once', last_tick=1.0)
    desk.wait(60.0)
    set_schedule(desk, missed='once', last_tick=math.inf)
    desk.wait(HOUR)
    assert [fact.at for fact in made(desk)] == [NOON + HOUR]


def test_many_that_are_due_at_once_are_made_in_portions(desk):
    for number in range(250):
        set_schedule(desk, f's{number:03}')
    desk.now = NOON + HOUR
    sizes = []
    while desk.core.next_deadline() <= desk.now:
        before = len(made(desk))
        desk.did(desk.core.tick(desk.now))
        sizes.append(len(made(desk)) - before)
    assert [size for size in sizes if size] == [100, 100, 50]


# the machine slept


def test_after_a_sleep_of_the_machine_no_lease_has_run_out(desk):
    worker = desk.join('w')
    desk.submit(1)
    desk.wait(4.0)
    desk.now += 8 * HOUR  # nothing ran, and the clock went on
    desk.did(desk.core.tick(desk.now))
    assert desk.state(1) == 'running'
    desk.wait(5.0)
    desk.tell(
        worker, protocol.Heartbeat(runs=(protocol.Run(job_id=desk.core.snapshot().jobs[0].job_id, epoch=1, index=0),))
    )
    desk.wait(10.0)
    desk.run(worker, 1, b'{}')
    assert desk.state(1) == 'completed'
    assert desk.store.job(desk.facts[-1].job_id).losses == 0


def test_after_a_sleep_a_worker_that_stays_silent_is_lost_in_time(desk):
    desk.join('w')
    desk.submit(1)
    desk.wait(4.0)
    desk.now += 8 * HOUR
    desk.did(desk.core.tick(desk.now))
    desk.wait(RULES.lease_ttl_s)
    assert desk.state(1) == 'waiting'


def test_who_is_heard_right_after_a_sleep_gets_no_longer_lease_than_others(desk):
    worker = desk.join('w')
    desk.submit(1)
    desk.wait(4.0)
    desk.now += 8 * HOUR
    desk.tell(worker, protocol.Heartbeat(runs=(protocol.Run(job_id=job_id(1), epoch=1, index=0),)))
    desk.did(desk.core.tick(desk.now))
    desk.wait(RULES.lease_ttl_s + 0.1)
    assert desk.state(1) == 'waiting'


def test_a_deadline_passes_also_while_the_machine_sleeps(desk):
    desk.submit(1, deadline_at=desk.now + 60.0)
    desk.wait(4.0)
    desk.now += 8 * HOUR
    desk.did(desk.core.tick(desk.now))
    assert desk.state(1) == 'dead'
