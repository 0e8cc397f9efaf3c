"""One run of one job, as the worker holds it until the broker has settled it."""

import asyncio
import traceback
from collections.abc import Callable

from broker import facts, protocol
from workers.backend import Sent
from workers.batcher import Batcher, portions
from workers.engines.answer import Answer
from workers.engines.failure import EngineFailure

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_TRACE_CHARS = 8_000
_MOST_CAUSES = 20  # they may even form a circle

Outcome = protocol.Finished | protocol.Failed | protocol.Stopped | protocol.HandBack
Send = Callable[[protocol.FromWorker], bool]


class Run:
    """All lines of a run so far, how many of them left, and its outcome once there is one."""

    def __init__(self, assign: protocol.Assign) -> None:
        self.assign = assign
        self.sent: Sent | None = None  # once it was given to the engine
        self.gave = False  # a good token
        self.lines: list[bytes] = []
        self.outcome: Outcome | None = None
        self.batcher = Batcher()
        self.answer: Answer | None = None  # while the engine is at it
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.cut_as: type[protocol.Stopped] | type[protocol.HandBack] | None = None  # why it is being ended
        self._size = 0
        self._left = 0
        self._outcome_left = False

    @property
    def shown(self) -> protocol.Run:
        """What Ready and Heartbeat say of it."""
        return protocol.Run(job_id=self.assign.job_id, epoch=self.assign.epoch, index=len(self.lines))

    def add(self, line: bytes) -> None:
        """The engine said something. Raises ``EngineFailure`` when it has said too much."""
        self._size += len(line)
        if self._size > MAX_ANSWER_BYTES:
            raise EngineFailure('answer_too_large', f'the answer is larger than {MAX_ANSWER_BYTES} bytes')
        self.lines.append(line)
        self.batcher.add(len(line))

    def rewind(self, index: int) -> None:
        """The broker has the lines before ``index`` and no outcome."""
        self._left = max(0, min(index, len(self.lines)))
        self._outcome_left = False

    def repeat_outcome(self) -> None:
        """The outcome, where there is one, leaves once more."""
        self._outcome_left = False

    def flush(self, send: Send, now: float) -> bool:
        """Send what has not left yet, the outcome last; False when the way is blocked."""
        job_id, epoch = self.assign.job_id, self.assign.epoch
        for index, lines in portions(self.lines, self._left):
            if not send(protocol.Tokens(job_id=job_id, epoch=epoch, index=index, lines=lines)):
                return False
            self._left = index + len(lines)
        self.batcher.sent(now)
        if self.outcome is not None and not self._outcome_left:
            self._outcome_left = send(self.outcome)
            return self._outcome_left
        return True

    def finished(self) -> protocol.Finished:
        """The outcome of an answer that is whole."""
        return protocol.Finished(
            job_id=self.assign.job_id, epoch=self.assign.epoch, lines=len(self.lines), usage=self.usage
        )

    def failed(self, failure: EngineFailure, *, trace: str = '') -> protocol.Failed:
        """The outcome of an answer that failed. ``trace`` is where our own code broke."""
        return protocol.Failed(
            job_id=self.assign.job_id,
            epoch=self.assign.epoch,
            code=failure.code,
            detail=failure.detail,
            retryable=failure.retryable,
            usage=self.usage,
            trace=trace,
        )

    def ended(self, kind: type[protocol.Stopped] | type[protocol.HandBack]) -> Outcome:
        """The outcome of an answer that somebody ended."""
        if kind is protocol.HandBack:
            return protocol.HandBack(job_id=self.assign.job_id, epoch=self.assign.epoch)
        return protocol.Stopped(job_id=self.assign.job_id, epoch=self.assign.epoch, usage=self.usage)

    @property
    def usage(self) -> facts.Usage:
        """What it cost so far."""
        return self.answer.usage if self.answer is not None else facts.Usage()


def trace_of(error: BaseException) -> str:
    """Where ``error`` came from, innermost last: files, lines and code; no values, for they may be somebody's words."""
    text = ''
    for _ in range(_MOST_CAUSES):
        text = ''.join(traceback.format_tb(error.__traceback__)) + type(error).__name__ + text
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is None or len(text) >= MAX_TRACE_CHARS:
            break
        error, text = cause, f'\n\nand so:\n\n{text}'
    return text[-MAX_TRACE_CHARS:]
