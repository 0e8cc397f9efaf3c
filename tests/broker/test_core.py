"""Examples of what the queue promises, one sentence each."""

import pytest

from broker import facts, protocol, timers
from broker.actions import Persist, Publish, Send
from broker.rules import Rules
from tests.broker.desk import CLIENT, Desk, failed, finished, job_id, tokens


def test_a_job_runs_on_the_worker_that_has_its_model_and_completes():
    desk = Desk()
    other = desk.join('other', models=('x',))
    worker = desk.join('w')
    assert isinstance(desk.submit(1), protocol.Accepted)
    assert desk.assigned() == [(worker.routing_id, job_id(1), 1)]
    desk.tell(worker, tokens(1, 1, 0, b'a', b'b'))
    assert desk.published(protocol.TokensOut) == [
        protocol.TokensOut(job_id=job_id(1), epoch=1, index=0, lines=(b'a', b'b'))
    ]
    desk.tell(worker, finished(1, 1, 2))
    assert desk.told(worker) == [protocol.Settled(job_id=job_id(1), epoch=1)]
    assert desk.told(other) == []
    assert desk.history(1) == ['JobQueued', 'JobStarted', 'JobCompleted']
    assert desk.store.answer(job_id(1)) == [b'a', b'b']


def test_what_is_said_comes_after_what_is_stored():
    desk = Desk()
    desk.join('w')
    desk.submit(1)
    kinds = [type(action) for action in desk.last]
    assert kinds.index(Persist) < kinds.index(Send)
    assert all(fact.seq == number for number, fact in enumerate(desk.facts, 1))


def test_the_same_submit_twice_is_one_job():
    desk = Desk()
    desk.submit(1)
    again = desk.submit(1)
    assert isinstance(again, protocol.Accepted) and again.duplicate
    assert desk.history(1) == ['JobQueued']


def test_a_submit_repeated_after_the_job_has_ended_starts_nothing():
    desk = Desk()
    desk.submit(1)
    desk.ask(protocol.Cancel(job_id=job_id(1)))
    again = desk.submit(1)
    assert isinstance(again, protocol.Accepted) and again.duplicate
    assert desk.history(1) == ['JobQueued', 'JobCancelled']


def test_higher_priority_goes_first_and_first_come_first_served_inside_a_level():
    desk = Desk()
    for number, priority in ((1, 5), (2, 1), (3, 15), (4, 5), (5, 15)):
        desk.submit(number, priority=priority)
    worker = desk.join('w', slots=5)
    assert [job for _, job, _ in desk.assigned()] == [job_id(n) for n in (3, 5, 1, 4, 2)]
    assert desk.told(worker)


def test_a_job_without_a_worker_for_its_model_does_not_hold_up_the_others():
    desk = Desk()
    worker = desk.join('w')
    desk.submit(1, model='nobody has this', priority=15)
    desk.submit(2)
    assert desk.assigned() == [(worker.routing_id, job_id(2), 1)]


def test_latest_is_the_tag_that_a_model_name_without_one_means():
    desk = Desk()
    desk.join('w', models=('qwen3:latest',))
    desk.submit(1, model='qwen3')
    assert [job for _, job, _ in desk.assigned()] == [job_id(1)]


def test_a_changed_priority_changes_the_order_and_a_running_job_keeps_its_own():
    desk = Desk()
    for number in (1, 2, 3):
        desk.submit(number)
    assert desk.ask(protocol.SetPriority(job_id=job_id(3), priority=10)) == protocol.Done()
    worker = desk.join('w')
    assert desk.assigned() == [(worker.routing_id, job_id(3), 1)]
    refused = desk.ask(protocol.SetPriority(job_id=job_id(3), priority=1))
    assert isinstance(refused, protocol.Refused) and refused.code == 'not_waiting'


def test_a_waiting_job_is_cancelled_at_once_and_never_starts():
    desk = Desk()
    desk.submit(1)
    assert desk.ask(protocol.Cancel(job_id=job_id(1))) == protocol.Done()
    desk.join('w')
    assert desk.assigned() == []
    assert desk.history(1) == ['JobQueued', 'JobCancelled']


def test_a_running_job_is_cancelled_when_its_worker_says_that_the_slot_is_free():
    desk = Desk()
    worker = desk.join('w')
    desk.submit(1)
    desk.submit(2)
    desk.tell(worker, tokens(1, 1, 0, b'a'))
    desk.ask(protocol.Cancel(job_id=job_id(1)))
    assert desk.told(worker) == [protocol.Stop(job_id=job_id(1), epoch=1)]
    assert desk.assigned() == []
    desk.tell(worker, tokens(1, 1, 1, b'late'))
    assert desk.published(protocol.TokensOut) == []
    desk.tell(worker, protocol.Stopped(job_id=job_id(1), epoch=1))
    assert desk.history(1)[-1] == 'JobCancelled'
    assert [job for _, job, _ in desk.assigned()] == [job_id(2)]
    assert desk.store.answer(job_id(1)) == [b'a']


def test_a_cancel_meant_for_a_waiting_job_leaves_one_that_runs_alone():
    desk = Desk()
    worker = desk.join('w')
    desk.submit(1)
    desk.submit(2)
    refused = desk.ask(protocol.Cancel(job_id=job_id(1), waiting=True))
    assert isinstance(refused, protocol.Refused) and refused.code == 'not_waiting'
    assert desk.told(worker) == [] and desk.history(1) == ['JobQueued', 'JobStarted']
    assert desk.ask(protocol.Cancel(job_id=job_id(2), waiting=True)) == protocol.Done()
    assert desk.history(2) == ['JobQueued', 'JobCancelled']


def test_a_job_that_finishes_while_it_is_being_cancelled_is_cancelled():
    desk = Desk()
    worker = desk.join('w')
    desk.submit(1)
    desk.ask(protocol.Cancel(job_id=job_id(1)))
    desk.tell(worker, finished(1, 1, 0))
    assert desk.history(1)[-1] == 'JobCancelled'


def test_a_retryable_failure_waits_longer_each_time_and_the_third_one_is_final():
    desk = Desk()
    worker = desk.join('w')
    desk.submit(1)
    for attempt in (1, 2):
        desk.tell(worker, failed(1, attempt))
        requeued = desk.facts[-1]
        assert isinstance(requeued, facts.JobRequeued) and requeued.reason == 'retry'
        assert 0 <= requeued.due_at - desk.now < 2.0 * 2 ** (attempt - 1)
        desk.wait(requeued.due_at - desk.now)
        assert desk.assigned() == [(worker.routing_id, job_id(1), attempt + 1)]
    desk.tell(worker, failed(1, 3))
    died = desk.facts[-1]
    assert isinstance(died, facts.JobDied) and (died.code, died.failures) == ('unreachable', 3)


def test_a_failure_not_worth_a_retry_is_final_at_once():
    desk = Desk()
    worker = desk.join('w')
    desk.submit(1)
    desk.tell(worker, failed(1, 1, retryable=False, code='model_not_found'))
    assert desk.history(1) == ['JobQueued', 'JobStarted', 'JobDied']


def test_a_new_attempt_begins_with_an_empty_answer():
    desk = Desk()
    worker = desk.join('w')
    desk.submit(1)
    desk.tell(worker, tokens(1, 1, 0, b'old'))
    desk.tell(worker, failed(1, 1))
    desk.wait(2)
    desk.tell(worker, tokens(1, 2, 0, b'new'))
    lines = desk.ask(protocol.Read(job_id=job_id(1), epoch=1, index=1))
    assert isinstance(lines, protocol.Lines)
    assert (lines.epoch, lines.index, lines.lines) == (2, 0, (b'new',))


def test_missing_lines_are_asked_for_once_and_repeated_ones_are_dropped():
    desk = Desk()
    worker = desk.join('w')
    desk.submit(1)
    desk.tell(worker, tokens(1, 1, 2, b'c'))
    assert desk.told(worker) == [protocol.Resend(job_id=job_id(1), epoch=1, index=0)]
    desk.tell(worker, tokens(1, 1, 3, b'd'))
    assert desk.told(worker) == []
    desk.tell(worker, tokens(1, 1, 0, b'a', b'b', b'c'))
    desk.tell(worker, tokens(1, 1, 1, b'b', b'c', b'd'))
    assert [out.lines for out in desk.published(protocol.TokensOut)] == [(b'd',)]
    desk.tell(worker, finished(1, 1, 5))
    assert desk.told(worker) == [protocol.Resend(job_id=job_id(1), epoch=1, index=4)]
    desk.tell(worker, tokens(1, 1, 4, b'e'))
    desk.tell(worker, finished(1, 1, 5))
    assert desk.store.answer(job_id(1)) == [b'a', b'b', b'c', b'd', b'e']


def test_a_full_queue_says_when_to_try_again():
    desk = Desk(Rules(max_waiting=2))
    desk.submit(1)
    desk.submit(2)
    refused = desk.submit(3)
    assert isinstance(refused, protocol.Refused)
    assert (refused.code, refused.retry_after_s > 0) == ('queue_full', True)
    assert desk.history(3) == []


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('job_id', 'short'),
        ('job_id', 'Z' * 32),
        ('kind', 'paint'),
        ('model', ''),
        ('priority', 16),
        ('priority', -2),
        ('max_failures', 0),
        ('body', b''),
        ('user', 'u' * 301),
    ],
)
def test_a_bad_submit_is_refused_with_the_reason(field, value):
    desk = Desk()
    refused = desk.submit(1, **{field: value})
    assert isinstance(refused, protocol.Refused) and refused.code == 'bad_request'
    assert field in refused.detail
    assert desk.facts == []


def test_an_endless_answer_is_cut_off():
    desk = Desk(Rules(max_answer_bytes=10))
    worker = desk.join('w')
    desk.submit(1)
    desk.tell(worker, tokens(1, 1, 0, b'x' * 11))
    assert desk.told(worker) == [protocol.Stop(job_id=job_id(1), epoch=1, stale=True)]
    died = desk.facts[-1]
    assert isinstance(died, facts.JobDied) and died.code == 'answer_too_large'


def test_standing_tells_how_many_go_first_and_who_waits_for_a_machine():
    desk = Desk()
    worker = desk.join('w')
    desk.submit(1)
    desk.submit(2)
    desk.submit(3, priority=10)
    desk.submit(4, model='unknown')
    desk.wait(1)
    standing = desk.published(protocol.Standing)[-1]
    assert standing.waiting == 3
    assert [(place.job_id, place.ahead, place.reason) for place in standing.places] == [
        (job_id(3), 0, 'ahead'),
        (job_id(2), 1, 'ahead'),
        (job_id(4), 0, 'no_worker'),
    ]
    state = desk.ask(protocol.GetJob(job_id=job_id(2)))
    assert isinstance(state, protocol.JobState) and state.ahead == 1
    desk.tell(worker, protocol.Heartbeat(runs=(protocol.Run(job_id=job_id(1), epoch=1, index=0),)))
    desk.wait(1)
    assert desk.published(protocol.Standing) == [], 'nothing changed, so nothing is said'


@pytest.mark.parametrize(('waiting', 'at_most'), [(10, 17), (1_050, 5)])
def test_standing_is_told_less_often_when_many_wait(waiting, at_most):
    desk = Desk()
    desk.core.check = lambda: None  # of a thousand jobs at every step it would take seconds
    worker = desk.join('w')
    for number in range(waiting):
        desk.submit(number)
    told = 0
    for step in range(40):
        desk.tell(worker, failed(step, 1, retryable=False))
        desk.wait(0.1)
        told += len(desk.published(protocol.Standing))
    assert 3 <= told <= at_most


def test_the_pulse_comes_every_second_and_says_the_newest_seq():
    desk = Desk()
    desk.submit(1)
    desk.wait(3)
    pulses = [a.message for a in desk.last if isinstance(a, Publish) and a.topic == protocol.TOPIC_PULSE]
    assert 3 <= len(pulses) <= 4 and pulses[-1].seq == desk.facts[-1].seq


def test_a_snapshot_comes_in_pages(monkeypatch):
    monkeypatch.setattr(protocol, 'SNAPSHOT_PAGE', 2)
    desk = Desk()
    for number in (1, 2, 3):
        desk.submit(number)
    first = desk.ask(protocol.GetSnapshot())
    assert isinstance(first, protocol.Snapshot) and first.more
    second = desk.ask(protocol.GetSnapshot(after_order=first.jobs[-1].order))
    assert isinstance(second, protocol.Snapshot) and not second.more
    assert [job.job_id for job in (*first.jobs, *second.jobs)] == [job_id(n) for n in (1, 2, 3)]


def test_what_ended_long_before_its_deadline_or_its_time_leaves_no_timer_behind(monkeypatch):
    monkeypatch.setattr(timers, 'SPARE', 20)
    desk = Desk()
    worker = desk.join('w', slots=2)
    far = desk.now + 1e9
    desk.submit(1, due_at=desk.now + 50.0)
    for number in range(2, 300, 3):
        desk.submit(number, deadline_at=far)
        desk.tell(worker, finished(number, 1, 0))
        desk.submit(number + 1, deadline_at=far, due_at=far - 1)
        desk.ask(protocol.Cancel(job_id=job_id(number + 1)))
        desk.wait(2.0)
        desk.tell(worker, protocol.Heartbeat())
    assert desk.core.timers < 60
    assert desk.state(1) != 'delayed', 'those that count still go off'


def test_a_page_of_the_longest_jobs_fits_one_message(monkeypatch):
    desk = Desk()
    monkeypatch.setattr(desk.core, 'check', lambda: None)  # it looks at all jobs, each time
    names = {'user': '文' * 300, 'conversation_id': '文' * 300, 'model': '文' * 300}
    for number in range(1, 101):
        desk.submit(number, **names)
    for number in range(101, 1_301):
        desk.submit(number, after=tuple(map(job_id, range(1, 101))), **names)
    seen, page = [], desk.ask(protocol.GetSnapshot())
    while True:
        assert len(protocol.encode(page)) < protocol.MAX_MESSAGE_BYTES
        seen += page.jobs
        if not page.more:
            break
        page = desk.ask(protocol.GetSnapshot(after_order=page.jobs[-1].order))
    assert [job.order for job in seen] == list(range(1, 1_301))


def test_jobs_that_are_not_alive_are_looked_up_in_the_store():
    desk = Desk()
    for request in (
        protocol.GetJob(job_id=job_id(9)),
        protocol.Read(job_id=job_id(9)),
        protocol.Cancel(job_id=job_id(9)),
        protocol.FactsAfter(seq=0),
    ):
        desk.did(desk.core.receive(CLIENT, request, desk.now))
        assert desk.from_store()


def test_a_long_answer_is_read_in_parts_that_fit_a_message():
    desk = Desk()
    worker = desk.join('w')
    desk.submit(1)
    big = b'x' * (protocol.MAX_BATCH_BYTES // 2 + 1)
    desk.tell(worker, tokens(1, 1, 0, big, big, b'end'))
    first = desk.ask(protocol.Read(job_id=job_id(1)))
    assert isinstance(first, protocol.Lines)
    assert (len(first.lines), first.total, first.ended) == (1, 3, False)
    second = desk.ask(protocol.Read(job_id=job_id(1), epoch=1, index=1))
    assert isinstance(second, protocol.Lines) and second.lines == (big, b'end')


def test_another_version_of_the_protocol_is_not_let_in():
    desk = Desk()
    ready = protocol.Ready(
        worker='w', session='s', host='h', pid=1, engine='demo', engine_version='1', slots=1, models=(), version=99
    )
    desk.tell(desk.join('ok'), protocol.Heartbeat())
    desk.tell(type(CLIENT)('worker', b'odd'), ready)
    assert all(getattr(fact, 'worker', 'ok') == 'ok' for fact in desk.facts)


def test_standing_says_when_a_job_will_probably_start_and_the_start_tells_what_was_said():
    desk = Desk()
    worker = desk.join('w')
    for number in range(1, 8):
        desk.submit(number)
        desk.now += 10
        desk.tell(worker, finished(number, 1, 0))
    desk.submit(8)
    desk.submit(9)
    desk.submit(10)
    begun = desk.now
    desk.wait(0.5)
    places = {place.job_id: place for place in desk.published(protocol.Standing)[-1].places}
    assert places[job_id(9)].earliest_at <= begun + 10 <= places[job_id(9)].latest_at + 1
    assert places[job_id(10)].latest_at > places[job_id(9)].latest_at
    desk.now = begun + 10
    desk.tell(worker, finished(8, 1, 0))
    started = [fact for fact in desk.facts if isinstance(fact, facts.JobStarted)][-1]
    assert started.job_id == job_id(9)
    assert (started.predicted_from, started.predicted_until) == (
        places[job_id(9)].earliest_at,
        places[job_id(9)].latest_at,
    )
