"""When a model that nobody uses should show with one token that it still works. Pure: time is an argument.

Only models in memory are asked. A request of any kind starts Ollama's clock of ``keep_alive`` anew, and one that sends
a ``keep_alive`` changes it for all that come after; so a canary sends none, and a model that is to leave memory by
itself is asked once after its last use and then left alone: its stay grows by one ``every_s`` at most. One that stays
for ever is asked again and again.

A model that failed is asked again after a pause that grows beyond Ollama's usual five minutes, so that one that hangs
may leave memory. A model that is loaded anew starts with a clean slate.
"""

import math

import msgspec

PROBLEM = 'canary_failed'
FIRST_PAUSE_S = 15.0
LONGEST_PAUSE_S = 960.0


class _Model(msgspec.Struct):
    lasting: bool
    next_at: float
    failures: int = 0


class Canaries:
    """Which model is due when. ``every_s`` is how long a model may go without a good token; 0 asks none.

    Models are known by the name under which the engine lists them. Times are seconds on a clock that does not jump.
    """

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s or math.inf
        self._models: dict[str, _Model] = {}

    def resident(self, names: frozenset[str], lasting: frozenset[str], now: float) -> None:
        """These are in memory, and no others; those in ``lasting`` stay until somebody unloads them."""
        fresh = now + self._every_s
        old = self._models
        self._models = {name: old.get(name) or _Model(lasting=False, next_at=fresh) for name in sorted(names)}
        for name, model in self._models.items():
            if name in lasting and not model.lasting and model.next_at == math.inf:
                model.next_at = fresh
            model.lasting = name in lasting

    def used(self, name: str, now: float) -> None:
        """A job got a good token from it."""
        if (model := self._models.get(name)) is not None:
            model.failures = 0
            model.next_at = now + self._every_s

    def passed(self, name: str, now: float) -> None:
        """It gave its token."""
        if (model := self._models.get(name)) is not None:
            model.failures = 0
            model.next_at = now + self._every_s if model.lasting else math.inf

    def failed(self, name: str, now: float) -> None:
        """It gave none."""
        if (model := self._models.get(name)) is not None:
            model.next_at = now + min(FIRST_PAUSE_S * 2.0**model.failures, LONGEST_PAUSE_S)
            model.failures = min(model.failures + 1, 100)

    def postpone(self, name: str, now: float) -> None:
        """Nothing was learnt about it."""
        if (model := self._models.get(name)) is not None:
            model.next_at = now + FIRST_PAUSE_S

    def leave_alone(self, name: str) -> None:
        """It does not do what a canary asks for, which is no fault."""
        if (model := self._models.get(name)) is not None:
            model.failures = 0
            model.next_at = math.inf

    def next(self) -> tuple[float, str]:
        """When the next one is due, and which; ``(inf, '')`` when none ever is."""
        return min(((model.next_at, name) for name, model in self._models.items()), default=(math.inf, ''))

    def any(self) -> str:
        """One that is most likely to answer, or '' when none is in memory or none is to be asked."""
        if self._every_s == math.inf:
            return ''
        return min(self._models, key=lambda name: self._models[name].failures, default='')

    def failing(self) -> frozenset[str]:
        """Those that gave no token when they were asked last."""
        return frozenset(name for name, model in self._models.items() if model.failures)
