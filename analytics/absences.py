"""When nobody could run a model, and what was paused when: the reasons for a wait that concern many jobs at once."""

import math
from collections.abc import Iterable

import msgspec

MOST = 500  # spans remembered for each model or pause; a wait that began before all of them counts as behind others

Spans = list[tuple[float, float]]  # from … until, in order, apart from each other; the last may end at infinity


class Absences(msgspec.Struct, kw_only=True):
    """Told by workers and pauses as they come and go."""

    served: dict[str, tuple[str, ...]] = {}  # by worker: the models that it can run now
    unserved: dict[str, Spans] = {}  # by model, of those that were ever served
    pauses: dict[str, Spans] = {}

    def serves(self, worker: str, models: Iterable[str], at: float) -> None:
        """From now on this worker can run these."""
        before = self._all()
        self.served[worker] = tuple(canonical(model) for model in models)
        if not self.served[worker]:
            del self.served[worker]
        now = self._all()
        for model in now - before:
            _end(self.unserved.setdefault(model, [(0.0, math.inf)]), at)
        for model in before - now:
            _begin(self.unserved[model], at)

    def paused(self, scope: str, name: str, at: float, begins: bool) -> None:
        """A pause begins or is over."""
        spans = self.pauses.setdefault(f'{scope} {name}' if scope != 'all' else 'all', [])
        (_begin if begins else _end)(spans, at)

    def during(self, since: float, until: float, model: str, user: str, priority: int) -> tuple[float, float]:
        """How long, of this time, a job was paused, and how long it was not but nobody could run it, seconds."""
        keys = ('all', f'model {model}', f'user {user}', f'priority {priority}')
        paused = _clipped((span for key in keys for span in self.pauses.get(key, ())), since, until)
        name = canonical(model)
        away = _clipped(self.unserved.get(name, [(0.0, math.inf)]), since, until)
        paused_s = _length(paused)
        return paused_s, max(0.0, _length([*paused, *away]) - paused_s)

    def _all(self) -> set[str]:
        return {model for models in self.served.values() for model in models}


def canonical(model: str) -> str:
    """The full name of a model, as engines write it."""
    return model if ':' in model.rpartition('/')[2] else f'{model}:latest'


def _begin(spans: Spans, at: float) -> None:
    if not spans or spans[-1][1] < math.inf:
        spans.append((at, math.inf))
        del spans[:-MOST]


def _end(spans: Spans, at: float) -> None:
    if spans and spans[-1][1] == math.inf:
        spans[-1] = (spans[-1][0], at)


def _clipped(spans: Iterable[tuple[float, float]], since: float, until: float) -> Spans:
    return [(max(a, since), min(b, until)) for a, b in spans if a < until and b > since]


def _length(spans: Spans) -> float:
    """Of all together; where some overlap it counts once."""
    total, reached = 0.0, -math.inf
    for a, b in sorted(spans):
        total += max(0.0, b - max(a, reached))
        reached = max(reached, b)
    return total
