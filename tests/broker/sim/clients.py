"""Clients: they submit in every way there is, repeat until answered, change their minds, and read along."""

import itertools
from typing import TYPE_CHECKING

import msgspec

from broker import facts, protocol
from broker.actions import Peer
from broker.job import FINAL
from tests.broker.desk import job_id
from tests.broker.sim.draw import RUNNERS, USERS
from tests.broker.sim.reader import Reader
from tests.broker.sim.violation import Violation

if TYPE_CHECKING:
    from tests.broker.sim.world import World

PEER = Peer('client', b'clients')
LAST_SUBMIT_S = 96.0
FIRST_BATCH = 0xB0000
CRONS = {'* * * * *': 60, '*/2 * * * *': 120, '*/5 * * * *': 300}


class SimClients:
    """All of them behind one connection. A request is sent again until it is answered."""

    def __init__(self, world: 'World') -> None:
        self.world = world
        self.acknowledged: set[str] = set()
        self.keys: dict[tuple[str, str], str] = {}  # what each key was said to be
        self.readers: dict[str, Reader] = {}
        self._open: dict[int, protocol.AnyRequest] = {}
        self._sent: dict[int, int] = {}
        self._rids = itertools.count(1)
        self._numbers = itertools.count(1)
        self._batches = itertools.count(FIRST_BATCH)
        self._own: list[tuple[str, str]] = []  # job and user
        self._bodies: dict[str, bytes] = {}
        chance = world.chance
        waves = [chance.uniform(0, LAST_SUBMIT_S) for _ in range(4)]
        left = world.drawn.jobs
        while left > 0:
            at = chance.choice(waves) if chance.random() < 0.5 else chance.uniform(0, LAST_SUBMIT_S)
            many = 1 if chance.random() < 0.85 else min(left, chance.randrange(2, 7))
            left -= many
            world.at(at, lambda many=many: self._submit_some(many))
        for _ in range(chance.randrange(0, 6)):
            world.at(chance.uniform(0, LAST_SUBMIT_S), self._pause)
        if chance.random() < 0.3:
            world.at(chance.uniform(0, 60), self._schedule)

    def all_answered(self) -> bool:
        """Whether nothing is open any more, and who reads has read to the end."""
        return not self._open and all(
            reader.ended or reader.job_id not in self.world.history.jobs for reader in self.readers.values()
        )

    def heal(self) -> None:
        """All pauses end, schedules go, batches are closed, and everybody reads to the end."""
        history = self.world.history
        for scope, name in sorted(history.pauses):
            self._ask(protocol.Resume(rid=next(self._rids), scope=scope, name=name))
        for name in sorted(history.schedules):
            self._ask(protocol.RemoveSchedule(rid=next(self._rids), schedule_id=name))
        for name, batch in sorted(history.batches.items()):
            if not batch.ended_at:
                self._ask(protocol.CancelBatch(rid=next(self._rids), batch_id=name))
        self._look()

    def reckon(self) -> None:
        """Batches are over; who used a key got one job."""
        left = [name for name, batch in self.world.history.batches.items() if not batch.ended_at]
        if left:
            raise Violation('I1', f'batches go on: {left}')

    # answers

    def hear(self, reply: protocol.Reply) -> None:
        """An answer: the request is settled, and a submit counts as acknowledged from here on."""
        request = self._open.get(reply.rid)
        match reply:
            case protocol.Accepted():
                self._accepted(request, reply)
            case protocol.Submitted(results=results):
                for asked, result in zip(getattr(request, 'jobs', ()), results, strict=False):
                    if isinstance(result, protocol.Accepted):
                        self._accepted(asked, result)
            case protocol.Lines():
                reader = self.readers.get(reply.job_id)
                end = self.world.history.jobs[reply.job_id].end
                if reader is not None:
                    reader.read(reply, completed=isinstance(end, facts.JobCompleted))
                    self.world.history.saw['replay served a gap'] += reader.served
                    reader.served = 0
            case protocol.Refused(code=code):
                self.world.history.saw[f'refused: {code}'] += 1
        self._open.pop(reply.rid, None)

    def _accepted(self, request: protocol.AnyRequest | None, reply: protocol.Accepted) -> None:
        """I2: a key is one job for ever."""
        self.acknowledged.add(reply.job_id)
        if isinstance(request, protocol.Submit):
            lost = reply.duplicate and reply.job_id == request.job_id and self._sent.get(request.rid, 0) > 1
            self.world.history.saw['sent again after a lost answer'] += lost
            self.world.history.saw['attached'] += request.attach and reply.job_id != request.job_id
            key = request.user, request.idempotency_key
            if request.idempotency_key and self.keys.setdefault(key, reply.job_id) != reply.job_id:
                raise Violation('I2', f'the key {key} is {self.keys[key]}, and {reply.job_id}')

    def published(self, tokens: protocol.TokensOut) -> None:
        """Lines went out to whoever reads along."""
        reader = self.readers.get(tokens.job_id)
        if reader is not None:
            reader.published(tokens.epoch, tokens.index, tokens.lines)
            if reader.missed:
                self._read(reader)

    def _read(self, reader: Reader) -> None:
        request = protocol.Read(rid=next(self._rids), job_id=reader.job_id, epoch=reader.epoch, index=len(reader.lines))
        self.world.to_broker(PEER, request)

    def _look(self) -> None:
        """Who reads asks now and then how it ended, until it has."""
        jobs = self.world.history.jobs
        for reader in self.readers.values():
            if not reader.ended and reader.job_id in jobs and jobs[reader.job_id].state in FINAL:
                self._read(reader)
        self.world.at(2.0, self._look)

    # requests

    def _ask(self, request: protocol.AnyRequest) -> None:
        self._open[request.rid] = request
        self._send(request.rid)

    def _send(self, rid: int) -> None:
        if rid in self._open:
            self._sent[rid] = self._sent.get(rid, 0) + 1
            self.world.to_broker(PEER, self._open[rid])
            self.world.at(1.0, lambda: self._send(rid))

    def _submit_some(self, many: int) -> None:
        chance = self.world.chance
        how = chance.choice(('each', 'together', 'batch', 'chain')) if many > 1 else 'each'
        user = chance.choice(USERS)
        if how == 'batch':
            self._batch(user, many)
            return
        jobs = [self._job(chance.choice(USERS) if how == 'each' else user) for _ in range(many)]
        if how == 'chain':
            jobs = [_after(job, before) for before, job in itertools.pairwise([None, *jobs])]
            chance.shuffle(jobs)
        if how == 'each':
            for job in jobs:
                self._ask(job)
        else:
            self._ask(protocol.SubmitMany(rid=next(self._rids), jobs=tuple(jobs)))

    def _batch(self, user: str, many: int) -> None:
        chance, name = self.world.chance, job_id(next(self._batches))
        total = many + chance.randrange(-1, 2)
        self._ask(protocol.OpenBatch(rid=next(self._rids), batch_id=name, total=max(1, total), user=user))
        for _ in range(many):
            self.world.at(chance.uniform(0.2, 6), lambda: self._ask(self._job(user, parent=name)))
        if chance.random() < 0.4:
            self._later(30, protocol.CancelBatch(rid=next(self._rids), batch_id=name))
        for _ in range(2):
            self._later(40, protocol.GetBatch(rid=next(self._rids), batch_id=name))

    def _job(self, user: str, **fields: object) -> protocol.Submit:
        chance, name = self.world.chance, job_id(next(self._numbers))
        wall, special = self.world.wall, chance.random()
        if special < 0.08:
            fields |= {'due_at': wall + chance.uniform(0, 40)}
        elif special < 0.16:
            fields |= {'deadline_at': wall + chance.uniform(1, 60)}
        elif special < 0.24 and 'parent' not in fields:
            before = [other for other, whose in self._own if whose == user]
            if before:
                fields |= {'after': tuple(chance.sample(before, min(len(before), chance.randrange(1, 3))))}
        elif special < 0.36 and 'parent' not in fields:
            fields |= {'idempotency_key': chance.choice('kl')}
        elif special < 0.46:
            fields |= {'attach': True}
        self._own.append((name, user))
        self._changes_of_mind(name)
        if chance.random() < 0.3:
            self.readers[name] = Reader(name)
        return protocol.Submit(
            rid=next(self._rids),
            job_id=name,
            kind='chat',
            model=chance.choice(self.world.drawn.models),
            body=chance.choice(RUNNERS),
            priority=chance.choice((1, 5, 5, 5, 10, 15)),
            user=user,
            conversation_id=chance.choice(('', '', 'talk')),
            max_failures=chance.randrange(1, 4),
            **fields,  # type: ignore[arg-type]
        )

    def _changes_of_mind(self, name: str) -> None:
        chance = self.world.chance
        if chance.random() < 0.2:
            cancel = protocol.Cancel(rid=next(self._rids), job_id=name, release=chance.random() < 0.3)
            self._later(30, cancel)
        if chance.random() < 0.2:
            self._later(20, protocol.SetPriority(rid=next(self._rids), job_id=name, priority=chance.randrange(16)))

    def _pause(self) -> None:
        chance = self.world.chance
        scope = chance.choice(protocol.PAUSE_SCOPES)
        names = {
            'all': ('',),
            'model': self.world.drawn.models,
            'priority': ('1', '5', '10'),
            'user': USERS,
            'worker': tuple(worker.name for worker in self.world.workers),
        }
        name = chance.choice(names[scope])
        if scope == 'worker' and chance.random() < 0.5:
            self._ask(protocol.Retire(rid=next(self._rids), worker=name, grace_s=1.0))
            return
        kind = chance.choice((protocol.Pause, protocol.Drain))
        self._ask(kind(rid=next(self._rids), scope=scope, name=name))
        self._later(25, protocol.Resume(rid=next(self._rids), scope=scope, name=name))

    def _schedule(self) -> None:
        chance = self.world.chance
        schedule = protocol.Schedule(
            schedule_id='tick',
            name='tick',
            cron=chance.choice(tuple(CRONS)),
            kind='chat',
            model=chance.choice(self.world.drawn.models),
            body=b'{}',
            user=chance.choice(USERS),
            missed=chance.choice(('skip', 'once')),
        )
        self._ask(protocol.SetSchedule(rid=next(self._rids), schedule=schedule))

    def _later(self, within_s: float, request: protocol.AnyRequest) -> None:
        self.world.at(self.world.chance.uniform(0, within_s), lambda: self._ask(request))


def _after(job: protocol.Submit, before: protocol.Submit | None) -> protocol.Submit:
    plain = msgspec.structs.replace(job, due_at=0.0, idempotency_key='', attach=False)
    return plain if before is None else msgspec.structs.replace(plain, after=(before.job_id,))
