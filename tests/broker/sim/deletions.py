"""I18: what is deleted might go, all of it goes, as many as is said, and nobody hears of it any more."""

from typing import TYPE_CHECKING

from broker import protocol, retention
from broker.job import FINAL, State
from tests.broker.sim.folded import Folded
from tests.broker.sim.violation import Violation

if TYPE_CHECKING:
    from tests.broker.sim.history import History, Rows


class Deletions:
    """Looks at each purge and each portion of retention, with what the facts say of the jobs that went."""

    def __init__(self, history: 'History') -> None:
        self._history = history
        self.gone: set[str] = set()

    def purged(self, gone: set[str], request: protocol.Purge, count: int, *, more: bool) -> None:
        """Somebody deletes dead jobs: only what was meant went, and all of it when there is no ``more``."""
        meant = {job.name for job in self._there() if self._is_meant(job, request)}
        if stray := gone - meant:
            raise Violation('I18', f'{stray} are purged, and were not meant by {request}')
        if count != len(gone) or (not more and gone != meant):
            raise Violation('I18', f'{count} are said to be purged, {len(gone)} of {len(meant)} are')
        self._go(gone, 'purged')

    def pruned(self, gone: set[str], portion: retention.Portion, keep: retention.Keep, now: float) -> None:
        """A portion of what is old goes: none too early, none that somebody needs."""
        history = self._history
        ended = [job for job in self._there() if job.state in FINAL]
        needed = {other for job in self._there() if job.state not in FINAL for other in job.asked.after}
        for name in gone:
            job = history.jobs[name]
            if not isinstance(portion, retention.OldJobs) or job.state not in FINAL or name in needed:
                raise Violation('I18', f'{name} is pruned, it is {job.state}, and {needed} are needed')
            if job.parent and not history.batches[job.parent].ended_at:
                raise Violation('I18', f'{name} is pruned, and its batch goes on')
            if job.ended_at >= now - keep.at_least_s:
                raise Violation('I18', f'{name} is pruned {now - job.ended_at:.3f} s after its end')
            if portion.state and job.ended_at >= keep.ended_before(job.state, now):
                raise Violation('I18', f'{name} is {job.state} and pruned after {now - job.ended_at:.3f} s')
        if gone and isinstance(portion, retention.OldJobs) and len(ended) - len(gone) < portion.keep:
            raise Violation('I18', f'{len(gone)} of {len(ended)} are pruned, and {portion.keep} were to stay')
        self._go(gone, 'pruned')

    def names(self, job_id: str) -> None:
        """Raise Violation when somebody is told that this job is there, and it was deleted."""
        if job_id in self.gone:
            raise Violation('I18', f'{job_id} was deleted, and is said to be there')

    def compare(self, store: 'Rows') -> None:
        """Raise Violation when something of a deleted job is left."""
        for name in self.gone:
            if store.job(name) is not None or store.answer(name) or store.body(name):
                raise Violation('I18', f'{name} was deleted, and is there')

    def is_gone(self, batch: protocol.Batch) -> bool:
        """Whether this batch may be gone, as all its jobs are."""
        jobs = (job.name for job in self._history.jobs.values() if job.parent == batch.batch_id)
        return batch.ended_at > 0 and self.gone.issuperset(jobs)

    def _there(self) -> list[Folded]:
        return [job for job in self._history.jobs.values() if job.name not in self.gone]

    def _is_meant(self, job: Folded, request: protocol.Purge) -> bool:
        if job.state is not State.DEAD:
            return False
        return job.name == request.job_id if request.job_id else job.ended_at < request.before

    def _go(self, gone: set[str], how: str) -> None:
        self.gone |= gone
        self._history.saw[how] += len(gone)
        keys = self._history.keys
        for key in [key for key, name in keys.items() if name in gone]:
            del keys[key]
