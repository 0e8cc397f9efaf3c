"""Leases: a worker dies, falls silent, leaves or comes back, or the broker does; the job runs on, or once more."""

from broker import facts, protocol
from tests.broker.desk import RULES, Desk, failed, finished, job_id, tokens


def test_a_dead_workers_job_goes_to_the_next_worker():
    desk = Desk()
    dead = desk.join('a')
    desk.submit(1)
    other = desk.join('b')
    desk.gone(dead)
    desk.wait(RULES.reattach_s)
    assert desk.assigned() == [(other.routing_id, job_id(1), 2)]
    assert desk.history(1) == ['JobQueued', 'JobStarted', 'JobRequeued', 'JobStarted']


def test_a_worker_that_comes_back_in_time_keeps_its_job():
    desk = Desk()
    worker = desk.join('a')
    desk.submit(1)
    desk.tell(worker, tokens(1, 1, 0, b'x'))
    desk.gone(worker)
    desk.wait(RULES.reattach_s / 2)
    back = desk.join('a', peer=b'new connection', runs=(protocol.Run(job_id=job_id(1), epoch=1, index=3),))
    assert protocol.Resend(job_id=job_id(1), epoch=1, index=1) in desk.told(back)
    desk.wait(RULES.reattach_s * 2)
    desk.tell(back, tokens(1, 1, 1, b'y', b'z'))
    desk.tell(back, finished(1, 1, 3))
    assert desk.history(1) == ['JobQueued', 'JobStarted', 'JobCompleted']
    assert desk.store.answer(job_id(1)) == [b'x', b'y', b'z']


def test_a_silent_workers_lease_runs_out_and_its_late_result_changes_nothing():
    desk = Desk()
    silent = desk.join('a')
    desk.submit(1)
    desk.wait(RULES.lease_ttl_s - 1)
    other = desk.join('b')
    desk.wait(1)
    assert desk.assigned() == [(other.routing_id, job_id(1), 2)]
    desk.tell(silent, finished(1, 1, 0))
    assert desk.told(silent) == [protocol.Identify()]
    back = desk.join('a', runs=(protocol.Run(job_id=job_id(1), epoch=1, index=9),))
    assert protocol.Stop(job_id=job_id(1), epoch=1, stale=True) in desk.told(back)
    desk.tell(back, finished(1, 1, 0))
    assert desk.told(back) == [protocol.Settled(job_id=job_id(1), epoch=1)]
    assert 'JobCompleted' not in desk.history(1)


def test_a_heartbeat_keeps_the_lease():
    desk = Desk()
    worker = desk.join('a')
    desk.submit(1)
    for _ in range(10):
        desk.wait(5)
        desk.tell(worker, protocol.Heartbeat(runs=(protocol.Run(job_id=job_id(1), epoch=1, index=0),)))
    assert desk.history(1) == ['JobQueued', 'JobStarted']


def test_a_job_that_takes_two_workers_down_with_it_is_dead():
    desk = Desk()
    desk.join('a')
    desk.submit(1)
    desk.join('a', session='second')
    desk.join('a', session='third')
    died = next(fact for fact in desk.facts if isinstance(fact, facts.JobDied))
    assert died.code == 'poison'
    assert died.failures == 0


def test_a_new_process_in_the_place_of_a_worker_takes_over_at_once():
    desk = Desk()
    desk.join('a')
    desk.submit(1)
    new = desk.join('a', session='second')
    assert desk.assigned() == [(new.routing_id, job_id(1), 2)]


def test_an_assignment_that_could_not_be_delivered_costs_nothing():
    desk = Desk()
    dead = desk.join('a', slots=2)
    desk.submit(1)
    other = desk.join('b')
    desk.gone(dead, protocol.Assign(job_id=job_id(1), epoch=1, kind='chat', model='m'))
    assert desk.assigned() == [(other.routing_id, job_id(1), 2)]
    requeued = next(fact for fact in desk.facts if isinstance(fact, facts.JobRequeued))
    assert (requeued.reason, requeued.losses, requeued.failures) == ('handed_back', 0, 0)


def test_an_assignment_lost_on_the_way_is_sent_again():
    desk = Desk()
    worker = desk.join('a')
    desk.submit(1)
    desk.wait(5)
    desk.tell(worker, protocol.Heartbeat())
    assert desk.assigned() == [(worker.routing_id, job_id(1), 1)]


def test_a_draining_worker_hands_its_job_back_and_the_job_keeps_its_place():
    desk = Desk()
    leaving = desk.join('a')
    for number in (1, 2):
        desk.submit(number)
    desk.tell(leaving, protocol.Bye(draining=True))
    desk.tell(leaving, protocol.HandBack(job_id=job_id(1), epoch=1))
    assert desk.assigned() == []
    desk.tell(leaving, protocol.Bye())
    other = desk.join('b')
    assert desk.assigned() == [(other.routing_id, job_id(1), 2)]
    left = next(fact for fact in desk.facts if isinstance(fact, facts.WorkerLeft))
    assert left.reason == 'drained'


def test_after_a_broker_restart_the_worker_goes_on_and_nothing_runs_twice():
    desk = Desk()
    worker = desk.join('w')
    desk.submit(1)
    desk.submit(2)
    desk.tell(worker, tokens(1, 1, 0, b'a', b'b'))
    desk.restart()
    desk.tell(worker, tokens(1, 1, 2, b'c'))
    assert desk.told(worker) == [protocol.Identify()]
    desk.join('w', runs=(protocol.Run(job_id=job_id(1), epoch=1, index=3),))
    assert protocol.Resend(job_id=job_id(1), epoch=1, index=0) in desk.told(worker)
    desk.tell(worker, tokens(1, 1, 0, b'a', b'b', b'c'))
    desk.tell(worker, finished(1, 1, 3))
    assert desk.history(1) == ['JobQueued', 'JobStarted', 'JobCompleted']
    assert desk.store.answer(job_id(1)) == [b'a', b'b', b'c']
    assert desk.assigned() == [(worker.routing_id, job_id(2), 1)]


def test_after_a_broker_restart_a_run_that_nobody_shows_is_started_again():
    desk = Desk()
    desk.join('gone for good')
    desk.submit(1)
    desk.restart()
    other = desk.join('other')
    desk.wait(RULES.lease_ttl_s - 0.1)
    desk.tell(other, protocol.Heartbeat())
    desk.wait(0.2)
    assert desk.assigned() == [(other.routing_id, job_id(1), 2)]


def test_a_cancel_survives_a_broker_restart():
    desk = Desk()
    worker = desk.join('w')
    desk.submit(1)
    desk.ask(protocol.Cancel(job_id=job_id(1)))
    desk.restart()
    desk.join('w', runs=(protocol.Run(job_id=job_id(1), epoch=1, index=3),))
    assert protocol.Stop(job_id=job_id(1), epoch=1) in desk.told(worker)
    desk.tell(worker, protocol.Stopped(job_id=job_id(1), epoch=1))
    assert desk.history(1)[-1] == 'JobCancelled'


def test_a_delayed_job_is_still_delayed_after_a_restart():
    desk = Desk()
    worker = desk.join('w')
    desk.submit(1)
    desk.tell(worker, failed(1, 1))
    due_at = desk.facts[-1].due_at
    desk.restart()
    desk.join('w')
    assert desk.assigned() == []
    desk.wait(due_at - desk.now)
    assert desk.assigned() == [(worker.routing_id, job_id(1), 2)]
