"""The workers as clients see them: how they are, what they are asked to do, and which machines may join."""

import msgspec

from broker import facts
from broker.errand import Errand, Order
from broker.protocol.envelope import Reply, Request
from broker.vitals import Vitals


class Retire(Request, frozen=True, kw_only=True):
    """Let this worker take nothing new, end when its runs have, and hand back what is left after ``grace_s``."""

    worker: str
    grace_s: float = 300.0


class RunErrand(Request, frozen=True, kw_only=True):
    """Have this worker do something with a model of its engine. Sending it twice is doing it once.

    While the same goes on already, the reply tells of that one.
    """

    worker: str
    order: Order


class CancelErrand(Request, frozen=True, kw_only=True):
    """Stop an errand. What of a pull has come stays with the engine, and the next pull goes on from there."""

    errand_id: str


class AddMachine(Request, frozen=True, kw_only=True):
    """Let the workers of one machine more of the network join."""

    name: str


class RemoveMachine(Request, frozen=True, kw_only=True):
    """Let them join no more; those that are connected are turned away, and their jobs go back into the queue."""

    name: str


class FindMachines(Request, frozen=True, kw_only=True):
    """The machines whose workers may join."""


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A worker as the broker sees it now."""

    worker: str
    host: str
    pid: int
    engine: str
    engine_version: str
    slots: int
    busy: int
    models: tuple[facts.ModelInfo, ...]
    problem: str = ''
    joined_at: float = 0.0
    labels: tuple[str, ...] = ()
    draining: bool = False
    last_token_at: float = 0.0  # when its engine last gave a good token, 0 for never
    saturated: bool = False
    backend: str = ''  # host and address of its engine: workers with the same one share it
    started_at: float = 0.0  # of the worker process, 0 unknown
    vitals: Vitals | None = None  # of its machine, once it told


class MachineToken(Reply, frozen=True, kw_only=True):
    """With this a worker of that machine joins. Nobody can show it again. ``listen`` is where: host:port as set."""

    token: str
    listen: str = ''


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine whose workers may join, and since when."""

    name: str
    added_at: float


class MachineList(Reply, frozen=True, kw_only=True):
    """The machines by name."""

    machines: tuple[Machine, ...]


class ErrandState(Reply, frozen=True, kw_only=True):
    """An errand as it stands."""

    errand: Errand
