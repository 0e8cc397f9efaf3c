"""Intervals that hold as often as they say."""

import random

from broker.calibration import EARLY, LATE, Calibration
from broker.forecast import Start

ABOUT = Start('job', likely_s=10.0, earliest_s=8.0, latest_s=12.0)


def test_without_experience_a_forecast_stays_as_it_is():
    calibration = Calibration()
    calibration.learn(ABOUT, 100.0)
    assert calibration.of(ABOUT) == ABOUT


def test_starts_that_come_late_move_the_end_out():
    calibration = Calibration()
    for _ in range(50):
        calibration.learn(ABOUT, 22.0)
    found = calibration.of(ABOUT)
    assert found.latest_s == 22.0
    assert found.likely_s == 10.0


def test_an_interval_that_was_too_wide_gets_narrower_but_holds_what_is_likely():
    calibration = Calibration()
    for _ in range(50):
        calibration.learn(ABOUT, 10.0)
    assert calibration.of(ABOUT)[1:4] == (10.0, 10.0, 10.0)


def test_what_was_long_ago_is_forgotten():
    calibration = Calibration()
    for waited_s in (99.0,) * 50 + (10.0,) * 200:
        calibration.learn(ABOUT, waited_s)
    assert calibration.of(ABOUT).latest_s == 10.0


def test_of_any_errors_the_interval_holds_the_part_it_says():
    chance = random.Random(1)
    calibration, missed = Calibration(), 0
    for number in range(4_000):
        waited_s = 10.0 * chance.lognormvariate(0.3, 0.8)
        if number >= 200:
            found = calibration.of(ABOUT)
            missed += not found.earliest_s <= waited_s <= found.latest_s
        calibration.learn(ABOUT, waited_s)
    assert 0.5 * (EARLY + LATE) < missed / 3_800 < 1.5 * (EARLY + LATE)
