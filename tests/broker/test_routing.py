"""Which worker gets a job: where its model is loaded, whom the groups let, who is least loaded; and what is told."""

from collections import Counter

import pytest

from broker import facts, protocol
from broker.fleet import Group
from broker.order import Fairness
from tests.broker.desk import RULES, Desk, failed, finished, job_id

LONG = Fairness(overdue_after_s=1e6)


def join(desk, name, models, *, slots=1, resident=(), labels=(), backend='', problem=''):
    """A worker that says more of itself than ``Desk.join`` lets it."""
    return desk.join(
        name,
        slots,
        models=tuple(facts.ModelInfo(name=model, engine='demo', resident=model in resident) for model in models),
        labels=labels,
        backend=backend,
        problem=problem,
    )


def run_all(desk, worker, *, seconds=5.0):
    """Every job that runs ends and the next starts; the numbers in the order in which they started."""
    order = []
    while desk.assigned():
        ((_, name, epoch),) = desk.assigned()
        order.append(int(name, 16))
        desk.now += seconds
        desk.tell(worker, finished(int(name, 16), epoch, 0))
    return order


def loads(desk):
    """How often a model had to be loaded."""
    return sum(isinstance(fact, facts.JobStarted) and not fact.resident for fact in desk.facts)


def test_models_are_not_swapped_to_and_fro():
    desk = Desk()
    desk.ask(protocol.Pause(scope='all'))
    worker = join(desk, 'w', 'abc')
    for number, model in enumerate('abaacabc'):
        desk.submit(number, model=model)
    desk.ask(protocol.Resume(scope='all'))
    order = run_all(desk, worker)
    assert sorted(order) == list(range(8))
    assert loads(desk) == 3
    assert ['abaacabc'[number] for number in order] == list('aaaabbcc')


def test_a_job_that_needs_loading_waits_no_longer_than_the_bound():
    desk = Desk(RULES._replace(fairness=Fairness(1e6, 3, affinity_wait_s=20.0)))
    desk.submit(1, model='a', user='x')
    desk.submit(2, model='b', user='y')
    for number in range(3, 100):  # a stream of jobs for the loaded model, by others who have used nothing yet
        desk.submit(number, model='a', user=f'u{number}')
    worker = join(desk, 'w', 'ab', resident='a')
    asked_at, started = desk.now, {}
    while 2 not in started:
        ((_, name, epoch),) = desk.assigned()
        started[int(name, 16)] = desk.now
        desk.now += 4.0
        desk.tell(worker, finished(int(name, 16), epoch, 0))
    assert 20.0 <= started[2] - asked_at <= 20.0 + 4.0 + 4.0


def test_a_higher_priority_is_worth_a_load():
    desk = Desk()
    desk.submit(1, model='a')
    desk.submit(2, model='a')
    desk.submit(3, model='b', priority=6)
    worker = join(desk, 'w', 'ab', resident='a')
    assert run_all(desk, worker) == [3, 1, 2]


def test_the_same_model_with_another_context_is_another_runner():
    desk = Desk()
    desk.ask(protocol.Pause(scope='all'))
    worker = desk.join('w')
    for number, size in enumerate((2048, 8192, 2048, 8192)):
        desk.submit(number, body=b'{"options":{"num_ctx":%d,"temperature":0.%d}}' % (size, number))
    desk.ask(protocol.Resume(scope='all'))
    assert run_all(desk, worker) == [0, 2, 1, 3]
    assert loads(desk) == 2


def test_a_job_goes_where_its_model_is_loaded():
    desk = Desk()
    join(desk, 'w1', 'ab', resident='b', slots=9)
    there = join(desk, 'w2', 'ab', resident='a')
    desk.submit(1, model='a')
    assert desk.assigned() == [(there.routing_id, job_id(1), 1)]


def test_the_port_of_a_registry_is_no_tag():
    desk = Desk()
    there = ('registry:5000/team/m:latest',)
    join(desk, 'cold', there, slots=4)
    join(desk, 'warm', there, resident=there)
    desk.submit(1, model='registry:5000/team/m')
    assert desk.facts[-1].worker == 'warm' and desk.facts[-1].resident


def test_a_load_does_not_take_the_place_of_what_others_wait_for():
    desk = Desk()
    desk.ask(protocol.Pause(scope='all'))
    busy = join(desk, 'w1', 'abc', resident='a')
    idle = join(desk, 'w2', 'abc', resident='c')
    desk.submit(1, model='b')
    desk.submit(2, model='a')
    desk.ask(protocol.Resume(scope='all'))
    assert dict((name, peer) for peer, name, _ in desk.assigned()) == {
        job_id(1): idle.routing_id,
        job_id(2): busy.routing_id,
    }


def test_workers_of_one_engine_share_what_is_loaded():
    desk = Desk()
    join(desk, 'w1', 'ab', backend='gpu')
    join(desk, 'w2', 'ab', backend='gpu')
    desk.submit(1, model='a')
    desk.submit(2, model='a')
    assert [fact.resident for fact in desk.facts if isinstance(fact, facts.JobStarted)] == [False, True]


def test_a_conversation_stays_where_it_was():
    desk = Desk()
    first = join(desk, 'w1', 'm', slots=1, resident='m')
    join(desk, 'w2', 'm', slots=8, resident='m')
    desk.ask(protocol.Pause(scope='worker', name='w2'))
    desk.submit(1, conversation_id='c')
    desk.tell(first, finished(1, 1, 0))
    desk.ask(protocol.Resume(scope='worker', name='w2'))
    desk.submit(2, conversation_id='c')
    assert desk.assigned() == [(first.routing_id, job_id(2), 1)]


@pytest.mark.parametrize(
    ('policy', 'wanted'),
    [('least_loaded', {'w1': 2, 'w2': 4}), ('round_robin', {'w1': 3, 'w2': 3})],
)
def test_the_policy_says_who_of_several_gets_it(policy, wanted):
    desk = Desk(RULES._replace(balance=policy))
    join(desk, 'w1', 'm', slots=4, resident='m')
    join(desk, 'w2', 'm', slots=8, resident='m')
    for number in range(6):
        desk.submit(number)
    assert Counter(fact.worker for fact in desk.facts if isinstance(fact, facts.JobStarted)) == wanted


def test_chance_gives_each_worker_its_part():
    desk = Desk(RULES._replace(balance='weighted_random'))
    join(desk, 'w1', 'm', slots=300, resident='m')
    join(desk, 'w2', 'm', slots=900, resident='m')
    for number in range(800):
        desk.submit(number)
    found = Counter(fact.worker for fact in desk.facts if isinstance(fact, facts.JobStarted))
    assert 150 <= found['w1'] <= 250


def test_a_group_says_where_its_models_run():
    desk = Desk(RULES._replace(groups=(Group(('big*',), workers=('gpu-*',)), Group(('mid',), labels=('fast',)))))
    join(desk, 'pc', ('big-70b', 'mid', 'small'), slots=9)
    desk.submit(1, model='big-70b')
    assert not desk.assigned()
    desk.wait(1.0)
    (place,) = desk.standing()
    assert (place.reason, place.hint) == ('no_worker', 'group')
    gpu = join(desk, 'gpu-1', ('big-70b',))
    assert desk.assigned() == [(gpu.routing_id, job_id(1), 1)]
    labelled = join(desk, 'other', ('mid',), labels=('fast',))
    desk.submit(2, model='mid')
    assert desk.assigned() == [(labelled.routing_id, job_id(2), 1)]


def test_what_would_help_is_told_and_the_job_runs_when_it_is_there():
    desk = Desk()
    desk.submit(1, model='m')
    desk.wait(1.0)
    assert desk.standing()[0].hint == 'start_worker'
    join(desk, 'w', ('other',))
    desk.wait(1.0)
    assert desk.standing()[0].hint == 'pull_model'
    join(desk, 'w', (), problem='unreachable')
    desk.wait(1.0)
    assert desk.standing()[0].hint == 'start_engine'
    join(desk, 'w', ('m',), problem='breaker_open')
    desk.wait(1.0)
    assert desk.standing()[0].hint == 'failing'
    assert not desk.assigned()
    worker = join(desk, 'w', ('m',))
    assert desk.assigned() == [(worker.routing_id, job_id(1), 1)]


def test_a_model_that_fails_its_check_gets_no_jobs_and_the_others_do():
    desk = Desk()
    bad = facts.ModelInfo(name='bad', engine='demo', problem='canary_failed')
    worker = desk.join('w', 2, models=(bad, facts.ModelInfo(name='good', engine='demo')))
    desk.submit(1, model='bad')
    assert not desk.assigned()
    desk.submit(2, model='good')
    assert desk.assigned() == [(worker.routing_id, job_id(2), 1)]


def test_a_model_that_would_answer_sooner_is_named():
    desk = Desk()
    slow = join(desk, 'w1', ('slow',))
    learn(desk, slow, 'slow', 30.0)
    join(desk, 'w2', ('quick',))
    desk.submit(10, model='slow')
    desk.submit(11, model='slow')
    desk.wait(0.5)
    (place,) = desk.standing()
    assert place.job_id == job_id(11)
    assert place.alternative == 'quick'
    assert place.alternative_at == pytest.approx(desk.now, abs=0.5)
    assert place.earliest_at > desk.now + 5


def test_no_other_model_is_named_when_the_wait_is_short_or_it_cannot_do_the_same():
    desk = Desk()
    sees = facts.ModelInfo(name='sees', engine='demo', capabilities=('completion', 'vision'))
    blind = facts.ModelInfo(name='blind', engine='demo', capabilities=('completion',))
    worker = desk.join('w1', models=(sees,))
    learn(desk, worker, 'sees', 30.0)
    desk.join('w2', models=(blind,))
    for number in (10, 11):
        desk.submit(number, model='sees')
    desk.wait(0.5)
    assert desk.standing()[0].alternative == ''


def learn(desk, worker, model, seconds):
    """Some jobs of this model took so long."""
    for number in range(900, 906):
        desk.submit(number, model=model)
        desk.now += seconds
        desk.tell(worker, finished(number, 1, 0))


def test_a_failed_job_may_go_elsewhere():
    desk = Desk()
    first = join(desk, 'w1', 'm')
    desk.submit(1)
    desk.tell(first, failed(1, 1))
    join(desk, 'w2', 'm', slots=4)
    desk.wait(5.0)
    assert desk.history(1)[-1] == 'JobStarted'


def test_capitals_in_a_models_name_do_not_matter():
    desk = Desk()
    desk.join('w', slots=2, models=('qwen3:latest', 'hf.co/Org/Model-GGUF:Q4'))
    for number, model in enumerate(('Qwen3', 'HF.co/org/model-gguf:q4', 'Other'), 1):
        desk.submit(number, model=model)
    assert [desk.store.job(job_id(number)).model for number in (1, 2, 3)] == [
        'qwen3',
        'hf.co/Org/Model-GGUF:Q4',
        'Other',
    ]
    assert [desk.state(number) for number in (1, 2, 3)] == ['running', 'running', 'waiting']
