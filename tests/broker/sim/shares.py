"""I8: who used less goes first, and what users are charged is what they used."""

import math
from collections import defaultdict
from collections.abc import Mapping

from broker.share import DECAY_S
from tests.broker.sim.violation import Violation

FIRST_GUESS_S = 5.0
SLACK_S, SLACK = 0.3, 0.03  # an estimate that is put right a while later has decayed a little …
SLACK_OF_GUESS = 0.03  # … and by more when it was a large one


class Shares:
    """Work as the facts tell it, added up without logarithms.

    Users are charged an estimate when a job starts and the truth when its run ends, so at any moment the ledger lies
    between the work of the runs that ended and that plus one guess for each run in progress. After a restart what
    counts is the last run of each job that ended.
    """

    def __init__(self) -> None:
        self._work: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        self._longest_s = FIRST_GUESS_S
        self._in_progress: dict[str, int] = {}

    def booted(self, ended: list[tuple[str, float, float]]) -> None:
        """A new broker knows of these runs only: user, end, seconds."""
        self._work.clear()
        self._longest_s = FIRST_GUESS_S
        for user, at, seconds in ended:
            self.ran(user, at, seconds)

    def ran(self, user: str, at: float, seconds: float) -> None:
        """A run ended."""
        seconds = max(0.0, seconds)
        self._work[user].append((at, seconds))
        self._longest_s = max(self._longest_s, seconds)

    def agree(self, ranks: Mapping[str, float], running: Mapping[str, int], now: float) -> None:
        """Raise Violation when a user was charged other than for this; ``ranks`` are those of the broker's ledger."""
        for user, rank in ranks.items():
            charged_s = math.exp(rank - now / DECAY_S) if rank > -math.inf else 0.0
            used_s = sum(seconds * math.exp((at - now) / DECAY_S) for at, seconds in self._work[user])
            slack_s = SLACK_S + SLACK * used_s + SLACK_OF_GUESS * self._longest_s
            guessed_s = running.get(user, 0) * self._longest_s
            if not used_s - slack_s <= charged_s <= used_s + guessed_s + slack_s:
                raise Violation('I8', f'{user} is charged {charged_s:.2f} s, used {used_s:.2f} s + {guessed_s:.2f} s')
