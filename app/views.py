"""What the board shows of a job, a model, the engine and the whole: read them, never write them."""

from typing import Any

import msgspec

from app.chats.answer import Answer
from broker import facts, protocol
from broker.job import FINAL, HELD_BY_WORKER, Job, State

WAITS = frozenset({State.BLOCKED, State.WAITING, State.DELAYED})
# Where a job stands that the broker has not told about, or that does not stand in the queue.
_NOWHERE: dict[str, Any] = {
    'ahead': None,
    'reason': '',
    'not_before': 0.0,
    'earliest_at': 0.0,
    'latest_at': 0.0,
    'load_s': 0.0,
    'alternative': '',
    'alternative_at': 0.0,
    'hint': '',
}


class JobView:
    """One job as the desk shows it. Times are unix seconds; ``ahead`` counts the jobs that go first.

    ``ahead`` is None while unknown and for a job that does not wait; from ``protocol.STANDING_LIMIT`` up it means "at
    least so many". ``complete`` says that an ended job's answer is all here.
    """

    def __init__(self, job: Job) -> None:
        self.job_id = job.job_id
        self.kind = job.kind
        self.model = job.model
        self.priority = job.priority
        self.user = job.user
        self.conversation_id = job.conversation_id
        self.queued_at = job.queued_at
        self.state = job.state
        self.epoch = job.epoch
        self.starts = job.starts
        self.failures = job.failures
        self.losses = job.losses
        self.due_at = job.due_at
        self.started_at = job.started_at
        self.ended_at = job.ended_at
        self.worker = job.worker
        self.engine = job.engine
        self.code = job.code
        self.detail = job.detail
        self.usage = job.usage
        self.parent = job.parent
        self.schedule = job.terms.schedule
        self.priority_rule = job.terms.priority_rule  # that guessed its priority, until somebody changes it
        self.after = len(job.terms.after)  # so many jobs have to be completed first
        self.moved = False  # somebody has changed its priority since it was queued, as far as is known
        self.claims = job.claims  # so many callers wait for it
        self.ahead: int | None = None
        self.reason = ''  # why it waits: 'ahead', 'no_worker', 'limited' or 'paused'; see protocol.Place
        self.not_before = 0.0  # of a limited job, when that is known
        self.earliest_at = self.latest_at = 0.0  # between these it will probably start; 0 while nothing can be said
        self.load_s = 0.0  # what loading its model will take then
        self.alternative, self.alternative_at = '', 0.0  # a model that would answer sooner, and when it would start
        self.hint = ''  # what would help where no worker can run it; see protocol.Place
        self.resident = True  # its model was loaded when it started, as far as is known
        self.requeue_reason = ''  # of the last time it went back: 'retry', 'worker_lost' or 'handed_back'
        self.waited_s = max(0.0, job.started_at - job.queued_at) if job.started_at else 0.0  # set once it started
        self.ran_s = 0.0  # set when it ended
        self.ended: facts.JobEnded | None = None
        self.complete = False
        self.answer = Answer(job.epoch)
        self.version = 0  # rises with every change that was told
        self.asked_at = 0.0  # the board's own notes
        self.lines_at_tick = 0

    @property
    def text(self) -> str:
        """The answer so far."""
        return self.answer.text

    @property
    def thinking(self) -> str:
        """The model's thinking so far, where it shows any."""
        return self.answer.thinking

    @property
    def tokens(self) -> int:
        """Output tokens so far: counted by chunk while it runs, the engine's own number afterwards."""
        return self.usage.output_tokens or self.answer.tokens

    @property
    def tokens_per_s(self) -> float:
        """Measured while it runs; from the engine's own timing afterwards; 0 while unknown."""
        if self.final and self.usage.decode_s > 0:
            return self.usage.output_tokens / self.usage.decode_s
        return self.answer.tokens_per_s

    @property
    def final(self) -> bool:
        """Whether it completed, was cancelled, or died."""
        return self.state in FINAL

    @property
    def waits(self) -> bool:
        """Whether it waits: for its turn, for its time, or for other jobs."""
        return self.state in WAITS

    @property
    def held(self) -> bool:
        """Whether a worker has it."""
        return self.state in HELD_BY_WORKER

    def stand(self, place: protocol.Place | None) -> bool:
        """Take in where it stands; whether that is news."""
        told = {name: getattr(place, name) for name in _NOWHERE} if place is not None else _NOWHERE
        changed = any(getattr(self, name) != value for name, value in told.items())
        vars(self).update(told)
        return changed

    def learn(self, fact: facts.JobFact) -> None:
        """Take in a fact about this job."""
        match fact:
            case facts.JobStarted():
                self._start(fact)
            case facts.JobRequeued():
                self.state = State.DELAYED if fact.reason == 'retry' else State.WAITING
                self.requeue_reason, self.due_at, self.worker = fact.reason, fact.due_at, ''
                self.failures, self.losses, self.code, self.detail = fact.failures, fact.losses, fact.code, fact.detail
            case facts.JobDue() | facts.JobUnblocked():
                self.state, self.due_at = State.WAITING, 0.0
            case facts.JobShared():
                self.claims = fact.claims
            case facts.JobPriorityChanged():
                self.priority, self.priority_rule, self.moved = fact.priority, '', True
            case facts.JobCancelRequested():
                self.state = State.CANCELLING
            case facts.JobEnded():
                self._end(fact)

    def begin(self, epoch: int) -> None:
        """A run with this epoch: a new one has a new, empty answer."""
        if epoch != self.epoch:
            self.epoch, self.answer = epoch, Answer(epoch)

    def _start(self, fact: facts.JobStarted) -> None:
        self.state = State.RUNNING
        self.worker, self.starts, self.waited_s, self.started_at = fact.worker, fact.starts, fact.waited_s, fact.at
        self.due_at, self.code, self.detail = 0.0, '', ''
        self.resident = fact.resident
        self.stand(None)
        self.begin(fact.epoch)

    def _end(self, fact: facts.JobEnded) -> None:
        self.state = END_STATES[type(fact)]
        self.ended, self.ended_at = fact, fact.at
        self.started_at, self.waited_s, self.ran_s = fact.started_at, fact.waited_s, fact.ran_s
        self.starts, self.failures, self.losses = fact.starts, fact.failures, fact.losses
        self.worker, self.engine, self.usage = fact.worker, fact.engine, fact.usage
        self.stand(None)
        self.code, self.detail = (fact.code, fact.detail) if isinstance(fact, facts.JobDied) else ('', '')
        self.begin(fact.epoch)


class ModelView(facts.ModelInfo, frozen=True, kw_only=True):
    """A model that can be picked, with how many slots could run it; ``resident`` when some worker has it loaded."""

    slots: int


class EngineView(msgspec.Struct, frozen=True, kw_only=True):
    """What answers now: 'ollama', 'demo', or '' without workers; ``problem`` is '', 'unreachable' or 'no_models'."""

    kind: str = ''
    version: str = ''
    problem: str = ''


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Figures for the status bar."""

    waiting: int
    running: int
    workers: int
    slots: int
    tokens_per_s: float


def queued(fact: facts.JobQueued) -> JobView:
    """The view of a job that was just accepted."""
    view = JobView(_job(fact, fact.at))
    view.schedule, view.priority_rule, view.after = fact.schedule, fact.priority_rule, fact.blocked_by
    if fact.blocked_by:
        view.state = State.BLOCKED
    elif fact.due_at > fact.at:
        view.state, view.due_at = State.DELAYED, fact.due_at
    return view


def ended(fact: facts.JobEnded) -> JobView:
    """The view of a job of which only the end is known."""
    view = JobView(_job(fact, fact.queued_at))
    view.learn(fact)
    return view


END_STATES: dict[type[facts.JobEnded], State] = {
    facts.JobCompleted: State.COMPLETED,
    facts.JobCancelled: State.CANCELLED,
    facts.JobDied: State.DEAD,
}


def _job(fact: facts.JobQueued | facts.JobEnded, queued_at: float) -> Job:
    return Job(
        job_id=fact.job_id,
        order=fact.seq,
        kind=fact.kind,
        model=fact.model,
        priority=fact.priority,
        queued_at=queued_at,
        user=fact.user,
        conversation_id=fact.conversation_id,
        parent=fact.parent,
    )
