"""What is said of those who knock with an unknown key: a line a minute for each of them, however often they come."""

import msgspec

EVERY_S = 60.0
MOST = 50  # told apart; keys cost nothing to make, so all beyond are one
OTHERS = ('', '')


class _Caller(msgspec.Struct):
    told_at: float
    since: int = 0  # knocks that no line has told of


class Knocks:
    """Counts who was refused. ``heard`` is told of each, and says when it is time for a line in the log."""

    def __init__(self) -> None:
        self._callers: dict[tuple[str, str], _Caller] = {}

    def heard(self, key: str, address: str, now: float) -> str:
        """The line to write now, '' for none."""
        who = (key, address)
        if who not in self._callers and len(self._callers) >= MOST:
            self._forget(now)
        if who not in self._callers and len(self._callers) >= MOST:
            who = OTHERS
        caller = self._callers.get(who)
        if caller is None:
            self._callers[who] = _Caller(told_at=now)
            return f'{_named(who)} was refused'
        caller.since += 1
        if now < caller.told_at + EVERY_S:
            return ''
        times, passed_s = caller.since, now - caller.told_at
        caller.told_at, caller.since = now, 0
        return f'{_named(who)} was refused, {times} times more in {passed_s:.0f} s'

    def _forget(self, now: float) -> None:
        """Those who have not come again for long."""
        for who in [who for who, caller in self._callers.items() if caller.told_at < now - EVERY_S]:
            del self._callers[who]


def _named(who: tuple[str, str]) -> str:
    if who == OTHERS:
        return f'one of more than {MOST} machines with unknown keys'
    key, address = who
    return f'a machine with an unknown key ({key[:8]}…) at {address}'
