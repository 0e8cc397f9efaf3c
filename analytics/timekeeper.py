"""Where the time of each job goes, told from the facts in their order: why it waited, and what it used of a machine.

Pure: facts go in, ``Times`` of the jobs that end and rows of two curves come out. All that it remembers is one
``State``, which the recorder keeps in the file, so that a restart goes on where it was.
"""

import math
from collections.abc import Mapping, Sequence

import msgspec

from analytics import absences
from broker import facts

TICK_S = 10.0  # the curves have a row at least so often while facts come …
MINUTE_S, HOUR_S = 60.0, 3600.0
LONG_S = 6 * HOUR_S  # … and one an hour for a time without facts as long as this
DEFAULT = 'default'


class Times(msgspec.Struct, kw_only=True):
    """What is known about a job that ended, besides its last fact. ``behind_s`` to ``retry_s`` make up its wait."""

    source: str = 'api'
    schedule: str = ''
    runner: str = ''
    body_bytes: int = 0
    due_at: float = 0.0
    resident: bool = False
    predicted_from: float = 0.0
    predicted_until: float = 0.0
    behind_s: float = 0.0
    limited_s: float = 0.0
    paused_s: float = 0.0
    no_worker_s: float = 0.0
    delayed_s: float = 0.0
    blocked_s: float = 0.0
    retry_s: float = 0.0
    gpu_s: float = 0.0
    energy_wh: float = 0.0


class Open(msgspec.Struct, kw_only=True):
    """A job that has not ended."""

    model: str
    user: str
    priority: int
    phase: str  # waiting, delayed, blocked, retry (it runs, or pauses before another attempt)
    since: float  # of this phase
    times: Times
    worker: str = ''  # where it runs
    clock_s: float = 0.0  # of that worker when it started


class Machine(msgspec.Struct, kw_only=True):
    """A worker. Its clock runs at one second per second, shared by the jobs that run there side by side."""

    slots: int = 0
    labels: tuple[str, ...] = ()
    running: int = 0
    at: float = 0.0
    clock_s: float = 0.0
    slot_s: float = 0.0
    busy_s: float = 0.0

    def advance(self, at: float) -> None:
        """Time passes."""
        passed = max(0.0, at - self.at)
        self.at = max(at, self.at)
        self.slot_s += passed * self.slots
        self.busy_s += passed * self.running
        if self.running:
            self.clock_s += passed / self.running


class Curve(msgspec.Struct, kw_only=True):
    """How many jobs wait, and the area under that since the last row."""

    waiting: int = 0
    most: int = 0
    at: float = 0.0
    area: float = 0.0

    def change(self, by: int, at: float) -> None:
        """So many more wait from now on."""
        self.advance(at)
        self.waiting = max(0, self.waiting + by)
        self.most = max(self.most, self.waiting)

    def advance(self, at: float) -> None:
        """Time passes."""
        self.area += self.waiting * max(0.0, at - self.at)
        self.at = max(at, self.at)


class State(msgspec.Struct, kw_only=True):
    """Everything that is remembered."""

    seq: int = 0
    at: float = 0.0  # until when the curves have rows
    jobs: dict[str, Open] = {}
    machines: dict[str, Machine] = {}
    curves: dict[str, Curve] = {}  # by model; '' is all
    away: absences.Absences = msgspec.field(default_factory=absences.Absences)
    gone: bool = False  # a worker went since the last rows, and its slots are to be told

    def waiting(self, models: Sequence[str] = ()) -> int:
        """How many jobs wait, of all models or of these."""
        return sum(self.curves[model].waiting for model in models or ('',) if model in self.curves)

    def slots(self, workers: Sequence[str] = ()) -> tuple[int, int]:
        """How many slots there are, and how many are busy, of all workers or of these."""
        machines = [each for name, each in self.machines.items() if not workers or name in workers]
        return sum(each.slots for each in machines), sum(each.running for each in machines)


Rows = dict[str, list[tuple[object, ...]]]  # by table: depth and slots


class Timekeeper:
    """Feed it every fact once, in order. ``watts`` is by worker, by label, or ``default``."""

    def __init__(self, state: State | None = None, watts: Mapping[str, float] | None = None) -> None:
        self.state = state or State()
        self._watts = watts or {}
        self._rows: Rows = {'depth': [], 'slots': []}

    @classmethod
    def from_bytes(cls, data: bytes, watts: Mapping[str, float] | None = None) -> 'Timekeeper':
        """As ``to_bytes`` left it; raises ``msgspec.MsgspecError`` for anything else."""
        return cls(msgspec.msgpack.decode(data, type=State), watts)

    def to_bytes(self) -> bytes:
        """All that is remembered."""
        return msgspec.msgpack.encode(self.state)

    def feed(self, batch: Sequence[facts.AnyFact]) -> tuple[list[Times], Rows]:
        """What these facts tell: the times of the jobs that ended, in order, and rows of the curves."""
        times: list[Times] = []
        for fact in batch:
            self._draw(fact.at)
            match fact:
                case facts.JobEnded():
                    times.append(self._ended(fact))
                case facts.JobFact():
                    self._moved(fact)
                case facts.WorkerFact():
                    self._worker(fact)
                case facts.Paused() | facts.Resumed():
                    self.state.away.paused(fact.scope, fact.name, fact.at, isinstance(fact, facts.Paused))
            self.state.seq = fact.seq
        rows, self._rows = self._rows, {'depth': [], 'slots': []}
        return times, rows

    # --- jobs --------------------------------------------------------------------------------------------------------

    def _moved(self, fact: facts.JobFact) -> None:
        if isinstance(fact, facts.JobQueued):
            return self._queued(fact)
        job = self.state.jobs.get(fact.job_id)
        if job is None:  # it was queued before the first fact that the queue still has
            return None
        match fact:
            case facts.JobStarted():
                self._close(job, fact.at, fact.limited_s)
                job.phase, job.since, job.worker = 'retry', fact.at, fact.worker
                machine = self._machine(fact.worker, fact.at)
                machine.running += 1
                job.clock_s = machine.clock_s
                job.times.predicted_from, job.times.predicted_until = fact.predicted_from, fact.predicted_until
                job.times.resident = fact.resident
            case facts.JobRequeued():
                self._close(job, fact.at)
                self._leave(job, fact.at)
                self._enter(job, 'retry' if fact.due_at > fact.at else 'waiting', fact.at)
            case facts.JobDue() | facts.JobUnblocked():
                self._close(job, fact.at)
                self._enter(job, 'waiting', fact.at)
            case facts.JobPriorityChanged():
                job.priority = fact.priority
        return None

    def _queued(self, fact: facts.JobQueued) -> None:
        times = Times(
            source=_source(fact),
            schedule=fact.schedule,
            runner=fact.runner,
            body_bytes=fact.body_bytes,
            due_at=fact.due_at,
        )
        job = Open(
            model=fact.model, user=fact.user, priority=fact.priority, phase='waiting', since=fact.at, times=times
        )
        self.state.jobs[fact.job_id] = job
        self._enter(job, 'blocked' if fact.blocked_by else 'delayed' if fact.due_at > fact.at else 'waiting', fact.at)

    def _ended(self, fact: facts.JobEnded) -> Times:
        job = self.state.jobs.pop(fact.job_id, None)
        if job is None:
            return Times(source=_source(fact), behind_s=fact.waited_s)
        times = job.times
        if job.worker:
            self._leave(job, fact.at)
            return times
        self._close(job, fact.at)
        if fact.starts:  # it ended between two attempts: its wait is told until the last start only
            parts = times.behind_s + times.limited_s + times.paused_s + times.no_worker_s
            parts += times.delayed_s + times.blocked_s + times.retry_s
            times.retry_s = max(0.0, times.retry_s - max(0.0, parts - fact.waited_s))
        return times

    def _enter(self, job: Open, phase: str, at: float) -> None:
        job.phase, job.since = phase, at
        if phase == 'waiting':
            self._curve('', at).change(1, at)
            self._curve(job.model, at).change(1, at)

    def _close(self, job: Open, at: float, limited_s: float = 0.0) -> None:
        """The phase is over."""
        times, passed = job.times, max(0.0, at - job.since)
        match job.phase:
            case 'delayed':
                times.delayed_s += passed
            case 'blocked':
                times.blocked_s += passed
            case 'retry':
                times.retry_s += passed
            case 'waiting':
                self._curve('', at).change(-1, at)
                self._curve(job.model, at).change(-1, at)
                paused, no_worker = self.state.away.during(job.since, at, job.model, job.user, job.priority)
                limited = min(limited_s, max(0.0, passed - paused - no_worker))
                times.paused_s += paused
                times.no_worker_s += no_worker
                times.limited_s += limited
                times.behind_s += max(0.0, passed - paused - no_worker - limited)

    def _leave(self, job: Open, at: float) -> None:
        """It runs no more."""
        machine = self._machine(job.worker, at)
        machine.running = max(0, machine.running - 1)
        used_s = machine.clock_s - job.clock_s
        job.times.gpu_s += used_s
        job.times.energy_wh += used_s / HOUR_S * self._watts_of(job.worker, machine.labels)
        if not machine.slots and not machine.running:
            self._forget(job.worker, machine)
        job.worker = ''

    def _watts_of(self, worker: str, labels: tuple[str, ...]) -> float:
        for name in (worker, *labels, DEFAULT):
            if name in self._watts:
                return self._watts[name]
        return 0.0

    # --- workers -----------------------------------------------------------------------------------------------------

    def _worker(self, fact: facts.WorkerFact) -> None:
        machine = self._machine(fact.worker, fact.at)
        match fact:
            case facts.WorkerJoined() | facts.WorkerChanged():
                machine.slots, machine.labels = fact.slots, fact.labels
                models = () if fact.problem else tuple(model.name for model in fact.models if not model.problem)
                self.state.away.serves(fact.worker, models, fact.at)
            case facts.WorkerLeft():
                machine.slots = 0
                self.state.away.serves(fact.worker, (), fact.at)
                if not machine.running:
                    self._forget(fact.worker, machine)

    def _machine(self, worker: str, at: float) -> Machine:
        machine = self.state.machines.get(worker)
        if machine is None:
            machine = self.state.machines[worker] = Machine(at=at)
        machine.advance(at)
        return machine

    def _forget(self, worker: str, machine: Machine) -> None:
        """It is gone; what it did since the last row counts still."""
        if machine.slot_s or machine.busy_s:
            span_s = max(machine.at - self.state.at, 0.0)
            self._rows['slots'].append((self.state.at, span_s, worker, machine.slot_s, machine.busy_s))
            total = (self.state.at, 0.0, '', machine.slot_s, machine.busy_s)  # the others give the span
            self._rows['slots'].append(total)
            self.state.gone = True
        del self.state.machines[worker]

    # --- curves ------------------------------------------------------------------------------------------------------

    def _curve(self, model: str, at: float) -> Curve:
        curve = self.state.curves.get(model)
        if curve is None:
            curve = self.state.curves[model] = Curve(at=at)
        return curve

    def _draw(self, at: float) -> None:
        """Rows up to this time, where it is time for them."""
        state = self.state
        if not state.at:
            state.at = at
        while (boundary := _boundary(state.at, at)) <= at:
            span_s = boundary - state.at
            self._draw_curves(boundary, span_s)
            self._draw_slots(boundary, span_s)
            state.at = boundary

    def _draw_curves(self, until: float, span_s: float) -> None:
        for model, curve in list(self.state.curves.items()):
            curve.advance(until)
            if not model or curve.area or curve.most:
                self._rows['depth'].append((self.state.at, span_s, model, curve.area, curve.most))
            curve.area, curve.most = 0.0, curve.waiting
            if model and not curve.waiting:
                del self.state.curves[model]

    def _draw_slots(self, until: float, span_s: float) -> None:
        slot_s = busy_s = 0.0
        for worker, machine in self.state.machines.items():
            machine.advance(until)
            self._rows['slots'].append((self.state.at, span_s, worker, machine.slot_s, machine.busy_s))
            slot_s, busy_s = slot_s + machine.slot_s, busy_s + machine.busy_s
            machine.slot_s = machine.busy_s = 0.0
        if self.state.machines or self.state.gone:
            self._rows['slots'].append((self.state.at, span_s, '', slot_s, busy_s))
        self.state.gone = False


def _boundary(begun: float, at: float) -> float:
    gap_s = at - begun
    step_s = TICK_S if gap_s < MINUTE_S else MINUTE_S if gap_s < LONG_S else HOUR_S
    return (math.floor(begun / step_s) + 1) * step_s


def _source(fact: facts.JobQueued | facts.JobEnded) -> str:
    """Where a job came from, as far as facts tell."""
    if getattr(fact, 'schedule', ''):
        return 'schedule'
    return 'batch' if fact.parent else 'chat' if fact.conversation_id else 'api'
