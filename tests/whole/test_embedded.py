"""The queue inside a program of one's own: broker and worker as threads, jobs with ``await`` and without."""

import asyncio
import signal
import threading

import pydantic
import pytest

from app.launching.data_dir import DataDirError
from broker import child, errors, facts
from broker.job import State
from broker.jobs import JobFailed
from run import Corral, Running
from tests.conftest import ROOT

QUICK = {'demo_chars_per_s': 1e6}


def body(text='ok', **script):
    """A chat that the demo answers with ``text``."""
    script = {'text': text, 'chars_per_s': 1e6, **script}
    return {'messages': [{'role': 'user', 'content': 'say it'}], 'options': {'demo': script}}


@pytest.fixture(scope='module')
def jobs():
    with Corral(engine='demo', worker=QUICK) as made:
        yield made


def test_an_answer_comes_in_pieces_and_whole(jobs):
    handle = jobs.chat('demo', body('one two three 四五 ' * 20))
    pieces = list(handle.stream())
    assert len(pieces) > 5
    assert ''.join(pieces) == handle.result().text == 'one two three 四五 ' * 20
    assert handle.result().ok
    assert handle.state().state is State.COMPLETED


def test_a_prompt_may_be_a_text_and_a_priority_a_guess(jobs):
    handle = jobs.chat('demo', 'urgent: what is it?', priority='auto')
    assert 'what is it' in handle.result().text
    assert handle.state().terms.priority_rule
    assert 'prompt' in jobs.generate('demo', 'a prompt').result().text


def test_an_answer_that_ended_long_ago_can_be_read_again(jobs):
    job_id = jobs.chat('demo', body('kept')).result().job.job_id
    assert ''.join(jobs.handle(job_id).stream()) == 'kept'


def test_vectors_come_as_numbers(jobs):
    first, second = jobs.embed('demo', ['a', 'b'])
    assert len(first) == len(second) > 1 and isinstance(first[0], float)


def test_a_thousand_prompts_come_back_in_order_and_few_are_under_way_at_once(jobs):
    taken, told = [], []

    def prompts():
        for number in range(300):
            taken.append(number)
            yield body(str(number))

    for number, result in enumerate(jobs.map('demo', prompts(), window=16, on_progress=told.append)):
        assert result.text == str(number)
        assert len(taken) <= number + 17
    assert told == list(range(1, 301))


def test_one_that_fails_does_not_stop_the_others(jobs):
    prompts = [body('a'), body('b', fail={'code': 'engine_error', 'after': 0}), body('c')]
    results = list(jobs.map('demo', prompts))
    assert [result.ok for result in results] == [True, False, True]
    assert results[1].job.code == 'engine_error'


def test_leaving_a_map_early_cancels_what_is_under_way(jobs):
    slow = [body('x' * 1000, chars_per_s=1)] * 3
    answers = jobs.map('demo', [body('first'), *slow], window=4)
    assert next(answers).text == 'first'
    seen = []
    with pytest.raises(StopIteration):
        answers.close()
        next(answers)
    for fact in jobs.events(0):
        if isinstance(fact, facts.JobCancelled):
            seen.append(fact.job_id)
            if len(seen) == 3:
                break


def test_a_failure_says_why(jobs):
    handle = jobs.chat('demo', body('b', fail={'code': 'model_not_found', 'after': 0, 'detail': 'no such model'}))
    with pytest.raises(JobFailed, match='no such model') as failed:
        handle.result()
    assert failed.value.code == 'model_not_found'
    with pytest.raises(JobFailed, match='no such model'):
        list(handle.stream())
    assert not handle.result(check=False).ok


def test_a_cancel_ends_the_stream_and_may_come_twice(jobs):
    handle = jobs.chat('demo', body('x' * 1000, chars_per_s=20))
    pieces = handle.stream()
    next(pieces)
    handle.cancel()
    with pytest.raises(JobFailed) as failed:
        list(pieces)
    assert failed.value.code == 'cancelled'
    handle.cancel()


def test_several_threads_may_use_it(jobs):
    texts = {}

    def ask(number):
        texts[number] = jobs.chat('demo', body(str(number))).result().text

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == {number: str(number) for number in range(8)}


def test_what_is_refused_is_an_error_of_the_caller(jobs):
    with pytest.raises(errors.Refused, match='priority must be'):
        jobs.chat('demo', 'hello', priority=99)


async def test_the_same_with_await_and_the_queue_outlives_the_program(tmp_path):
    async with Corral(tmp_path, engine='demo', worker=QUICK) as jobs:
        first = await jobs.chat('demo', body('answered'))
        assert [piece async for piece in first.stream()]
        later = await jobs.chat('demo', body('later', first_token_s=60))
        async for fact in jobs.events(0):
            if isinstance(fact, facts.JobStarted) and fact.job_id == later.job_id:
                break
    async with Corral(tmp_path, engine='demo', worker=QUICK) as jobs:
        assert (await jobs.handle(first.job_id).result()).text == 'answered'
        again = await jobs.handle(later.job_id).state()
        assert again.state is not State.COMPLETED and again.failures == 0
        await jobs.handle(later.job_id).cancel()


def test_a_folder_belongs_to_one_at_a_time(tmp_path):
    with (
        Corral(tmp_path, engine='demo'),
        pytest.raises(DataDirError, match='in use'),
        Corral(tmp_path, engine='demo'),
    ):
        pass


def test_another_program_may_use_the_same_queue(tmp_path):
    with Corral(tmp_path, engine='demo', worker=QUICK) as ours, Running(tmp_path) as theirs:
        job_id = theirs.chat('demo', body('shared')).job_id
        assert ours.handle(job_id).result().text == 'shared'
    with pytest.raises(DataDirError, match='No Corral runs'), Running(tmp_path):
        pass


def heard(jobs, kind, count, then):
    """Do ``then`` in a thread as soon as there are so many facts of a kind."""
    begun = threading.Event()

    def listen():
        events = jobs.events(0)
        begun.set()
        for _ in range(count):
            next(fact for fact in events if isinstance(fact, kind))
        events.close()
        then()

    thread = threading.Thread(target=listen)
    thread.start()
    assert begun.wait(40)
    return thread


def ctrl_c():
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


def test_ctrl_c_in_a_map_cancels_what_is_under_way(tmp_path):
    with Corral(tmp_path, engine='demo', slots=1) as ours:
        listener = heard(ours, facts.JobQueued, 4, ctrl_c)
        with pytest.raises(KeyboardInterrupt), Running(tmp_path) as theirs:
            list(theirs.map('demo', [body('late', first_token_s=30)] * 6, window=4))
        listener.join(10)
        queued = (fact.job_id for fact in ours.events(0) if isinstance(fact, facts.JobQueued))
        ended = [ours.handle(next(queued)).result(check=False).job.state for _ in range(4)]
        assert ended == [State.CANCELLED] * 4


def test_who_waits_in_another_thread_is_told_when_the_queue_is_closed(tmp_path):
    told = []

    def wait(jobs):
        try:
            jobs.chat('nobody-has-this', 'hello').result()
        except errors.BrokerError as error:
            told.append(error)

    begun = threading.Event()
    with Corral(tmp_path, engine='demo') as jobs:
        listener = heard(jobs, facts.JobQueued, 1, begun.set)
        waiting = threading.Thread(target=wait, args=(jobs,), daemon=True)
        waiting.start()
        assert begun.wait(40)
        listener.join(10)
    waiting.join(10)
    assert not waiting.is_alive() and len(told) == 1


def test_the_loops_are_such_as_can_watch_sockets_on_windows_too(tmp_path, monkeypatch):
    def proactor():
        raise AssertionError('it cannot watch sockets')

    monkeypatch.setattr(child, 'WINDOWS', True)
    for module in (asyncio, asyncio.events):
        monkeypatch.setattr(module, 'new_event_loop', proactor)
    with Corral(tmp_path, engine='demo', worker=QUICK) as jobs:
        assert jobs.chat('demo', body('there')).result().text == 'there'


def test_the_example_of_the_readme_runs(capsys):
    text = (ROOT / 'README.md').read_text(encoding='utf-8').partition('<!-- embedded -->')[2]
    code = text.partition('```python\n')[2].partition('```\n')[0]
    assert 'Corral(' in code
    exec(compile(code.replace('Corral(', "Corral(worker={'demo_chars_per_s': 1e6}, "), 'README.md', 'exec'), {})
    assert '3 of 3' in capsys.readouterr().out


def test_a_wrong_setting_is_said_at_once():
    with pytest.raises(pydantic.ValidationError, match='lease_ttl_s'), Corral(broker={'lease_ttl_s': -1}):
        pass
    before = threading.active_count()
    with pytest.raises(ValueError, match='address'), Corral(engine='ollama', ollama_url='ftp://x'):
        pass
    assert threading.active_count() <= before
