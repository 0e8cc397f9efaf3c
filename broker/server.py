"""The shell around the core: sockets, clock and disk, in one thread."""

import contextlib
import logging
import math
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeGuard

import msgspec
import zmq

from broker import (
    doorman,
    errors,
    limits,
    listing,
    load,
    lookup,
    machines,
    protocol,
    replies,
    retention,
)
from broker.actions import Action, FromStore, Peer, Persist, Publish, Send, SendJob
from broker.admission import NOTHING, Past
from broker.core import BrokerCore, Mail
from broker.doors import AT_ONCE, Doors, News, Taken, ToPeer
from broker.endpoints import Endpoints
from broker.rules import Rules
from broker.runtime import CHANGEABLE, Runtime, Wrong
from broker.share import DECAY_S
from broker.store import SCHEMA, Store

logger = logging.getLogger(__name__)

REMEMBER_WORK_S = 4 * DECAY_S  # work longer ago no longer counts
PURGE_AT_ONCE = 500  # dead jobs; meanwhile nobody else is served
LOAD_EVERY_S = 1.0
FULL_PAUSE_S = 0.5  # after a commit that found the disk full, for what is due is due again at once


class Clock:
    """Unix seconds that never jump: wall time at the start, monotonic from then on, with the time the machine slept."""

    def __init__(self) -> None:
        self._offset = time.time() - _steady()

    def now(self) -> float:
        """Seconds since 1970."""
        return _steady() + self._offset

    def wall_ahead_s(self) -> float:
        """How far the wall clock has gone ahead since the start: somebody has set it, or the network has."""
        return time.time() - self.now()


class Server:
    """Runs one core on one store. ``run`` returns after ``stop``, which any thread may call.

    Raises ``errors.BrokerError`` when an address cannot be used.

    ``keep`` says what the store may forget. ``on_load`` is told how busy the workers are, when that has changed, at
    most once a second; it must not block. ``listen`` is where workers of other machines may join, ``host:port``.
    """

    def __init__(
        self,
        store: Store,
        endpoints: Endpoints,
        rules: Rules,
        *,
        boot: str,
        keep: retention.Keep | None = None,
        on_load: Callable[[load.Load], None] = lambda load: None,
        runtime: Runtime | None = None,
        listen: str = '',
    ) -> None:
        self._store = store
        self._rules = rules
        self._runtime = runtime
        self._boot = boot
        self._sweep = retention.Sweep(keep or retention.Keep())
        self._listings = listing.Listings()
        self._replies = replies.Replies(store)
        self._on_load = on_load
        self._load_told: load.Load | None = None
        self._load_at = 0.0
        self._clock = Clock()
        self._stopping = False
        self._wake, self._woken = socket.socketpair()
        self._disk_checked_at = 0.0
        self._disk_full = False
        try:
            self._machines = machines.Machines(store.path.parent / machines.FILE, listen) if listen else None
            self._doors = Doors(endpoints, self._machines, listen)
        except errors.BrokerError:
            self._close_wake()
            raise
        self._core = self._load()

    def stop(self) -> None:
        """Ask ``run`` to return soon; it may have done so already."""
        self._stopping = True
        with contextlib.suppress(OSError):
            self._wake.send(b'.')

    def run(self) -> None:
        """Serve until stopped."""
        poller = zmq.Poller()
        poller.register(self._woken, zmq.POLLIN)
        self._doors.wait_in(poller)
        try:
            while not self._stopping:
                wait_s = max(0.0, min(self._core.next_deadline(), self._sweep.due_at) - self._clock.now())
                poller.poll(0 if self._listings.busy else math.ceil(wait_s * 1000))
                self._turn()
                self._look_up()
                self._replies.forget(self._clock.now())
                self._prune()
                self._tell_load()
        finally:
            self._doors.close()
            self._close_wake()

    def _close_wake(self) -> None:
        self._wake.close()
        self._woken.close()

    def _turn(self) -> None:
        """One batch: take what has come, let the core decide, put it on disk, then speak."""
        if any(protocol.TOPIC_STANDING.startswith(topic) for topic in self._doors.listeners()):
            self._core.tell_standing()  # it is told when it changes, and may not for long
        self._core.wall_is_ahead(self._clock.wall_ahead_s())
        taken: list[Taken] = []
        actions: list[Action] = []
        # What came while the core was busy goes into the same commit: the disk's answer is what everybody waits for.
        while len(taken) < AT_ONCE and (more := [*self._doors.take('worker'), *self._doors.take('client')]):
            actions += self._core.receive_all(self._looked_up(more), self._clock.now())
            taken += more
        if self._core.next_deadline() <= self._clock.now():
            actions += self._tick()
        try:
            while actions:
                actions = self._perform(actions)
                taken = []  # that is on disk and answered; what follows from it is ours
        except errors.StoreFull as error:
            self._refuse(taken, str(error))

    def _prune(self) -> None:
        """Forget a little of what may be forgotten, when that is due."""
        now = self._clock.now()
        if self._sweep.due_at > now:
            return
        try:
            gone = self._sweep.did(self._store.prune(self._sweep.portion(now)), self._clock.now())
        except errors.StoreError as error:
            logger.error('what is old stays for now: %s', error, extra={'action': 'prune'})
            self._sweep.failed(self._clock.now())
            return
        if gone:
            logger.info('%s old jobs and facts are gone', gone, extra={'action': 'prune'})

    def _look_up(self) -> None:
        """Go on with what somebody looks for in the past, so little that nobody waits for it."""
        if self._listings.busy:
            for peer, reply in self._listings.step(self._store, time.perf_counter):
                self._send(peer, [reply])

    def _configure(self, peer: Peer, request: protocol.GetSettings | protocol.SetSettings) -> list[Action]:
        """Tell the settings, or change them on disk and in the core; what may start now, starts."""
        if isinstance(request, protocol.GetSettings):
            return [Send(peer, self._settings(request.rid))]
        if self._runtime is None:
            return [Send(peer, protocol.Refused(rid=request.rid, code='invalid', detail='nothing can be set here'))]
        before = self._runtime.changes
        try:
            self._runtime.change(msgspec.json.decode(request.values, type=dict), request.reset)
            self._store.set_settings(self._runtime.kept())
        except (Wrong, errors.StoreError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._runtime = Runtime(self._runtime.configured, before)
            full = isinstance(error, errors.StoreFull)
            code, detail = ('disk_full', errors.DISK_FULL) if full else ('invalid', str(error))
            return [Send(peer, protocol.Refused(rid=request.rid, code=code, detail=detail))]
        logger.info('settings were changed: %s', ', '.join(self._runtime.changes), extra={'action': 'settings'})
        self._rules = self._runtime.settings.rules()
        self._sweep = retention.Sweep(self._runtime.settings.keep())
        now = self._clock.now()
        starts = self._store.starts_since(now - limits.Gate(self._rules.limits).longest_period_s)
        return [*self._core.change(self._rules, starts, now), Send(peer, self._settings(request.rid))]

    def _remove_machine(self, peer: Peer, request: protocol.RemoveMachine) -> list[Action]:
        """It may join no more, and what of it is connected is turned away before the reply leaves."""
        reply = machines.answer(self._machines, request)
        expelled: list[Action] = []
        if isinstance(reply, protocol.Done):
            logger.info('machine %s was removed', request.name, extra={'action': 'remove_machine'})
            expelled = self._core.expel(request.name, doorman.REMOVED, self._clock.now())
        return [*expelled, Send(peer, reply)]

    def _settings(self, rid: int) -> protocol.Settings | protocol.Refused:
        runtime = self._runtime
        if runtime is None:
            return protocol.Refused(rid=rid, code='not_found', detail='this broker has no settings to tell')
        return protocol.Settings(
            rid=rid,
            values=runtime.told(),
            configured=runtime.told_configured(),
            changeable=tuple(sorted(CHANGEABLE)),
            changed=tuple(sorted(runtime.changes)),
            schema=SCHEMA,
        )

    def _tell_load(self) -> None:
        now = self._clock.now()
        if self._load_at > now:
            return
        self._load_at = now + LOAD_EVERY_S
        self._listings.forget(time.perf_counter())
        if (found := self._core.load(now)) != self._load_told:
            self._load_told = found
            self._on_load(found)

    def _perform(self, actions: list[Action]) -> list[Action]:
        """Do it, and return what follows from messages that could not be delivered.

        Tokens leave first: a fact may say that there are no more of them. Everything else is said when it is on disk.
        All that one turn has for a receiver goes into one letter: a message on its own costs more than what is in it.
        """
        changes = [action for action in actions if isinstance(action, Persist)]
        tokens = [action for action in actions if _are_tokens(action)]
        if tokens:  # of a run that is on disk, and kept in memory only: they have nothing to wait for
            self._doors.speak(_by_topic(tokens))
            actions = [action for action in actions if not _are_tokens(action)]
        if changes:
            self._store.commit(changes)
        follow: list[Action] = []
        mail: dict[str, dict[Peer, list[ToPeer]]] = {'worker': {}, 'client': {}}
        news = _by_topic(action for action in actions if isinstance(action, Publish))
        for action in actions:
            if isinstance(action, Send):
                mail[action.peer.side].setdefault(action.peer, []).append(action.message)
            elif isinstance(action, SendJob):
                try:
                    mail[action.peer.side].setdefault(action.peer, []).append(self._filled(action))
                except lookup.Unfit as error:
                    follow += self._unfit(action, error)
            elif isinstance(action, FromStore) and isinstance(
                action.request, protocol.GetSettings | protocol.SetSettings
            ):
                follow += self._configure(action.peer, action.request)
            elif isinstance(action, FromStore) and isinstance(action.request, protocol.RemoveMachine):
                follow += self._remove_machine(action.peer, action.request)
            elif isinstance(action, FromStore) and lookup.takes_long(action.request):
                self._listings.ask(action.peer, action.request, self._store, time.perf_counter())
            elif isinstance(action, FromStore):
                mail[action.peer.side].setdefault(action.peer, []).append(self._answer(action.request))
        for peer, messages in mail['worker'].items():  # they first: they can begin while the others are told
            follow += self._send(peer, messages)
        self._doors.publish(news, [change.fact for change in changes])
        for peer, messages in mail['client'].items():
            follow += self._send(peer, messages)
        return follow

    def _send(self, peer: Peer, messages: Sequence[ToPeer]) -> list[Action]:
        """Do it, and return what follows where a worker is gone; a client asks again, if it is still there."""
        if self._doors.send(peer, messages) or peer.side == 'client':
            return []
        follow: list[Action] = []
        for message in messages:
            undelivered = message if isinstance(message, protocol.ToWorker) else None
            follow += self._core.peer_gone(peer, self._clock.now(), undelivered)
        return follow

    def _looked_up(self, taken: list[Taken]) -> Iterator[Mail]:
        """The messages, each with what only the disk knows about it when it is its turn."""
        stored = lookup.stored((message for _, message in taken), self._store, self._core.knows)
        for peer, asked in taken:
            again = isinstance(asked, protocol.Replay) and lookup.replayed(asked, self._store, self._core.knows)
            message = again or asked
            yield peer, message, self._past(message, stored if message is asked else None)

    def _past(self, message: protocol.AnyRequest | protocol.AnyFromWorker, stored: frozenset[str] | None) -> Past:
        """What only the disk knows about a request: whether the job is long done, and whether there is room."""
        if not isinstance(message, protocol.Submit | protocol.SubmitMany | protocol.OpenBatch):
            return NOTHING
        return lookup.past_of(message, self._store, self._core.knows, self._is_disk_full(), stored)

    def _is_disk_full(self) -> bool:
        now = self._clock.now()
        if now > self._disk_checked_at + 1.0:
            self._disk_checked_at = now
            self._disk_full = shutil.disk_usage(self._store.path.parent).free < errors.KEPT_FREE_BYTES
        return self._disk_full

    def _tick(self) -> list[Action]:
        now = self._clock.now()
        ids = self._core.due_ids(now)
        past = lookup.past_of_ids(ids, self._store, self._is_disk_full()) if ids else NOTHING
        return self._core.tick(now, past)

    def _filled(self, action: SendJob) -> protocol.Assign:
        message = action.message
        body = lookup.body_of(message.job_id, action.after, self._store)
        return protocol.Assign(
            job_id=message.job_id,
            epoch=message.epoch,
            kind=message.kind,
            model=message.model,
            body=body,
            path=message.path,
        )

    def _unfit(self, action: SendJob, error: lookup.Unfit) -> list[Action]:
        failed = protocol.Failed(
            job_id=action.message.job_id,
            epoch=action.message.epoch,
            code=error.code,
            detail=error.detail,
            retryable=False,
        )
        return self._core.receive(action.peer, failed, self._clock.now())

    def _answer(self, request: protocol.AnyRequest) -> protocol.Reply:
        """Answer what is about the past, about a job that is not alive, or about machines."""
        match request:
            case protocol.Purge():
                return self._purge(request)
            case protocol.AddMachine() | protocol.FindMachines():
                return machines.answer(self._machines, request)
            case _:
                return self._replies.to(request, self._clock.now())

    def _purge(self, request: protocol.Purge) -> protocol.Reply:
        try:
            gone = self._store.purge(request.job_id, request.before, PURGE_AT_ONCE)
        except errors.StoreFull as error:
            logger.error('%s', error, extra={'action': 'disk_full'})
            return protocol.Refused(rid=request.rid, code='disk_full', detail=errors.DISK_FULL, retry_after_s=30.0)
        self._core.purged(request.job_id, request.before)
        return protocol.Purged(rid=request.rid, count=gone, more=gone == PURGE_AT_ONCE)

    def _refuse(self, taken: list[Taken], detail: str) -> None:
        """Nothing of this batch is on disk: take back what the core thinks, tell clients; workers will repeat."""
        logger.error('%s', detail, extra={'action': 'disk_full'})
        self._core = self._load()
        for peer, message in taken:
            if isinstance(message, protocol.Request):
                refused = protocol.Refused(
                    rid=message.rid, code='disk_full', detail=errors.DISK_FULL, retry_after_s=30.0
                )
                self._send(peer, [refused])
        stopped = zmq.Poller()
        stopped.register(self._woken, zmq.POLLIN)
        stopped.poll(round(FULL_PAUSE_S * 1000))

    def _load(self) -> BrokerCore:
        core = BrokerCore(
            self._rules, boot=self._boot, last_seq=self._store.last_seq(), last_order=self._store.last_order()
        )
        now = self._clock.now()
        work = self._store.work_since(now - REMEMBER_WORK_S)
        starts = self._store.starts_since(now - core.remember_starts_s)
        core.wall_is_ahead(self._clock.wall_ahead_s())
        core.restore(
            self._store.alive(),
            now,
            work,
            starts,
            self._store.pauses(),
            batches=self._store.open_batches(),
            schedules=self._store.schedules(),
            retired=self._store.retired(),
        )
        return core


def _are_tokens(action: Action) -> TypeGuard[Publish]:
    return isinstance(action, Publish) and isinstance(action.message, protocol.TokensOut)


def _by_topic(told: Iterable[Publish]) -> News:
    news: News = {}
    for action in told:
        news.setdefault(action.topic, []).append(action.message)
    return news


def _steady() -> float:
    """Seconds of a clock that nobody sets, and that goes on while the machine sleeps where there is such a one."""
    boot_time = getattr(time, 'CLOCK_BOOTTIME', None)  # Linux; elsewhere the monotonic clock is as good as it gets
    return time.monotonic() if boot_time is None else time.clock_gettime(boot_time)
