"""What workers report, and what they are told: who is there, what each holds, how its runs go."""

import zlib
from collections.abc import Iterable

from broker import facts, intake, protocol, telling, vitals
from broker.actions import Peer, Publish
from broker.errands import Errands
from broker.fleet import Run, Worker
from broker.job import Move
from broker.queue import Queue

ASK_AGAIN_S = 1.0  # for missing lines, and for a run that the worker does not show
MAX_CODE, MAX_DETAIL = 100, 4_000  # characters; a page of jobs has to fit into one message
MAX_TRACE = 8_000
MAX_SLOTS = 1024  # of one worker
TWICE = 'A worker called {name} works with this key on another machine; add each machine, for a key of its own.'

OfRun = protocol.Tokens | protocol.Finished | protocol.Failed | protocol.Stopped | protocol.HandBack


class Staff:
    """Leases and their epochs: who holds what, and since when nothing was heard of it."""

    def __init__(self, queue: Queue, boot: str, errands: Errands) -> None:
        self._queue = queue
        self._boot = boot
        self._errands = errands
        self._retired: dict[str, facts.WorkerRetired] = {}  # before this broker began, and maybe not heard

    def restore(self, retired: Iterable[facts.WorkerRetired]) -> None:
        """These were asked to leave when another broker was here."""
        self._retired = {fact.worker: fact for fact in retired}

    def serve(self, peer: Peer, message: protocol.AnyFromWorker, now: float) -> None:
        """Take in what a worker says."""
        if isinstance(message, protocol.Ready):
            self._sign_in(peer, message, now)
            return
        worker = self._queue.fleet.at(peer)
        if worker is None:
            self._queue.send(peer, protocol.Identify())
            return
        worker.gone = False
        self._renew(worker, now)
        match message:
            case protocol.Tokens() | protocol.Finished():  # nearly all that comes
                self.serve_run(worker, message, now)
            case protocol.Heartbeat():
                worker.last_token_at = now - message.quiet_s if 0 <= message.quiet_s <= now else 0.0
                self._compare(worker, message.runs, now)
                self._errands.remind(worker)
                if worker.leave is not None:  # it did not hear it
                    self._queue.send(peer, worker.leave)
                self._feel(worker, message.vitals, now)
            case protocol.Bye(draining=True):
                worker.draining, worker.leave = True, None
                self._queue.changed = True
                self._queue.tell_worker(worker)
            case protocol.ErrandNews():
                self._errands.news(worker, message.errand, now)
            case protocol.Bye():
                self._let_go(worker, 'drained', now)
            case _:
                self.serve_run(worker, message, now)

    def gone(self, peer: Peer, undelivered: protocol.ToWorker | None, now: float) -> None:
        """A message could not be delivered. A worker that vanished has a moment to come back."""
        queue = self._queue
        worker = queue.fleet.at(peer)
        if worker is None:
            return
        if not worker.gone:
            worker.gone = True
            back_by = now + queue.rules.reattach_s
            worker.expires_at = min(worker.expires_at, back_by)
            queue.timers.at(worker.expires_at, 'worker', worker.ready.worker)
            for run in worker.runs.values():
                run.expires_at = min(run.expires_at, back_by)
                queue.timers.at(run.expires_at, 'lease', run.job.job_id)
            queue.changed = True
        if isinstance(undelivered, protocol.Assign):
            lost = self.run_of(worker, undelivered.job_id, undelivered.epoch)
            if lost is not None and not lost.lines:
                queue.hand_back(lost, now)

    def expel(self, machine: str, why: str, now: float) -> None:
        """The workers of this machine may not work here any more."""
        for worker in [each for each in self._queue.fleet if each.peer.machine == machine]:
            self._queue.send(worker.peer, protocol.TurnedAway(detail=why))
            self._let_go(worker, 'removed', now)

    def lease_due(self, job_id: str, now: float) -> None:
        """A lease may have run out."""
        queue = self._queue
        run = queue.runs.get(job_id)
        if run is None:
            return
        if run.expires_at > now:
            queue.timers.at(run.expires_at, 'lease', job_id)
            return
        worker = queue.fleet.named(run.worker)
        if worker is not None and not worker.gone and run.session == worker.ready.session:
            queue.send(worker.peer, protocol.Stop(job_id=job_id, epoch=run.epoch, stale=True))
        queue.lose(run, now)

    def worker_due(self, name: str, now: float) -> None:
        """A worker may have been silent for too long."""
        worker = self._queue.fleet.named(name)
        if worker is None:
            return
        if worker.expires_at > now:
            self._queue.timers.at(worker.expires_at, 'worker', name)
            return
        for run in list(worker.runs.values()):
            self._queue.lose(run, now)
        self._leave(worker, 'lost', now)

    def excuse(self, stood_still_s: float, now: float) -> None:
        """We stood still so long (the machine slept, or we were stopped): nobody could be heard in that time."""
        latest = now + self._queue.rules.lease_ttl_s  # of those who were heard since
        for run in self._queue.runs.values():
            run.expires_at = min(run.expires_at + stood_still_s, latest)
        for worker in self._queue.fleet:
            worker.expires_at = min(worker.expires_at + stood_still_s, latest)

    # signing in and out

    def _sign_in(self, peer: Peer, ready: protocol.Ready, now: float) -> None:
        queue = self._queue
        if ready.version != protocol.VERSION or not ready.worker or not 1 <= ready.slots <= MAX_SLOTS:
            return  # it speaks another language; the lease of what it may hold runs out
        worker = queue.fleet.named(ready.worker)
        if worker is not None and self._works_elsewhere(worker, peer, ready, now):
            return
        if worker is not None and worker.ready.session != ready.session:
            for run in list(worker.runs.values()):
                queue.lose(run, now)
            self._leave(worker, 'replaced', now)
            worker = None
        if worker is None:
            worker = Worker(peer=peer, ready=ready, joined_at=now, expires_at=0.0)
            queue.record(telling.joined(ready, queue.next_seq(), now))
        elif telling.face(worker.ready) != telling.face(ready):
            queue.record(telling.changed(ready, queue.next_seq(), now))
        queue.fleet.put(worker, peer, ready)
        self._renew(worker, now)
        queue.timers.at(worker.expires_at, 'worker', ready.worker)
        rules = queue.rules
        welcome = protocol.Welcome(boot=self._boot, heartbeat_s=rules.heartbeat_s, lease_ttl_s=rules.lease_ttl_s)
        queue.send(peer, welcome)
        self._adopt(worker, ready.runs, now)
        self._compare(worker, ready.runs, now)
        self._errands.remind(worker)
        self._send_off(worker)
        queue.tell_worker(worker)
        queue.changed = True

    def _works_elsewhere(self, worker: Worker, peer: Peer, ready: protocol.Ready, now: float) -> bool:
        """Whether one key is used on two machines, whose workers would drive each other out for ever.

        The one that was there first is asked whether it still is. Meanwhile the other waits: it comes again with its
        next heartbeat.
        """
        theirs = worker.ready
        if not peer.machine or worker.gone or theirs.session == ready.session or theirs.host == ready.host:
            return False
        lease_s = self._queue.rules.lease_ttl_s
        if worker.doubted_at < now - lease_s:  # never, or about somebody who did not come again
            worker.doubted_at = 0.0
        if worker.doubted_at and worker.expires_at - lease_s > worker.doubted_at:  # it was heard since
            worker.doubted_at = 0.0
            self._queue.send(peer, protocol.TurnedAway(detail=TWICE.format(name=ready.worker)))
        else:
            worker.doubted_at = worker.doubted_at or now
            self._queue.send(worker.peer, protocol.Beat())
        return True

    def _send_off(self, worker: Worker) -> None:
        """It was asked to leave before the broker was started anew, and may not have heard it."""
        asked = self._retired.pop(worker.ready.worker, None)
        if asked is not None and asked.session == worker.ready.session:
            worker.draining, worker.leave = True, protocol.Leave(grace_s=asked.grace_s)
            self._queue.send(worker.peer, worker.leave)

    def _feel(self, worker: Worker, told: vitals.Vitals | None, now: float) -> None:
        """How its machine is, and when its engine last spoke: for everybody who looks, and for no log."""
        if told is not None:
            worker.vitals = vitals.sound(told)
            worker.started_at = now - worker.vitals.up_s
        if told is not None or worker.last_token_at > worker.told_token_at + 1.0:
            self._queue.tell_worker(worker)

    def _let_go(self, worker: Worker, reason: str, now: float) -> None:
        """It leaves, and nothing is known against what it ran."""
        for run in list(worker.runs.values()):
            self._queue.hand_back(run, now)
        self._leave(worker, reason, now)

    def _leave(self, worker: Worker, reason: str, now: float) -> None:
        queue = self._queue
        self._errands.gone(worker, now)
        queue.fleet.remove(worker)
        left = facts.WorkerLeft(
            seq=queue.next_seq(),
            at=now,
            worker=worker.ready.worker,
            reason=reason,  # type: ignore[arg-type]
        )
        queue.record(left)
        queue.changed = True

    def _renew(self, worker: Worker, now: float) -> None:
        worker.expires_at = now + self._queue.rules.lease_ttl_s

    # what it holds

    def _adopt(self, worker: Worker, held: tuple[protocol.Run, ...], now: float) -> None:
        """After a restart of the broker: the leases of a worker that shows its runs are its own again.

        What it ought to have and does not show begins anew, with a new epoch: of the old one readers may have lines
        that nobody can give again.
        """
        shown = {(run.job_id, run.epoch) for run in held}
        for run in [run for run in self._queue.runs.values() if run.session == '']:
            if (run.job.job_id, run.epoch) in shown:
                run.worker, run.session = worker.ready.worker, worker.ready.session
                worker.runs[run.job.job_id] = run
            elif run.worker == worker.ready.worker:
                self._queue.hand_back(run, now)

    def _compare(self, worker: Worker, held: tuple[protocol.Run, ...], now: float) -> None:
        """Bring what the worker holds and what we gave it together."""
        queue, shown = self._queue, set[str]()
        lease_end = now + queue.rules.lease_ttl_s
        for theirs in held:
            run = self.run_of(worker, theirs.job_id, theirs.epoch)
            if run is None:
                queue.send(worker.peer, protocol.Stop(job_id=theirs.job_id, epoch=theirs.epoch, stale=True))
                continue
            shown.add(theirs.job_id)
            run.expires_at = lease_end
            if run.cancelling:
                queue.send(worker.peer, protocol.Stop(job_id=theirs.job_id, epoch=theirs.epoch))
            elif theirs.index > len(run.lines):
                self._ask_for_missing(worker, run, now)
        for run in worker.runs.values():
            if run.job.job_id not in shown and run.assigned_at < now - ASK_AGAIN_S:
                run.expires_at = lease_end
                if run.cancelling:
                    queue.tell_run(run, protocol.Stop(job_id=run.job.job_id, epoch=run.epoch))
                else:
                    queue.assign(worker, run)  # it never arrived; a second copy would do no harm

    def run_of(self, worker: Worker, job_id: str, epoch: int) -> Run | None:
        """The run, if this worker holds it: the epoch fences off what is stale."""
        run = worker.runs.get(job_id)
        return run if run is not None and run.epoch == epoch else None

    # how a run goes

    def serve_run(self, worker: Worker, message: OfRun, now: float) -> None:
        """Take in what is said about one run."""
        queue = self._queue
        run = self.run_of(worker, message.job_id, message.epoch)
        if isinstance(message, protocol.Tokens):
            if run is None:
                queue.send(worker.peer, protocol.Stop(job_id=message.job_id, epoch=message.epoch, stale=True))
            else:
                self.tokens(worker, run, message, now)
            return
        if run is not None:  # otherwise it was settled before
            if isinstance(message, protocol.Finished) and message.lines > len(run.lines) and not run.cancelling:
                self._ask_for_missing(worker, run, now)
                return
            self._outcome(run, message, now)
        queue.send(worker.peer, protocol.Settled(job_id=message.job_id, epoch=message.epoch))

    def _outcome(
        self, run: Run, message: protocol.Finished | protocol.Failed | protocol.Stopped | protocol.HandBack, now: float
    ) -> None:
        queue = self._queue
        match message:
            case protocol.HandBack():
                queue.hand_back(run, now)
            case _ if run.cancelling:  # whatever it ended with, the user was told that it is cancelled
                queue.settle(run, Move.STOP, facts.JobCancelled, message.usage, now)
            case protocol.Finished():
                queue.settle(run, Move.COMPLETE, facts.JobCompleted, message.usage, now)
            case protocol.Failed():
                self._failed(run, message, now)
            case protocol.Stopped():  # nobody asked for it: nothing is known against the job
                queue.hand_back(run, now)

    def tokens(self, worker: Worker, run: Run, message: protocol.Tokens, now: float) -> None:
        """Append to the run's lines what is new among these, and pass it on."""
        queue = self._queue
        run.expires_at = now + queue.rules.lease_ttl_s
        if run.cancelling:
            return
        have = len(run.lines)
        if message.index > have:
            self._ask_for_missing(worker, run, now)
            return
        lines = message.lines[have - message.index :]
        if not lines:
            return
        run.lines += lines
        run.size += sum(map(len, lines))
        limit = queue.rules.max_answer_bytes
        if run.size > limit:
            queue.send(worker.peer, protocol.Stop(job_id=message.job_id, epoch=run.epoch, stale=True))
            queue.die(run, 'answer_too_large', f'the answer is larger than {limit} bytes', now)
            return
        tokens = protocol.TokensOut(job_id=message.job_id, epoch=run.epoch, index=have, lines=tuple(lines))
        queue.do(Publish(protocol.token_topic(message.job_id), tokens))

    def _ask_for_missing(self, worker: Worker, run: Run, now: float) -> None:
        if run.asked_index == len(run.lines) and now < run.asked_at + ASK_AGAIN_S:
            return  # asked already, and the answer is on its way
        run.asked_at, run.asked_index = now, len(run.lines)
        message = protocol.Resend(job_id=run.job.job_id, epoch=run.epoch, index=len(run.lines))
        self._queue.send(worker.peer, message)

    def _failed(self, run: Run, message: protocol.Failed, now: float) -> None:
        job, trace = run.job, message.trace[-MAX_TRACE:]  # what was called last stands last
        job.failures += 1
        job.code, job.detail = message.code[:MAX_CODE], message.detail[:MAX_DETAIL]
        job.usage = intake.sound(message.usage)
        if not message.retryable or job.failures >= job.max_failures:
            self._queue.die(run, job.code, job.detail, now, trace=trace)
            return
        jitter = zlib.crc32(f'{job.job_id}:{job.failures}'.encode()) / 2**32  # ids are random, so this is too
        retry = self._queue.rules.retry.of(job.terms.retry_base_s, job.terms.retry_max_s)
        self._queue.postpone(run, retry.retry_at(job.failures, now, jitter), now, trace=trace)
