"""Errands of workers, and how their machines are: who is told what, and what is forgotten."""

import math

import msgspec
import pytest

from broker import errand, facts, protocol, vitals
from broker.actions import Persist, Publish, Send
from broker.errands import KEEP_ENDED, KEEP_S, MOST_ALIVE
from tests.broker.desk import Desk


def order(errand_id='e', action='pull', model='m', **fields):
    return errand.Order(errand_id=errand_id, action=action, model=model, **fields)


def ask(desk, worker='w', **fields):
    return desk.ask(protocol.RunErrand(worker=worker, order=order(**fields)))


def news(desk, peer, errand_id='e', **fields):
    told = errand.Errand(
        errand_id=errand_id, worker='w', **{'action': 'pull', 'model': 'm', 'state': 'running', **fields}
    )
    return desk.tell(peer, protocol.ErrandNews(errand=told))


def told(desk, kind):
    return [action.message for action in desk.last if isinstance(action, Send) and isinstance(action.message, kind)]


def shown(desk):
    return desk.core.snapshot().errands


def published(desk, kind):
    return [a.message for a in desk.last if isinstance(a, Publish) and isinstance(a.message, kind)]


@pytest.fixture
def desk():
    return Desk()


def test_an_errand_reaches_its_worker_and_its_progress_everybody(desk):
    peer = desk.join('w')
    assert ask(desk).errand.state == 'asked'
    assert told(desk, protocol.DoErrand)[0].order == order()
    news(desk, peer, completed=5, total=10)
    assert published(desk, protocol.ErrandOut)[0].errand.completed == 5
    news(desk, peer, state='done', completed=10, total=10)
    (ended,) = shown(desk)
    assert (ended.state, ended.ended_at, ended.asked_at) == ('done', desk.now, 1_000.0)
    assert not [fact for fact in desk.facts if not isinstance(fact, facts.WorkerJoined)], 'nothing of it is for the log'


def test_the_same_errand_is_done_once_whoever_asks_again(desk):
    desk.join('w')
    ask(desk)
    for again in ({'errand_id': 'e'}, {'errand_id': 'f'}):
        assert ask(desk, **again).errand.errand_id == 'e'
        assert not told(desk, protocol.DoErrand)
    assert ask(desk, errand_id='g', model='n').errand.errand_id == 'g'


@pytest.mark.parametrize(
    ('fields', 'code'),
    [
        ({'worker': 'x'}, 'not_found'),
        ({'action': 'dance'}, 'bad_request'),
        ({'model': ''}, 'bad_request'),
        ({'model': 'a\nb'}, 'bad_request'),
        ({'keep_s': math.nan}, 'bad_request'),
        ({'body': b'x' * (errand.MAX_BODY_BYTES + 1)}, 'bad_request'),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_reason(desk, fields, code):
    desk.join('w')
    assert ask(desk, **fields).code == code


def test_one_worker_is_not_sent_on_errands_without_end(desk):
    desk.join('w')
    for number in range(MOST_ALIVE):
        ask(desk, errand_id=f'{number}', model=f'm{number}')
    assert ask(desk, errand_id='more', model='more').code == 'too_many'


def test_what_a_worker_did_not_hear_it_hears_with_its_next_heartbeat(desk):
    peer = desk.join('w')
    ask(desk)
    desk.tell(peer, protocol.Heartbeat())
    assert told(desk, protocol.DoErrand)
    news(desk, peer)
    desk.ask(protocol.CancelErrand(errand_id='e'))
    desk.tell(peer, protocol.Heartbeat())
    assert not told(desk, protocol.DoErrand)
    assert told(desk, protocol.StopErrand)
    news(desk, peer, state='cancelled')
    desk.tell(peer, protocol.Heartbeat())
    assert not told(desk, protocol.StopErrand)


def test_an_errand_that_ended_stays_as_it_ended(desk):
    peer = desk.join('w')
    ask(desk)
    news(desk, peer, state='failed', code='disk_full', detail='the disk is full')
    news(desk, peer, completed=1, total=2)
    assert isinstance(desk.ask(protocol.CancelErrand(errand_id='e')), protocol.Done)
    assert shown(desk)[0].code == 'disk_full'
    assert desk.ask(protocol.CancelErrand(errand_id='x')).code == 'not_found'


def test_a_worker_that_is_lost_takes_its_errands_along(desk):
    desk.join('w')
    ask(desk)
    desk.wait(60)
    assert (shown(desk)[0].state, shown(desk)[0].code) == ('failed', 'worker_lost')


def test_a_worker_that_was_only_thought_lost_goes_on_with_its_errand(desk):
    desk.join('w')
    ask(desk)
    desk.wait(60)
    peer = desk.join('w')
    news(desk, peer, completed=7, total=9)
    (again,) = shown(desk)
    assert (again.state, again.code, again.completed, again.ended_at) == ('running', '', 7, 0.0)
    news(desk, peer, state='failed', code='disk_full')
    news(desk, peer, state='done')
    assert shown(desk)[0].code == 'disk_full'


def test_two_workers_of_one_engine_do_not_pull_the_same_twice(desk):
    for name, backend in (('w', 'box:11434'), ('near', 'box:11434'), ('far', 'pc:11434')):
        desk.join(name, backend=backend)
    assert ask(desk).errand.worker == 'w'
    assert ask(desk, worker='near', errand_id='f').errand.errand_id == 'e'
    assert ask(desk, worker='far', errand_id='g').errand.worker == 'far'
    assert ask(desk, worker='near', errand_id='h', model='other').errand.worker == 'near'


def test_after_a_restart_workers_tell_of_theirs_and_of_nobody_elses(desk):
    desk.join('w')
    ask(desk)
    desk.restart()
    assert shown(desk) == ()
    peer = desk.join('w')
    news(desk, peer, completed=7, total=9)
    assert shown(desk)[0].completed == 7
    other = desk.join('other')
    news(desk, other, state='failed')
    assert shown(desk)[0].state == 'running'


def test_who_shares_the_engine_looks_when_something_was_pulled(desk):
    peer = desk.join('w', backend='box:11434')
    desk.join('near', backend='box:11434')
    desk.join('far', backend='pc:11434')
    ask(desk)
    news(desk, peer, state='done')
    looks = [a for a in desk.last if isinstance(a, Send) and isinstance(a.message, protocol.Look)]
    assert [action.peer.routing_id for action in looks] == [b'near/s']


def test_old_errands_are_forgotten(desk):
    peer = desk.join('w')
    for number in range(KEEP_ENDED + 5):
        ask(desk, errand_id=f'{number}', model=f'm{number}')
        news(desk, peer, f'{number}', model=f'm{number}', state='done')
    assert len(shown(desk)) == KEEP_ENDED
    desk.now += KEEP_S + 1
    peer = desk.join('w', session='t')
    ask(desk, errand_id='last')
    news(desk, peer, 'last', state='done')
    assert [each.errand_id for each in shown(desk)] == ['last']


def test_what_a_worker_says_of_an_errand_is_kept_within_bounds(desk):
    peer = desk.join('w')
    news(desk, peer, state='?', status='s' * 9_000, detail='d' * 9_000, completed=-5, total=2**62)
    (kept,) = shown(desk)
    assert (kept.state, kept.completed, kept.total) == ('running', 0, 2**53)
    assert len(kept.status) + len(kept.detail) < 1_000


def test_a_worker_cannot_fill_the_memory_with_errands_that_nobody_asked_for(desk):
    peer = desk.join('w')
    news(desk, peer, 'x' * (errand.MAX_STATUS + 1))
    assert shown(desk) == ()
    for number in range(MOST_ALIVE + 5):
        news(desk, peer, f'{number}')
    assert len(shown(desk)) == MOST_ALIVE


# how machines are

FELT = vitals.Vitals(cpus=4, cpu_percent=10.0, memory_total=1000, memory_used=100, up_s=50.0)


def test_how_a_machine_is_is_told_to_everybody_and_written_nowhere(desk):
    peer = desk.join('w')
    desk.tell(peer, protocol.Heartbeat(vitals=FELT))
    (out,) = published(desk, protocol.WorkerOut)
    assert out.worker.vitals == FELT
    assert out.worker.models == ()
    assert not [action for action in desk.last if isinstance(action, Persist)]
    (worker,) = desk.core.snapshot().workers
    assert (worker.vitals, worker.started_at) == (FELT, desk.now - 50)
    desk.tell(peer, protocol.Heartbeat())
    assert published(desk, protocol.WorkerOut) == []


def test_nonsense_about_a_machine_is_made_harmless(desk):
    peer = desk.join('w')
    gpu = vitals.Gpu(name='g' * 9_000, memory_total=-1, used_percent=math.nan)
    loaded = vitals.Loaded(name='l' * 9_000, size_bytes=2**60, expires_at=math.inf)
    wild = vitals.Vitals(cpu_percent=math.inf, memory_used=-7, gpus=(gpu,) * 99, loaded=(loaded,) * 999, up_s=math.nan)
    desk.tell(peer, protocol.Heartbeat(vitals=wild))
    kept = desk.core.snapshot().workers[0].vitals
    assert (kept.cpu_percent, kept.memory_used, kept.up_s) == (vitals.UNKNOWN, 0, 0.0)
    assert len(kept.gpus) == vitals.MOST_GPUS
    assert len(kept.loaded) == vitals.MOST_LOADED
    assert len(protocol.encode(protocol.WorkerOut(worker=desk.core.snapshot().workers[0]))) < 30_000


@pytest.mark.parametrize(
    ('change', 'worth'),
    [
        ({'cpu_percent': 12.0}, False),
        ({'cpu_percent': 20.0}, True),
        ({'memory_used': 110}, False),
        ({'memory_used': 200}, True),
        ({'up_s': 99.0}, False),
        ({'breaker': 'open'}, True),
        ({'loaded': (vitals.Loaded(name='m', expires_at=100.0),)}, False),
        ({'loaded': (vitals.Loaded(name='m', expires_at=190.0),)}, True),
        ({'loaded': ()}, True),
        ({'gpus': (vitals.Gpu(name='g', used_percent=51.0),)}, False),
        ({'gpus': (vitals.Gpu(name='g', used_percent=90.0),)}, True),
    ],
)
def test_only_what_can_be_seen_is_worth_telling(change, worth):
    told = msgspec.structs.replace(
        FELT, loaded=(vitals.Loaded(name='m', expires_at=95.0),), gpus=(vitals.Gpu(name='g', used_percent=50.0),)
    )
    assert vitals.differs(told, None)
    assert vitals.differs(msgspec.structs.replace(told, **change), told) == worth


# leaving


def test_whom_one_broker_asked_to_leave_the_next_one_asks_again(desk):
    desk.join('w')
    desk.ask(protocol.Retire(worker='w', grace_s=7.0))
    desk.restart()  # before the worker has heard it
    peer = desk.join('w')
    assert told(desk, protocol.Leave) == [protocol.Leave(grace_s=7.0)]
    assert desk.core.snapshot().workers[0].draining
    desk.tell(peer, protocol.Bye(draining=True))
    desk.tell(peer, protocol.Bye())
    desk.restart()
    desk.join('w')
    assert told(desk, protocol.Leave) == []


def test_a_new_process_of_the_same_name_is_not_meant(desk):
    desk.join('w')
    desk.ask(protocol.Retire(worker='w'))
    desk.restart()
    desk.join('w', session='new')
    assert told(desk, protocol.Leave) == []
    desk.restart()
    desk.join('w', session='new')
    assert told(desk, protocol.Leave) == []
    assert desk.store.retired() == []


def test_a_pause_of_what_is_not_there_counts_and_is_noted(desk):
    desk.join('w', models=('m:latest',))
    for scope, name, noted in (
        ('worker', 'w', False),
        ('worker', 'x', True),
        ('model', 'm', False),
        ('model', 'n', True),
    ):
        for kind in (protocol.Pause, protocol.Drain):
            assert bool(desk.ask(kind(scope=scope, name=name)).note) == noted
        assert desk.ask(protocol.Resume(scope=scope, name=name)) == protocol.Done()
