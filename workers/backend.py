"""What a worker knows of its engine, from what the engine tells and from how its runs end, and what follows. Pure."""

import math

import msgspec

from broker import facts, vitals
from workers import parallel
from workers.breaker import OF_THE_SERVER, Breaker
from workers.canary import PROBLEM, Canaries
from workers.engines.base import EngineState
from workers.parallel import Parallel

OPEN = 'breaker_open'
DEMO_SLOTS = 3  # it takes as many as it is given; so many show a queue
_ECHO_S = 10.0  # so long an Ollama may go on with what nobody waits for any more, where it was reading a prompt
_OURS = 'worker_error'  # says nothing about the engine
_NOTHING_LEARNT = frozenset({'unreachable', 'connection_lost', 'busy', _OURS})  # about a model
_NOT_ASKED = ('bad_request', 'refused', 'model_not_found')  # what a canary asks, this model does not do


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker is told of it."""

    engine: str
    engine_version: str
    slots: int
    models: tuple[facts.ModelInfo, ...]
    problem: str
    saturated: bool


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """How things were when a run was sent to the engine."""

    at: float
    in_flight: int  # itself included
    fair: bool = True  # whether its times tell how much the engine runs at once


class Backend:
    """Is told what happens, and says how many jobs to take, which models are fit, and when to try one.

    Times are in seconds on one clock that does not jump.
    """

    def __init__(self, state: EngineState, *, slots: int, canary_every_s: float, breaker_failures: int) -> None:
        self.state = state
        self.breaker = Breaker(breaker_failures)
        self.canaries = Canaries(canary_every_s)
        self._parallel = Parallel(fixed=slots)
        self._fixed = slots > 0
        self._good_at = self._cut_at = -math.inf
        self._names: dict[str, str] = {}  # in the engine's list, by what jobs call them
        self._said: tuple[tuple[object, ...], Said] | None = None
        self._last_failure = ''  # of the server

    @property
    def said(self) -> Said:
        """What to tell the broker now; the same object until something changes."""
        state, failing = self.state, self.canaries.failing()
        basis = (self.slots, self.breaker.open, self._parallel.saturated, failing)
        if self._said is None or self._said[0] != basis:
            said = Said(
                engine=state.engine,
                engine_version=state.version,
                slots=self.slots,
                models=tuple(_fit(model, failing) for model in state.models),
                problem=state.problem or (OPEN if self.breaker.open else ''),
                saturated=self._parallel.saturated,
            )
            self._said = (basis, said)
        return self._said[1]

    @property
    def slots(self) -> int:
        """How many jobs to hold; one while a single one is to show whether the engine works again."""
        if self.breaker.half_open:
            return 1
        return DEMO_SLOTS if self.state.engine == 'demo' and not self._fixed else self._parallel.slots

    def feel(self, machine: vitals.Vitals, now: float) -> vitals.Vitals:
        """How the machine is, with how the engine is."""
        fuse = self.breaker
        return msgspec.structs.replace(
            machine,
            loaded=self.state.loaded[: vitals.MOST_LOADED],
            breaker='open' if fuse.open else 'half_open' if fuse.half_open else '',
            breaker_code='' if fuse.closed else self._last_failure,
            breaker_retry_s=max(0.0, fuse.retry_at - now) if fuse.open and fuse.retry_at < math.inf else 0.0,
        )

    def takes(self, busy: int) -> bool:
        """Whether there is room for a job that makes them ``busy`` in all."""
        return busy <= self.slots and not self.breaker.open

    def quiet_s(self, now: float) -> float:
        """Since the engine last gave a good token; -1 for never."""
        return -1.0 if self._good_at == -math.inf else max(0.0, now - self._good_at)

    def lacks(self, model: str) -> bool:
        """Whether the engine has it, but as far as we know not in memory."""
        listed = self._names.get(model)
        return any(info.name == listed and not info.resident for info in self.state.models)

    def described(self, state: EngineState, now: float) -> None:
        """The engine said what there is now."""
        before = self.state
        if state != before:
            self.state, self._said = state, None
            self._names = {name: model.name for model in state.models for name in _calls(model.name)}
        if before.engine != state.engine:
            self.breaker.reset()
        elif before.problem == 'unreachable' != state.problem:
            self.breaker.back(now)
        if (before.engine, before.version) != (state.engine, state.version):  # away is none: it may come back another
            self._parallel.forget(now)
        resident = frozenset(model.name for model in state.models if model.resident and model.engine == 'ollama')
        self.canaries.resident(resident, frozenset(state.lasting), now)

    def token(self, now: float) -> None:
        """A good line came."""
        self._good_at = now

    def used(self, model: str, now: float) -> None:
        """A job got something good from this model."""
        self.canaries.used(self._names.get(model, model), now)

    def sent(self, in_flight: int, now: float, *, alone: bool = True) -> Sent:
        """A run is sent. ``alone`` unless it drives away a canary."""
        return Sent(at=now, in_flight=in_flight, fair=alone and now - self._cut_at > _ECHO_S)

    def cut(self, now: float) -> None:
        """A run was ended before its end; the engine may hear of it late."""
        self._cut_at = now

    def ended(self, sent: Sent, now: float, *, kind: str, usage: facts.Usage, code: str = '') -> None:
        """A run is over: well, or with the ``code`` of its failure. One that somebody ended tells nothing."""
        if code == _OURS:
            return
        if code in OF_THE_SERVER:
            self._last_failure = code
            self.breaker.failed(now)
        else:
            self.breaker.answered()
        if code.endswith('_timeout'):
            self.cut(now)
        waited = True if code == 'busy' else parallel.waited(usage) if kind in ('chat', 'generate') else None
        if sent.fair and waited is not None and (not code or waited):
            self._parallel.ended(in_flight=sent.in_flight, sent_at=sent.at, waited=waited, now=now)

    def probe_at(self) -> float:
        """When the engine or one of its models should be tried; infinity for never."""
        return self.breaker.retry_at if self.breaker.open else self.canaries.next()[0]

    def candidate(self, now: float) -> str:
        """The model to be asked for a token now, or ''."""
        if self.breaker.open:
            return self.canaries.any()
        at, name = self.canaries.next()
        return name if at <= now else ''

    def canary_passed(self, model: str, now: float) -> None:
        """It gave its token."""
        self._good_at = now
        self.breaker.answered()
        self.canaries.passed(model, now)

    def canary_failed(self, model: str, code: str, now: float) -> None:
        """It gave none, and why."""
        if code.startswith(_NOT_ASKED):
            self.breaker.try_again()  # the server is there; a job will show the rest
            self.canaries.leave_alone(model)
            return
        if self.breaker.open:
            self.breaker.still_failing(now)
        if code in _NOTHING_LEARNT:
            self.canaries.postpone(model, now)
        else:
            self.canaries.failed(model, now)

    def nobody_to_ask(self, now: float) -> None:
        """The breaker's pause is over, and no model is in memory."""
        if self.state.problem == 'unreachable':
            self.breaker.still_failing(now)
        else:
            self.breaker.try_again()


def _fit(model: facts.ModelInfo, failing: frozenset[str]) -> facts.ModelInfo:
    return msgspec.structs.replace(model, problem=PROBLEM) if model.name in failing else model


def _calls(name: str) -> set[str]:
    """What a job may say for it: Ollama takes ``qwen3`` for ``qwen3:latest``."""
    return {name, name.removesuffix(':latest')}
