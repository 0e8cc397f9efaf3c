"""When a model that nobody uses is asked for a token."""

import math

from workers.canary import FIRST_PAUSE_S, LONGEST_PAUSE_S, Canaries

STAYS = frozenset({'stays'})
BOTH = frozenset({'stays', 'goes'})


def both(every_s=300.0):
    canaries = Canaries(every_s)
    canaries.resident(BOTH, STAYS, 1000.0)
    return canaries


def test_a_model_is_due_after_that_long_without_a_token():
    canaries = both()
    canaries.used('goes', 1200.0)
    assert canaries.next() == (1300.0, 'stays')
    canaries.used('stays', 1250.0)
    assert canaries.next() == (1500.0, 'goes')


def test_what_is_not_in_memory_is_never_due():
    canaries = both()
    canaries.used('elsewhere', 1000.0)
    canaries.failed('elsewhere', 1000.0)
    canaries.resident(frozenset(), frozenset(), 1001.0)
    assert canaries.next() == (math.inf, '') and canaries.any() == '' and not canaries.failing()


def test_zero_asks_none():
    canaries = both(0)
    assert canaries.next()[0] == math.inf and canaries.any() == ''


def test_a_model_that_is_to_leave_memory_is_asked_once_and_then_left_alone_until_it_is_used():
    canaries = both()
    canaries.passed('goes', 1300.0)
    canaries.passed('stays', 1310.0)
    canaries.resident(BOTH, STAYS, 1400.0)
    assert canaries.next() == (1610.0, 'stays')
    canaries.used('goes', 1305.0)
    assert canaries.next() == (1605.0, 'goes')


def test_one_that_stays_from_now_on_is_asked_again():
    canaries = both()
    canaries.passed('goes', 1300.0)
    canaries.used('stays', 2000.0)
    canaries.resident(BOTH, BOTH, 1400.0)
    assert canaries.next() == (1700.0, 'goes')


def test_one_that_failed_is_asked_again_after_pauses_that_outgrow_its_stay():
    canaries, now, pauses = both(), 1300.0, []
    for _ in range(9):
        canaries.failed('goes', now)
        canaries.used('stays', now + 1e6)
        at, name = canaries.next()
        assert name == 'goes' and canaries.failing() == {'goes'}
        pauses.append(at - now)
        now = at
    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S] and pauses[-1] == LONGEST_PAUSE_S > 300
    assert canaries.any() == 'stays'  # the better one to ask
    canaries.passed('goes', now)
    assert not canaries.failing()


def test_a_job_that_got_a_token_clears_it_and_so_does_being_loaded_anew():
    canaries = both()
    canaries.failed('goes', 1300.0)
    canaries.used('goes', 1310.0)
    assert not canaries.failing()
    canaries.failed('goes', 1300.0)
    canaries.resident(STAYS, STAYS, 1400.0)
    canaries.resident(BOTH, STAYS, 1500.0)
    assert not canaries.failing() and canaries.next() == (1300.0, 'stays')


def test_one_that_cannot_do_it_is_left_alone_and_one_of_which_nothing_was_learnt_comes_later():
    canaries = both()
    canaries.leave_alone('stays')
    canaries.postpone('goes', 1300.0)
    canaries.resident(BOTH, STAYS, 1301.0)
    assert canaries.next() == (1300.0 + FIRST_PAUSE_S, 'goes') and not canaries.failing()
    canaries.passed('goes', 1400.0)
    assert canaries.next()[0] == math.inf
