"""The workers that are there, what they can run, and what they do with their models: a part of the board."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from app.views import EngineView, ModelView
from broker import facts, protocol
from broker.errand import Errand

KEEP_DEPARTED = 12
KEEP_ERRANDS = 50
# What is told all the time and by no fact.
_LIVE = ('labels', 'draining', 'last_token_at', 'saturated', 'backend', 'started_at', 'vitals')


class Departed(NamedTuple):
    """A worker that is gone: what was known of it, when it went (unix seconds), and why, see ``facts.WorkerLeft``."""

    worker: protocol.WorkerInfo
    at: float
    reason: str


class Roster:
    """Workers by name."""

    def __init__(self) -> None:
        self._workers: dict[str, protocol.WorkerInfo] = {}
        self._departed: OrderedDict[str, Departed] = OrderedDict()
        self._errands: OrderedDict[str, Errand] = OrderedDict()
        self._had_real = False  # an engine other than the demo has answered since this process began

    def __len__(self) -> int:
        return len(self._workers)

    def restore(self, workers: Iterable[protocol.WorkerInfo], errands: Iterable[Errand] = ()) -> None:
        """These and no others."""
        self._workers = {worker.worker: worker for worker in workers}
        self._errands = OrderedDict((errand.errand_id, errand) for errand in errands)
        for name in self._workers.keys() & self._departed.keys():
            del self._departed[name]
        self._remember()

    def tell(self, worker: protocol.WorkerInfo) -> bool:
        """How one of them is now; whether what it does for others has changed, too: it begins to leave, say."""
        known = self._workers.get(worker.worker)
        if known is None:
            return False
        self._workers[worker.worker] = msgspec.structs.replace(known, **{name: getattr(worker, name) for name in _LIVE})
        return known.draining != worker.draining or known.labels != worker.labels

    def take_errand(self, errand: Errand) -> None:
        """How far an errand is."""
        self._errands[errand.errand_id] = errand
        ended = [each.errand_id for each in self._errands.values() if each.final]
        for errand_id in ended[: max(0, len(ended) - KEEP_ERRANDS)]:
            del self._errands[errand_id]

    def errands(self) -> list[Errand]:
        """Those that go on, and those that ended lately; oldest first."""
        return list(self._errands.values())

    def departed(self) -> list[Departed]:
        """Workers that went since this process began and did not come back; newest first."""
        return list(reversed(self._departed.values()))

    def learn(self, fact: facts.WorkerFact) -> None:
        """Take in a fact about a worker."""
        match fact:
            case facts.WorkerJoined():
                self._workers[fact.worker] = protocol.WorkerInfo(
                    worker=fact.worker,
                    host=fact.host,
                    pid=fact.pid,
                    engine=fact.engine,
                    engine_version=fact.engine_version,
                    slots=fact.slots,
                    busy=0,
                    models=fact.models,
                    problem=fact.problem,
                    joined_at=fact.at,
                    labels=fact.labels,
                )
                self._departed.pop(fact.worker, None)
            case facts.WorkerChanged() if fact.worker in self._workers:
                self._workers[fact.worker] = msgspec.structs.replace(
                    self._workers[fact.worker],
                    engine=fact.engine,
                    engine_version=fact.engine_version,
                    slots=fact.slots,
                    models=fact.models,
                    problem=fact.problem,
                    labels=fact.labels,
                )
            case facts.WorkerRetired() if fact.worker in self._workers:
                self._workers[fact.worker] = msgspec.structs.replace(self._workers[fact.worker], draining=True)
            case facts.WorkerLeft():
                self._depart(fact)
        self._remember()

    def all(self, busy: dict[str, int]) -> list[protocol.WorkerInfo]:
        """All of them by name, with ``busy`` filled in."""
        return [msgspec.structs.replace(self._workers[name], busy=busy.get(name, 0)) for name in sorted(self._workers)]

    def slots(self) -> int:
        """How many jobs they could run at once."""
        return sum(worker.slots for worker in self._workers.values())

    def engine_of(self, name: str) -> str:
        """The engine of a worker, '' when it is not there."""
        return self._workers[name].engine if name in self._workers else ''

    def serves(self, model: str) -> bool:
        """Whether somebody has this model; ``qwen3`` means ``qwen3:latest``."""
        names = (model, f'{model}:latest')
        return any(found.name in names for worker in self._workers.values() for found in worker.models)

    def name_of(self, asked: str) -> str:
        """The model as it was announced that ``asked`` means, as Ollama reads names; '' where nobody has it.

        ``qwen3``, ``Qwen3:latest`` and ``registry.ollama.ai/library/qwen3`` are all ``qwen3:latest``.
        """
        if any(model.name == asked for worker in self._workers.values() for model in worker.models):
            return asked
        wanted = _full_name(asked)
        names = (model.name for worker in self._workers.values() for model in worker.models)
        return next((name for name in names if _full_name(name) == wanted), '')

    def models(self) -> list[ModelView]:
        """The models to pick from, by name. The demo engine's are hidden while a real one can answer."""
        found = self._found()
        real = [name for name, model in found.items() if model.engine != 'demo']
        return [found[name] for name in sorted(real or found)]

    def model(self, name: str) -> ModelView | None:
        """The model that was announced by this name, hidden or not."""
        return self._found().get(name)

    def _found(self) -> dict[str, ModelView]:
        found: dict[str, ModelView] = {}
        for worker in self._workers.values():
            for model in worker.models:
                known = found.get(model.name)
                fields = msgspec.structs.asdict(model)
                fields['slots'] = worker.slots + (known.slots if known else 0)
                fields['resident'] = model.resident or (known is not None and known.resident)
                found[model.name] = ModelView(**fields)
        return found

    def engine(self) -> EngineView:
        """What answers now: a real engine that works, else the demo, else a real one with its problem.

        With the demo, the problem is that of the real engine: 'unreachable' when it has answered before.
        """
        ranked = sorted(self._workers.values(), key=lambda worker: (not worker.models, worker.engine == 'demo'))
        if not ranked:
            return EngineView()
        kind, problem = ranked[0].engine, ranked[0].problem
        if kind == 'demo' and self._had_real:
            problem = problem or 'unreachable'
        return EngineView(kind=kind, version=ranked[0].engine_version, problem=problem)

    def _depart(self, fact: facts.WorkerLeft) -> None:
        worker = self._workers.pop(fact.worker, None)
        if worker is not None and fact.reason != 'replaced':
            self._departed[fact.worker] = Departed(worker, fact.at, fact.reason)
            while len(self._departed) > KEEP_DEPARTED:
                self._departed.popitem(last=False)

    def _remember(self) -> None:
        self._had_real |= any(worker.models and worker.engine != 'demo' for worker in self._workers.values())


def _full_name(name: str) -> str:
    """A model's name with what may be left out of it, in small letters."""
    name = name.lower().removeprefix('registry.ollama.ai/').removeprefix('library/')
    return name if ':' in name.rpartition('/')[2] else f'{name}:latest'
