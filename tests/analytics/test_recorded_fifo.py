"""A queue that really went by arrival, its facts landed in a file, and played again from there: the waits agree.

The broker's own core runs under a simulated clock, with machines that load models; messages take their time.
"""

import heapq
import itertools
import random
from collections import OrderedDict

import msgspec
import pytest

from analytics import queries
from broker import facts, protocol, rehearsal
from broker.actions import Action, Peer, Persist, SendJob
from broker.core import BrokerCore
from broker.order import Fairness
from broker.rules import Rules

JOBS = 600
RULES = Rules(fairness=Fairness(affinity_wait_s=0.0), lease_ttl_s=1e9, max_waiting=10_000)
WORKERS = {'gpu-a': 2, 'gpu-b': 1}
LOAD_S = {'small': 2.0, 'large': 6.0}
ON_THE_WAY_S = 0.004
T0 = 1_700_000_000.0


class Run:
    """One user, one level: who comes first goes first. ``facts`` are all that the core wants kept."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.facts = []
        self.core = BrokerCore(RULES, boot='b')
        self.engines = {worker: OrderedDict() for worker in WORKERS}  # until when each model there is in use
        self.ties = itertools.count()
        self.events = []

    def play(self):
        """From the first arrival to the last end."""
        for name, slots in WORKERS.items():
            models = tuple(facts.ModelInfo(name=model, engine='demo') for model in LOAD_S)
            ready = protocol.Ready(
                worker=name, session='s', host='h', pid=1, engine='demo', engine_version='1', slots=slots, models=models
            )
            self.do(self.core.receive(Peer('worker', name.encode()), ready, T0), T0)
        at = T0
        for number in range(JOBS):
            at += self.chance.expovariate(1 / 4.0)
            submit = protocol.Submit(
                rid=number + 1, job_id=f'{number:032x}', kind='chat', body=b'{}', user='ann',
                model=self.chance.choices(list(LOAD_S), (3, 1))[0],
            )  # fmt: skip
            self.later(at, Peer('client', b'c'), submit)
        while self.events:
            now, _, peer, message = heapq.heappop(self.events)
            self.do(self.core.receive(peer, message, now), now)
        return self.facts

    def later(self, at, peer, message):
        heapq.heappush(self.events, (at, next(self.ties), peer, message))

    def do(self, actions: list[Action], now):
        self.facts += [action.fact for action in actions if isinstance(action, Persist)]
        for action in actions:
            if isinstance(action, SendJob):
                self.work(action, now + ON_THE_WAY_S)

    def work(self, sent, now):
        """An engine has one model in memory, and takes another one when the last job with that has ended."""
        engine, model = self.engines[sent.peer.routing_id.decode()], sent.message.model
        load_s, begins_at = 0.05, now
        if model not in engine:
            begins_at = max([now, *engine.values()])
            load_s = begins_at - now + LOAD_S[model]  # as Ollama counts it
            engine.clear()
        own_s = self.chance.expovariate(1 / 6.0)
        ends_at = now + load_s + own_s
        engine[model] = max(engine.get(model, 0.0), ends_at)
        usage = facts.Usage(load_s=load_s, total_s=ends_at - now, output_tokens=10)
        done = protocol.Finished(job_id=sent.message.job_id, epoch=sent.message.epoch, lines=0, usage=usage)
        self.later(ends_at + ON_THE_WAY_S, sent.peer, done)


async def test_a_replay_in_the_order_of_arrival_agrees_with_what_such_a_queue_recorded(opened):
    assert await opened.record(Run(7).play())
    runs = await queries.runs(opened.store, since=0.0, until=2 * T0, limit=JOBS + 1)
    jobs = [rehearsal.Recorded(**msgspec.structs.asdict(run)) for run in runs]
    assert len(jobs) == JOBS and rehearsal.slots_of(jobs) == WORKERS
    was, found = rehearsal.recorded(jobs), rehearsal.rehearse(jobs, 'fifo', RULES)
    assert was.waits.mean_s > 10.0, 'nothing to compare'
    assert found.waits.mean_s == pytest.approx(was.waits.mean_s, rel=0.02)
    assert found.waits.p95_s == pytest.approx(was.waits.p95_s, rel=0.02)
    assert found.loads == pytest.approx(was.loads, rel=0.02)
