"""What the desk knows: a read model of the queue, fed with everything the broker publishes.

Pure: no sockets, no clock, no NiceGUI. ``apply`` takes one published item, ``restore`` a snapshot, ``fill`` lines that
were asked for; each returns or collects *needs* (``Need``), which ``pump`` fulfils by reading from the broker.
Nobody is told anything before ``flush``, which the pump calls at most every 50 ms: so a change is told once, however
many tokens it took. Views (``JobView`` …) are the board's own objects: read them, never write them.
"""

import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from app.answer import Answer
from app.listeners import Callback, Listeners, Unsubscribe
from app.views import Counts, EngineView, JobView, ModelView
from broker import facts, protocol
from broker.job import HELD_BY_WORKER, Job, State

KEEP_FINISHED = 200
QUEUE_EVERY_S = 0.25  # queue- and worker-level changes are told at most this often
SILENCE_S = 2.5  # the broker gives a pulse every second; after this long without one it is not there
ASK_AGAIN_S = 2.0


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """Please read this answer from ``index`` on and hand the lines to ``fill``."""

    job_id: str
    epoch: int
    index: int


class Board:
    """The read model. ``now`` is unix seconds everywhere."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self.seq = 0  # facts up to this one are in
        self.boot = ''
        self.broker_alive = False
        self.queue_version = 0  # rises with every change of any job but its text
        self.workers_version = 0
        self._clock = clock
        self._jobs: dict[str, JobView] = {}  # alive
        self._finished: OrderedDict[str, JobView] = OrderedDict()
        self._workers: dict[str, protocol.WorkerInfo] = {}
        self._places: dict[str, protocol.Place] = {}
        self._waiting = 0
        self._heard_at = 0.0
        self._needs: dict[str, Need] = {}
        self._dirty: set[str] = set()
        self._over: list[JobView] = []  # ended and complete, not told yet
        self._told_queue = (0, 0.0)
        self._told_workers = (0, 0.0)
        self._by_job: dict[str, Listeners] = {}
        self._on_queue = Listeners()
        self._on_workers = Listeners()
        self._on_ended = Listeners()

    # What pages ask

    def job(self, job_id: str) -> JobView | None:
        """A job that is alive or ended lately; None for one the board does not know (ask ``BrokerClient.get``)."""
        return self._jobs.get(job_id) or self._finished.get(job_id)

    def running(self) -> list[JobView]:
        """Jobs that a worker holds, longest first."""
        held = [job for job in self._jobs.values() if job.state in HELD_BY_WORKER]
        return sorted(held, key=lambda job: (job.started_at, job.job_id))

    def waiting(self) -> list[JobView]:
        """Jobs that wait, next one first; the delayed ones last, by the time they are due."""
        waiting = [job for job in self._jobs.values() if job.waits]
        return sorted(waiting, key=_turn)

    def finished(self) -> list[JobView]:
        """Jobs that ended lately, newest first."""
        return list(reversed(self._finished.values()))

    def workers(self) -> list[protocol.WorkerInfo]:
        """The workers that are there, by name."""
        return [self._workers[name] for name in sorted(self._workers)]

    def models(self) -> list[ModelView]:
        """The models to pick from, by name. The demo engine's are hidden while a real one can answer."""
        able = [worker for worker in self._workers.values() if not worker.problem and worker.models]
        if any(worker.engine != 'demo' for worker in able):
            able = [worker for worker in able if worker.engine != 'demo']
        found: dict[str, ModelView] = {}
        for worker in able:
            for model in worker.models:
                slots = worker.slots + (found[model.name].slots if model.name in found else 0)
                found[model.name] = ModelView(**msgspec.structs.asdict(model), slots=slots)
        return [found[name] for name in sorted(found)]

    def engine(self) -> EngineView:
        """What answers now: a real engine that works, else the demo, else a real one with its problem."""
        ranked = sorted(self._workers.values(), key=lambda worker: (bool(worker.problem), worker.engine == 'demo'))
        if not ranked:
            return EngineView()
        best = ranked[0]
        return EngineView(kind=best.engine, version=best.engine_version, problem=best.problem)

    def counts(self) -> Counts:
        """Figures for the status bar. Jobs and slots; tokens/s is the sum over what runs now."""
        running = [job for job in self._jobs.values() if job.state in HELD_BY_WORKER]
        return Counts(
            waiting=len(self._jobs) - len(running),
            running=len(running),
            workers=len(self._workers),
            slots=sum(worker.slots for worker in self._workers.values()),
            tokens_per_s=sum(job.tokens_per_s for job in running),
        )

    def subscribe(self, job_id: str, callback: Callback) -> Unsubscribe:
        """Call back (without arguments) after this job changed, text included, at most every 50 ms."""
        listeners = self._by_job.setdefault(job_id, Listeners())
        return listeners.add(callback, when_empty=lambda: self._by_job.pop(job_id, None))

    def on_queue(self, callback: Callback) -> Unsubscribe:
        """Call back after any job came, went, moved or changed its state; at most 4 times a second."""
        return self._on_queue.add(callback)

    def on_workers(self, callback: Callback) -> Unsubscribe:
        """Call back after workers, models, the engine or ``broker_alive`` changed; at most 4 times a second."""
        return self._on_workers.add(callback)

    def on_ended(self, callback: Callable[[JobView], object]) -> Unsubscribe:
        """Call back once per job that ended, with its view, when its answer is complete (``job.ended`` is the fact)."""
        return self._on_ended.add(callback)

    # What the pump brings

    def restore(self, snapshot: protocol.Snapshot, now: float | None = None) -> None:
        """Take over all that is alive at ``snapshot.seq``; what the board knows of the answers stays."""
        now = self._clock() if now is None else now
        self.seq = snapshot.seq
        alive = {job.job_id for job in snapshot.jobs}
        for job_id in [job_id for job_id in self._jobs if job_id not in alive]:
            self._dirty.add(job_id)
            del self._jobs[job_id]
        for job in snapshot.jobs:
            old, view = self._jobs.get(job.job_id), JobView(job)
            if old is not None and old.epoch == view.epoch:
                view.answer, view.version = old.answer, old.version
                view.requeue_reason, view.ahead, view.reason = old.requeue_reason, old.ahead, old.reason
            self._jobs[job.job_id] = view
            self._dirty.add(job.job_id)
            if view.state in HELD_BY_WORKER:
                self._ask(view, now)
        self._workers = {worker.worker: worker for worker in snapshot.workers}
        self.queue_version += 1
        self.workers_version += 1
        self.hear(now)

    def apply(self, item: protocol.AnyPublished, now: float | None = None) -> None:
        """Take in one published item. Facts the board has already are ignored."""
        now = self._clock() if now is None else now
        self.hear(now)
        match item:
            case protocol.FactOut(fact=fact):
                if fact.seq > self.seq:
                    self.seq = fact.seq
                    self._learn(fact, now)
            case protocol.TokensOut():
                self._take_lines(item.job_id, item.epoch, item.index, item.lines, now)
            case protocol.Standing():
                self._stand(item)
            case protocol.Pulse():
                self.boot = item.boot

    def fill(self, lines: protocol.Lines, now: float | None = None) -> None:
        """Take in lines that were asked for (all there are from ``lines.index`` on)."""
        now = self._clock() if now is None else now
        job = self.job(lines.job_id)
        if job is None:
            return
        job._asked_at = 0.0
        self._take_lines(lines.job_id, lines.epoch, lines.index, lines.lines, now, live=False)
        if lines.ended and job.final and job.epoch == lines.epoch:
            self._complete(job)  # there is no more, even if the fact promised it
        elif job.answer.gap:
            self._ask(job, now)

    def cannot_fill(self, job_id: str) -> None:
        """The broker does not have this answer any more: what is here is all there will be."""
        job = self.job(job_id)
        if job is not None and job.final:
            self._complete(job)

    def take_needs(self) -> list[Need]:
        """What has to be read now; each need is handed out once."""
        needs, self._needs = list(self._needs.values()), {}
        return needs

    def hear(self, now: float) -> None:
        """The broker gave a sign of life."""
        self._heard_at = now
        if not self.broker_alive:
            self.broker_alive = True
            self.workers_version += 1
            self.queue_version += 1

    def tick(self, now: float | None = None) -> None:
        """Notice silence, and ask again for what was not answered."""
        now = self._clock() if now is None else now
        if self.broker_alive and now - self._heard_at > SILENCE_S:
            self.broker_alive = False
            self.workers_version += 1
            self.queue_version += 1
        for job in [*self._jobs.values(), *self._finished.values()]:
            if job._asked_at and now - job._asked_at > ASK_AGAIN_S:
                self._ask(job, now, again=True)

    def flush(self, now: float | None = None) -> None:
        """Tell the listeners what changed since the last time."""
        now = self._clock() if now is None else now
        dirty, self._dirty = self._dirty, set()
        for job_id in dirty:
            job = self.job(job_id)
            if job is not None:
                job.version += 1
            if job_id in self._by_job:
                self._by_job[job_id].call()
        over, self._over = self._over, []
        for job in over:
            self._on_ended.call(job)
        self._told_queue = _tell(self._on_queue, self.queue_version, self._told_queue, now)
        self._told_workers = _tell(self._on_workers, self.workers_version, self._told_workers, now)

    @property
    def restless(self) -> bool:
        """Whether ``flush`` has something to tell, now or after the queue-level pause."""
        return bool(
            self._dirty
            or self._over
            or self._told_queue[0] != self.queue_version
            or self._told_workers[0] != self.workers_version
        )

    # How it learns

    def _learn(self, fact: facts.AnyFact, now: float) -> None:
        if isinstance(fact, facts.WorkerFact):
            self._learn_worker(fact)
            return
        if isinstance(fact, facts.JobQueued):
            self._jobs[fact.job_id] = JobView(_queued(fact))
        job = self._jobs.get(fact.job_id)
        if job is None:
            return
        self.queue_version += 1
        self._dirty.add(fact.job_id)
        match fact:
            case facts.JobStarted():
                self._start(job, fact)
            case facts.JobRequeued():
                self._requeue(job, fact)
            case facts.JobDue():
                job.state, job.due_at = State.WAITING, 0.0
            case facts.JobPriorityChanged():
                job.priority = fact.priority
            case facts.JobCancelRequested():
                job.state = State.CANCELLING
            case facts.JobEnded():
                self._end(job, fact, now)

    def _start(self, job: JobView, fact: facts.JobStarted) -> None:
        self._count_busy(job.worker if job.state in HELD_BY_WORKER else '', -1)
        job.state = State.RUNNING
        job.worker, job.starts, job.waited_s, job.started_at = fact.worker, fact.starts, fact.waited_s, fact.at
        job.ahead, job.reason, job.due_at = None, '', 0.0
        job.code = job.detail = ''
        if fact.epoch != job.epoch:
            job.epoch, job.answer = fact.epoch, Answer(fact.epoch)
        worker = self._workers.get(fact.worker)
        job.engine = worker.engine if worker else job.engine
        self._count_busy(fact.worker, +1)

    def _requeue(self, job: JobView, fact: facts.JobRequeued) -> None:
        self._count_busy(job.worker, -1)
        job.state = State.DELAYED if fact.reason == 'retry' else State.WAITING
        job.requeue_reason, job.due_at, job.worker = fact.reason, fact.due_at, ''
        job.failures, job.losses, job.code, job.detail = fact.failures, fact.losses, fact.code, fact.detail

    def _end(self, job: JobView, fact: facts.JobEnded, now: float) -> None:
        if job.state in HELD_BY_WORKER:
            self._count_busy(job.worker, -1)
        job.state = _END_STATES[type(fact)]
        job.ended, job.ended_at = fact, fact.at
        job.started_at, job.waited_s, job.ran_s = fact.started_at, fact.waited_s, fact.ran_s
        job.starts, job.failures, job.losses = fact.starts, fact.failures, fact.losses
        job.worker, job.engine, job.usage = fact.worker, fact.engine, fact.usage
        job.ahead, job.reason = None, ''
        if isinstance(fact, facts.JobDied):
            job.code, job.detail = fact.code, fact.detail
        else:
            job.code = job.detail = ''
        if fact.epoch != job.epoch:
            job.epoch, job.answer = fact.epoch, Answer(fact.epoch)
        del self._jobs[job.job_id]
        self._finished[job.job_id] = job
        if job.answer.lines >= fact.lines:
            self._complete(job)
        else:
            self._ask(job, now)
        self._forget_oldest()

    def _complete(self, job: JobView) -> None:
        if not job.complete:
            job.complete, job._asked_at = True, 0.0
            self._over.append(job)
            self._dirty.add(job.job_id)

    def _forget_oldest(self) -> None:
        for job in list(self._finished.values())[: max(0, len(self._finished) - KEEP_FINISHED)]:
            if job.complete:
                del self._finished[job.job_id]

    def _take_lines(
        self, job_id: str, epoch: int, index: int, lines: tuple[bytes, ...], now: float, *, live: bool = True
    ) -> None:
        job = self.job(job_id)
        if job is None or job.complete or epoch < job.epoch:
            return
        if epoch > job.epoch:
            job.epoch, job.answer = epoch, Answer(epoch)
        if job.answer.take(index, lines, now if live else None):
            self._dirty.add(job_id)
        if job.answer.gap:
            self._ask(job, now)
        elif job.ended is not None and job.answer.lines >= job.ended.lines:
            self._complete(job)

    def _ask(self, job: JobView, now: float, *, again: bool = False) -> None:
        if job._asked_at and not again:
            return
        job._asked_at = now
        self._needs[job.job_id] = Need(job_id=job.job_id, epoch=job.epoch, index=job.answer.lines)

    def _stand(self, standing: protocol.Standing) -> None:
        places = {place.job_id: place for place in standing.places}
        beyond = len(places) if standing.waiting > len(places) else None
        if places != self._places or standing.waiting != self._waiting:
            self.queue_version += 1
        self._places, self._waiting = places, standing.waiting
        for job in self._jobs.values():
            if not job.waits:
                continue
            place = places.get(job.job_id)
            ahead, reason = (place.ahead, place.reason) if place else (beyond, '')
            if (ahead, reason) != (job.ahead, job.reason):
                job.ahead, job.reason = ahead, reason
                self._dirty.add(job.job_id)

    def _learn_worker(self, fact: facts.WorkerFact) -> None:
        self.workers_version += 1
        match fact:
            case facts.WorkerJoined():
                self._workers[fact.worker] = protocol.WorkerInfo(
                    worker=fact.worker,
                    host=fact.host,
                    pid=fact.pid,
                    engine=fact.engine,
                    engine_version=fact.engine_version,
                    slots=fact.slots,
                    busy=sum(j.worker == fact.worker and j.state in HELD_BY_WORKER for j in self._jobs.values()),
                    models=fact.models,
                    problem=fact.problem,
                    joined_at=fact.at,
                )
            case facts.WorkerChanged() if fact.worker in self._workers:
                self._workers[fact.worker] = msgspec.structs.replace(
                    self._workers[fact.worker],
                    engine=fact.engine,
                    engine_version=fact.engine_version,
                    slots=fact.slots,
                    models=fact.models,
                    problem=fact.problem,
                )
            case facts.WorkerLeft():
                self._workers.pop(fact.worker, None)

    def _count_busy(self, name: str, by: int) -> None:
        worker = self._workers.get(name)
        if worker is not None:
            self._workers[name] = msgspec.structs.replace(worker, busy=max(0, worker.busy + by))


_END_STATES: dict[type[facts.JobEnded], State] = {
    facts.JobCompleted: State.COMPLETED,
    facts.JobCancelled: State.CANCELLED,
    facts.JobDied: State.DEAD,
}


def _queued(fact: facts.JobQueued) -> Job:
    return Job(
        job_id=fact.job_id,
        order=fact.seq,
        kind=fact.kind,
        model=fact.model,
        priority=fact.priority,
        queued_at=fact.at,
        user=fact.user,
        conversation_id=fact.conversation_id,
    )


def _turn(job: JobView) -> tuple[int, float, float, float, str]:
    if job.state is State.DELAYED:
        return 2, job.due_at, 0.0, 0.0, job.job_id
    return (1 if job.reason == 'no_worker' else 0), -job.priority, job.queued_at, 0.0, job.job_id


def _tell(listeners: Listeners, version: int, told: tuple[int, float], now: float) -> tuple[int, float]:
    if version == told[0] or now - told[1] < QUEUE_EVERY_S:
        return told
    listeners.call()
    return version, now
