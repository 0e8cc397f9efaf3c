"""Between the broker and a worker.

``epoch`` is the fencing token of one run of one job; ``index`` counts the NDJSON lines of that run from 0. Payload
lines are the engine's own bytes, without the newline.
"""

import msgspec

from broker import facts
from broker.errand import Errand, Order
from broker.protocol.envelope import VERSION, Count
from broker.vitals import Vitals


class FromWorker(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field='t', omit_defaults=True):
    """Base of what a worker sends."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run the worker holds: still going, or finished and not yet settled by the broker."""

    job_id: str
    epoch: Count
    index: Count  # lines produced so far


class Ready(FromWorker, frozen=True, kw_only=True):
    """Here I am. Sent on connecting, on reconnecting, when asked, and whenever any of this changes."""

    worker: str  # stable name of the place, e.g. host:1
    session: str  # new with every process
    host: str
    pid: int
    engine: str
    engine_version: str
    slots: int
    models: tuple[facts.ModelInfo, ...]
    problem: str = ''
    runs: tuple[Run, ...] = ()
    version: int = VERSION
    labels: tuple[str, ...] = ()
    saturated: bool = False  # the engine does not take more at once: more workers for it would not help
    backend: str = ''  # the engine's host and address: workers with the same one share what is loaded there


class Heartbeat(FromWorker, frozen=True, kw_only=True):
    """Still here, holding these runs. ``quiet_s``: since the engine last gave a good token, -1 for never."""

    runs: tuple[Run, ...] = ()
    quiet_s: float = -1.0
    vitals: Vitals | None = None  # when it has changed so much that it is worth telling


class ErrandNews(FromWorker, frozen=True, kw_only=True):
    """How far an errand is, or how it ended; the last one is sent again with each Ready."""

    errand: Errand


class Tokens(FromWorker, frozen=True, kw_only=True):
    """Lines ``index`` … of a run."""

    job_id: str
    epoch: Count
    index: Count
    lines: tuple[bytes, ...]


class Finished(FromWorker, frozen=True, kw_only=True):
    """The run ended well after ``lines`` lines; sent again until settled."""

    job_id: str
    epoch: Count
    lines: Count
    usage: facts.Usage


class Failed(FromWorker, frozen=True, kw_only=True):
    """The run failed; sent again until settled."""

    job_id: str
    epoch: int
    code: str
    detail: str
    retryable: bool
    usage: facts.Usage = facts.Usage()
    trace: str = ''  # the worker's own stack, where its code broke


class Stopped(FromWorker, frozen=True, kw_only=True):
    """The run was stopped because the broker said so; the slot is free. Sent again until settled."""

    job_id: str
    epoch: int
    usage: facts.Usage = facts.Usage()


class HandBack(FromWorker, frozen=True, kw_only=True):
    """The worker drains: the run was ended unfinished and costs the job nothing. Sent again until settled."""

    job_id: str
    epoch: int


class Bye(FromWorker, frozen=True, kw_only=True):
    """The worker leaves and holds nothing. ``draining`` announces it: no new jobs, please, the runs go on."""

    draining: bool = False


AnyFromWorker = Ready | Heartbeat | Tokens | Finished | Failed | Stopped | HandBack | ErrandNews | Bye


class ToWorker(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field='t', omit_defaults=True):
    """Base of what the broker tells a worker."""


class Welcome(ToWorker, frozen=True, kw_only=True):
    """You are known. Send a heartbeat this often; a lease lives this long without one."""

    boot: str
    heartbeat_s: float
    lease_ttl_s: float


class Identify(ToWorker, frozen=True, kw_only=True):
    """I do not know you (I may have restarted): send Ready."""


class Assign(ToWorker, frozen=True, kw_only=True):
    """Run this. The same (job_id, epoch) may come twice; it means the same run."""

    job_id: str
    epoch: int
    kind: str
    model: str
    body: bytes = b''
    path: str = ''


class Stop(ToWorker, frozen=True, kw_only=True):
    """End this run: cancelled, or no longer yours. Answer Stopped; ``stale`` runs just vanish."""

    job_id: str
    epoch: int
    stale: bool = False


class Resend(ToWorker, frozen=True, kw_only=True):
    """I have the lines before ``index``; send the rest, and the outcome if there is one."""

    job_id: str
    epoch: int
    index: int


class Settled(ToWorker, frozen=True, kw_only=True):
    """The outcome of this run is on disk (or stale): forget it."""

    job_id: str
    epoch: int


class Leave(ToWorker, frozen=True, kw_only=True):
    """Take nothing new; end when the runs have, or after ``grace_s`` and hand back what is left."""

    grace_s: float


class TurnedAway(ToWorker, frozen=True, kw_only=True):
    """You may not work here, or not under this name: drop what you hold and end. ``detail`` is for people."""

    detail: str


class Beat(ToWorker, frozen=True, kw_only=True):
    """Nothing to say; a worker that is gone is noticed by sending this."""


class DoErrand(ToWorker, frozen=True, kw_only=True):
    """Do this with a model. The same may come twice; it means the same errand."""

    order: Order


class StopErrand(ToWorker, frozen=True, kw_only=True):
    """End this errand, if you are on it, and say so."""

    errand_id: str


class Look(ToWorker, frozen=True, kw_only=True):
    """Somebody has changed the models of your engine: look what there is now."""


AnyToWorker = (
    Welcome | Identify | Assign | Stop | Resend | Settled | Leave | TurnedAway | DoErrand | StopErrand | Look | Beat
)
