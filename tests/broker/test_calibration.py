"""Intervals that hold as often as they say."""

import random

from broker.calibration import EARLY, LATE, Calibration
from broker.forecast import Start

ABOUT = Start('job', likely_s=10.0, earliest_s=8.0, latest_s=12.0)


def lived(calibration, waited_s, times, priority=5):
    """So many were told, and waited so long; how many of them outside of what they were told."""
    missed = 0
    for _ in range(times):
        told = calibration.of(ABOUT, priority)
        wait_s = waited_s() if callable(waited_s) else waited_s
        missed += not told.earliest_s <= wait_s <= told.latest_s
        calibration.learn(told, wait_s, priority)
    return missed


def test_without_experience_a_forecast_stays_as_it_is_in_whole_seconds():
    assert Calibration().of(ABOUT, 5)[1:4] == (10.0, 8, 12)
    assert Calibration().of(Start('job', 0.3, 0.1, 0.4), 5)[1:4] == (0.3, 0, 1)


def test_starts_that_come_late_move_the_end_out():
    calibration = Calibration()
    assert lived(calibration, 22.0, 50) < 30
    found = calibration.of(ABOUT, 5)
    assert found.latest_s >= 21
    assert found.likely_s == 10.0


def test_an_interval_that_was_too_wide_gets_narrower_but_holds_what_is_likely():
    calibration = Calibration()
    lived(calibration, 10.0, 500)
    assert (10, 10) <= calibration.of(ABOUT, 5)[2:4] <= (10, 11)


def test_one_surprise_does_not_make_all_that_follows_vague():
    calibration = Calibration()
    lived(calibration, 500.0, 3)
    assert calibration.of(ABOUT, 5).latest_s < 16


def test_what_was_long_ago_is_forgotten():
    calibration = Calibration()
    lived(calibration, 60.0, 50)
    lived(calibration, 10.0, 2_000)
    assert calibration.of(ABOUT, 5).latest_s <= 12


def test_whoever_has_time_is_overtaken_and_the_others_are_not_told_so():
    calibration = Calibration()
    lived(calibration, 10.0, 20, priority=10)
    lived(calibration, 40.0, 60, priority=1)
    assert calibration.of(ABOUT, 1).latest_s >= 38
    assert calibration.of(ABOUT, 10).latest_s <= 13
    assert calibration.of(ABOUT, 3).latest_s == calibration.of(ABOUT, 1).latest_s, (
        'nothing is known yet: as the closest'
    )


def test_of_any_errors_the_interval_holds_the_part_it_says():
    chance = random.Random(1)
    missed = lived(Calibration(), lambda: 10.0 * chance.lognormvariate(0.3, 0.8), 4_000)
    assert 0.8 * (EARLY + LATE) < missed / 4_000 < 1.3 * (EARLY + LATE)
