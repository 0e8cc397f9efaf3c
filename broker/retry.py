"""When a failed job may try again."""

from typing import NamedTuple


class RetryPolicy(NamedTuple):
    """Exponential back-off with full jitter: a random time between now and a ceiling that doubles.

    After "Exponential Backoff And Jitter", AWS Architecture Blog: of the variants there, full jitter spreads
    clients best.
    """

    base_s: float = 2.0
    max_s: float = 60.0

    def of(self, base_s: float, max_s: float) -> 'RetryPolicy':
        """The policy of a job that has numbers of its own; 0 is as the settings say."""
        base_s = base_s or self.base_s
        return RetryPolicy(base_s, max_s or max(self.max_s, base_s)) if base_s or max_s else self

    def retry_at(self, failures: int, now: float, jitter: float) -> float:
        """When to try again after ``failures`` failures (1 or more); ``jitter`` is drawn from [0, 1)."""
        ceiling_s = min(self.max_s, self.base_s * 2.0 ** min(failures - 1, 32))
        return now + jitter * ceiling_s
