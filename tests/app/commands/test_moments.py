"""Times as people write and read them."""

import datetime
import time

import pytest

from app.commands import moments

NOW = datetime.datetime(2026, 11, 22, 14, 5, 9).timestamp()  # local time


@pytest.fixture(autouse=True)
def somewhere(monkeypatch):
    monkeypatch.setenv('TZ', 'Asia/Shanghai')
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ('text', 'seconds'),
    [('90', 90), ('90s', 90), ('10m', 600), ('1h30m', 5400), ('2d', 172800), ('1.5h', 5400), (' 1W ', 604800)],
)
def test_a_length_of_time(text, seconds):
    assert moments.length_s(text) == seconds


@pytest.mark.parametrize('text', ['', 'soon', '10 minutes', '-5m', '5y', '1h 5'])
def test_what_is_no_length_of_time_says_what_would_be(text):
    with pytest.raises(ValueError, match='10m'):
        moments.length_s(text)


@pytest.mark.parametrize(
    ('text', 'when'),
    [
        ('18:30', '2026-11-22T18:30:00+08:00'),
        ('9:00', '2026-11-23T09:00:00+08:00'),
        ('2026-12-01', '2026-12-01T00:00:00+08:00'),
        ('2026-12-01 08:15', '2026-12-01T08:15:00+08:00'),
        ('2026-12-01T08:15:00Z', '2026-12-01T16:15:00+08:00'),
        ('10m', '2026-11-22T14:15:09+08:00'),
    ],
)
def test_a_moment_is_local_time_unless_it_says_otherwise(text, when):
    now = datetime.datetime.fromisoformat('2026-11-22T14:05:09+08:00').timestamp()
    assert moments.moment(text, now) == datetime.datetime.fromisoformat(when).timestamp()


@pytest.mark.parametrize('text', ['tomorrow', '25:00', '2026-13-01', ''])
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(ValueError, match=r'18:30|o’clock'):
        moments.moment(text, NOW)


def test_a_time_is_shown_short_today_and_with_its_date_on_other_days():
    now = datetime.datetime.fromisoformat('2026-11-22T14:05:09+08:00').timestamp()
    assert moments.shown(now, now) == '14:05:09'
    assert moments.shown(now - 86400, now) == '2026-11-21 14:05'
    assert moments.shown(0.0, now) == ''
    assert moments.iso(now) == '2026-11-22T14:05:09.000+08:00'
    assert moments.iso(0.0) is None


@pytest.mark.parametrize(
    ('seconds', 'text'),
    [
        (-1, '0.0 s'), (0.04, '0.0 s'), (9.94, '9.9 s'), (9.96, '10 s'), (59.6, '1 min'), (250, '4 min 10 s'),
        (3600, '1 h'), (3900, '1 h 5 min'), (180000, '2 d 2 h'),
    ],
)  # fmt: skip
def test_a_length_of_time_is_told_in_the_largest_units(seconds, text):
    assert moments.took(seconds) == text


def test_the_zone_of_this_machine_has_a_name(monkeypatch):
    assert moments.zone() == 'Asia/Shanghai'
    monkeypatch.setenv('TZ', '')
    assert moments.zone()
