"""What is paused: nothing of it starts, what runs goes on. And what drains: somebody waits for the last run of it."""

from collections.abc import Callable, Iterator

from broker import protocol
from broker.intake import is_priority


class Pauses:
    """The pauses in force, by scope."""

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {scope: set() for scope in protocol.PAUSE_SCOPES}
        self._draining: set[tuple[str, str]] = set()

    def infos(self) -> Iterator[protocol.PauseInfo]:
        """All of them, by scope and name."""
        for scope, names in self._names.items():
            for name in sorted(names):
                draining = (scope, name) in self._draining
                yield protocol.PauseInfo(scope=scope, name=name, draining=draining)

    def add(self, scope: str, name: str, *, draining: bool = False) -> bool:
        """Whether that is news."""
        new = name not in self._names[scope] or (draining and (scope, name) not in self._draining)
        self._names[scope].add(name)
        if draining:
            self._draining.add((scope, name))
        return new

    def remove(self, scope: str, name: str) -> bool:
        """Whether it was paused."""
        was = name in self._names[scope]
        self._names[scope].discard(name)
        self._draining.discard((scope, name))
        return was

    def drained(self, runs: Callable[[str, str], bool]) -> list[tuple[str, str]]:
        """What drains and of which nothing ``runs`` any more; each is told once."""
        done = [each for each in sorted(self._draining) if not runs(*each)]
        self._draining.difference_update(done)
        return done

    @property
    def everything(self) -> bool:
        """Whether nothing at all may start."""
        return bool(self._names['all'])

    def has(self, scope: str, name: str) -> bool:
        """Whether exactly this is paused."""
        return name in self._names[scope]

    def priorities(self) -> frozenset[int]:
        """The levels that are paused."""
        return frozenset(map(int, self._names['priority']))


def problem_with(scope: str, name: str) -> str:
    """Why this cannot be paused, '' when it can."""
    if scope not in protocol.PAUSE_SCOPES:
        return f'scope must be one of {", ".join(protocol.PAUSE_SCOPES)}'
    if scope == 'all':
        return 'to pause everything, leave the name empty' if name else ''
    if scope == 'priority':
        return (
            '' if name.isdecimal() and len(name) < 4 and is_priority(int(name)) else 'name must be a priority, 0 to 15'
        )
    return '' if scope == 'user' or 0 < len(name) <= 300 else 'name must be 1 to 300 characters'
