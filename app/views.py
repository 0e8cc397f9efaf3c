"""What the board shows of a job, a model, the engine and the whole: read them, never write them."""

import msgspec

from app.answer import Answer
from broker import facts
from broker.job import FINAL, Job, State


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
        self.ahead: int | None = None
        self.reason = ''  # 'ahead', or 'no_worker' when no live worker can run the model
        self.requeue_reason = ''  # of the last time it went back: 'retry', 'worker_lost' or 'handed_back'
        self.waited_s = 0.0  # set when it started or ended
        self.ran_s = 0.0  # set when it ended
        self.ended: facts.JobEnded | None = None
        self.complete = False
        self.answer = Answer(job.epoch)
        self.version = 0  # rises with every change that was told
        self._asked_at = 0.0

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
        """Whether it waits, due now or later."""
        return self.state in (State.WAITING, State.DELAYED)


class ModelView(msgspec.Struct, frozen=True, kw_only=True):
    """A model that can be picked, with how many slots could run it."""

    name: str
    engine: str
    size_bytes: int
    parameter_size: str
    quantization: str
    capabilities: tuple[str, ...]
    slots: int


class EngineView(msgspec.Struct, frozen=True, kw_only=True):
    """What answers now: 'ollama', 'demo', or '' while no worker is there; ``problem`` says why it cannot."""

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
