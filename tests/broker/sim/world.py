"""Everything outside the core: its clock, its shell with the disk, and a network that loses and doubles."""

import heapq
import itertools
import random
from collections.abc import Callable, Iterator

import msgspec

from broker import errors, facts, lookup, protocol
from broker.actions import Action, FromStore, Peer, Persist, Publish, Send, SendJob
from broker.core import BrokerCore, Mail
from broker.job import State
from broker.memory_store import MemoryStore
from tests.broker.sim.archive import Archive, no_room
from tests.broker.sim.clients import SimClients
from tests.broker.sim.disk import SimDisk
from tests.broker.sim.draw import draw
from tests.broker.sim.history import History
from tests.broker.sim.violation import Violation
from tests.broker.sim.wire import Wire
from tests.broker.sim.workers import SimWorker

START = 1_000_000.0  # a wall clock that can be put back
CHAOS_S = 120.0
CALM_DOWN_S = 10.0  # longer than a message can be on its way
HEAL_S = 1_200.0
REMEMBER_WORK_S = 4 * 3600.0
FULL_PAUSE_S = 1.0
CHECK_ALL = 16  # every so many seeds the core's own books are checked after every step, otherwise now and then
CHECK_SOME = 40
TELL_PLACES = 4  # every so many seeds the broker also works out who stands where

Incoming = tuple[Peer, protocol.AnyRequest | protocol.AnyFromWorker]


class World:
    """One seed's world. ``now`` is true time; the broker's clock is ahead of it by what it was when it booted."""

    def __init__(
        self,
        seed: int,
        *,
        core: type[BrokerCore] = BrokerCore,
        store: type[MemoryStore] = MemoryStore,
        commit_first: bool = True,
        takes_back: bool = True,
        books: bool = True,
    ) -> None:
        self.chance = random.Random(seed)
        self.drawn = draw(self.chance)
        self.rules = self.drawn.rules
        self.make_core = core
        self.commit_first = commit_first
        self.takes_back = takes_back
        self.check_every = 1 if seed % CHECK_ALL == 0 else CHECK_SOME
        self.books = books
        self.tells_places = seed % TELL_PLACES == 0
        self.now = START
        self.wall_ahead_s = 0.0  # of true time
        self.broker_ahead_s = 0.0
        self._furthest_s = 0.0
        self._stands_still_until = 0.0
        self.calm = False
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._ties = itertools.count()
        self._inbox: list[Incoming] = []
        self._steps = 0
        self.store = store()
        self.history = History(self.rules)
        self.wire = Wire(self.history)
        self.boots = 0
        self.core: BrokerCore | None = None
        self.disk = SimDisk(self)
        self.archive = Archive(self)
        self.boot()
        self.workers = [SimWorker(self, number) for number in range(self.drawn.workers)]
        self.clients = SimClients(self)
        self.at(self.chance.uniform(0, CHAOS_S), self._set_clock)
        self.at(self.chance.uniform(0, 2 * CHAOS_S), self._stand_still)

    def at(self, delay_s: float, what: Callable[[], None]) -> None:
        """Do ``what`` later."""
        heapq.heappush(self._events, (self.now + delay_s, next(self._ties), what))

    @property
    def broker_now(self) -> float:
        """What the broker's clock shows."""
        return self.now + self.broker_ahead_s

    @property
    def wall(self) -> float:
        """What the wall clock shows."""
        return self.now + self.wall_ahead_s

    def run(self) -> None:
        """Chaos, then healing, then the reckoning."""
        self._until(START + CHAOS_S, lambda: False)
        self.calm = True
        self.at(CALM_DOWN_S, self._heal)
        self._until(self.now + 2 * CALM_DOWN_S, lambda: False)
        self._until(self.now + HEAL_S, self._all_ended)
        self.history.reckon(self.clients.acknowledged, self.store, finished=self._all_ended())
        self.clients.reckon()

    def _heal(self) -> None:
        """From here on nothing breaks: clocks are right, workers sound, pauses over."""
        self.wall_ahead_s = self._furthest_s
        if self.core is not None and self.broker_ahead_s < self.wall_ahead_s:
            self.crash()  # what was to come at a time of the wall clock would come much later
        self.disk.heal()
        for worker in self.workers:
            worker.heal()
        self.clients.heal()

    def _all_ended(self) -> bool:
        history = self.history
        return self.core is not None and not (history.queued or history.running) and self.clients.all_answered()

    def _until(self, end: float, done: Callable[[], bool]) -> None:
        while self._events and self._events[0][0] <= end and not done():
            self.now, _, what = heapq.heappop(self._events)
            what()

    def _set_clock(self) -> None:
        """Somebody, or the network, puts the wall clock right, or wrong."""
        if not self.calm and self.chance.random() < 0.4:
            self._jump(self.chance.choice((-3600.0, -600.0, -5.0, 5.0, 600.0, 3600.0)))
            self.at(self.chance.uniform(0, CHAOS_S), self._set_clock)

    def _stand_still(self) -> None:
        """The broker's machine sleeps, or somebody has stopped it for a while; messages pile up."""
        if not self.calm:
            self._stands_still_until = self.now + self.chance.uniform(1.0, 30.0)
            self.history.saw['the broker stood still'] += 1

    def _jump(self, seconds: float) -> None:
        self.wall_ahead_s += seconds
        self._furthest_s = max(self._furthest_s, self.wall_ahead_s)

    # the broker's shell

    def boot(self) -> None:
        """Start a broker on what is stored; its clock is the wall's of this moment."""
        self.boots += 1
        if self.boots > 1 and self.wall_ahead_s != self.broker_ahead_s:
            self.history.saw['clock back' if self.wall_ahead_s < self.broker_ahead_s else 'clock forward'] += 1
        self.broker_ahead_s = self.wall_ahead_s
        self._inbox.clear()
        self.archive.booted()
        self._load()
        self.at(self.chance.uniform(0, 0.01), lambda boot=self.boots: self._turn(boot))

    def _load(self) -> None:
        """A core that knows what is stored."""
        store, now = self.store, self.broker_now
        core = self.make_core(
            self.rules, boot=str(self.boots), last_seq=store.last_seq(), last_order=store.last_order()
        )
        core.wall_is_ahead(self.wall_ahead_s - self.broker_ahead_s)
        self.history.booted(now)
        self.history.compare(store)
        self.wire.booted()
        core.restore(
            store.alive(),
            now,
            store.work_since(now - REMEMBER_WORK_S),
            store.starts_since(now - core.remember_starts_s),
            store.pauses(),
            batches=store.open_batches(),
            schedules=store.schedules(),
        )
        if not self.tells_places:
            core._queue.standings.places = lambda now: iter(())  # type: ignore[method-assign]
        self.core = core
        self.history.turns.watch(core)
        self.check()

    def check(self) -> None:
        """The core's own books."""
        if not self.books:
            return
        try:
            assert self.core is not None
            self.core.check()
        except AssertionError as broken:
            raise Violation('books', str(broken) or 'the parts of the core do not agree') from broken

    def _turn(self, boot: int) -> None:
        """As ``broker.server``: take what has come, let the core decide, store it, then speak."""
        if self.core is None or boot != self.boots:
            return
        if self._stands_still_until > self.now:
            self.at(self._stands_still_until - self.now, lambda: self._turn(boot))
            return
        core, actions = self.core, list[Action]()
        core.wall_is_ahead(self.wall_ahead_s - self.broker_ahead_s)
        inbox, self._inbox = self._inbox, []
        if inbox:
            actions += core.receive_all(self._looked_up(inbox, core), self.broker_now)
        if core.next_deadline() <= self.broker_now:
            past = lookup.past_of_ids(core.due_ids(self.broker_now), self.store, self.disk.low)
            actions += core.tick(self.broker_now, past)
            if core._queue.timers.first() > self.broker_now:  # otherwise it goes on in the next turn
                self.history.turns.noticed = self.broker_now
        self._steps += 1
        if self._steps % self.check_every == 0:
            self.check()
        try:
            while actions and self.core is core:
                actions = self._perform(actions)
                inbox = []  # that is stored and answered
        except errors.StoreFull:
            self._refuse(inbox)
            self._turn_later(FULL_PAUSE_S)
        if self.core is core:
            self.archive.prune()
            if self.check_every == 1 or self._steps % 5 == 0:
                self.history.turns.idle(core)
            self._turn_later(max(0.0, min(core.next_deadline(), self.archive.due_at) - self.broker_now) + 1e-4)

    def _turn_later(self, wait_s: float) -> None:
        self._next_turn_at = self.now + wait_s
        self.at(wait_s, lambda boot=self.boots: self._due_turn(boot))

    def _refuse(self, inbox: list[Incoming]) -> None:
        """As ``broker.server``: nothing of this turn is stored, so the core is as before, and clients hear of it."""
        self.history.saw['a commit found the disk full'] += 1
        if self.takes_back:
            self._load()
        for peer, message in inbox:
            if isinstance(message, protocol.Request):
                self._effect(Send(peer, no_room(message)))

    def _looked_up(self, inbox: list[Incoming], core: BrokerCore) -> Iterator[Mail]:
        """As ``broker.server``: what jobs there are is asked once, the rest when it is a message's turn."""
        there = lookup.stored((message for _, message in inbox), self.store, core.knows)
        for peer, message in inbox:
            self._note(peer, message)
            if isinstance(message, protocol.Finished):
                job = self.history.jobs.get(message.job_id)
                self.history.saw['done came twice'] += job is not None and job.state is State.COMPLETED
            again = isinstance(message, protocol.Replay) and lookup.replayed(message, self.store, core.knows)
            asked = again or message
            yield (
                peer,
                asked,
                lookup.past_of(asked, self.store, core.knows, self.disk.low, there if asked is message else None),
            )

    def _due_turn(self, boot: int) -> None:
        if self.now >= self._next_turn_at:
            self._turn(boot)

    def _note(self, peer: Peer, message: protocol.AnyRequest | protocol.AnyFromWorker) -> None:
        """What no fact tells: who has announced to leave."""
        assert self.core is not None
        worker = self.core._queue.fleet.at(peer)
        if isinstance(message, protocol.Bye) and message.draining and worker is not None:
            self.history.turns.draining.add(worker.ready.worker)
        elif isinstance(message, protocol.Retire) and message.grace_s >= 0 and self._named(message.worker):
            self.history.turns.draining.add(message.worker)
        elif isinstance(message, protocol.Ready):
            known = self.core._queue.fleet.named(message.worker)
            if known is None or known.ready.session != message.session:
                self.history.turns.draining.discard(message.worker)

    def _named(self, worker: str) -> bool:
        assert self.core is not None
        return self.core._queue.fleet.named(worker) is not None

    def to_broker(self, peer: Peer, message: protocol.AnyRequest | protocol.AnyFromWorker) -> None:
        """A message is on its way; the network may lose it, double it or keep it for a while."""
        for _ in range(self._copies()):
            self.at(self._delay(), lambda: self._arrive(peer, message))

    def _arrive(self, peer: Peer, message: protocol.AnyRequest | protocol.AnyFromWorker) -> None:
        if self.core is None or self._is_of_old(message):
            return
        self._inbox.append((peer, message))
        if len(self._inbox) == 1:  # what comes until then is taken in the same turn
            late_s = 0.0 if self.chance.random() < 0.7 else self.chance.uniform(0, 0.03)
            self.at(late_s, lambda boot=self.boots: self._turn(boot))

    def _is_of_old(self, message: protocol.AnyRequest | protocol.AnyFromWorker) -> bool:
        """Whether it would make a job that was made and deleted since: no network keeps a message for so long."""
        jobs = message.jobs if isinstance(message, protocol.SubmitMany) else (message,)
        made = {getattr(job, 'new_job_id', '') or getattr(job, 'job_id', '') for job in jobs}
        new = isinstance(message, protocol.Submit | protocol.SubmitMany | protocol.Replay)
        return new and bool(made & self.history.deletions.gone)

    def _perform(self, actions: list[Action]) -> list[Action]:
        """Store, then speak, with a crash between any two effects; what follows from what could not be delivered."""
        follow: list[Action] = []
        changes = [action for action in actions if isinstance(action, Persist)]
        steps: list[Callable[[], object]] = [lambda: self._commit(changes, actions)] if actions else []
        speak: list[Callable[[], object]] = [lambda fact=change.fact: self.wire.tells(fact) for change in changes]
        speak += [
            lambda effect=effect: follow.extend(self._effect(effect))
            for effect in actions
            if not isinstance(effect, Persist)
        ]
        steps = steps + speak if self.commit_first else speak + steps
        crash_at = self.chance.randrange(len(steps) + 1) if steps and self._strikes(0.01) else None
        for number, step in enumerate(steps):
            if number == crash_at:
                self.history.saw['crash between store and send'] += bool(changes and number)
                self.crash()
                return []
            step()
        return follow

    def _commit(self, changes: list[Persist], actions: list[Action]) -> None:
        if changes:
            self.disk.check()
        self.store.commit(changes)
        for action in actions:
            match action:
                case Persist():
                    if isinstance(action.fact, facts.JobQueued):
                        self.disk.takes_a_job()
                    self.history.turns.admissions.saw(action.fact.at)
                    self.history.add(action)
                    self._lost(action.fact)
                case Publish(_, message) | Send(_, message) | SendJob(_, message):
                    self.wire.at_this_moment(message)

    def _lost(self, fact: facts.AnyFact) -> None:
        if isinstance(fact, facts.JobRequeued) and fact.reason == 'worker_lost':
            held = (run for worker in self.workers if worker.alive for run in worker.runs.values())
            alive = any((run.job_id, run.epoch) == (fact.job_id, fact.epoch) for run in held)
            self.history.saw['a lease ended while its worker lived'] += alive

    def _effect(self, action: Action) -> list[Action]:
        """Say it; what follows."""
        assert self.core is not None
        self.wire.passes(action)
        match action:
            case Publish(_, protocol.TokensOut() as tokens):
                if not self._strikes(0.05):
                    self.clients.published(tokens)
            case FromStore(peer, request):
                return self._effect(Send(peer, self.archive.answer(request)))
            case SendJob():
                return self._send_job(action)
            case Send(peer, message):
                self.disk.said(message)
                if peer.side == 'worker':
                    return self._to_worker(peer, message)
                self._to_client(message)
        return []

    def _send_job(self, action: SendJob) -> list[Action]:
        assert self.core is not None
        message = action.message
        try:
            body = lookup.body_of(message.job_id, action.after, self.store)
        except lookup.Unfit as error:
            failed = protocol.Failed(
                job_id=message.job_id, epoch=message.epoch, code=error.code, detail='', retryable=False
            )
            return self.core.receive(action.peer, failed, self.broker_now)
        return self._effect(Send(action.peer, msgspec.structs.replace(message, body=body)))

    def _to_client(self, reply: protocol.Reply | protocol.ToWorker) -> None:
        assert isinstance(reply, protocol.Reply)
        for _ in range(self._copies()):
            self.at(self._delay(), lambda: self.clients.hear(reply))

    def _to_worker(self, peer: Peer, message: protocol.Reply | protocol.ToWorker) -> list[Action]:
        assert self.core is not None and isinstance(message, protocol.ToWorker)
        worker = next((w for w in self.workers if w.peer == peer and w.alive), None)
        if worker is None:
            return self.core.peer_gone(peer, self.broker_now, message)
        if not isinstance(message, protocol.Beat):  # which says nothing
            for _ in range(self._copies()):
                self.at(self._delay(), lambda: worker.hear(peer, message))
        return []

    def crash(self) -> None:
        """The broker is gone; a supervisor starts it again."""
        self.core = None
        if self._strikes(0.5):
            self._jump(self.chance.uniform(-3600.0, 3600.0))
        self.at(self.chance.uniform(0.1, 3.0), lambda: self.boot() if self.core is None else None)

    def _strikes(self, probability: float) -> bool:
        return not self.calm and self.chance.random() < probability

    def _copies(self) -> int:
        return 0 if self._strikes(0.03) else 2 if self._strikes(0.03) else 1

    def _delay(self) -> float:
        return self.chance.uniform(1.0, 8.0) if self._strikes(0.02) else self.chance.uniform(0.0, 0.05)
