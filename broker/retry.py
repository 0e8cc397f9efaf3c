"""When a failed job may try again."""

from typing import NamedTuple


class RetryPolicy(NamedTuple):
    """Exponential back-off with full jitter: a random time between now and a ceiling that doubles.

    After "Exponential Backoff And Jitter", AWS Architecture Blog: of the variants there, full jitter spreads
    clients best.
    """

    base_s: float = 2.0
    max_s: float = 60.0

    def retry_at(self, failures: int, now: float, jitter: float) -> float:
        """When to try again after ``failures`` failures (1 or more); ``jitter`` is drawn from [0, 1)."""
        ceiling_s = min(self.max_s, self.base_s * 2.0 ** min(failures - 1, 32))
        return now + jitter * ceiling_s
