"""The store's twin without a disk, for tests and simulations."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy

import msgspec

from broker import facts, listing, protocol, retention
from broker.actions import Persist
from broker.job import FINAL, HELD_BY_WORKER, Job, State
from broker.limits import Started
from broker.needle import Needle
from broker.share import Work


class MemoryStore:
    """Keeps what ``store.Store`` keeps, until the process ends."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._bodies: dict[str, bytes] = {}
        self._answers: dict[str, tuple[bytes, ...]] = {}
        self._facts: list[facts.AnyFact] = []
        self._pauses: dict[tuple[str, str], protocol.PauseInfo] = {}
        self._retired: dict[str, facts.WorkerRetired] = {}
        self._batches: dict[str, protocol.Batch] = {}
        self._schedules: dict[str, protocol.Schedule] = {}
        self._settings: dict[str, str] = {}
        self._highest = 0  # order of a job that was deleted

    def close(self) -> None:
        """Nothing to close."""

    def commit(self, changes: Sequence[Persist]) -> None:
        """Keep all ``changes``."""
        for change in changes:
            self._facts.append(change.fact)
            self._keep(change)
            if change.job is not None:
                self._jobs[change.job.job_id] = change.job
                if change.body is not None:
                    self._bodies[change.job.job_id] = change.body
                if change.answer:
                    self._answers[change.job.job_id] = change.answer

    def _keep(self, change: Persist) -> None:
        match change.fact:
            case facts.WorkerRetired() as retired:
                self._retired[retired.worker] = retired
            case facts.WorkerLeft(worker=worker):
                self._retired.pop(worker, None)
            case facts.WorkerJoined(worker=worker, session=session):
                if worker in self._retired and self._retired[worker].session != session:
                    del self._retired[worker]
            case facts.Paused(scope=scope, name=name, draining=draining):
                self._pauses[scope, name] = protocol.PauseInfo(scope=scope, name=name, draining=draining)
            case facts.Drained(scope=scope, name=name):
                self._pauses[scope, name] = protocol.PauseInfo(scope=scope, name=name)
            case facts.Resumed(scope=scope, name=name):
                self._pauses.pop((scope, name), None)
            case facts.BatchOpened(batch_id=batch_id, name=name, user=user, total=total, at=at):
                self._batches[batch_id] = protocol.Batch(
                    batch_id=batch_id, name=name, user=user, total=total, opened_at=at
                )
            case facts.BatchEnded() as ended:
                self._batches[ended.batch_id] = msgspec.structs.replace(
                    self._batches[ended.batch_id],
                    ended_at=ended.at,
                    submitted=ended.completed + ended.dead + ended.cancelled,
                    completed=ended.completed,
                    dead=ended.dead,
                    cancelled=ended.cancelled,
                )
            case facts.ScheduleRemoved(schedule_id=schedule_id):
                self._schedules.pop(schedule_id, None)
        if change.schedule is not None:
            self._schedules[change.schedule.schedule_id] = change.schedule

    def alive(self) -> Iterator[Job]:
        """All jobs that are not final, in order of arrival."""
        jobs = (copy(job) for job in self._jobs.values() if job.state not in FINAL)
        return iter(sorted(jobs, key=lambda job: job.order))

    def work_since(self, at: float) -> list[Work]:
        """What users' jobs that ended after this time took, oldest first."""
        ended = [job for job in self._jobs.values() if job.ended_at > at and job.started_at > 0]
        ended.sort(key=lambda job: job.ended_at)
        return [Work(job.user, job.model, job.ended_at, job.ended_at - job.started_at) for job in ended]

    def starts_since(self, at: float) -> list[Started]:
        """The starts after this time, oldest first."""
        last = {job.job_id: job for job in self._jobs.values() if job.started_at > at}
        started = [Started(job.user, job.model, job.started_at) for job in last.values()]
        started += [
            Started(last[fact.job_id].user, last[fact.job_id].model, fact.at)
            for fact in self._facts
            if isinstance(fact, facts.JobStarted)
            and fact.at > at
            and fact.job_id in last
            and fact.epoch < last[fact.job_id].starts
        ]
        return sorted(started, key=lambda start: start.at)

    def last_seq(self) -> int:
        """The newest fact's number, 0 when there is none."""
        return self._facts[-1].seq if self._facts else 0

    def last_order(self) -> int:
        """The newest job's place, also when that job is gone."""
        return max([self._highest, *(job.order for job in self._jobs.values())])

    def stored(self, job_ids: Sequence[str]) -> frozenset[str]:
        """Those of these ids of which there is or was a job."""
        return frozenset(job_id for job_id in job_ids if job_id in self._jobs)

    def job(self, job_id: str) -> Job | None:
        """The job as last stored."""
        return copy(self._jobs[job_id]) if job_id in self._jobs else None

    def body(self, job_id: str) -> bytes:
        """What the job asks of the engine."""
        return self._bodies.get(job_id, b'')

    def answer(self, job_id: str) -> list[bytes]:
        """The lines of a job that ended."""
        return list(self._answers.get(job_id, ()))

    def facts_after(self, seq: int, limit: int) -> list[facts.AnyFact]:
        """At most ``limit`` facts after ``seq``."""
        return [fact for fact in self._facts if fact.seq > seq][:limit]

    def history(self, job_id: str) -> list[facts.AnyFact]:
        """All facts about one job, oldest first."""
        return [fact for fact in self._facts if getattr(fact, 'job_id', '') == job_id]

    def pauses(self) -> list[protocol.PauseInfo]:
        """The pauses in force."""
        return [pause for _, pause in sorted(self._pauses.items())]

    def retired(self) -> list[facts.WorkerRetired]:
        """The workers that were asked to leave and have not left yet."""
        return [fact for _, fact in sorted(self._retired.items())]

    def schedules(self) -> list[protocol.Schedule]:
        """All schedules, by id."""
        return [schedule for _, schedule in sorted(self._schedules.items())]

    def open_batches(self) -> list[protocol.Batch]:
        """The batches that go on, oldest first."""
        going = (batch for batch in self._batches.values() if not batch.ended_at)
        return [self._counted(batch) for batch in sorted(going, key=lambda batch: batch.opened_at)]

    def batch(self, batch_id: str) -> protocol.Batch | None:
        """A batch as it stands."""
        found = self._batches.get(batch_id)
        return self._counted(found) if found is not None else None

    def find_batches(self, user: str, limit: int) -> list[protocol.Batch]:
        """Batches, of one user or of all, newest first."""
        found = [batch for batch in self._batches.values() if user in ('', batch.user)]
        found.sort(key=lambda batch: (-batch.opened_at, batch.batch_id))
        return [self._counted(batch) for batch in found[:limit]]

    def by_key(self, user: str, key: str) -> Job | None:
        """The job that this user submitted with this idempotency key."""
        jobs = (job for job in self._jobs.values() if (job.user, job.idempotency_key) == (user, key))
        return next((copy(job) for job in jobs), None)

    def find(self, wanted: protocol.FindJobs, limit: int) -> list[Job]:
        """Jobs that ``wanted`` describes, newest first unless it says otherwise."""
        found = (
            job
            for job in sorted(self._jobs.values(), key=lambda job: job.order, reverse=not wanted.oldest_first)
            if (not wanted.states or job.state in wanted.states)
            and wanted.model in ('', job.model)
            and wanted.user in ('', job.user)
            and wanted.parent in ('', job.parent)
            and not 0 < wanted.before_order <= job.order
            and job.order > wanted.after_order
        )
        return [copy(job) for job in itertools.islice(found, limit)]

    def settings(self) -> dict[str, str]:
        """What was changed while the broker ran, by name."""
        return dict(self._settings)

    def set_settings(self, settings: Mapping[str, str]) -> None:
        """Keep these instead."""
        self._settings = dict(settings)

    def ends(self) -> tuple[int, int]:
        """The places of the oldest and the newest job; (1, 0) when there is none."""
        orders = [job.order for job in self._jobs.values()]
        return (min(orders), max(orders)) if orders else (1, 0)

    def scan(
        self, wanted: protocol.FindJobs | protocol.ListJobs, above: int, below: int
    ) -> list[tuple[str | int | float, int]]:
        """The jobs between these two places that match, texts aside: what they are sorted by, and their place."""
        key = _SORTS[listing.sort_of(wanted)]
        found = [job for job in self._jobs.values() if above < job.order < below and _matches(job, wanted)]
        found.sort(key=lambda job: job.order, reverse=not wanted.oldest_first)
        return [(key(job), job.order) for job in found]

    def at(self, orders: Sequence[int]) -> list[Job]:
        """The jobs at these places, in this order; those that are gone are left out."""
        found = {job.order: copy(job) for job in self._jobs.values()}
        return [found[order] for order in orders if order in found]

    def mentions(self, order: int, wanted: protocol.ListJobs, needle: Needle) -> bool:
        """Whether the text is in the job, in what it asks, or in its answer."""
        job = next((job for job in self._jobs.values() if job.order == order), None)
        return job is not None and (
            needle.in_words(*listing.words(job))
            or job.conversation_id in wanted.conversations
            or needle.in_body(self.body(job.job_id))
            or needle.in_answer(job.kind, b'\n'.join(self.answer(job.job_id)))
        )

    def _counted(self, batch: protocol.Batch) -> protocol.Batch:
        if batch.ended_at:
            return batch
        states = Counter(job.state for job in self._jobs.values() if job.parent == batch.batch_id)
        return msgspec.structs.replace(
            batch,
            submitted=batch.dead + states.total(),  # of those that were deleted meanwhile, too
            running=sum(states[state] for state in HELD_BY_WORKER),
            completed=states[State.COMPLETED],
            dead=batch.dead + states[State.DEAD],
            cancelled=states[State.CANCELLED],
        )

    def purge(self, job_id: str, before: float, limit: int = 1_000_000) -> int:
        """Delete dead jobs, one or ``limit`` that ended before a time, with all but their facts. How many."""
        gone = [
            name
            for name, job in self._jobs.items()
            if job.state is State.DEAD and (name == job_id if job_id else job.ended_at < before)
        ][:limit]
        for name in gone:
            if (batch := self._batches.get(self._jobs[name].parent)) is not None and not batch.ended_at:
                self._batches[batch.batch_id] = msgspec.structs.replace(batch, dead=batch.dead + 1)
        self._delete(gone)
        return len(gone)

    def prune(self, portion: retention.Portion) -> retention.Pruned:
        """Delete what ``portion`` says, as the store on disk does."""
        match portion:
            case retention.OldJobs():
                return self._prune_jobs(portion)
            case retention.OldFacts():
                old = list(itertools.takewhile(lambda fact: fact.at < portion.before, self._facts[:-1]))
                del self._facts[: len(old)]
                self._delete_empty_batches(portion.before)
                return retention.Pruned(looked_at=len(old), gone=len(old))
        return retention.Pruned()

    def _prune_jobs(self, portion: retention.OldJobs) -> retention.Pruned:
        ended = sorted((job for job in self._jobs.values() if job.state in FINAL), key=lambda job: job.ended_at)
        needed = {name for job in self._jobs.values() if job.state not in FINAL for name in job.terms.after}
        old = [
            job
            for job in ended[: max(0, len(ended) - portion.keep)]
            if portion.state in (None, job.state) and job.ended_at < portion.before
        ]
        going_on = {batch.batch_id for batch in self._batches.values() if not batch.ended_at}
        gone = [job.job_id for job in old if job.job_id not in needed and job.parent not in going_on]
        self._delete(gone)
        return retention.Pruned(looked_at=len(old), gone=len(gone))

    def _delete_empty_batches(self, before: float) -> None:
        parents = {job.parent for job in self._jobs.values()}
        for name, batch in list(self._batches.items()):
            if batch.opened_at < before and batch.ended_at and name not in parents:
                del self._batches[name]

    def _delete(self, gone: list[str]) -> None:
        self._highest = self.last_order()
        parents = {self._jobs[name].parent for name in gone}
        for name in gone:
            for kept in (self._jobs, self._bodies, self._answers):
                kept.pop(name, None)
        for parent in parents - {job.parent for job in self._jobs.values()}:
            if (batch := self._batches.get(parent)) is not None and batch.ended_at:
                del self._batches[parent]


def _matches(job: Job, wanted: protocol.FindJobs | protocol.ListJobs) -> bool:
    names: tuple[str, ...] = ('model', 'user', 'parent')
    if isinstance(wanted, protocol.ListJobs):
        names = (*names, 'worker', 'code')
        if (wanted.kinds and job.kind not in wanted.kinds) or (
            wanted.priorities and job.priority not in wanted.priorities
        ):
            return False
        if job.queued_at < wanted.since or 0 < wanted.until <= job.queued_at:
            return False
    return (not wanted.states or job.state in wanted.states) and all(
        getattr(wanted, name) in ('', getattr(job, name)) for name in names
    )


_SORTS: dict[str, Callable[[Job], str | int | float]] = {
    'queued': lambda job: 0,
    'started': lambda job: job.started_at,
    'ended': lambda job: job.ended_at,
    'waited': lambda job: job.started_at - job.queued_at if job.started_at else -1,
    'ran': lambda job: job.ended_at - job.started_at if job.started_at and job.ended_at else -1,
    'tokens': lambda job: job.usage.output_tokens,
    'state': lambda job: job.state.value,
    'kind': lambda job: job.kind,
    'model': lambda job: job.model,
    'user': lambda job: job.user,
    'priority': lambda job: job.priority,
    'worker': lambda job: job.worker,
    'code': lambda job: job.code,
    'failures': lambda job: job.failures,
}
