"""How the four say what the queue says in its own way: states, priorities, times, how far a job is. Pure."""

import math
from datetime import UTC, datetime

from app.api.trouble import TIMED_OUT
from broker.job import FINAL, HELD_BY_WORKER, MAX_PRIORITY, State

NORMAL = 5
TOKENS_HALFWAY = 100.0  # nobody knows how long an answer will be: after so many tokens half of it is taken as said
_LEVELS = {'realtime': 15, 'high': 10, 'normal': 5, 'low': 1}
_NUMBERS = {1: 'realtime', 2: 'high', 3: 'normal', 4: 'low'}


def demo6_state(state: State) -> str:
    """One of four: a page of that system knows no others."""
    if state in FINAL:
        return 'completed' if state is State.COMPLETED else 'failed'
    return 'active' if state in HELD_BY_WORKER else 'waiting'


def task_status(state: State) -> str:
    """As ollama-queue has it."""
    if state in FINAL:
        return {State.COMPLETED: 'completed', State.CANCELLED: 'cancelled'}.get(state, 'failed')
    return 'running' if state in HELD_BY_WORKER else 'pending'


def message_status(state: State, code: str) -> str:
    """As llm-message-queue has it; it tells apart what took too long."""
    if state in FINAL:
        if state is State.DEAD and code in TIMED_OUT:
            return 'timeout'
        return 'completed' if state is State.COMPLETED else 'failed'
    return 'processing' if state in HELD_BY_WORKER else 'pending'


def number(state: State) -> int:
    """As ai-task-system has it: 0 until it has ended, 1 when it went well, else 2."""
    if state not in FINAL:
        return 0
    return 1 if state is State.COMPLETED else 2


def level(priority: int) -> str:
    """The priority by name, as llm-message-queue has it: the nearest one from below the bounds between them."""
    return next((name for name, bound in (('realtime', 13), ('high', 8), ('normal', 3)) if priority >= bound), 'low')


def of_level(value: object) -> int | None:
    """The priority that a name or 1 (most urgent) to 4 means; None for anything else."""
    if isinstance(value, str):
        text = value.strip().lower()
        return _LEVELS.get(_NUMBERS.get(int(text), '') if text in ('1', '2', '3', '4') else text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return next((_LEVELS[name] for number, name in _NUMBERS.items() if number == value), None)


def clamped(value: int) -> int:
    """Any number as a priority of the queue."""
    return max(0, min(MAX_PRIORITY, value))


def progress(state: State, tokens: int) -> int:
    """Percent: 0 while it waits, 100 when it is completed, else 1 to 95 by what was said so far."""
    if state is State.COMPLETED:
        return 100
    if state not in HELD_BY_WORKER and state not in FINAL:
        return 0
    return 1 + int(94 * (1 - math.pow(0.5, tokens / TOKENS_HALFWAY)))


def millis(at: float) -> int:
    """Milliseconds, as JavaScript counts them."""
    return round(at * 1000)


def rfc3339(at: float) -> str | None:
    """As Go writes a time; None for a time that has not come."""
    if not at:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec='microseconds').replace('+00:00', 'Z')


def naive(at: float) -> str:
    """Local time without saying so, as Python's ``datetime.now()`` is written."""
    return datetime.fromtimestamp(at).isoformat()
