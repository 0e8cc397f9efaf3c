"""A job as the facts tell it, folded one by one without the core's help."""

from typing import NamedTuple

from broker import facts
from broker.job import FINAL, HELD_BY_WORKER, TRANSITIONS, Job, Move, State
from tests.broker.sim.violation import Violation

_REQUEUES = {'retry': Move.RETRY, 'worker_lost': Move.LOSE, 'handed_back': Move.HAND_BACK}


class Asked(NamedTuple):
    """What a job's first row says that no fact repeats."""

    order: int
    after: tuple[str, ...]
    max_failures: int
    key: str


class Folded:
    """One job. Every step checks that it may be taken (I3, I4, I5)."""

    def __init__(self, fact: facts.JobQueued, asked: Asked) -> None:
        self.name, self.asked = fact.job_id, asked
        self.model, self.runner, self.user, self.kind = fact.model, fact.runner, fact.user, fact.kind
        self.priority, self.size, self.parent, self.schedule = (
            fact.priority,
            fact.body_bytes,
            fact.parent,
            fact.schedule,
        )
        self.queued_at, self.due_at, self.deadline_at = fact.at, fact.due_at, fact.deadline_at
        self.state = State.BLOCKED if fact.blocked_by else State.DELAYED if fact.due_at else State.WAITING
        self.epoch = self.starts = self.failures = self.losses = self.requeues = 0
        self.claims = 1
        self.worker = ''
        self.started_at = self.ended_at = 0.0
        self.end: facts.JobEnded | None = None
        self._stored = self.queued_at, self.due_at, self.started_at

    @property
    def lane(self) -> str:
        """Jobs with the same need no loading between them."""
        return self.runner or self.model

    @property
    def waits(self) -> bool:
        """Whether it takes room in the queue."""
        return self.state not in FINAL and self.state not in HELD_BY_WORKER

    def restored(self, at: float, latest: float, retry_s: float) -> None:
        """A new broker has it: nothing lies in the future of its clock, except what its sender wanted to be there.

        ``latest`` is when the next one came: clocks may jump, the order of arrival stays.
        """
        self.queued_at, self.due_at, self.started_at = self._stored
        self.queued_at, self.started_at = min(self.queued_at, latest), min(self.started_at, at)
        if self.state is State.DELAYED and self.failures:
            self.due_at = min(self.due_at, at + retry_s)

    def take(self, fact: facts.JobFact, max_losses: int) -> None:
        """One more fact about it."""
        if self.state in FINAL:
            raise Violation('I3', f'{type(fact).__name__} after the end of {self.name}')
        match fact:
            case facts.JobQueued():
                raise Violation('I3', f'{self.name} was queued twice')
            case facts.JobStarted():
                self._started(fact)
            case facts.JobRequeued():
                self._requeued(fact, max_losses)
            case facts.JobDue():
                self._due(fact)
            case facts.JobUnblocked():
                self._move(Move.UNBLOCK)
            case facts.JobShared():
                self.claims = fact.claims
            case facts.JobPriorityChanged():
                if fact.was != self.priority or not self.waits:
                    raise Violation('I15', f'{self.name} had priority {self.priority}, not {fact.was}')
                self.priority = fact.priority
            case facts.JobCancelRequested():
                self._move(Move.CANCEL)
            case facts.JobEnded():
                self._ended(fact, max_losses)
        self._stored = self.queued_at, self.due_at, self.started_at

    def _move(self, move: Move) -> None:
        state = TRANSITIONS.get((self.state, move))
        if state is None:
            raise Violation('I3', f'{self.name}: {move} from {self.state}')
        self.state = state

    def _started(self, fact: facts.JobStarted) -> None:
        self._move(Move.START)
        if fact.epoch != self.epoch + 1:
            raise Violation('I4', f'epoch {fact.epoch} of {self.name} follows {self.epoch}')
        if fact.starts != self.requeues + 1:
            raise Violation('I5', f'{self.name} started {fact.starts} times and went back {self.requeues} times')
        self.epoch, self.starts, self.worker, self.started_at = fact.epoch, fact.starts, fact.worker, fact.at

    def _requeued(self, fact: facts.JobRequeued, max_losses: int) -> None:
        self._move(_REQUEUES[fact.reason])
        if fact.epoch != self.epoch:
            raise Violation('I4', f'{self.name} went back from epoch {fact.epoch}, started {self.epoch}')
        self.requeues += 1
        counts = (self.failures + (fact.reason == 'retry'), self.losses + (fact.reason == 'worker_lost'))
        if (fact.failures, fact.losses) != counts:
            raise Violation('I5', f'{self.name} counts {fact.failures} failures and {fact.losses} losses, not {counts}')
        self.failures, self.losses = counts
        if self.failures >= self.asked.max_failures or self.losses >= max_losses:
            raise Violation('I5', f'{self.name} goes on with {self.failures} failures and {self.losses} losses')
        if fact.reason == 'retry':
            self.due_at = fact.due_at

    def _due(self, fact: facts.JobDue) -> None:
        self._move(Move.DUE)
        if fact.at < self.due_at:
            raise Violation('I6', f'{self.name} is due {self.due_at - fact.at:.3f} s too early')

    def _ended(self, fact: facts.JobEnded, max_losses: int) -> None:
        self.end, self.ended_at, ran = fact, fact.at, self.state in HELD_BY_WORKER
        if fact.epoch != self.epoch:
            raise Violation('I4', f'{self.name} ended in epoch {fact.epoch}, started {self.epoch}')
        if isinstance(fact, facts.JobCancelled):
            self._move(Move.STOP if self.state is State.CANCELLING else Move.CANCEL)
        elif isinstance(fact, facts.JobCompleted):
            self._move(Move.COMPLETE)
        else:
            self._move(Move.EXPIRE if self.state in (State.WAITING, State.DELAYED) else Move.DIE)
        if fact.failures > self.asked.max_failures or fact.losses > max_losses:
            raise Violation('I5', f'{self.name} had {fact.failures} failures and {fact.losses} losses')
        new_failures, new_losses = fact.failures - self.failures, fact.losses - self.losses
        if not (ran and 0 <= new_failures <= 1 and 0 <= new_losses <= 1) and (new_failures or new_losses):
            raise Violation('I5', f'{self.name} ended with {new_failures} more failures, {new_losses} more losses')
        self.failures, self.losses = fact.failures, fact.losses

    def differs_from(self, job: Job | None) -> str:
        """What is other in the stored row, '' when nothing is."""
        if job is None:
            return 'there is no row'
        mine = (self.state, self.priority, self.epoch, self.starts, self.failures, self.losses, self.claims)
        row = (job.state, job.priority, job.epoch, job.starts, job.failures, job.losses, job.claims)
        times, rows = (self.worker, self._stored[2], self.ended_at), (job.worker, job.started_at, job.ended_at)
        same_due = self.state is not State.DELAYED or self._stored[1] == job.due_at
        return '' if (mine, times, same_due) == (row, rows, True) else f'facts say {mine + times}, the row {row + rows}'
