"""What happened to a job so far, told from its own facts: every attempt, and where the job comes from."""

from collections.abc import Iterable

import msgspec

from broker import facts


class Attempt(msgspec.Struct, kw_only=True):
    """One run. ``outcome`` is '' while it goes on, a reason of ``JobRequeued``, or how the job ended with it."""

    number: int
    worker: str
    started_at: float
    ended_at: float = 0.0
    outcome: str = ''
    code: str = ''
    detail: str = ''
    trace: str = ''


class Past(msgspec.Struct, kw_only=True):
    """A job's attempts in order, the batch and the schedule it belongs to, and the rule that guessed its priority."""

    attempts: list[Attempt] = []
    batch: str = ''
    schedule: str = ''
    rule: str = ''


NOTHING = Past()
_ENDS = {facts.JobCompleted: 'completed', facts.JobCancelled: 'cancelled', facts.JobDied: 'dead'}


def told(history: Iterable[facts.AnyFact]) -> Past:
    """The past that a job's facts tell, oldest first; what the queue has forgotten is left out."""
    past = Past()
    for fact in history:
        match fact:
            case facts.JobQueued():
                past.batch, past.schedule, past.rule = fact.parent, fact.schedule, fact.priority_rule
            case facts.JobPriorityChanged():
                past.rule = ''
            case facts.JobStarted():
                past.attempts.append(Attempt(number=fact.starts, worker=fact.worker, started_at=fact.at))
            case facts.JobRequeued():
                _close(past.attempts, fact, fact.reason)
            case facts.JobCompleted() | facts.JobCancelled() | facts.JobDied():
                _close(past.attempts, fact, _ENDS[type(fact)])
    return past


def _close(attempts: list[Attempt], fact: facts.Fact, outcome: str) -> None:
    if attempts and not attempts[-1].outcome:
        last = attempts[-1]
        last.outcome, last.ended_at = outcome, fact.at
        last.code, last.detail, last.trace = (getattr(fact, name, '') for name in ('code', 'detail', 'trace'))
