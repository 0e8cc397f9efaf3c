"""What the desk knows: a read model of the queue, fed with everything the broker publishes.

Pure: no sockets, no NiceGUI, and the time is an argument. ``apply`` takes one published item, ``restore`` a snapshot,
``fill`` lines that were asked for; what has to be read meanwhile is in ``take_needs``. Nobody is told anything before
``flush``, which ``feed`` calls at most every 50 ms: so a change is told once, however many tokens it took.
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable

import msgspec

from app import views
from app.jobs.lineup import Lineup
from app.listeners import Callback, Listeners, Unsubscribe
from app.roster import Departed, Roster
from app.tap import Tap
from app.views import Counts, EngineView, JobView, ModelView
from broker import facts, protocol
from broker.errand import Errand
from broker.job import State

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
    """The read model. ``now`` is unix seconds everywhere; left out, the clock is asked."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self.seq = 0  # facts up to this one are in
        self.boot = ''
        self.broker_alive = False
        self.pauses: set[tuple[str, str]] = set()  # scope and name of what is paused
        self.drains: set[tuple[str, str]] = set()  # those of them of which something still runs that is waited for
        self.lineup = Lineup()  # all that wait, by lane
        self.queue_version = 0  # rises with every change of any job but its text
        self.workers_version = 0
        self.staff_version = 0  # rises when a machine or an errand is told of
        self._clock = clock
        self._jobs: dict[str, JobView] = {}  # alive
        self._held: dict[str, JobView] = {}  # those of them that a worker has
        self._finished: OrderedDict[str, JobView] = OrderedDict()
        self._roster = Roster()
        self._places: dict[str, protocol.Place] = {}
        self._guessed: set[str] = set()  # jobs that began to wait after the last standing
        self._heard_at = 0.0
        self._needs: dict[str, Need] = {}
        self._asked: dict[str, JobView] = {}
        self._dirty: set[str] = set()
        self._over: list[JobView] = []  # ended and complete, not told yet
        self._told_queue = (0, 0.0)
        self._told_workers = (0, 0.0)
        self._told_staff = (0, 0.0)
        self._by_job: dict[str, Listeners] = {}
        self._taps: dict[str, list[Tap]] = {}
        self._on_queue = Listeners()
        self._on_workers = Listeners()
        self._on_staff = Listeners()
        self._on_ended = Listeners()

    # What pages ask

    def job(self, job_id: str) -> JobView | None:
        """A job that is alive or ended lately; None for one the board does not know (ask ``BrokerClient.get``)."""
        return self._jobs.get(job_id) or self._finished.get(job_id)

    def running(self) -> list[JobView]:
        """Jobs that a worker holds, longest first."""
        return sorted(self._held.values(), key=lambda job: (job.started_at, job.job_id))

    def waiting(self, limit: int | None = None) -> list[JobView]:
        """The first ``limit`` jobs that wait, next one first; last the stuck, the delayed, the blocked."""
        ids = self._places.keys() | self._guessed
        front = [self._jobs[job_id] for job_id in ids if job_id in self._jobs]
        if limit is None or len(front) < limit:
            front = list(self._jobs.values())
        return sorted((job for job in front if job.waits), key=_place_of)[:limit]

    def front(self) -> list[str]:
        """The ids of the jobs that go next, in the order in which they will, as far as the broker tells it."""
        ids = self._places.keys() | self._guessed
        found = [job for job_id in ids if (job := self._jobs.get(job_id)) is not None]
        return [job.job_id for job in sorted(filter(_goes_soon, found), key=_place_of)]

    def finished(self) -> list[JobView]:
        """Jobs that ended lately, newest first."""
        return list(reversed(self._finished.values()))

    def workers(self) -> list[protocol.WorkerInfo]:
        """The workers that are there, by name; ``busy`` counts the jobs they hold."""
        return self._roster.all(Counter(job.worker for job in self._held.values()))

    def departed(self) -> list[Departed]:
        """Workers that went since the desk began and did not come back, newest first."""
        return self._roster.departed()

    def errands(self) -> list[Errand]:
        """What workers do with their models now, and did lately; oldest first."""
        return self._roster.errands()

    def models(self) -> list[ModelView]:
        """The models to pick from, by name. The demo engine's are hidden while a real one can answer."""
        return self._roster.models()

    def engine(self) -> EngineView:
        """What answers now: a real engine that works, else the demo, else a real one with its problem."""
        return self._roster.engine()

    def counts(self) -> Counts:
        """Figures for the status bar. Jobs and slots; tokens/s is the sum over what runs now."""
        return Counts(
            waiting=len(self._jobs) - len(self._held),
            running=len(self._held),
            workers=len(self._roster),
            slots=self._roster.slots(),
            tokens_per_s=sum(job.tokens_per_s for job in self._held.values()),
        )

    def subscribe(self, job_id: str, callback: Callback) -> Unsubscribe:
        """Call back (without arguments) after this job changed, text included, at most every 50 ms."""
        listeners = self._by_job.setdefault(job_id, Listeners())
        return listeners.add(callback, when_empty=lambda: self._by_job.pop(job_id, None))

    def tap(self, job_id: str, wake: Callable[[], object]) -> Tap:
        """The lines of a job from now on, each as soon as it is here; open it before the job is submitted."""
        tap = Tap(job_id, wake)
        taps = self._taps.setdefault(job_id, [])
        taps.append(tap)

        def close() -> None:
            if tap in taps:
                taps.remove(tap)
                if not taps and self._taps.get(job_id) is taps:
                    del self._taps[job_id]

        tap.close = close
        return tap

    def name_of(self, model: str) -> str:
        """The model as a worker announced it that this name means; '' where nobody has it."""
        return self._roster.name_of(model)

    def model(self, name: str) -> ModelView | None:
        """The model that was announced by this name; None where nobody has it."""
        return self._roster.model(name)

    def on_queue(self, callback: Callback) -> Unsubscribe:
        """Call back after any job came, went, moved or changed its state; at most 4 times a second."""
        return self._on_queue.add(callback)

    def on_workers(self, callback: Callback) -> Unsubscribe:
        """Call back after workers, models, the engine or ``broker_alive`` changed; at most 4 times a second."""
        return self._on_workers.add(callback)

    def on_staff(self, callback: Callback) -> Unsubscribe:
        """Call back after news of how machines are, or of errands; at most 4 times a second."""
        return self._on_staff.add(callback)

    def on_ended(self, callback: Callable[[JobView], object]) -> Unsubscribe:
        """Call back once per job that ended, with its view, when its answer is complete (``job.ended`` is the fact)."""
        return self._on_ended.add(callback)

    # What the feed brings

    def restore(self, snapshot: protocol.Snapshot, now: float | None = None) -> None:
        """Take over all that is alive at ``snapshot.seq``; what the board knows of the answers stays."""
        now = self._clock() if now is None else now
        self.seq = snapshot.seq
        self._dirty |= self._jobs.keys()
        known, self._jobs, self._held = self._jobs, {}, {}
        for job in snapshot.jobs:
            old, view = known.get(job.job_id), JobView(job)
            if old is not None:
                view.version, view.requeue_reason, view.resident = old.version, old.requeue_reason, old.resident
                view.moved = old.moved or view.priority != old.priority
                view.priority_rule = '' if view.moved else view.priority_rule
                if old.epoch == view.epoch:
                    view.answer = old.answer
            self._jobs[job.job_id] = view
            self._dirty.add(job.job_id)
            if view.held:
                self._held[job.job_id] = view
                self._ask(view, now)
        for job_id in known.keys() & self._taps.keys():
            if self.job(job_id) is None:
                self._tell_taps(job_id, Tap.lose)
        self._roster.restore(snapshot.workers, snapshot.errands)
        self.pauses = {(pause.scope, pause.name) for pause in snapshot.pauses}
        self.drains = {(pause.scope, pause.name) for pause in snapshot.pauses if pause.draining}
        self.lineup.begin(list(self._jobs.values()))
        self._guess_places()
        self.queue_version += 1
        self.workers_version += 1
        self.staff_version += 1
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
            case protocol.WorkerOut():
                self.workers_version += self._roster.tell(item.worker)
                self.staff_version += 1
            case protocol.ErrandOut():
                self._roster.take_errand(item.errand)
                self.staff_version += 1
            case protocol.Pulse():
                self.boot = item.boot

    def fill(self, lines: protocol.Lines, now: float | None = None) -> None:
        """Take in lines that were asked for (all there are from ``lines.index`` on)."""
        now = self._clock() if now is None else now
        job = self._answered(lines.job_id)
        if job is None:
            return
        self._take_lines(lines.job_id, lines.epoch, lines.index, lines.lines, now, live=False)
        if job.final and not job.complete:
            if lines.ended and job.epoch == lines.epoch:
                self._complete(job)  # there is no more, even if the fact promised it
            else:
                self._asked.setdefault(job.job_id, job).asked_at = now  # ``tick`` asks again

    def cannot_fill(self, job_id: str) -> None:
        """The broker does not have this answer any more: what is here is all there will be."""
        job = self._answered(job_id)
        if job is not None and job.final:
            self._complete(job)

    def take_needs(self) -> list[Need]:
        """What has to be read now; each need is handed out once, and again when nothing came of it."""
        needs, self._needs = list(self._needs.values()), {}
        return needs

    def hear(self, now: float) -> None:
        """The broker gave a sign of life."""
        self._heard_at = now
        if not self.broker_alive:
            self._set_alive(True)

    def tick(self, now: float | None = None) -> None:
        """Notice silence, changed speeds, and what was asked for and did not come."""
        now = self._clock() if now is None else now
        if self.broker_alive and now - self._heard_at > SILENCE_S:
            self._set_alive(False)
        for job in self._held.values():
            if job.answer.lines != job.lines_at_tick:
                job.lines_at_tick = job.answer.lines
                self.queue_version += 1
        for job in list(self._asked.values()):
            if now - job.asked_at > ASK_AGAIN_S:
                self._answered(job.job_id)
                if self.job(job.job_id) is job:
                    self._ask(job, now)

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
        self._told_staff = _tell(self._on_staff, self.staff_version, self._told_staff, now)

    @property
    def _versions(self) -> tuple[int, int, int]:
        return self.queue_version, self.workers_version, self.staff_version

    @property
    def restless(self) -> bool:
        """Whether ``flush`` has something to tell, now or after the queue-level pause."""
        told = (self._told_queue[0], self._told_workers[0], self._told_staff[0])
        return bool(self._dirty or self._over or told != self._versions)

    # How it learns

    def _learn(self, fact: facts.AnyFact, now: float) -> None:
        if isinstance(fact, facts.WorkerFact):
            self._roster.learn(fact)
            self.workers_version += 1
            return
        if not isinstance(fact, facts.JobFact):
            self._pause(fact)
            return
        job = self._jobs.get(fact.job_id)
        if job is not None:
            job.learn(fact)
            if isinstance(fact, facts.JobStarted):
                job.engine = self._roster.engine_of(fact.worker)
            elif isinstance(fact, facts.JobPriorityChanged):
                self._places.pop(fact.job_id, None)
                job.ahead = None
        elif isinstance(fact, facts.JobQueued):
            job = self._jobs[fact.job_id] = views.queued(fact)
        elif isinstance(fact, facts.JobEnded) and fact.job_id not in self._finished:
            job = views.ended(fact)  # it ended while the snapshot was on its way
        else:
            return
        self.queue_version += 1
        self._dirty.add(fact.job_id)
        self.lineup.take(job)
        if job.state is State.WAITING and job.ahead is None:
            self._place(job)
        self._tell_taps_of(job, fact)
        if job.held:
            self._held[fact.job_id] = job
        else:
            self._held.pop(fact.job_id, None)
        if isinstance(fact, facts.JobEnded):
            self._end(job, fact, now)

    def _tell_taps_of(self, job: JobView, fact: facts.JobFact) -> None:
        for tap in tuple(self._taps.get(job.job_id, ())):
            if tap.position is None and isinstance(fact, facts.JobQueued):
                tap.position = job.ahead or 0
            if isinstance(fact, facts.JobRequeued):
                tap.begin_again(fact.detail or fact.reason)
            tap.poke()

    def _tell_taps(self, job_id: str, what: Callable[..., None], *args: object) -> None:
        for tap in tuple(self._taps.get(job_id, ())):
            what(tap, *args)

    def _end(self, job: JobView, fact: facts.JobEnded, now: float) -> None:
        self._jobs.pop(job.job_id, None)
        self._finished[job.job_id] = job
        if job.answer.lines >= fact.lines:
            self._complete(job)
        else:
            self._ask(job, now)
        for old in list(self._finished.values())[: max(0, len(self._finished) - KEEP_FINISHED)]:
            if old.complete:
                del self._finished[old.job_id]

    def _complete(self, job: JobView) -> None:
        if not job.complete:
            job.complete = True
            self._answered(job.job_id)
            self._over.append(job)
            self._dirty.add(job.job_id)
            if job.ended is not None:
                self._tell_taps(job.job_id, Tap.end, job.ended)

    def _take_lines(
        self, job_id: str, epoch: int, index: int, lines: tuple[bytes, ...], now: float, *, live: bool = True
    ) -> None:
        job = self.job(job_id)
        if job is None or job.complete or epoch < job.epoch:
            return
        job.begin(epoch)
        have = job.answer.lines
        if fresh := job.answer.take(index, lines, now if live else None):
            self._dirty.add(job_id)
            self._tell_taps(job_id, Tap.give, epoch, have, fresh)
        if job.answer.gap:
            self._ask(job, now)
        elif job.ended is not None and job.answer.lines >= job.ended.lines:
            self._complete(job)

    def _ask(self, job: JobView, now: float) -> None:
        if job.job_id not in self._asked:
            job.asked_at = now
            self._asked[job.job_id] = job
            self._needs[job.job_id] = Need(job_id=job.job_id, epoch=job.epoch, index=job.answer.lines)

    def _answered(self, job_id: str) -> JobView | None:
        self._asked.pop(job_id, None)
        return self.job(job_id)

    def _stand(self, standing: protocol.Standing) -> None:
        places = {place.job_id: place for place in standing.places}
        if places != self._places:
            self.queue_version += 1
        for job_id in places.keys() | self._places.keys():
            job, place = self._jobs.get(job_id), places.get(job_id)
            if job is None or not job.waits:
                continue
            if job.stand(place):
                self._dirty.add(job_id)
                self._tell_taps(job_id, Tap.poke)
        self._places, self._guessed = places, set()

    def _pause(self, fact: facts.Fact) -> None:
        if not isinstance(fact, facts.Paused | facts.Resumed | facts.Drained):
            return  # of batches and schedules: nothing that is shown here
        what = (fact.scope, fact.name)
        self.drains.discard(what)
        if isinstance(fact, facts.Paused):
            self.pauses.add(what)
            self.drains |= {what} if fact.draining else set()
        elif isinstance(fact, facts.Resumed):
            self.pauses.discard(what)
        self.queue_version += 1

    def _place(self, job: JobView) -> None:
        """Where a job that just began to wait stands, until the broker tells; it may have told already."""
        place = self._places.get(job.job_id)
        if place is not None:
            job.stand(place)
            return
        self._guessed.add(job.job_id)
        if len(self._jobs) > 2 * protocol.STANDING_LIMIT:
            job.ahead = protocol.STANDING_LIMIT
        else:
            job.reason = 'ahead' if self._roster.serves(job.model) else 'no_worker'
            others = (other for other in self._jobs.values() if other.state is State.WAITING and other is not job)
            job.ahead = sum(other.reason == job.reason and _turn(other) < _turn(job) for other in others)

    def _guess_places(self) -> None:
        """The standing until the broker tells it, which it does when it changes."""
        first = stuck = 0
        self._places, self._guessed = {}, set()
        for job in sorted((job for job in self._jobs.values() if job.state is State.WAITING), key=_turn):
            if self._roster.serves(job.model):
                job.ahead, job.reason, first = min(first, protocol.STANDING_LIMIT), 'ahead', first + 1
            else:
                job.ahead, job.reason, stuck = min(stuck, protocol.STANDING_LIMIT), 'no_worker', stuck + 1

    def _set_alive(self, alive: bool) -> None:
        self.broker_alive = alive
        self.workers_version += 1
        self.queue_version += 1


def _goes_soon(job: JobView) -> bool:
    known = job.ahead is not None and job.ahead < protocol.STANDING_LIMIT
    return known and job.state is State.WAITING and job.reason == 'ahead'


def _place_of(job: JobView) -> tuple[int, float, int, float]:
    """Where it is shown: as the broker says, and a job it has not told about yet where its priority puts it."""
    if job.state is State.DELAYED:
        return 2, job.due_at, 0, 0.0
    if job.state is State.BLOCKED:
        return 3, job.queued_at, 0, 0.0
    ahead = float('inf') if job.ahead is None else job.ahead
    return (0 if job.reason in ('', 'ahead') else 1), ahead, -job.priority, job.queued_at


def _turn(job: JobView) -> tuple[int, float]:
    return -job.priority, job.queued_at


def _tell(listeners: Listeners, version: int, told: tuple[int, float], now: float) -> tuple[int, float]:
    if version == told[0] or 0 <= now - told[1] < QUEUE_EVERY_S:
        return told
    listeners.call()
    return version, now
