"""What a worker makes of what its engine tells and does."""

import pytest

from broker import facts
from workers.backend import DEMO_SLOTS, OPEN, Backend, Sent
from workers.canary import PROBLEM
from workers.engines.base import EngineState

AWAY = EngineState(engine='ollama', problem='unreachable')
NAMES = ('qwen3:latest', 'gemma:2b')


def state(*resident: str, version='1', engine='ollama', lasting=()):
    models = tuple(facts.ModelInfo(name=name, engine=engine, resident=name in resident) for name in NAMES)
    return EngineState(engine=engine, version=version, models=models, lasting=lasting)


def backend(*resident: str, slots=2, every_s=300.0, failures=2):
    made = Backend(AWAY, slots=slots, canary_every_s=every_s, breaker_failures=failures)
    made.described(state(*resident), 0.0)
    return made


def end(made, code='', now=10.0, *, kind='chat', in_flight=1, waits=False, fair=True):
    queued_s = 2.0 if waits else 0.01
    times = {'prompt_s': 1.0, 'decode_s': 1.0, 'first_token_s': 1.0 + queued_s, 'total_s': 2.0 + queued_s}
    usage = facts.Usage(output_tokens=100, **times)
    made.ended(Sent(at=now - 3, in_flight=in_flight, fair=fair), now, kind=kind, usage=usage, code=code)


def test_it_says_what_the_engine_said():
    made = backend('gemma:2b')
    said = made.said
    assert (said.engine, said.engine_version, said.slots, said.problem) == ('ollama', '1', 2, '')
    assert [model.resident for model in said.models] == [False, True]
    assert made.said is said  # nothing new
    made.described(state('gemma:2b'), 1.0)
    assert made.said is said
    made.described(state('qwen3:latest'), 1.0)
    assert made.said != said


def test_quiet_is_the_age_of_the_last_good_token():
    made = backend()
    assert made.quiet_s(5.0) == -1.0
    made.token(10.0)
    assert made.quiet_s(12.5) == 2.5
    made.canary_passed('gemma:2b', 20.0)
    assert made.quiet_s(20.0) == 0.0


@pytest.mark.parametrize(
    ('asked', 'lacks'), [('qwen3', True), ('qwen3:latest', True), ('gemma:2b', False), ('x', False)]
)
def test_it_knows_by_any_name_what_is_not_in_memory(asked, lacks):
    assert backend('gemma:2b').lacks(asked) is lacks


@pytest.mark.parametrize(
    'code', ['unreachable', 'connection_lost', 'busy', 'runner_crashed', 'first_token_timeout', 'idle_timeout']
)
def test_failures_of_the_server_open_the_breaker(code):
    made = backend(failures=2)
    end(made, code)
    assert made.takes(1) and made.said.problem == ''
    end(made, code)
    assert made.said.problem == OPEN and made.said.slots == 2 and len(made.said.models) == 2
    assert not made.takes(1) and made.probe_at() == 15.0


@pytest.mark.parametrize(
    'code',
    ['', 'bad_request', 'model_not_found', 'refused', 'engine_error', 'garbage', 'line_too_long', 'total_timeout'],
)
def test_other_failures_are_answers(code):
    made = backend(failures=2)
    for _ in range(3):
        end(made, 'unreachable')
        end(made, code)
    assert made.said.problem == ''


def test_a_mistake_of_ours_says_nothing_about_the_server():
    made = backend(failures=2)
    end(made, 'unreachable')
    end(made, 'worker_error')
    assert made.said.problem == ''
    end(made, 'unreachable')
    assert made.said.problem == OPEN


def opened(*resident, **settings):
    made = backend(*resident, failures=1, **settings)
    end(made, 'unreachable', 10.0)
    return made


def test_with_a_model_in_memory_its_token_closes_the_breaker():
    made = opened('gemma:2b')
    assert made.candidate(15.0) == 'gemma:2b'
    made.canary_passed('gemma:2b', 15.0)
    assert made.said.problem == '' and made.slots == 2


@pytest.mark.parametrize(
    'code', ['unreachable', 'first_token_timeout', 'engine_error', 'garbage', 'busy', 'worker_error']
)
def test_without_its_token_the_pause_doubles(code):
    made = opened('gemma:2b')
    made.canary_failed('gemma:2b', code, 15.0)
    assert made.said.problem == OPEN and made.probe_at() == 25.0


@pytest.mark.parametrize('prepare', ['nobody', 'unfit'])
def test_without_a_model_to_ask_the_next_job_is_the_only_try(prepare):
    made = opened(slots=4)
    if prepare == 'nobody':
        assert made.candidate(15.0) == ''
        made.nobody_to_ask(15.0)
    else:
        made.canary_failed('gemma:2b', 'refused', 15.0)
    assert (made.said.problem, made.said.slots) == ('', 1) and made.takes(1) and not made.takes(2)
    end(made, 'unreachable', 20.0)
    assert made.said.problem == OPEN and made.said.slots == 4 and made.probe_at() == 30.0
    made.nobody_to_ask(30.0)
    end(made, '', 31.0)
    assert made.said.problem == '' and made.takes(4)


def test_while_the_server_is_away_no_job_is_used_up_to_find_out():
    made = opened()
    made.described(AWAY, 12.0)
    assert made.said.problem == 'unreachable' and made.said.models == ()
    made.nobody_to_ask(15.0)
    assert not made.takes(1) and made.probe_at() == 25.0
    made.described(state(), 16.0)  # and it is there again
    assert made.probe_at() == 16.0
    made.nobody_to_ask(16.0)
    assert made.takes(1)


def test_the_demo_in_its_place_is_not_held_up():
    made = opened()
    made.described(state(engine='demo'), 12.0)
    assert made.takes(1) and made.said.problem == ''


def test_a_failed_canary_marks_its_model_only():
    made = backend('gemma:2b', 'qwen3:latest')
    assert made.probe_at() == 300.0 and made.candidate(299.0) == ''
    made.used('qwen3', 200.0)
    assert made.candidate(300.0) == 'gemma:2b'
    made.canary_failed('gemma:2b', 'first_token_timeout', 300.0)
    assert {model.name: model.problem for model in made.said.models} == {'qwen3:latest': '', 'gemma:2b': PROBLEM}
    assert made.takes(1) and made.probe_at() == 315.0
    made.canary_passed('gemma:2b', 315.0)
    assert not any(model.problem for model in made.said.models)


@pytest.mark.parametrize('code', ['unreachable', 'connection_lost', 'busy', 'worker_error', 'refused', 'bad_request'])
def test_what_tells_nothing_about_the_model_does_not_mark_it(code):
    made = backend('gemma:2b')
    made.canary_failed('gemma:2b', code, 300.0)
    assert not any(model.problem for model in made.said.models) and made.probe_at() > 300.0 and made.takes(1)


def test_slots_follow_what_the_engine_takes():
    made = backend(slots=0)
    for second in range(100, 130, 5):
        end(made, now=second, in_flight=made.slots)
    assert made.slots == 3 and not made.said.saturated
    end(made, now=200.0, in_flight=3, waits=True)
    assert made.slots == 2 and made.said.saturated


def test_the_demo_has_slots_enough_to_show_a_queue_and_ollama_begins_with_one():
    made = backend(slots=0)
    made.described(EngineState(engine='demo'), 1.0)
    assert made.said.slots == DEMO_SLOTS and made.takes(DEMO_SLOTS) and not made.takes(DEMO_SLOTS + 1)
    made.described(EngineState(engine='ollama', version='1'), 2.0)
    assert made.said.slots == 1
    fixed = backend(slots=5)
    fixed.described(EngineState(engine='demo'), 1.0)
    assert fixed.said.slots == 5


@pytest.mark.parametrize('kind', ['embed', 'raw'])
def test_kinds_that_tell_no_times_do_not_count(kind):
    made = backend(slots=0)
    for second in range(100, 200, 5):
        end(made, now=second, kind=kind)
        end(made, now=second, kind=kind, waits=True)
    assert made.slots == 1 and not made.said.saturated


def test_neither_a_run_beside_a_canary_nor_one_that_failed_counts():
    made = backend(slots=0, failures=0)
    for second in range(100, 200, 5):
        end(made, now=second, fair=False)
        end(made, now=second, fair=False, waits=True)
        end(made, 'idle_timeout', now=second)
    assert made.slots == 1 and not made.said.saturated


@pytest.mark.parametrize('how', ['canary', 'cut', 'timeout'])
def test_what_the_engine_may_still_be_at_makes_the_next_runs_unfair(how):
    made = backend(slots=0, failures=0)
    assert made.sent(2, 100.0) == Sent(at=100.0, in_flight=2, fair=True)
    if how == 'cut':
        made.cut(100.0)
    elif how == 'timeout':
        end(made, 'idle_timeout', now=100.0)
    assert not made.sent(1, 109.0, alone=how != 'canary').fair
    assert made.sent(1, 111.0).fair


def test_an_engine_that_calls_itself_busy_takes_fewer():
    made = backend(slots=0, failures=9)
    for second in range(100, 130, 5):
        end(made, now=second, in_flight=made.slots)
    end(made, 'busy', now=200.0, in_flight=3)
    assert made.slots == 2 and made.said.saturated
    end(made, 'idle_timeout', now=203.0, in_flight=2)
    assert made.slots == 2  # says nothing about it


@pytest.mark.parametrize('then', [state(version='2'), AWAY])
def test_a_server_that_started_anew_is_measured_anew(then):
    made = backend(slots=0)
    for second in range(100, 130, 5):
        end(made, now=second, in_flight=made.slots)
    made.described(state(), 190.0)
    assert made.slots == 3
    made.described(then, 200.0)
    assert made.slots == 1
