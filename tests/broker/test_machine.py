"""Any sequence of truthful and forged messages, shrunk by hypothesis to the shortest one that breaks a promise.

Random replies alone miss most faults, because the epoch fences them off; so workers mostly tell the truth here.
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from broker import facts, lookup, protocol
from tests.broker.desk import CLIENT, Desk, failed, finished, job_id, tokens
from tests.broker.sim.history import History
from tests.nightly import many

NUMBERS = st.integers(1, 6)
WORKERS = st.sampled_from(['a', 'b'])
BATCH = job_id(0xB)


def _finished(number, epoch):
    return finished(number, epoch, 0)


def _tokens(number, epoch):
    return tokens(number, epoch, 0, b'a lie')


class Queue(RuleBasedStateMachine):
    """One broker, two workers with two slots, six jobs, a batch and a schedule."""

    def __init__(self):
        super().__init__()
        self.desk = Desk()
        self.history = History(self.desk.rules)
        self.history.turns.watch(self.desk.core)
        self.changes = []
        commit = self.desk.store.commit
        self.desk.store.commit = lambda changes: (self.changes.extend(changes), commit(changes))
        self.peers, self.sessions = {}, {}
        self.held = {}  # (worker, number) → [epoch, lines sent]

    def _follow(self):
        for routing_id, name, epoch in self.desk.assigned():
            worker = next((w for w, peer in self.peers.items() if peer.routing_id == routing_id), None)
            if worker is not None and self.held.get((worker, int(name, 16)), [0])[0] < epoch:
                self.held[worker, int(name, 16)] = [epoch, 0]
        for worker, peer in self.peers.items():
            for message in self.desk.told(peer):
                if isinstance(message, protocol.Settled) or (isinstance(message, protocol.Stop) and message.stale):
                    key = (worker, int(message.job_id, 16))
                    if self.held.get(key, [None])[0] == message.epoch:
                        del self.held[key]

    @rule(number=NUMBERS, priority=st.integers(0, 15))
    def submit(self, number, priority):
        self.desk.submit(number, priority=priority)
        self._follow()

    @rule(
        number=NUMBERS,
        after=st.lists(NUMBERS, max_size=2, unique=True),
        key=st.sampled_from(['', '', 'k']),
        ties=st.fixed_dictionaries({'attach': st.booleans(), 'parent': st.sampled_from(['', BATCH])}),
        deadline_s=st.sampled_from([0.0, 3.0]),
    )
    def submit_with_ties(self, number, after, key, ties, deadline_s):
        """After others, in a batch, under a key, shared: whatever of it is possible."""
        self.desk.submit(
            number,
            after=tuple(map(job_id, after)),
            idempotency_key=key,
            **ties,
            deadline_at=self.desk.now + deadline_s if deadline_s else 0.0,
        )
        self._follow()

    @rule(total=st.integers(1, 3), ends=st.booleans())
    def a_batch_is_opened_or_cancelled(self, total, ends):
        request = protocol.CancelBatch(batch_id=BATCH) if ends else protocol.OpenBatch(batch_id=BATCH, total=total)
        past = lookup.past_of(request, self.desk.store, self.desk.core.knows, False)
        self.desk.did(self.desk.core.receive(CLIENT, request, self.desk.now, past))
        self._follow()

    @rule(
        cron=st.sampled_from(['* * * * *', '*/2 * * * *']),
        enabled=st.booleans(),
        missed=st.sampled_from(['skip', 'once']),
    )
    def a_schedule_is_set(self, cron, enabled, missed):
        schedule = protocol.Schedule(
            schedule_id='s', name='s', cron=cron, kind='chat', model='m', body=b'{}', enabled=enabled, missed=missed
        )
        self.desk.ask(protocol.SetSchedule(schedule=schedule))
        self._follow()

    @rule(number=NUMBERS, release=st.booleans())
    def cancel(self, number, release):
        request = protocol.Cancel(job_id=job_id(number), release=release)
        self.desk.did(self.desk.core.receive(CLIENT, request, self.desk.now))
        self._follow()

    @rule(number=NUMBERS, priority=st.integers(-1, 17))
    def set_priority(self, number, priority):
        request = protocol.SetPriority(job_id=job_id(number), priority=priority)
        self.desk.did(self.desk.core.receive(CLIENT, request, self.desk.now))
        self._follow()

    @rule(worker=WORKERS)
    def a_new_process_signs_in(self, worker):
        self.sessions[worker] = self.sessions.get(worker, 0) + 1
        self.held = {key: run for key, run in self.held.items() if key[0] != worker}
        self.peers[worker] = self.desk.join(worker, slots=2, session=str(self.sessions[worker]))
        self._follow()

    @precondition(lambda self: self.peers)
    @rule(data=st.data())
    def a_worker_connects_again(self, data):
        worker = data.draw(st.sampled_from(sorted(self.peers)))
        runs = tuple(
            protocol.Run(job_id=job_id(number), epoch=epoch, index=sent)
            for (name, number), (epoch, sent) in self.held.items()
            if name == worker
        )
        self.peers[worker] = self.desk.join(
            worker, slots=2, session=str(self.sessions[worker]), peer=f'{worker}{self.desk.now}'.encode(), runs=runs
        )
        self._follow()

    @precondition(lambda self: self.held)
    @rule(data=st.data(), what=st.sampled_from(['tokens', 'finished', 'retry', 'fatal', 'stopped', 'hand back']))
    def a_worker_tells_the_truth(self, data, what):
        (worker, number), run = data.draw(st.sampled_from(sorted(self.held.items())))
        epoch, sent = run
        if what == 'tokens':
            message = tokens(number, epoch, sent, f'{job_id(number)}/{epoch}/{sent}'.encode())
            run[1] += 1
        else:
            message = {
                'finished': finished(number, epoch, sent),
                'retry': failed(number, epoch),
                'fatal': failed(number, epoch, retryable=False),
                'stopped': protocol.Stopped(job_id=job_id(number), epoch=epoch),
                'hand back': protocol.HandBack(job_id=job_id(number), epoch=epoch),
            }[what]
        self.desk.tell(self.peers[worker], message)
        self._follow()

    @precondition(lambda self: self.peers)
    @rule(data=st.data(), number=NUMBERS, epoch=st.integers(0, 4), lie=st.sampled_from([_finished, _tokens, failed]))
    def a_worker_lies_about_a_run_that_is_not_its_own(self, data, number, epoch, lie):
        worker = data.draw(st.sampled_from(sorted(self.peers)))
        if self.held.get((worker, number), [None])[0] != epoch:
            self.desk.tell(self.peers[worker], lie(number, epoch))
            self._follow()

    @precondition(lambda self: self.peers)
    @rule(data=st.data())
    def a_connection_breaks(self, data):
        self.desk.gone(self.peers[data.draw(st.sampled_from(sorted(self.peers)))])
        self._follow()

    @rule(seconds=st.sampled_from([0.1, 1.0, 2.5, 5.0, 16.0, 61.0]))
    def time_passes(self, seconds):
        self.desk.wait(seconds)
        self._follow()

    @rule()
    def the_broker_restarts(self):
        self.history.booted(self.desk.now)
        self.desk.restart()
        self.history.turns.watch(self.desk.core)

    @invariant()
    def facts_follow_the_rules_and_agree_with_the_store(self):
        while self.changes:
            self.history.add(self.changes.pop(0))
        self.history.compare(self.desk.store)

    @invariant()
    def an_answer_is_what_its_last_run_said(self):
        for name, fact in self.history.ends.items():
            answer = self.desk.store.answer(name)
            assert answer == [f'{name}/{fact.epoch}/{number}'.encode() for number in range(len(answer))]
            assert not isinstance(fact, facts.JobCompleted) or len(answer) == fact.lines


TestQueue = pytest.mark.timeout(many(180, 3_600))(Queue.TestCase)
TestQueue.settings = settings(max_examples=many(150, 3_000), stateful_step_count=40, deadline=None)
