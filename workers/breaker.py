"""A fuse between a worker and its engine: after enough failures in a row, leave the engine alone for a while. Pure."""

import math

FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 300.0

# Failures that say something about the server and not about what it was asked. A crash of the process behind a model
# counts: with a broken driver that is all there is, and without a fuse such a worker would burn one job after another.
OF_THE_SERVER = frozenset(
    {'unreachable', 'connection_lost', 'busy', 'runner_crashed', 'first_token_timeout', 'idle_timeout'}
)


class Breaker:
    """Closed, then open after ``failures`` in a row (0 is never), then half-open: one try decides.

    Each try that fails doubles the pause until the next. Times are in seconds on any clock that does not jump.
    """

    def __init__(self, failures: int) -> None:
        self._limit = failures
        self.reset()

    @property
    def closed(self) -> bool:
        """All is well, as far as we know."""
        return not self.open and not self.half_open

    def reset(self) -> None:
        """Forget everything; it is another server."""
        self.open = False
        self.half_open = False
        self.retry_at = math.inf  # when an open one may be tried
        self._row = 0
        self._pause_s = FIRST_PAUSE_S

    def failed(self, now: float) -> None:
        """The server failed. What still comes in from runs begun before it opened changes nothing."""
        self._row += 1
        if self.half_open or (self.closed and 0 < self._limit <= self._row):
            self._open(now)

    def answered(self) -> None:
        """The server answered, be it that the request was wrong."""
        self.reset()

    def back(self, now: float) -> None:
        """The server was away and is there again: no need to wait any longer."""
        self.retry_at = min(self.retry_at, now) if self.open else self.retry_at

    def try_again(self) -> None:
        """The pause is over: let one through."""
        if self.open:
            self.open, self.half_open = False, True

    def still_failing(self, now: float) -> None:
        """A try failed before it came to any job."""
        self._open(now)

    def _open(self, now: float) -> None:
        self.open, self.half_open = True, False
        self.retry_at = now + self._pause_s
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
