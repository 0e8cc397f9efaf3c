"""How many models engines kept in memory at once, as recorded runs let one see it. Pure."""

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable

from broker.rehearsal import LOADING_S, Recorded


def seen(runs: Iterable[Recorded]) -> int:
    """The number that explains best which runs began with a load and which did not; 1 where nothing speaks for more.

    With room for n models one is still there if fewer than n others ran on that worker since. The first run of each
    model says nothing, and neither does one after an idle time in which the engine let it go: that tells against
    every number alike.
    """
    memory: dict[str, OrderedDict[str, None]] = defaultdict(OrderedDict)  # by worker, the last used one at the end
    loaded: Counter[int] = Counter()  # runs with a load, by how many models ran since theirs, itself included
    there: Counter[int] = Counter()  # those without
    for run in sorted(runs, key=lambda run: run.ready_at + run.waited_s):
        models, name = memory[run.worker], run.runner or run.model
        if name in models:
            room = len(models) - list(models).index(name)
            (loaded if run.load_s >= LOADING_S else there)[room] += 1
        models[name] = None
        models.move_to_end(name)
    most = max((*loaded, *there), default=1)
    wrong = {n: _wrong(n, loaded, there) for n in range(1, most + 1)}
    return min(wrong, key=lambda n: (wrong[n], n))


def _wrong(room: int, loaded: Counter[int], there: Counter[int]) -> int:
    """Of how many runs it would be wrong that an engine has room for so many."""
    return sum(n for needed, n in loaded.items() if needed <= room) + sum(
        n for needed, n in there.items() if needed > room
    )
