"""Fair share: who has used how much lately, in seconds of work."""

import math
from typing import NamedTuple

DECAY_S = 3600.0  # after an hour about a third of what somebody used still counts
MANY = 10_000  # users; with more, those who have used next to nothing lately are forgotten


class Work(NamedTuple):
    """Somebody's job that ended at this time and held a slot for so many seconds."""

    user: str
    model: str
    at: float
    work_s: float


class Ledger:
    """Work per user, forgotten exponentially.

    Kept by forward decay (Cormode et al., "Forward Decay: A Practical Time Decay Model for Streaming Systems", 2009):
    new work is inflated instead of old work deflated, so the order of users changes only when somebody is charged,
    never by time alone, and can stand in a heap. It is kept as a logarithm, so nothing overflows.
    """

    def __init__(self, decay_s: float = DECAY_S) -> None:
        self._decay_s = decay_s
        self._log_work: dict[str, float] = {}
        self._many = MANY

    def charge(self, user: str, work_s: float, now: float) -> None:
        """Add work; a negative amount takes back an estimate."""
        self._log_work[user] = self.after(self.rank(user), work_s, now)
        if len(self._log_work) > self._many:
            self._log_work = {user: self._log_work[user] for user in self.used_s(now)}
            self._many = max(MANY, 2 * len(self._log_work))

    def rank(self, user: str) -> float:
        """A number to order users by: who has the smaller one goes first."""
        return self._log_work.get(user, -math.inf)

    def after(self, rank: float, work_s: float, now: float) -> float:
        """What ``rank`` becomes with this much more work."""
        if work_s == 0.0:
            return rank
        new = math.log(abs(work_s)) + now / self._decay_s
        if work_s > 0.0:
            low, high = sorted((rank, new))
            return high + math.log1p(math.exp(low - high))
        left = -math.expm1(new - rank) if new < rank else 0.0
        return rank + math.log(left) if left > 0.0 else -math.inf

    def used_s(self, now: float) -> dict[str, float]:
        """Seconds of work that still count, by user; who has next to none any more is left out."""
        used = {user: math.exp(log - now / self._decay_s) for user, log in self._log_work.items()}
        return {user: work_s for user, work_s in used.items() if work_s > 1e-3}

    def __len__(self) -> int:
        return len(self._log_work)
