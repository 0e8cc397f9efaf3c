"""Where everybody stands: what is told about the wait, from the order that dispatches."""

import itertools
import math
from collections.abc import Iterator, Mapping

from broker import protocol
from broker.fleet import Fleet
from broker.forecast import Durations, Slot, Start, forecast
from broker.job import Job
from broker.limits import Gate
from broker.order import Waiting
from broker.pauses import Pauses

MAX_SLOTS = 256  # looked at for a forecast


class Standings:
    """Reads what the core keeps, and remembers what was told first about each job."""

    def __init__(
        self,
        jobs: Mapping[str, Job],
        waiting: Waiting,
        fleet: Fleet,
        *,
        gate: Gate,
        pauses: Pauses,
        durations: Durations,
    ) -> None:
        self._jobs = jobs
        self._waiting = waiting
        self._fleet = fleet
        self._gate = gate
        self._pauses = pauses
        self._durations = durations
        self._told: dict[str, tuple[float, float]] = {}

    def ahead_of(self, job: Job, now: float) -> int:
        """How many jobs start before this one, counted up to the limit of what is told."""
        return self._waiting.ahead_of(job, self._fleet.serves, protocol.STANDING_LIMIT, now)

    def places(self, now: float) -> Iterator[protocol.Place]:
        """The front of the queue, then the front of what no worker can run, then what is held back."""
        limit = protocol.STANDING_LIMIT
        front = list(itertools.islice(self._waiting.in_order(self._fleet.serves, now), limit))
        starts = self._forecast(front, now)
        for ahead, job_id in enumerate(front):
            yield self._place(job_id, ahead, now, starts.get(job_id))
        stuck = self._waiting.in_order(lambda model: not self._fleet.serves(model), now)
        for ahead, job_id in enumerate(itertools.islice(stuck, limit)):
            yield protocol.Place(job_id=job_id, ahead=ahead, reason='no_worker')
        aside = itertools.chain(self._waiting.held(), self._waiting.skipped())
        for job_id in itertools.islice(aside, limit):
            yield self._place(job_id, 0, now, None)

    def told(self, job_id: str) -> tuple[float, float] | None:
        """The interval that was told first, for the last time: the job starts or ends now."""
        return self._told.pop(job_id, None)

    def _forecast(self, front: list[str], now: float) -> dict[str, Start]:
        """When the front of the queue will start, if no limit comes between."""
        if self._pauses.everything:
            return {}
        slots: list[Slot] = []
        for worker in self._fleet:
            if worker.draining or worker.gone or self._pauses.has('worker', worker.ready.worker):
                continue
            for run in worker.runs.values():
                rest = self._durations.rest(run.job.model, now - run.job.started_at)
                slots.append(Slot(worker.models, rest.mean_s, rest.variance))
            slots += [Slot(worker.models)] * (worker.ready.slots - len(worker.runs))
        line = [(job_id, self._jobs[job_id].model) for job_id in front]
        return forecast(line, slots[:MAX_SLOTS], self._durations)

    def _place(self, job_id: str, ahead: int, now: float, start: Start | None) -> protocol.Place:
        job = self._jobs[job_id]
        if self._is_paused(job):
            return protocol.Place(job_id=job_id, ahead=ahead, reason='paused')
        until = max(self._gate.open_at(), self._gate.model_at(job.model), self._gate.user_at(job.user))
        if until > now:
            not_before = until if until < math.inf else 0.0
            return protocol.Place(job_id=job_id, ahead=ahead, reason='limited', not_before=not_before)
        if start is None:
            return protocol.Place(job_id=job_id, ahead=ahead)
        interval = (now + start.earliest_s, now + start.latest_s)
        self._told.setdefault(job_id, interval)
        return protocol.Place(job_id=job_id, ahead=ahead, earliest_at=interval[0], latest_at=interval[1])

    def _is_paused(self, job: Job) -> bool:
        paused = self._pauses
        return (
            paused.everything
            or paused.has('model', job.model)
            or paused.has('user', job.user)
            or paused.has('priority', str(job.priority))
        )
