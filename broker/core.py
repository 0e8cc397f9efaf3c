"""The broker's whole logic, without a socket, clock, database or chance: messages and ``now`` in, actions out.

``now`` is unix seconds from a clock that never jumps while the broker runs. Whoever performs the actions first puts
all ``Persist`` of a batch on disk in one transaction; so nothing is said that a crash could take back.
"""

import itertools
import math
from collections.abc import Iterable

from broker import facts, load, protocol, stopping
from broker.actions import Action, Peer, Publish, Send
from broker.admission import NOTHING, Admission, Past
from broker.agenda import Agenda
from broker.clients import Clients
from broker.dispatch import Dispatch
from broker.errands import Errands
from broker.job import Job, State
from broker.limits import Started
from broker.queue import Queue
from broker.rules import Rules
from broker.share import Work
from broker.staff import Staff

STANDING_EVERY_S = 0.25
SOON_S, STALE_AFTER_S = 1.0, 10.0  # what was told is told anew after this, also where nothing has changed
LONG_QUEUE, LONG_STANDING_EVERY_S = 1_000, 1.0  # working it out takes longer then, and matters less
PULSE_S = 1.0
STILL_S = 2 * PULSE_S  # a tick that comes later than this was held up by something outside

Mail = tuple[Peer, protocol.AnyRequest | protocol.AnyFromWorker, Past]  # a message, and what the store knows about it


class BrokerCore:
    """The queue with the parts that work on it. All changes enter by ``receive``, ``peer_gone`` and ``tick``."""

    make_queue = Queue
    make_admission = Admission
    make_staff = Staff

    def __init__(self, rules: Rules, *, boot: str, last_seq: int = 0, last_order: int = 0) -> None:
        self._boot = boot
        self._queue = self.make_queue(rules, last_seq=last_seq, last_order=last_order)
        admission = self.make_admission(self._queue)
        self._agenda = Agenda(self._queue, admission)
        errands = Errands(self._queue)
        self._clients = Clients(self._queue, admission, self._agenda, errands, boot)
        self._staff = self.make_staff(self._queue, boot, errands)
        self._dispatch = Dispatch(self._queue)
        self._standing_at = 0.0
        self._stale_at = math.inf
        self._pulse_at = 0.0
        self._ticked_at = 0.0

    def restore(
        self,
        jobs: Iterable[Job],
        now: float,
        work: Iterable[Work] = (),
        starts: Iterable[Started] = (),
        paused: Iterable[protocol.PauseInfo] = (),
        *,
        batches: Iterable[protocol.Batch] = (),
        schedules: Iterable[protocol.Schedule] = (),
        retired: Iterable[facts.WorkerRetired] = (),
    ) -> None:
        """Take over what an earlier broker left. Leases get one full term, so that live workers can show up.

        ``work`` is what users had done lately, for fair share, and ``starts`` is what counts for rate limits: without
        them everybody would begin anew. The clock may have been put back since: nothing then lies in the future.
        ``batches`` are those that go on, ``retired`` the workers that were asked to leave and did not yet.
        """
        self._queue.restore(jobs, now, work, starts, paused, open_batches=batches)
        self._agenda.restore(schedules, now)
        self._staff.restore(retired)
        for kind, name in self._queue.timers.due(now):  # before anybody asks for work: deadlines have passed meanwhile
            self._due(kind, name, now)

    # doors

    def receive(
        self, peer: Peer, message: protocol.AnyRequest | protocol.AnyFromWorker, now: float, past: Past = NOTHING
    ) -> list[Action]:
        """Take one message from a client or a worker; ``past`` is what ``lookup`` found about it."""
        return self.receive_all(((peer, message, past),), now)

    def receive_all(self, mail: Iterable[Mail], now: float) -> list[Action]:
        """Take the messages that came together; only then are free slots given away, to the best of all.

        Each is served before the next is drawn from ``mail``: so it can be looked up in the light of those before it.
        """
        for peer, message, past in mail:
            if isinstance(message, protocol.Request):
                self._clients.serve(peer, message, now, past)
            else:
                self._staff.serve(peer, message, now)
        self._dispatch.run(now)
        self._queue.tell_drained(now)
        return self._queue.take()

    def change(self, rules: Rules, starts: Iterable[Started], now: float) -> list[Action]:
        """Go by other limits from now on; ``starts`` are those that count for them. What may start now, starts."""
        self._queue.change(rules, starts, now)
        self._dispatch.run(now)
        return self._queue.take()

    def peer_gone(self, peer: Peer, now: float, undelivered: protocol.ToWorker | None = None) -> list[Action]:
        """A message could not be delivered."""
        self._staff.gone(peer, undelivered, now)
        self._dispatch.run(now)
        self._queue.tell_drained(now)
        return self._queue.take()

    def expel(self, machine: str, why: str, now: float) -> list[Action]:
        """A machine of the network may work here no more: its workers hear ``why``, their jobs go back uncharged."""
        self._staff.expel(machine, why, now)
        self._dispatch.run(now)
        self._queue.tell_drained(now)
        return self._queue.take()

    def purged(self, job_id: str, before: float) -> None:
        """Dead jobs are gone from the store, one or those that ended before a time: their keys are free again."""
        self._queue.forget_keys(job_id, before)

    def tick(self, now: float, past: Past = NOTHING) -> list[Action]:
        """Do what is due: leases that ran out, delays that are over, silent workers, schedules, the pulse.

        ``past`` is what ``lookup`` found about ``due_ids``.
        """
        queue = self._queue
        if 0.0 < self._ticked_at < now - STILL_S:
            self._staff.excuse(now - self._ticked_at, now)
        self._ticked_at = now
        for kind, name in itertools.islice(queue.timers.due(now), queue.rules.due_at_once):  # the rest in the next turn
            self._due(kind, name, now)
        queue.forget_ended(now)
        self._agenda.run(past, now)
        self._dispatch.run(now)  # after 'wake' this is all that is to be done
        if self._pulse_at <= now:
            self._pulse_at = now + PULSE_S
            self._pulse()
        if (queue.changed and self._standing_at <= now) or self._stale_at <= now:
            self._tell_standing(now)
        return queue.take()

    def tell_standing(self) -> None:
        """Somebody new listens: the next ``tick`` tells who waits where, also when that has not changed."""
        self._queue.changed = True

    # read-only

    def next_deadline(self) -> float:
        """When ``tick`` should be called at the latest."""
        deadline = min(self._pulse_at, self._stale_at, self._queue.timers.first(), self._agenda.next_at())
        return min(deadline, self._standing_at) if self._queue.changed else deadline

    def wall_is_ahead(self, seconds: float) -> None:
        """So far the wall clock, which schedules follow, is ahead of ``now`` (0 at the start)."""
        self._agenda.wall_ahead_s = seconds

    def due_ids(self, now: float) -> list[str]:
        """The ids of the jobs that schedules would make in a ``tick`` now."""
        return self._agenda.due_ids(now)

    @property
    def remember_starts_s(self) -> float:
        """How far back starts count for limits: what ``restore`` wants to know."""
        return self._queue.gate.longest_period_s

    @property
    def timers(self) -> int:
        """How many timers are set. For tests."""
        return len(self._queue.timers)

    def knows(self, job_id: str) -> bool:
        """Whether a job of this id is alive or ended within the last minute."""
        return self._queue.knows(job_id)

    def snapshot(self, after_order: int = 0) -> protocol.Snapshot:
        """A page of what is alive."""
        return self._clients.snapshot(after_order)

    def load(self, now: float) -> load.Load:
        """How busy the workers are."""
        return load.of(self._queue, now)

    def check(self) -> None:
        """Raise AssertionError when the parts do not agree with each other. For tests."""
        self._queue.check()

    # time

    def _due(self, kind: str, name: str, now: float) -> None:
        match kind:
            case 'lease':
                self._staff.lease_due(name, now)
            case 'worker':
                self._staff.worker_due(name, now)
            case 'user':
                self._queue.limit(name, now)
            case 'job':
                self._delay_due(name, now)
            case 'deadline':
                self._deadline_due(name, now)
            case 'batch':
                self._queue.batch_due(name, now)
            case 'stop':
                stopping.go_on(self._queue, name, now)

    def _delay_due(self, job_id: str, now: float) -> None:
        job = self._queue.jobs.get(job_id)
        if job is None or job.state is not State.DELAYED:
            return
        if job.due_at > now:
            self._queue.timers.at(job.due_at, 'job', job_id)
        else:
            self._queue.due(job, now)

    def _deadline_due(self, job_id: str, now: float) -> None:
        job = self._queue.jobs.get(job_id)
        if job is not None and job.state in (State.WAITING, State.DELAYED, State.BLOCKED):
            self._queue.expire(job, now)

    def _tell_standing(self, now: float) -> None:
        """Where everybody stands. Once more after a while also where nothing happens: what runs has then run longer
        than was thought, and so will they wait.
        """
        queue = self._queue
        queue.changed = False
        long = len(queue.waiting) > LONG_QUEUE
        self._standing_at = now + (LONG_STANDING_EVERY_S if long else STANDING_EVERY_S)
        standing = protocol.Standing(places=tuple(queue.standings.places(now)), waiting=queue.queued)
        self._stale_at = math.inf
        if queue.standings.stale_at < math.inf:
            stale_at = queue.standings.stale_at - SOON_S  # before it is over, or pages would say that it is
            self._stale_at = min(max(stale_at, self._standing_at + SOON_S), now + STALE_AFTER_S)
        queue.do(Publish(protocol.TOPIC_STANDING, standing))

    def _pulse(self) -> None:
        queue = self._queue
        for worker in queue.fleet:
            if worker.runs and not worker.gone:
                queue.do(Send(worker.peer, protocol.Beat()))
        pulse = protocol.Pulse(boot=self._boot, seq=queue.seq)
        queue.do(Publish(protocol.TOPIC_PULSE, pulse))
