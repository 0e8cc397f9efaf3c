"""The workers, what each can run, and the runs they hold."""

from collections.abc import Iterator

import msgspec

from broker import facts, protocol
from broker.actions import Peer
from broker.job import Job
from broker.pauses import Pauses


class Run(msgspec.Struct, kw_only=True):
    """One run of one job: its lease, and the lines it has given so far (the token log)."""

    job: Job
    epoch: int
    worker: str
    session: str  # empty after a restart of the broker, until a worker shows that it holds the run
    expires_at: float
    assigned_at: float
    charged_s: float = 0.0  # what its user was charged for it when it started
    cancelling: bool = False
    lines: list[bytes] = msgspec.field(default_factory=list)
    size: int = 0  # bytes in lines
    asked_at: float = 0.0  # when missing lines were asked for last
    asked_index: int = -1


class Worker(msgspec.Struct, kw_only=True):
    """A worker process that signed in."""

    peer: Peer
    ready: protocol.Ready
    joined_at: float
    expires_at: float
    gone: bool = False  # its connection broke; it may come back
    draining: bool = False
    runs: dict[str, Run] = msgspec.field(default_factory=dict)
    models: frozenset[str] = frozenset()

    @property
    def free(self) -> int:
        """Slots that a job could have now."""
        return 0 if self.gone or self.draining else self.ready.slots - len(self.runs)

    def show(self, peer: Peer, ready: protocol.Ready) -> None:
        """It says what it is now."""
        self.peer, self.ready, self.gone = peer, ready, False
        self.models = model_names(ready.models)

    def engine_of(self, model: str) -> str:
        """Which of its engines runs this model."""
        names = (info.engine for info in self.ready.models if model in (info.name, info.name.removesuffix(':latest')))
        return next(names, self.ready.engine)

    def info(self) -> protocol.WorkerInfo:
        """What a client may see."""
        ready = self.ready
        return protocol.WorkerInfo(
            worker=ready.worker,
            host=ready.host,
            pid=ready.pid,
            engine=ready.engine,
            engine_version=ready.engine_version,
            slots=ready.slots,
            busy=len(self.runs),
            models=ready.models,
            problem=ready.problem,
            joined_at=self.joined_at,
        )


class Fleet:
    """All workers, found by name or by connection."""

    def __init__(self) -> None:
        self._by_name: dict[str, Worker] = {}
        self._by_peer: dict[Peer, Worker] = {}

    def __iter__(self) -> Iterator[Worker]:
        return iter(list(self._by_name.values()))

    def named(self, name: str) -> Worker | None:
        """The worker of this name."""
        return self._by_name.get(name)

    def at(self, peer: Peer) -> Worker | None:
        """The worker at the other end of this connection."""
        return self._by_peer.get(peer)

    def put(self, worker: Worker) -> None:
        """Add a worker, or follow it to its new connection."""
        self._by_peer = {peer: other for peer, other in self._by_peer.items() if other is not worker}
        self._by_name[worker.ready.worker] = worker
        self._by_peer[worker.peer] = worker

    def remove(self, worker: Worker) -> None:
        """Forget a worker."""
        del self._by_name[worker.ready.worker]
        self._by_peer.pop(worker.peer, None)

    def has_room(self) -> bool:
        """Whether anybody has a free slot."""
        return any(worker.free > 0 for worker in self._by_name.values())

    def can_start(self, model: str, paused: Pauses) -> bool:
        """Whether somebody who is not paused has this model and a free slot."""
        return any(self._able(model, paused))

    def serves(self, model: str) -> bool:
        """Whether somebody has this model, busy or not."""
        return any(model in worker.models and not worker.draining for worker in self._by_name.values())

    def choose(self, model: str, paused: Pauses) -> Worker:
        """The worker with the most free slots for this model; the name decides between equals."""
        return max(self._able(model, paused), key=lambda worker: (worker.free, worker.ready.worker))

    def _able(self, model: str, paused: Pauses) -> Iterator[Worker]:
        return (
            worker
            for name, worker in self._by_name.items()
            if worker.free > 0 and model in worker.models and not paused.has('worker', name)
        )


def model_names(models: tuple[facts.ModelInfo, ...]) -> frozenset[str]:
    """The names by which jobs may ask for these models: Ollama takes ``qwen3`` for ``qwen3:latest``."""
    names = {model.name for model in models}
    return frozenset(names | {name.removesuffix(':latest') for name in names})
