"""Which tick is due: cron lines, time zones, clocks that are put forward and back, ticks that were missed."""

import math
from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker import intake, protocol
from broker.schedules import AT_ONCE, COUNTED, Schedules, job_id_of, next_runs, next_tick, problem_with

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
HOUR, DAY = 3600.0, 86400.0


def a_schedule(cron='0 * * * *', schedule_id='s', **fields):
    values = {'name': 'n', 'kind': 'chat', 'model': 'm', 'body': b'{}', **fields}
    return protocol.Schedule(schedule_id=schedule_id, cron=cron, **values)


def at(text, zone='UTC', fold=0):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


@pytest.mark.parametrize(
    ('cron', 'zone', 'named'),
    [
        ('61 * * * *', 'UTC', "minute field '61'"),
        ('* 24 * * *', 'UTC', "hour field '24'"),
        ('* * 0 * *', 'UTC', "day-of-month field '0'"),
        ('* * * 13 *', 'UTC', "month field '13'"),
        ('* * * FOO *', 'UTC', "month field 'FOO'"),
        ('* * * * 8', 'UTC', "day-of-week field '8'"),
        ('*/0 * * * *', 'UTC', "minute field '*/0'"),
        ('* 5-1 * * *', 'UTC', "hour field '5-1'"),
        ('* * * * 1#6', 'UTC', "day-of-week field '1#6'"),
        ('L/2/3 * * * *', 'UTC', "minute field 'L/2/3'"),
        ('* * * *', 'UTC', 'this one has 4'),
        ('0 * * * * *', 'UTC', 'this one has 6'),
        ('@daily', 'UTC', 'this one has 1'),
        ('', 'UTC', 'this one has 0'),
        ('9' * 5000 + ' * * * *', 'UTC', 'five fields'),
        ('0 0 31 2 *', 'UTC', "day-of-month field '31'"),
        ('0 0 31 4,6 *', 'UTC', "day-of-month field '31'"),
        ('* * * * *', 'Europe/Berlin2', "'Europe/Berlin2' is no time zone"),
        ('* * * * *', '', "'' is no time zone"),
        ('* * * * *', 'Europe', "'Europe' is no time zone"),
        ('* * * * *', '../../etc/passwd', 'is no time zone'),
        ('* * * * *', '\0', 'is no time zone'),
        ('\x1b[31m * * * *', 'UTC', 'minute field'),
        ('* * * * *', 'x' * 10_000, 'is no time zone'),
    ],
)
def test_a_wrong_line_or_zone_is_named_in_one_sentence(cron, zone, named):
    problem = problem_with(cron, zone)
    assert named in problem
    assert problem.isprintable() and len(problem) < 400


@pytest.mark.parametrize(
    'cron', ['* * * * *', '*/5 9-17 * * MON-FRI', '0 0 L * *', '0 0 29 2 *', '0 12 * * 5L', '0 0 1,15 * 1#2']
)
@pytest.mark.parametrize('zone', ['UTC', 'Asia/Shanghai', 'America/New_York'])
def test_a_good_line_has_no_problem(cron, zone):
    assert problem_with(cron, zone) == ''


@PATIENT
@given(st.text(st.sampled_from('0123456789*/-,#LW?MON JAN'), max_size=30), st.floats(0, 4e9))
def test_no_line_upsets_the_check_and_a_good_one_ticks(cron, after):
    if problem_with(cron, 'Europe/Berlin') == '':
        assert after < next_tick(a_schedule(cron, timezone='Europe/Berlin'), after) < math.inf


def test_a_line_is_read_in_its_time_zone():
    assert next_tick(a_schedule('0 9 * * *', timezone='Asia/Shanghai'), NOON) == at('2026-11-23 01:00')
    assert next_runs(a_schedule('0 9 * * MON', timezone='Asia/Shanghai'), 2, NOON) == (
        at('2026-11-23 09:00', 'Asia/Shanghai'),
        at('2026-11-30 09:00', 'Asia/Shanghai'),
    )


def test_a_fixed_time_runs_once_on_the_days_when_clocks_change():
    schedule = a_schedule('30 2 * * *', timezone='Europe/Berlin')
    spring = next_runs(schedule, 3, at('2026-03-28 00:00'))
    assert spring == tuple(
        at(text, 'Europe/Berlin') for text in ('2026-03-28 02:30', '2026-03-29 03:00', '2026-03-30 02:30')
    )
    autumn = next_runs(schedule, 3, at('2026-10-24 00:00'))
    assert autumn == tuple(at(f'2026-10-{day} 02:30', 'Europe/Berlin') for day in (24, 25, 26))


def test_in_the_hour_that_comes_twice_no_tick_lies_in_the_past():
    schedule = a_schedule('30 2 * * *', timezone='Europe/Berlin')
    second = at('2026-10-25 02:10', 'Europe/Berlin', fold=1)
    assert next_tick(schedule, second) == at('2026-10-26 02:30', 'Europe/Berlin')
    every = a_schedule('*/15 * * * *', timezone='Europe/Berlin')
    ticks = next_runs(every, 12, at('2026-10-25 01:50', 'Europe/Berlin'))
    assert [after - before for before, after in pairwise(ticks)] == [900.0] * 11


@PATIENT
@given(
    st.sampled_from(['30 2 * * *', '*/20 * * * *', '0 */2 * * *', '15,45 1-3 * * *', '5 3 * * SUN']),
    st.sampled_from(['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Shanghai', 'UTC']),
    st.floats(at('2026-01-01'), at('2027-01-01')),
)
def test_ticks_only_go_forward(cron, zone, after):
    ticks = next_runs(a_schedule(cron, timezone=zone), 5, after)
    assert list(ticks) == sorted(set(ticks)) and ticks[0] > after


def test_a_tick_on_time_makes_a_job_and_comes_once():
    schedules = Schedules()
    schedules.set(a_schedule(), NOON + 1)
    assert schedules.next_at() == NOON + HOUR
    assert list(schedules.due(NOON + HOUR - 1)) == []
    (due,) = schedules.due(NOON + HOUR + 2)
    assert (due.tick, due.runs, due.missed, due.schedule.last_tick) == (NOON + HOUR, True, 0, NOON + HOUR)
    assert list(schedules.due(NOON + HOUR + 2)) == []


@pytest.mark.parametrize(
    ('policy', 'late_s', 'runs', 'missed'),
    [
        ('skip', 20, True, 0),
        ('skip', 40, False, 1),
        ('once', 40, True, 0),
        ('skip', 3 * HOUR + 40, False, 4),
        ('once', 3 * HOUR + 40, True, 3),
        ('skip', 3 * HOUR + 20, True, 3),
        ('once', 3 * HOUR + 20, True, 3),
    ],
)
def test_ticks_that_were_missed_make_one_job_or_none(policy, late_s, runs, missed):
    before, after = Schedules(), Schedules()
    kept = before.set(a_schedule(missed=policy), NOON + 1)
    after.restore([kept], NOON + HOUR + late_s)
    (due,) = after.due(NOON + HOUR + late_s)
    assert (due.runs, due.missed) == (runs, missed)
    assert due.tick <= NOON + HOUR + late_s < after.next_at()


@pytest.mark.parametrize('zone', ['UTC', 'Europe/Berlin'])
@pytest.mark.parametrize('cron', ['* * * * *', '* * * 1-10 *', '*/5 0-3 * * *', '30 2 * * *'])
def test_a_year_away_is_caught_up_with_at_once(cron, zone):
    schedules = Schedules()
    schedule = a_schedule(cron, missed='once', timezone=zone, last_tick=NOON - 366 * DAY)
    schedules.restore([schedule], NOON)
    (due,) = schedules.due(NOON)
    assert due.runs and due.missed == COUNTED - 1
    assert due.tick <= NOON < schedules.next_at()
    assert next_tick(schedule, due.tick) > NOON, 'a later tick had passed, too'


def test_a_schedule_that_sleeps_misses_nothing_when_it_wakes():
    schedules = Schedules()
    schedules.set(a_schedule(missed='once', enabled=False), NOON)
    assert schedules.next_at() == math.inf
    schedules.set(a_schedule(missed='once'), NOON + 5 * HOUR + 1)
    assert list(schedules.due(NOON + 5 * HOUR + 2)) == []
    assert schedules.next_at() == NOON + 6 * HOUR
    schedules.set(a_schedule(missed='once', enabled=False), NOON + 5 * HOUR + 3)
    assert schedules.next_at() == math.inf


def test_a_schedule_that_is_replaced_keeps_its_place():
    schedules = Schedules()
    schedules.set(a_schedule(), NOON - 1)
    list(schedules.due(NOON))
    assert schedules.set(a_schedule(body=b'{"new": 1}'), NOON + 0.5).last_tick == NOON
    assert schedules.set(a_schedule('*/30 * * * *', last_tick=7.0), NOON + 1).last_tick == NOON + 1
    assert schedules.bytes_with(a_schedule(body=b'x' * 9)) == 9
    assert schedules.bytes_with(a_schedule(schedule_id='other')) == 4
    schedules.remove('s')
    assert (len(schedules), schedules.bytes_with(a_schedule()), schedules.next_at()) == (0, 2, math.inf)


def test_a_clock_put_back_repeats_no_tick_unless_it_was_wrong_by_hours():
    schedules = Schedules()
    schedules.set(a_schedule(), NOON - 1)
    list(schedules.due(NOON))
    schedules.follow(NOON - HOUR)
    assert schedules.next_at() == NOON + HOUR
    schedules.follow(NOON - 300 * DAY + 1)
    assert schedules.next_at() == NOON - 300 * DAY + HOUR


def test_the_job_of_a_tick_has_one_id():
    assert job_id_of('s', NOON) == job_id_of('s', NOON)
    assert len({job_id_of(name, NOON + tick) for name in 'abc' for tick in (0, 60, 120)}) == 9
    assert intake.is_job_id(job_id_of('任务', NOON))
    assert job_id_of('s', NOON) < job_id_of('a', NOON + 60)


def test_what_is_due_can_be_asked_without_a_change():
    schedules = Schedules()
    schedules.set(a_schedule(), NOON - 1)
    schedules.set(a_schedule(schedule_id='late', last_tick=1.0), NOON - 1)
    assert sorted(schedules.due_ids(NOON)) == sorted([job_id_of('late', NOON), job_id_of('s', NOON)])
    assert [job_id_of(due.schedule.schedule_id, due.tick) for due in schedules.due(NOON)] == [
        job_id_of('late', NOON),
        job_id_of('s', NOON),
    ]
    assert schedules.due_ids(NOON) == []


def test_a_page_shows_the_next_runs_and_fits_into_a_message():
    schedules = Schedules()
    for number in range(5):
        schedules.set(a_schedule(schedule_id=f's{number}', enabled=number != 1, body=b'x' * 400_000), NOON)
    page = schedules.page('', 100, 2, NOON)
    assert [info.schedule.schedule_id for info in page.schedules] == ['s0', 's1'] and page.more
    assert [info.next_runs for info in page.schedules] == [(NOON + HOUR, NOON + 2 * HOUR), ()]
    page = schedules.page('s3', 100, 0, NOON)
    assert [info.schedule.schedule_id for info in page.schedules] == ['s4'] and not page.more


def test_a_zone_that_is_gone_since_puts_its_schedule_to_sleep():
    schedules = Schedules()
    schedules.restore([a_schedule(timezone='Atlantis/Port', last_tick=NOON)], NOON + DAY)
    assert schedules.next_at() == math.inf
    assert schedules.page('', 1, 3, NOON).schedules[0].next_runs == ()


def test_ten_thousand_schedules_cost_a_tick_no_more_than_a_few(monkeypatch):
    """Steps are counted, not seconds: how many ticks are worked out, and how many keys the heap compares."""

    class Counted(float):
        compared = 0

        def __lt__(self, other):
            Counted.compared += 1
            return float(self) < float(other)

    worked_out = []
    plain = next_tick
    monkeypatch.setattr(
        'broker.schedules.next_tick',
        lambda schedule, after: worked_out.append(1) or Counted(plain(schedule, after)),
    )
    schedules = Schedules()
    schedules.restore([a_schedule(f'{n % 60} {n % 24} * * *', f's{n}', last_tick=NOON) for n in range(10_000)], NOON)
    worked_out.clear()
    Counted.compared = 0
    steps, wall = 0, NOON
    while steps < 1_000:
        wall = schedules.next_at()
        steps += sum(1 for _ in schedules.due(wall))
    assert len(worked_out) == steps
    assert Counted.compared / steps < 60  # a few times log2(10,000)
    Counted.compared = 0
    schedules.set(a_schedule(schedule_id='one more'), wall)
    schedules.remove('one more')
    assert Counted.compared < 60


def test_many_that_are_due_together_come_in_portions():
    schedules = Schedules()
    schedules.restore([a_schedule(schedule_id=f's{n}', last_tick=NOON) for n in range(250)], NOON)
    portions = []
    while portion := list(schedules.due(NOON + HOUR)):
        portions.append(len(portion))
    assert portions == [AT_ONCE, AT_ONCE, 50]


def test_ticks_that_were_missed_count_for_a_portion_too():
    schedules = Schedules()
    schedules.restore([a_schedule('* * * * *', f's{n}', last_tick=NOON - DAY) for n in range(25)], NOON)
    portions = []
    while portion := list(schedules.due(NOON)):
        portions.append(len(portion))
    assert portions == [10, 10, 5]


def test_what_was_looked_at_is_looked_at_again_when_something_has_changed():
    schedules = Schedules()
    schedules.restore([a_schedule(schedule_id=f's{n}', last_tick=NOON) for n in range(3)], NOON)
    assert len(schedules.due_ids(NOON + HOUR)) == 3
    schedules.remove('s1')
    schedules.set(a_schedule(schedule_id='s2', enabled=False), NOON + HOUR)
    assert [due.schedule.schedule_id for due in schedules.due(NOON + HOUR)] == ['s0']
