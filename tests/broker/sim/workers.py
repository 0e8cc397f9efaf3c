"""Workers that behave as ``workers.worker`` promises to, and sometimes die, sleep, leave or are out of order."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from broker import facts, protocol
from broker.actions import Peer
from tests.broker.sim.draw import BIG
from tests.broker.sim.history import line

if TYPE_CHECKING:
    from tests.broker.sim.world import World

TROUBLES = ('crash', 'sleep', 'reconnect', 'drain', 'breaker', 'model', 'slots', 'flags')


class SimRun:
    """A run as a worker holds it."""

    def __init__(self, job: str, epoch: int, lines: int, ending: str) -> None:
        self.job_id, self.epoch, self.ending = job, epoch, ending
        self.lines = [line(job, epoch, number) for number in range(lines)]
        self.made = 0
        self.outcome: protocol.AnyFromWorker | None = None


class SimWorker:
    """One place where worker processes live. The first one has all models, and is big."""

    def __init__(self, world: 'World', number: int) -> None:
        chance = world.chance
        self.world, self.name, self.slots = world, f'w{number}', chance.randrange(1, 4)
        models = world.drawn.models
        self.models = models if number == 0 else tuple(chance.sample(models, chance.randrange(1, len(models) + 1)))
        self.labels = (BIG,) if number == 0 or chance.random() < 0.3 else ()
        self.backend = 'shared' if chance.random() < 0.2 else ''
        self.life = 0
        self.start()
        self.world.at(chance.uniform(5, 60), self._trouble)

    def start(self) -> None:
        """A new process in this place."""
        self.life += 1
        self.alive, self.draining, self.asleep_until = True, False, 0.0
        self.problem, self.ill = '', ''
        self.runs: dict[str, SimRun] = {}
        self.loaded = ''
        self.connect()
        self._heartbeat(self.life)

    def connect(self) -> None:
        """A new connection."""
        self.peer = Peer('worker', f'{self.name}/{self.life}/{self.world.chance.random()}'.encode())
        self._ready()

    def heal(self) -> None:
        """No more trouble from here on."""
        self.asleep_until = 0.0
        self.problem, self.ill = '', ''
        if not self.alive or self.draining:
            self.start()
        else:
            self._ready()

    # trouble

    def _trouble(self) -> None:
        if self.world.calm:
            return
        chance = self.world.chance
        kind = chance.choice(TROUBLES)
        self.world.at(chance.uniform(5, 60), self._trouble)
        if not self.alive:
            return
        match kind:
            case 'crash':
                self._die()
            case 'sleep':
                self.asleep_until = self.world.now + chance.uniform(10, 40)
            case 'drain':
                self._drain()
            case 'reconnect':
                self.connect()
            case _:
                self._changes(kind)

    def _changes(self, kind: str) -> None:
        chance = self.world.chance
        if kind == 'breaker':
            self.problem = 'breaker_open'
        elif kind == 'model':
            self.ill = chance.choice(self.models)
        elif kind == 'slots':
            self.slots = chance.randrange(1, 4)
        else:
            self.loaded = chance.choice(('', *self.models))  # late, or wrong
        self._ready()
        self.world.at(chance.uniform(1, 20), lambda life=self.life: self._recovers(life))

    def _recovers(self, life: int) -> None:
        if self.alive and life == self.life and (self.problem or self.ill):
            self.problem, self.ill = '', ''
            self._ready()

    def _drain(self) -> None:
        self.draining = True
        self._say(protocol.Bye(draining=True))
        for run in self.runs.values():
            run.outcome = run.outcome or protocol.HandBack(job_id=run.job_id, epoch=run.epoch)
            self._say(run.outcome)
        self.world.at(1.0, lambda life=self.life: self._leave(life))

    def _leave(self, life: int) -> None:
        if self.alive and life == self.life:
            self._say(protocol.Bye())
            self._die()

    def _die(self) -> None:
        if self.alive:
            self.alive = False
            if self.world.chance.random() < 0.3:
                self.name += "'"  # another machine takes its place; nobody tells the broker
            self.world.at(self.world.chance.uniform(0.2, 20), lambda: None if self.alive else self.start())

    def _awake(self, life: int, again: Callable[[], None]) -> bool:
        """Whether to go on now; a sleeping process goes on when it wakes."""
        if not self.alive or life != self.life:
            return False
        if self.asleep_until > self.world.now:
            self.world.at(self.asleep_until - self.world.now, again)
            return False
        return True

    # talking

    def _heartbeat(self, life: int) -> None:
        if not self._awake(life, lambda: self._heartbeat(life)):
            return
        self._say(protocol.Heartbeat(runs=self._held()))
        for run in self.runs.values():
            if run.outcome is not None:
                self._say(run.outcome)
        self.world.at(self.world.rules.heartbeat_s, lambda: self._heartbeat(life))

    def _held(self) -> tuple[protocol.Run, ...]:
        return tuple(protocol.Run(job_id=run.job_id, epoch=run.epoch, index=run.made) for run in self.runs.values())

    def _ready(self) -> None:
        models = tuple(
            facts.ModelInfo(
                name=model,
                engine='demo',
                resident=model == self.loaded,
                problem='canary_failed' if model == self.ill else '',
            )
            for model in self.models
        )
        self._say(
            protocol.Ready(
                worker=self.name,
                session=f'{self.name}/{self.life}',
                host='h',
                pid=self.life,
                engine='demo',
                engine_version='1',
                slots=self.slots,
                models=models,
                problem=self.problem,
                runs=self._held(),
                labels=self.labels,
                backend=self.backend,
            )
        )

    def _say(self, message: protocol.AnyFromWorker) -> None:
        self.world.to_broker(self.peer, message)

    def hear(self, peer: Peer, message: protocol.AnyToWorker) -> None:
        """A message from the broker; one for an earlier connection never arrives."""
        if peer != self.peer or not self._awake(self.life, lambda: self.hear(peer, message)):
            return
        match message:
            case protocol.Identify():
                self._ready()
            case protocol.Leave():
                if not self.draining:
                    self._drain()
            case protocol.Assign():
                self._assign(message)
            case protocol.Stop() | protocol.Settled() | protocol.Resend():
                run = self.runs.get(message.job_id)
                if run is not None and run.epoch == message.epoch:
                    self._about(run, message)
                elif isinstance(message, protocol.Stop) and not message.stale:
                    self._say(protocol.Stopped(job_id=message.job_id, epoch=message.epoch))

    def _about(self, run: SimRun, message: protocol.Stop | protocol.Settled | protocol.Resend) -> None:
        if isinstance(message, protocol.Resend):
            lines = tuple(run.lines[message.index : run.made])
            if lines:
                self._say(protocol.Tokens(job_id=run.job_id, epoch=run.epoch, index=message.index, lines=lines))
            if run.outcome is not None:
                self._say(run.outcome)
        elif isinstance(message, protocol.Stop) and not message.stale:
            self.world.history.saw['cancel raced done'] += isinstance(run.outcome, protocol.Finished)
            run.outcome = run.outcome or protocol.Stopped(job_id=run.job_id, epoch=run.epoch)
            self._say(run.outcome)
        else:
            del self.runs[run.job_id]

    # running

    def _assign(self, message: protocol.Assign) -> None:
        held = self.runs.get(message.job_id)
        if held is not None and held.epoch >= message.epoch:
            return
        chance = self.world.chance
        endings = ('finished',) if self.world.calm else ('finished', 'finished', 'finished', 'retry', 'fatal', 'crash')
        run = SimRun(message.job_id, message.epoch, chance.randrange(1, 8), chance.choice(endings))
        self.runs[message.job_id] = run
        json.loads(message.body)  # the engine would, too
        self._load(message.model)
        self.world.at(chance.uniform(0, 1), lambda life=self.life: self._produce(life, run))

    def _load(self, model: str) -> None:
        """The engine loads the model; some workers tell that."""
        if self.loaded != model:
            self.loaded = model
            if self.world.chance.random() < 0.3:
                self._ready()

    def _produce(self, life: int, run: SimRun) -> None:
        if not self._awake(life, lambda: self._produce(life, run)):
            return
        if self.runs.get(run.job_id) is not run or run.outcome is not None:
            return
        if run.made < len(run.lines):
            new = tuple(run.lines[run.made : run.made + 1])
            self._say(protocol.Tokens(job_id=run.job_id, epoch=run.epoch, index=run.made, lines=new))
            run.made += len(new)
            self.world.at(self.world.chance.uniform(0, 2), lambda: self._produce(life, run))
        elif run.ending == 'crash':
            self._die()
        elif run.ending == 'finished':
            self.world.history.produced.setdefault((run.job_id, run.epoch), set()).add(len(run.lines))
            run.outcome = protocol.Finished(
                job_id=run.job_id, epoch=run.epoch, lines=len(run.lines), usage=facts.Usage()
            )
            self._say(run.outcome)
        else:
            run.outcome = protocol.Failed(
                job_id=run.job_id, epoch=run.epoch, code='sim', detail='', retryable=run.ending == 'retry'
            )
            self._say(run.outcome)
