"""How long jobs will take, from how long those like them took."""

import pytest

from broker import intake
from broker.durations import CIRCLES, STRATA, Durations, Traits, traits_of
from broker.job import Job, Terms

M = Traits('m')


def known(*seconds, traits=M):
    durations = Durations()
    for each in seconds:
        durations.learn(traits, each)
    return durations


def typical_s(strata):
    return strata[STRATA // 2]


def test_what_was_never_seen_is_guessed_and_the_first_jobs_count_at_once():
    durations = Durations(first_guess_s=5.0)
    assert 2.0 < typical_s(durations.of(M).strata()) < 6.0
    durations.learn(M, 100.0)
    assert durations.of(M).mean_s > 20.0
    for _ in range(30):
        durations.learn(M, 100.0)
    assert typical_s(durations.of(M).strata()) == pytest.approx(100.0)


def test_an_unknown_model_is_guessed_from_the_others():
    assert known(*[30.0] * 9, traits=Traits('other')).of(M).mean_s == pytest.approx(30.0)


@pytest.mark.parametrize(
    'mark', [{'user': 'reports'}, {'shape': 'chat 8 0'}, {'user': 'x', 'shape': 'chat 2 3'}, {'series': 'night'}]
)
def test_what_is_known_about_a_job_tells_long_ones_from_short_ones(mark):
    durations = Durations()
    plain, marked = (
        Traits('m', user='ann', shape='chat 3 0'),
        Traits('m', user='ann', shape='chat 3 0')._replace(**mark),
    )
    for number in range(200):
        durations.learn(*((marked, 60.0) if number % 10 == 0 else (plain, 2.0)))
    assert typical_s(durations.of(plain).strata()) < 3.0
    assert typical_s(durations.of(marked).strata()) > 50.0


def test_one_job_does_not_tell_how_all_of_a_user_are():
    durations = known(*[2.0] * 50)
    durations.learn(Traits('m', user='ann'), 60.0)
    assert typical_s(durations.of(Traits('m', user='ann')).strata()) < 3.0


def test_who_has_run_long_is_not_about_to_end_because_most_are_short():
    spread = known(*[2.0] * 54, *[60.0, 70.0, 80.0, 90.0, 50.0, 65.0]).of(M)
    assert typical_s(spread.rest(0.0)) < 3.0
    assert typical_s(spread.rest(20.0)) > 30.0
    assert typical_s(spread.rest(20.0)) - typical_s(spread.rest(40.0)) == pytest.approx(20.0, abs=8.0)


def test_who_has_outlasted_all_may_run_on_for_as_long_again():
    rest = known(*[2.0] * 60).of(M).rest(40.0)
    assert 10.0 < typical_s(rest) < 40.0 < rest[-4]
    assert rest[-2] > 4 * typical_s(rest)


def test_times_are_in_order_and_few_jobs_leave_much_open():
    few, many = known(4.0, 8.0).of(M).strata(), known(*[4.0, 8.0] * 30).of(M).strata()
    assert list(few) == sorted(few) and list(many) == sorted(many)
    assert few[-2] - few[1] > 2 * (many[-2] - many[1])


def test_loading_is_told_apart_and_moments_are_not_worth_a_word():
    durations = Durations()
    durations.learn(M, 19.0, load_s=9.0)
    durations.learn(M, 10.1, load_s=0.1)
    assert durations.load_s('m') == 9.0
    assert durations.mean_s('m') == pytest.approx((10.0 + 10.1) / 2)


def test_the_size_of_a_prompt_and_the_longest_answer_are_known_beforehand():
    def shape(body_bytes, longest):
        job = Job(job_id='a', order=1, kind='chat', model='m', priority=5, queued_at=0.0, body_bytes=body_bytes)
        job.terms = Terms(longest=longest)
        return traits_of(job).shape

    assert shape(300, 0) == shape(400, 0)
    assert len({shape(300, 0), shape(30_000, 0), shape(300, 64), shape(300, 4096)}) == 4


def test_what_is_remembered_has_a_limit():
    durations = Durations()
    for number in range(CIRCLES + 500):
        durations.learn(Traits('m', user=str(number)), 1.0)
        durations.of(Traits('m', user=str(number)))
    assert len(durations._circles) <= CIRCLES and len(durations._spreads) <= CIRCLES + 1
    assert durations.mean_s('m') == 1.0


@pytest.mark.parametrize(
    ('body', 'longest'),
    [
        (b'{"options": {"num_predict": 64}}', 64),
        (b'{"max_tokens": 12}', 12),
        (b'{"max_completion_tokens": 7, "max_tokens": 12}', 7),
        (b'{"options": {"num_predict": -1}, "max_tokens": 0}', 0),
        (b'{"max_tokens": "many", "options": {"num_predict": 1e99}}', 0),
        (b'{"options": []}', 0),
        (b'{"num_predict": 5}', 0),
        (b'[]', 0),
        (b'\xff', 0),
    ],
)
def test_the_longest_answer_is_read_from_what_is_asked(body, longest):
    assert intake.longest_of(body) == longest


def test_what_is_expected_is_worked_out_once_and_anew_when_more_is_known():
    durations = Durations()
    for traits in (M, Traits('m', user='ann')):
        assert durations.of(traits) is durations.of(traits), 'also while nothing is known'
    guess = durations.of(M)
    durations.learn(Traits('other'), 50.0)
    likened = durations.of(M)
    assert likened is not guess and durations.of(M) is likened
    durations.learn(M, 9.0)
    assert durations.of(M) is not likened and durations.of(M).mean_s < likened.mean_s
