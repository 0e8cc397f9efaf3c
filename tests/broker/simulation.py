"""The real core under a simulated clock, network, workers, clients and disk, all from one seed.

Chaos first: messages are dropped, doubled, delayed and overtaken; workers crash or freeze beyond their lease; the
broker crashes between any two effects. Then everything heals, and every acknowledged job must come to its end.
``python -m tests.broker.simulation SEED`` replays one seed and prints its history.
"""

import heapq
import itertools
import random
import sys
from collections.abc import Callable

from broker import facts, lookup, protocol
from broker.actions import Action, FromStore, Peer, Persist, Send, SendJob
from broker.core import BrokerCore
from broker.job import FINAL, TRANSITIONS, Move, State
from broker.memory_store import MemoryStore
from broker.retry import RetryPolicy
from broker.rules import Rules
from tests.broker.desk import job_id

CHAOS_S = 120.0
HEAL_S = 900.0
RULES = Rules(retry=RetryPolicy(base_s=1.0, max_s=10.0))
MODELS = ('a', 'b')
BATCH = f'{0xB:032x}'


class Violation(AssertionError):
    """A promise was broken."""


class World:
    """Everything outside the core."""

    def __init__(self, seed: int, *, core: type[BrokerCore] = BrokerCore, commit_first: bool = True) -> None:
        self.chance = random.Random(seed)
        self.make_core = core
        self.commit_first = commit_first
        self.now = 1_000.0
        self.wall_ahead_s = 1_700_000_000.0  # schedules live in our days
        self.calm = False
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._ties = itertools.count()
        self.store = MemoryStore()
        self.history = History()
        self.boots = 0
        self.core: BrokerCore | None = None
        self.boot()
        self.workers = [SimWorker(self, f'w{number}') for number in range(3)]
        self.clients = SimClients(self)

    def at(self, delay_s: float, what: Callable[[], None]) -> None:
        """Do ``what`` later."""
        heapq.heappush(self._events, (self.now + delay_s, next(self._ties), what))

    def run(self) -> None:
        """Chaos, then healing, then the reckoning."""
        self._until(1_000.0 + CHAOS_S, lambda: False)
        self.calm = True
        for worker in self.workers:
            worker.heal()
        if self.core is None:
            self.boot()
        self._until(self.now + HEAL_S, self.clients.all_ended)
        self.history.reckon(self.clients.acknowledged, self.store, finished=self.clients.all_ended())

    def _until(self, end: float, done: Callable[[], bool]) -> None:
        while self._events and self._events[0][0] <= end and not done():
            self.now, _, what = heapq.heappop(self._events)
            what()

    # the broker's shell

    def boot(self) -> None:
        """Start a broker on what is stored."""
        self.boots += 1
        self.core = self.make_core(
            RULES, boot=str(self.boots), last_seq=self.store.last_seq(), last_order=self.store.last_order()
        )
        self.core.wall_is_ahead(self.wall_ahead_s)
        self.core.restore(
            self.store.alive(),
            self.now,
            self.store.work_since(0.0),
            self.store.starts_since(0.0),
            self.store.pauses(),
            batches=self.store.open_batches(),
            schedules=self.store.schedules(),
        )
        self.core.check()
        self.history.compare(self.store)
        self._tick(self.boots)

    def _tick(self, boot: int) -> None:
        if self.core is not None and boot == self.boots:
            if self._strikes(0.01):  # somebody sets the clock
                self.wall_ahead_s += self.chance.choice((-40_000.0, -300.0, 70.0, 400.0))
                self.core.wall_is_ahead(self.wall_ahead_s)
            past = lookup.past_of_ids(self.core.due_ids(self.now), self.store, False)
            self.perform(self.core.tick(self.now, past))
            if self.core is not None:
                self.at(max(0.01, self.core.next_deadline() - self.now), lambda: self._tick(boot))

    def to_broker(self, peer: Peer, message: protocol.AnyRequest | protocol.AnyFromWorker) -> None:
        """A message arrives; the network may have lost it, doubled it or kept it for a while."""
        for _ in range(self._copies()):
            self.at(self._delay(), lambda: self._arrive(peer, message))

    def _arrive(self, peer: Peer, message: protocol.AnyRequest | protocol.AnyFromWorker) -> None:
        if self.core is None:
            return
        past = lookup.past_of(message, self.store, self.core.knows, False)  # type: ignore[arg-type]
        self.perform(self.core.receive(peer, message, self.now, past))

    def perform(self, actions: list[Action]) -> None:
        """What ``broker.server`` does, with a crash between any two effects."""
        assert self.core is not None
        self.core.check()
        changes = [action for action in actions if isinstance(action, Persist)]
        effects = [action for action in actions if isinstance(action, Send | SendJob | FromStore)]
        steps: list[Callable[[], None]] = [lambda: self._commit(changes)] if changes else []
        speak = [lambda effect=effect: self._effect(effect) for effect in effects]
        steps = steps + speak if self.commit_first else speak + steps
        crash_at = self.chance.randrange(len(steps) + 1) if steps and self._strikes(0.004) else None
        for number, step in enumerate(steps):
            if number == crash_at:
                self.crash()
                return
            step()
            if self.core is None:
                return

    def _commit(self, changes: list[Persist]) -> None:
        self.store.commit(changes)
        for change in changes:
            self.history.add(change.fact)

    def _effect(self, action: Action) -> None:
        assert isinstance(action, Send | SendJob | FromStore)
        if action.peer.side == 'client':
            gone = (
                protocol.Refused(rid=action.request.rid, code='final', detail='')
                if isinstance(action, FromStore)
                else None
            )
            self.clients.hear(gone or action.message)
            return
        message = action.message  # type: ignore[union-attr]
        worker = next((w for w in self.workers if w.peer == action.peer and w.alive), None)
        if worker is None:
            assert self.core is not None
            self.perform(self.core.peer_gone(action.peer, self.now, message))
            return
        for _ in range(self._copies()):
            self.at(self._delay(), lambda: worker.hear(action.peer, message))

    def crash(self) -> None:
        """The broker is gone; a supervisor starts it again."""
        self.core = None
        self.at(self.chance.uniform(0.1, 3.0), lambda: self.boot() if self.core is None else None)

    def _strikes(self, probability: float) -> bool:
        return not self.calm and self.chance.random() < probability

    def _copies(self) -> int:
        return 0 if self._strikes(0.03) else 2 if self._strikes(0.03) else 1

    def _delay(self) -> float:
        return self.chance.uniform(1.0, 8.0) if self._strikes(0.02) else self.chance.uniform(0.0, 0.05)


class SimRun:
    """A run as a worker holds it."""

    def __init__(self, job: str, epoch: int, lines: int, ending: str) -> None:
        self.job_id, self.epoch, self.ending = job, epoch, ending
        self.lines = [f'{job}/{epoch}/{number}'.encode() for number in range(lines)]
        self.made = 0
        self.outcome: protocol.AnyFromWorker | None = None


class SimWorker:
    """Behaves as ``workers.worker`` promises to, and sometimes dies or sleeps."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name, self.slots = world, name, world.chance.randrange(1, 4)
        self.models = MODELS if name == 'w0' else (world.chance.choice(MODELS),)
        self.life = 0
        self.start()
        self.world.at(world.chance.uniform(5, 60), self._trouble)

    def start(self) -> None:
        """A new process in this place."""
        self.life += 1
        self.alive, self.asleep_until = True, 0.0
        self.runs: dict[str, SimRun] = {}
        self.connect()
        self._heartbeat(self.life)

    def connect(self) -> None:
        """A new connection."""
        self.peer = Peer('worker', f'{self.name}/{self.life}/{self.world.chance.random()}'.encode())
        self._ready()

    def heal(self) -> None:
        """No more trouble from here on."""
        self.asleep_until = 0.0
        if not self.alive:
            self.start()

    def _trouble(self) -> None:
        if self.world.calm:
            return
        kind = self.world.chance.choice(('crash', 'sleep', 'reconnect', 'drain'))
        if kind == 'crash':
            self._die()
        elif kind == 'sleep':
            self.asleep_until = self.world.now + self.world.chance.uniform(10, 40)
        elif kind == 'drain' and self.alive:
            self._say(protocol.Bye(draining=True))
            for run in self.runs.values():
                run.outcome = run.outcome or protocol.HandBack(job_id=run.job_id, epoch=run.epoch)
                self._say(run.outcome)
            self.world.at(1.0, lambda life=self.life: self._leave(life))
        elif self.alive:
            self.connect()
        self.world.at(self.world.chance.uniform(5, 60), self._trouble)

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

    def _heartbeat(self, life: int) -> None:
        if not self._awake(life, lambda: self._heartbeat(life)):
            return
        self._say(protocol.Heartbeat(runs=self._held()))
        for run in self.runs.values():
            if run.outcome is not None:
                self._say(run.outcome)
        self.world.at(RULES.heartbeat_s, lambda: self._heartbeat(life))

    def _held(self) -> tuple[protocol.Run, ...]:
        return tuple(protocol.Run(job_id=run.job_id, epoch=run.epoch, index=run.made) for run in self.runs.values())

    def _ready(self) -> None:
        models = tuple(facts.ModelInfo(name=model, engine='demo') for model in self.models)
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
                runs=self._held(),
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
            run.outcome = run.outcome or protocol.Stopped(job_id=run.job_id, epoch=run.epoch)
            self._say(run.outcome)
        else:
            del self.runs[run.job_id]

    def _assign(self, message: protocol.Assign) -> None:
        held = self.runs.get(message.job_id)
        if held is not None and held.epoch >= message.epoch:
            return
        chance = self.world.chance
        endings = ('finished',) if self.world.calm else ('finished', 'finished', 'finished', 'retry', 'fatal', 'crash')
        run = SimRun(message.job_id, message.epoch, chance.randrange(1, 8), chance.choice(endings))
        self.runs[message.job_id] = run
        self.world.at(chance.uniform(0, 1), lambda life=self.life: self._produce(life, run))

    def _produce(self, life: int, run: SimRun) -> None:
        if not self._awake(life, lambda: self._produce(life, run)):
            return
        if self.runs.get(run.job_id) is not run or run.outcome is not None:
            return
        if run.made < len(run.lines):
            line = run.lines[run.made]
            self._say(protocol.Tokens(job_id=run.job_id, epoch=run.epoch, index=run.made, lines=(line,)))
            run.made += 1
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


class SimClients:
    """Submit, repeat until acknowledged, and change their minds."""

    PEER = Peer('client', b'clients')

    def __init__(self, world: World) -> None:
        self.world = world
        self.acknowledged: set[str] = set()
        self._open: dict[int, protocol.AnyRequest] = {}
        self._rids = itertools.count(1)
        self._of_x: list[str] = []
        chance = world.chance
        for number in range(1, chance.randrange(5, 40)):
            world.at(chance.uniform(0, CHAOS_S * 0.8), lambda number=number: self._submit(number))
        if chance.random() < 0.3:
            world.at(chance.uniform(0, 20), lambda: self._ask(self._schedule()))
            removal = protocol.RemoveSchedule(rid=next(self._rids), schedule_id='s')
            world.at(CHAOS_S * 0.9, lambda: self._ask(removal))
        if chance.random() < 0.3:
            batch = protocol.OpenBatch(rid=next(self._rids), batch_id=BATCH, total=chance.randrange(1, 5))
            world.at(chance.uniform(0, 20), lambda: self._ask(batch))
            stop = protocol.CancelBatch(rid=next(self._rids), batch_id=BATCH)
            world.at(CHAOS_S * 0.85, lambda: self._ask(stop))

    def all_ended(self) -> bool:
        """Whether nothing is open any more."""
        return not self._open and not any(True for _ in self.world.store.alive()) and self.world.core is not None

    def hear(self, reply: protocol.Reply | protocol.ToWorker) -> None:
        """An answer: the request is settled, and a submit counts as acknowledged from here on."""
        assert isinstance(reply, protocol.Reply)
        if isinstance(reply, protocol.Accepted):
            self.acknowledged.add(reply.job_id)
        self._open.pop(reply.rid, None)

    def _ask(self, request: protocol.AnyRequest) -> None:
        self._open[request.rid] = request
        self._send(request.rid)

    def _send(self, rid: int) -> None:
        if rid in self._open:
            self.world.to_broker(self.PEER, self._open[rid])
            self.world.at(1.0, lambda: self._send(rid))

    def _submit(self, number: int) -> None:
        chance, name = self.world.chance, job_id(number)
        extra: dict[str, object] = {'user': chance.choice('xyz'), 'model': chance.choice(MODELS)}
        match chance.randrange(12):
            case 0:
                extra |= {'idempotency_key': chance.choice('kl'), 'user': 'x', 'model': 'a'}
            case 1:
                extra |= {'attach': True, 'user': 'x', 'model': 'a'}
            case 2 | 3:
                after = chance.sample(self._of_x, min(len(self._of_x), chance.randrange(1, 3)))
                extra |= {'after': tuple(after), 'user': 'x'}
            case 4:
                extra |= {'parent': BATCH, 'user': ''}
        submit = protocol.Submit(
            rid=next(self._rids),
            job_id=name,
            kind='chat',
            body=b'{}',
            priority=chance.choice((1, 5, 5, 5, 10, 15)),
            **extra,  # type: ignore[arg-type]
        )
        self._ask(submit)
        if submit.user == 'x':
            self._of_x.append(name)
        if chance.random() < 0.2:
            cancel = protocol.Cancel(rid=next(self._rids), job_id=name, release=chance.random() < 0.5)
            self.world.at(chance.uniform(0, 30), lambda: self._then(cancel))
        if chance.random() < 0.2:
            change = protocol.SetPriority(rid=next(self._rids), job_id=name, priority=chance.randrange(16))
            self.world.at(chance.uniform(0, 20), lambda: self._then(change))

    def _schedule(self) -> protocol.SetSchedule:
        schedule = protocol.Schedule(
            schedule_id='s', name='s', cron='* * * * *', kind='chat', model='a', body=b'{}', missed='once'
        )
        return protocol.SetSchedule(rid=next(self._rids), schedule=schedule)

    def _then(self, request: protocol.Cancel | protocol.SetPriority) -> None:
        if self.world.store.has(request.job_id):
            self.world.at(0, lambda: self._ask(request))


class History:
    """All facts in order, and the checker that folds them."""

    def __init__(self) -> None:
        self.facts: list[facts.AnyFact] = []
        self.states: dict[str, State] = {}
        self.keys: dict[str, tuple[str, int, str, int]] = {}  # model, minus priority, user, order of arrival
        self.epochs: dict[str, int] = {}
        # By job and epoch, lines of an answer that was finished. More than one: an Assign that came twice, and late,
        # makes the worker begin once more what is settled already; nobody listens then.
        self.produced: dict[tuple[str, int], set[int]] = {}
        self.ends: dict[str, facts.JobEnded] = {}

    def add(self, fact: facts.AnyFact) -> None:
        """One more fact; raise Violation when it must not be."""
        if fact.seq != len(self.facts) + 1:
            raise Violation(f'seq {fact.seq} follows {len(self.facts)}')
        self.facts.append(fact)
        if isinstance(fact, facts.JobFact):
            self._job_fact(fact)

    def _job_fact(self, fact: facts.JobFact) -> None:
        name = fact.job_id
        state = self.states.get(name)
        if state in FINAL:
            raise Violation(f'{type(fact).__name__} after the end of {name}')
        match fact:
            case facts.JobQueued():
                if state is not None:
                    raise Violation(f'{name} was queued twice')
                self.states[name] = State.BLOCKED if fact.blocked_by else State.WAITING
                self.keys[name] = (fact.model, -fact.priority, fact.user, len(self.keys))
            case facts.JobPriorityChanged():
                model, _, *rest = self.keys[name]
                self.keys[name] = (model, -fact.priority, *rest)
            case facts.JobStarted():
                self._started(fact)
            case facts.JobRequeued():
                move = {'retry': Move.RETRY, 'worker_lost': Move.LOSE, 'handed_back': Move.HAND_BACK}[fact.reason]
                self._move(name, move)
            case facts.JobDue():
                self._move(name, Move.DUE)
            case facts.JobUnblocked():
                self._move(name, Move.UNBLOCK)
            case facts.JobCancelRequested():
                self._move(name, Move.CANCEL)
            case facts.JobEnded():
                self._ended(fact)

    def _move(self, name: str, move: Move) -> None:
        state = TRANSITIONS.get((self.states[name], move))
        if state is None:
            raise Violation(f'{move} from {self.states[name]}')
        self.states[name] = state

    def _started(self, fact: facts.JobStarted) -> None:
        name = fact.job_id
        self._move(name, Move.START)
        if fact.epoch != self.epochs.get(name, 0) + 1:
            raise Violation(f'epoch {fact.epoch} follows {self.epochs.get(name, 0)}')
        self.epochs[name] = fact.epoch
        model, minus_priority, user, order = self.keys[name]
        for other, state in self.states.items():
            if state is State.WAITING and self.keys[other][0] == model:
                _, their_minus_priority, their_user, their_order = self.keys[other]
                same_line = (their_minus_priority, their_user) == (minus_priority, user)
                if their_minus_priority < minus_priority or (same_line and their_order < order):
                    raise Violation(f'{name} started before {other}')

    def _ended(self, fact: facts.JobEnded) -> None:
        name, state = fact.job_id, self.states[fact.job_id]
        if isinstance(fact, facts.JobCancelled):
            self._move(name, Move.STOP if state is State.CANCELLING else Move.CANCEL)
        elif isinstance(fact, facts.JobDied):
            self._move(name, Move.EXPIRE if fact.code == 'deadline' else Move.DIE)
        else:
            self._move(name, Move.COMPLETE)
        if fact.epoch != self.epochs.get(name, 0):
            raise Violation(f'{name} ended in epoch {fact.epoch}, started {self.epochs.get(name, 0)}')
        if fact.failures > 3 or fact.losses > RULES.max_losses:
            raise Violation(f'{name} had {fact.failures} failures and {fact.losses} losses')
        self.ends[name] = fact

    def compare(self, store: MemoryStore) -> None:
        """The folded facts and the stored rows say the same."""
        for name, state in self.states.items():
            job = store.job(name)
            if job is None or job.state is not state:
                raise Violation(f'{name}: facts say {state}, the store says {job and job.state}')

    def _links(self, store: MemoryStore) -> None:
        """Nobody started before what it comes after, no key has two jobs, batches end once and with right counts."""
        completed = {fact.job_id: fact.seq for fact in self.facts if isinstance(fact, facts.JobCompleted)}
        jobs = [job for name in self.states if (job := store.job(name)) is not None]
        for fact in self.facts:
            if isinstance(fact, facts.JobStarted):
                after = next(job.terms.after for job in jobs if job.job_id == fact.job_id)
                if any(completed.get(other, fact.seq) >= fact.seq for other in after):
                    raise Violation(f'{fact.job_id} started before what it comes after')
        keys = [(job.user, job.idempotency_key) for job in jobs if job.idempotency_key]
        if len(keys) > len(set(keys)):
            raise Violation(f'a key has two jobs: {keys}')
        ended = [fact for fact in self.facts if isinstance(fact, facts.BatchEnded)]
        for fact in ended:
            states = [job.state for job in jobs if job.parent == fact.batch_id]
            counts = tuple(states.count(state) for state in (State.COMPLETED, State.DEAD, State.CANCELLED))
            if len(ended) > 1 or counts != (fact.completed, fact.dead, fact.cancelled):
                raise Violation(f'{len(ended)} ends of a batch with {counts}: {fact}')
        if store.open_batches():
            raise Violation('a batch never ended')

    def reckon(self, acknowledged: set[str], store: MemoryStore, *, finished: bool) -> None:
        """After healing: every acknowledged job came to one end, with the answer of its last run."""
        self.compare(store)
        if lost := acknowledged - self.states.keys():
            raise Violation(f'acknowledged and lost: {lost}')
        if not finished:
            open_jobs = [name for name, state in self.states.items() if state not in FINAL]
            raise Violation(f'never ended: {open_jobs}')
        self._links(store)
        for name, fact in self.ends.items():
            answer = store.answer(name)
            wanted = [f'{name}/{fact.epoch}/{number}'.encode() for number in range(len(answer))]
            if answer != wanted:
                raise Violation(f'the answer of {name} is {answer}')
            if isinstance(fact, facts.JobCompleted) and len(answer) not in self.produced[name, fact.epoch]:
                raise Violation(f'the answer of {name} lacks its end')


def simulate(seed: int, **options: object) -> History:
    """Run one seed; raises Violation, or AssertionError from the core's own check."""
    world = World(seed, **options)  # type: ignore[arg-type]
    world.run()
    return world.history


if __name__ == '__main__':
    wanted = World(int(sys.argv[1]))
    try:
        wanted.run()
    finally:
        for fact in wanted.history.facts:
            print(facts.encode(fact).decode())
