"""How many jobs an engine really runs at once, found out from how long its answers wait. Pure.

No API of Ollama tells it, and beyond that number Ollama queues without a limit: first come, first served, whatever our
priorities say. But its last line tells what loading, reading the prompt and writing took; whatever passed besides was
spent in its queue. So we begin with one at a time and add one more when all places were taken and nothing waited. The
one more is a probe, and there is one at most: when it waits, we step back at once, and ask again later, more and more
seldom. Many things share one number here: models that run in different numbers at once settle at the least of them,
and several workers in front of one Ollama share its places among themselves. Waiting until another model has left
memory is a part of loading, for Ollama and so for us.
"""

import math

from broker import facts

NEEDED = 3  # runs without a wait before the next step
MOST = 64
FIRST_PAUSE_S = 300.0  # after a step back, until the next probe
LONGEST_PAUSE_S = 3600.0
_LEAST_WAIT_S = 0.1  # less is network and scheduling
_TOKENS = 3  # the first token itself takes as long as any other, and on a slow machine that is long


class Parallel:
    """``slots`` to take, and whether the engine is ``saturated``. With ``fixed`` only the latter is found out.

    Times are in seconds on any clock that does not jump.
    """

    def __init__(self, *, fixed: int = 0) -> None:
        self._fixed = fixed
        self.forget(-math.inf)

    @property
    def slots(self) -> int:
        """How many jobs to take now."""
        return self._fixed or self._found + self._probing

    def forget(self, now: float) -> None:
        """It is another server now, or one that started anew. What is still on its way is of the old one."""
        self._found = 1  # so many at once were seen to run without a wait
        self._probing = False
        self._clean = 0
        self._pause_s, self._probe_at, self._judged_from = FIRST_PAUSE_S, now, now
        self.saturated = False  # it was seen not to take more

    def ended(self, *, in_flight: int, sent_at: float, waited: bool, now: float) -> None:
        """A run is over. ``in_flight`` is how many there were when it was sent, itself included."""
        if waited:
            self._step_back(in_flight, sent_at, now)
        elif sent_at >= self._judged_from and in_flight >= self.slots:
            self._clean += 1
            if self._clean >= NEEDED:
                self._clean = 0
                self._step_on(now)

    def _step_on(self, now: float) -> None:
        if self._fixed:
            self.saturated = self.saturated and now < self._probe_at
            return
        if self._probing:
            self._found += 1
            self._pause_s = FIRST_PAUSE_S
            self.saturated = False
        self._probing = now >= self._probe_at and self._found < MOST

    def _step_back(self, in_flight: int, sent_at: float, now: float) -> None:
        self._found = max(1, min(self._found, in_flight - 1))
        if sent_at >= self._judged_from:  # else it left before we stepped back, and its wait is no news
            self._judged_from = now
            self._probe_at = now + self._pause_s
            if self._probing:
                self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        self._probing = False
        self._clean = 0
        self.saturated = True


def waited(usage: facts.Usage) -> bool | None:
    """Whether an answer waited in the engine's queue; None when its figures do not tell, as those of embeddings.

    Besides what passed before the first token we look at the whole: an engine that holds tokens back (to see whether
    they are the call of a tool) is late with the first one, but has accounted for that time in the end.
    """
    if usage.prompt_s <= 0 or usage.decode_s <= 0 or usage.output_tokens <= 0:
        return None
    before_s = usage.load_s + usage.prompt_s
    wait_s = min(usage.first_token_s - before_s, usage.total_s - before_s - usage.decode_s)
    return wait_s > max(_LEAST_WAIT_S, _TOKENS * usage.decode_s / usage.output_tokens)
