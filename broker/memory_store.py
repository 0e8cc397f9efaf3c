"""The store's twin without a disk, for tests and simulations."""

import itertools
from collections.abc import Iterator, Sequence
from copy import copy

from broker import facts, protocol
from broker.actions import Persist
from broker.job import FINAL, Job, State
from broker.limits import Started
from broker.share import Work


class MemoryStore:
    """Keeps what ``store.Store`` keeps, until the process ends."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._bodies: dict[str, bytes] = {}
        self._answers: dict[str, tuple[bytes, ...]] = {}
        self._facts: list[facts.AnyFact] = []
        self._pauses: set[tuple[str, str]] = set()

    def close(self) -> None:
        """Nothing to close."""

    def commit(self, changes: Sequence[Persist]) -> None:
        """Keep all ``changes``."""
        for change in changes:
            self._facts.append(change.fact)
            if isinstance(change.fact, facts.Paused):
                self._pauses.add((change.fact.scope, change.fact.name))
            elif isinstance(change.fact, facts.Resumed):
                self._pauses.discard((change.fact.scope, change.fact.name))
            if change.job is not None:
                self._jobs[change.job.job_id] = change.job
                if change.body is not None:
                    self._bodies[change.job.job_id] = change.body
                if change.answer:
                    self._answers[change.job.job_id] = change.answer

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
        """The last start of each job that started after this time, oldest first."""
        started = sorted((job for job in self._jobs.values() if job.started_at > at), key=lambda job: job.started_at)
        return [Started(job.user, job.model, job.started_at) for job in started]

    def last_seq(self) -> int:
        """The newest fact's number, 0 when there is none."""
        return self._facts[-1].seq if self._facts else 0

    def last_order(self) -> int:
        """The newest job's place."""
        return max((job.order for job in self._jobs.values()), default=0)

    def has(self, job_id: str) -> bool:
        """Whether there is or was such a job."""
        return job_id in self._jobs

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

    def pauses(self) -> list[tuple[str, str]]:
        """The pauses in force, as scope and name."""
        return sorted(self._pauses)

    def find(self, wanted: protocol.FindJobs, limit: int) -> list[Job]:
        """Jobs that ``wanted`` describes, newest first."""
        found = (
            job
            for job in sorted(self._jobs.values(), key=lambda job: -job.order)
            if (not wanted.states or job.state in wanted.states)
            and wanted.model in ('', job.model)
            and wanted.user in ('', job.user)
            and not 0 < wanted.before_order <= job.order
        )
        return [copy(job) for job in itertools.islice(found, limit)]

    def purge(self, job_id: str, before: float) -> int:
        """Delete dead jobs, one or all that ended before a time, with body and answer; the facts stay. How many."""
        gone = [
            name
            for name, job in self._jobs.items()
            if job.state is State.DEAD and (name == job_id if job_id else job.ended_at < before)
        ]
        for name in gone:
            for kept in (self._jobs, self._bodies, self._answers):
                kept.pop(name, None)
        return len(gone)
