"""Where everybody stands: what is told about the wait, from the order that dispatches."""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from broker import protocol
from broker.backend import Backend, canonical
from broker.calibration import Calibration
from broker.durations import Durations, Strata, Traits, traits_of
from broker.fleet import Fleet
from broker.forecast import Forecast, Slot, Start, shuffled
from broker.job import Job
from broker.limits import Gate
from broker.order import Waiting
from broker.pauses import Pauses
from broker.playback import Playback, in_order

MAX_SLOTS = 256  # looked at for a forecast
WORTH_CHANGING_S = 5.0  # another model is named when it would start so much sooner …
WORTH_CHANGING = 0.6  # … and be done in this part of the time


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
        self.stale_at = math.inf  # then what was told last about somebody's start is over, and nobody has started
        self._told: dict[str, Told] = {}
        self._calibration = Calibration()

    def ahead_of(self, job: Job, now: float) -> int:
        """How many jobs start before this one, counted up to the limit of what is told."""
        limit = protocol.STANDING_LIMIT
        front = itertools.islice(self._front(*self._play(now)), limit)
        return next((ahead for ahead, (job_id, _) in enumerate(front) if job_id == job.job_id), limit)

    def places(self, now: float) -> Iterator[protocol.Place]:
        """The front of the queue, then the front of what no worker can run, then what is held back."""
        self.stale_at = math.inf
        limit = protocol.STANDING_LIMIT
        playback, forecast = self._play(now)
        front = list(itertools.islice(self._front(playback, forecast), limit))
        others = Others(forecast, self._fleet) if not self._pauses.everything else None
        for ahead, (job_id, start) in enumerate(front):
            yield self._place(job_id, ahead, now, start, others)
        stuck = in_order(self._waiting, lambda model: not self._fleet.serves(model), now)
        for ahead, job_id in enumerate(itertools.islice(stuck, limit)):
            yield self._stuck(job_id, ahead, now, others)
        aside = itertools.chain(self._waiting.held(), self._waiting.skipped())
        for job_id in itertools.islice(aside, limit):
            yield self._place(job_id, 0, now, None, None)

    def started(self, job_id: str, now: float) -> tuple[float, float] | None:
        """The job starts: the interval that was told first. What is told to others gets better by it."""
        told = self._told.pop(job_id, None)
        if told is None:
            return None
        self._calibration.learn(told.interval, now - told.at, self._jobs[job_id].priority)
        return told.at + told.interval.earliest_s, told.at + told.interval.latest_s

    def gone(self, job_id: str) -> None:
        """The job ended; nothing is told about it any more."""
        self._told.pop(job_id, None)

    def _play(self, now: float) -> tuple[Playback, Forecast]:
        playback = Playback(self._waiting, now)
        return playback, Forecast(playback, self._slots(now), self._durations, self._kind)

    def _front(self, playback: Playback, forecast: Forecast) -> Iterator[tuple[str, Start | None]]:
        """In the order in which they start; then those of which nothing can be said, because all slots are away."""
        for start in forecast.starts():
            yield start.job_id, start
        while (turn := playback.next(self._fleet.serves)) is not None:
            yield turn.job_id, None

    def _slots(self, now: float) -> list[Slot]:
        """Where jobs will run, and when, if no limit comes between."""
        if self._pauses.everything:
            return []
        slots: list[Slot] = []
        backends: dict[int, Backend] = {}
        for worker in self._fleet:
            if worker.draining or worker.gone or worker.out_of_order or self._pauses.has('worker', worker.ready.worker):
                continue
            backend = backends.setdefault(id(worker.backend), worker.backend.copy())
            for run in worker.runs.values():
                slots.append(Slot(worker.models, backend, self._rest(run.job, now)))
            slots += [Slot(worker.models, backend)] * (worker.ready.slots - len(worker.runs))
        return slots[:MAX_SLOTS]

    def _rest(self, job: Job, now: float) -> Strata:
        """What is left of a job that runs, in each scenario."""
        known, elapsed_s = self._durations.of(traits_of(job)), now - job.started_at
        # Those who outlast all that was known may well do so for the same reason: then all are long, or none.
        return shuffled(known.rest(elapsed_s), job.order if known.has(elapsed_s) else 0)

    def _kind(self, job_id: str) -> tuple[Traits, int]:
        job = self._jobs[job_id]
        return traits_of(job), job.order

    def _place(
        self, job_id: str, ahead: int, now: float, start: Start | None, others: 'Others | None'
    ) -> protocol.Place:
        job = self._jobs[job_id]
        if self._is_paused(job) or (start is None and self._fleet.paused(job.model, self._pauses)):
            return protocol.Place(job_id=job_id, ahead=ahead, reason='paused')
        until = max(self._gate.open_at(), self._gate.model_at(job.model), self._gate.user_at(job.user))
        if until > now:
            not_before = until if until < math.inf else 0.0
            return protocol.Place(job_id=job_id, ahead=ahead, reason='limited', not_before=not_before)
        if start is None:
            return protocol.Place(job_id=job_id, ahead=ahead)
        sure = self._calibration.of(start, job.priority)
        interval = (now + sure.earliest_s, now + sure.latest_s)
        self.stale_at = min(self.stale_at, interval[1])
        if job_id not in self._told:
            self._told[job_id] = Told(sure, now)
        done_s = start.likely_s + start.load_s + self._durations.of(traits_of(job)).mean_s
        other = others.sooner(job, start.likely_s, done_s) if others is not None else None
        return protocol.Place(
            job_id=job_id,
            ahead=ahead,
            earliest_at=interval[0],
            latest_at=interval[1],
            load_s=start.load_s,
            alternative=other.model if other else '',
            alternative_at=now + other.start_s if other else 0.0,
        )

    def _stuck(self, job_id: str, ahead: int, now: float, others: 'Others | None') -> protocol.Place:
        job = self._jobs[job_id]
        other = others.sooner(job, math.inf, math.inf) if others is not None else None
        return protocol.Place(
            job_id=job_id,
            ahead=ahead,
            reason='no_worker',
            hint=self._fleet.hint(job.model),
            alternative=other.model if other else '',
            alternative_at=now + other.start_s if other else 0.0,
        )

    def _is_paused(self, job: Job) -> bool:
        paused = self._pauses
        return (
            paused.everything
            or paused.has('model', job.model)
            or paused.has('user', job.user)
            or paused.has('priority', str(job.priority))
        )


class Told(NamedTuple):
    """What a job was told first, and when."""

    interval: Start
    at: float


class Other(NamedTuple):
    """A model that could answer, and when a job for it would start and be done, seconds from now."""

    model: str
    start_s: float
    done_s: float


class Others:
    """What the models could do for one job more, behind all that the forecast has seen."""

    def __init__(self, forecast: Forecast, fleet: Fleet) -> None:
        known = {info.name: info for worker in fleet for info in worker.ready.models}
        self._abilities = {name: frozenset(info.capabilities) for name, info in known.items()}
        self._all = sorted(
            (Other(name, *forecast.answer_s(name)) for name in known if fleet.serves(name)),
            key=lambda other: other.done_s,
        )

    def sooner(self, job: Job, start_s: float, done_s: float) -> Other | None:
        """The model that would answer this job clearly sooner than its own; none for what only its own can do."""
        if job.kind not in ('chat', 'generate') or start_s < WORTH_CHANGING_S:
            return None
        for other in self._all:
            if other.start_s > start_s - WORTH_CHANGING_S or other.done_s > WORTH_CHANGING * done_s:
                continue
            if canonical(other.model) != canonical(job.model) and self._can(job.model, other.model):
                return other
        return None

    def _can(self, model: str, other: str) -> bool:
        """Whether ``other`` can do all that ``model`` can, as far as both say; else whether it is one that answers."""
        theirs = self._abilities[other]
        needed = self._abilities.get(model) or self._abilities.get(canonical(model)) or {'completion'}
        return not theirs or needed & {'completion', 'vision', 'tools'} <= theirs
