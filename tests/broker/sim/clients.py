"""Clients: they submit in every way there is, repeat until answered, change their minds, and read along."""

import itertools
from typing import TYPE_CHECKING

import msgspec

from broker import facts, protocol
from broker.actions import Peer
from broker.job import FINAL, State
from broker.keys import replay_id
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
        self._keyed: dict[str, protocol.Submit] = {}  # what was asked under a key
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
        for clear_away in (self._replay, self._replay, self._purge, self._purge_one):
            if chance.random() < 0.5:
                world.at(chance.uniform(20, LAST_SUBMIT_S + 20), clear_away)

    def all_answered(self) -> bool:
        """Whether nothing is open any more, and who reads has read to the end."""
        history = self.world.history
        return not self._open and all(
            reader.ended or reader.job_id not in history.jobs or reader.job_id in history.deletions.gone
            for reader in self.readers.values()
        )

    def deleted(self, gone: set[str]) -> None:
        """Whoever deletes jobs has long had their answers; a key that one of them had is free."""
        for rid, request in list(self._open.items()):
            jobs = request.jobs if isinstance(request, protocol.SubmitMany) else (request,)
            new = isinstance(request, protocol.Submit | protocol.SubmitMany | protocol.Replay)
            if new and any({job.job_id, getattr(job, 'new_job_id', '')} & gone for job in jobs):
                del self._open[rid]
        for key in [key for key, name in self.keys.items() if name in gone]:
            del self.keys[key]

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
        """An answer: the request is settled, and a submit counts as acknowledged from here on.

        Unless it is to be asked again: where there was no room, or where the broker goes on portion by portion.
        """
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
            case protocol.Purged(count=1) if isinstance(request, protocol.Purge) and request.job_id in self._keyed:
                self._ask_again(self._keyed.pop(request.job_id))
            case protocol.Refused(code=code):
                self.world.history.saw[f'refused: {code}'] += 1
        goes_on = isinstance(request, protocol.CancelBatch) and isinstance(reply, protocol.Batches)
        self.world.history.saw['cancelled in portions'] += goes_on
        if not (goes_on or getattr(reply, 'more', False) or getattr(reply, 'code', '') == 'disk_full'):
            self._open.pop(reply.rid, None)

    def _accepted(self, request: protocol.AnyRequest | None, reply: protocol.Accepted) -> None:
        """I2: a key is one job for ever."""
        self.acknowledged.add(reply.job_id)
        if isinstance(request, protocol.Submit):
            lost = reply.duplicate and reply.job_id == request.job_id and self._sent.get(request.rid, 0) > 1
            self.world.history.saw['sent again after a lost answer'] += lost
            self.world.history.saw['attached'] += request.attach and reply.job_id != request.job_id
            key = request.user, request.idempotency_key
            if request.idempotency_key and request.job_id == reply.job_id:
                self._keyed[reply.job_id] = request
            gone = reply.job_id in self.world.history.deletions.gone
            if request.idempotency_key and not gone and self.keys.setdefault(key, reply.job_id) != reply.job_id:
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
            there = reader.job_id in jobs and reader.job_id not in self.world.history.deletions.gone
            if not reader.ended and there and jobs[reader.job_id].state in FINAL:
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

    def _replay(self) -> None:
        """Somebody has a dead job done again, or one that is not dead."""
        chance, history = self.world.chance, self.world.history
        jobs = {name: job for name, job in history.jobs.items() if replay_id(name) not in history.deletions.gone}
        dead = [name for name, job in jobs.items() if job.state is State.DEAD]
        for name in chance.sample(dead, min(len(dead), 3)) or list(jobs)[:1]:
            self._ask(protocol.Replay(rid=next(self._rids), job_id=name, new_job_id=replay_id(name)))

    def _purge(self) -> None:
        """Somebody clears away all dead jobs but the newest."""
        self._ask(protocol.Purge(rid=next(self._rids), before=self.world.broker_now - self._old_s()))

    def _purge_one(self) -> None:
        """Somebody clears away one dead job, or tries to with one that is not dead."""
        history, before = self.world.history, self.world.broker_now - self._old_s()
        old = [name for name, end in history.ends.items() if end.at < before]
        with_key = [name for name in old if name in self._keyed and history.jobs[name].state is State.DEAD]
        if old:
            self._ask(protocol.Purge(rid=next(self._rids), job_id=self.world.chance.choice(with_key or old)))

    def _ask_again(self, request: protocol.Submit) -> None:
        """The job of this key is deleted: the same request makes a new one."""
        name = job_id(next(self._numbers))
        again = msgspec.structs.replace(request, rid=next(self._rids), job_id=name, due_at=0.0, deadline_at=0.0)
        self._own.append((name, request.user))
        self._ask(again)

    def _old_s(self) -> float:
        """Nothing of a job that ended so long ago is under way, and it counts for no limit any more."""
        limits = self.world.rules.limits
        limited = limits.rate or limits.user_rate or limits.model_rates
        return 90.0 if limited else 12.0

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
