"""How a worker's machine and engine are: load, memory, GPUs, what is loaded. It changes all the time, so it is no fact.

A worker sends it with a heartbeat when it has changed enough to be seen; the broker keeps the newest one, tells it on,
and writes nothing of it down.
"""

import math

import msgspec

from broker import facts

UNKNOWN = -1.0
MOST_GPUS, MOST_LOADED, MAX_NAME = 16, 64, 200  # what one message may have
_SHARE = 0.02  # of a memory that has to change before it is told
_PERCENT = 4.0
_EXPIRY_S = 20.0


class Gpu(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A GPU as its driver tells; bytes, and percent of the time in use, UNKNOWN where it does not say."""

    name: str = ''
    memory_total: int = 0
    memory_used: int = 0
    used_percent: float = UNKNOWN


class Loaded(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model in memory: its bytes in all and on GPUs, and when it leaves (unix seconds, 0 unknown, -1 never)."""

    name: str
    size_bytes: int = 0
    vram_bytes: int = 0
    expires_at: float = 0.0
    context_length: int = 0


class Vitals(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The machine, and how the worker finds its engine. Bytes; percent of all processors together; 0 is unknown."""

    system: str = ''  # like 'Linux x86_64'
    cpus: int = 0
    cpu_percent: float = UNKNOWN
    memory_total: int = 0
    memory_used: int = 0
    gpus: tuple[Gpu, ...] = ()
    loaded: tuple[Loaded, ...] = ()
    breaker: str = ''  # '' while all is well, 'open', or 'half_open' while one job may try
    breaker_code: str = ''  # the failure that opened it
    breaker_retry_s: float = 0.0  # until the engine is tried again
    up_s: float = 0.0  # since the worker process began


def differs(new: Vitals, told: Vitals | None) -> bool:
    """Whether ``new`` is so different from what was ``told`` that somebody who looks at both would see it."""
    if told is None:
        return True
    plain = ('system', 'cpus', 'memory_total', 'breaker', 'breaker_code')
    if any(getattr(new, name) != getattr(told, name) for name in plain):
        return True
    if abs(new.cpu_percent - told.cpu_percent) >= _PERCENT:
        return True
    if abs(new.memory_used - told.memory_used) > _SHARE * new.memory_total:
        return True
    return _gpus_differ(new.gpus, told.gpus) or _loaded_differ(new.loaded, told.loaded)


def sound(vitals: Vitals) -> Vitals:
    """The same within its bounds: a worker may send anything."""
    return Vitals(
        system=vitals.system[:MAX_NAME],
        cpus=_count(vitals.cpus),
        cpu_percent=_percent(vitals.cpu_percent),
        memory_total=_count(vitals.memory_total),
        memory_used=_count(vitals.memory_used),
        gpus=tuple(
            Gpu(
                name=gpu.name[:MAX_NAME],
                memory_total=_count(gpu.memory_total),
                memory_used=_count(gpu.memory_used),
                used_percent=_percent(gpu.used_percent),
            )
            for gpu in vitals.gpus[:MOST_GPUS]
        ),
        loaded=tuple(
            Loaded(
                name=model.name[:MAX_NAME],
                size_bytes=_count(model.size_bytes),
                vram_bytes=_count(model.vram_bytes),
                expires_at=_finite(model.expires_at),
                context_length=_count(model.context_length),
            )
            for model in vitals.loaded[:MOST_LOADED]
        ),
        breaker=vitals.breaker[:MAX_NAME],
        breaker_code=vitals.breaker_code[:MAX_NAME],
        breaker_retry_s=_finite(vitals.breaker_retry_s),
        up_s=max(0.0, _finite(vitals.up_s)),
    )


def of_model(vitals: Vitals | None, model: facts.ModelInfo) -> Loaded | None:
    """What is known of this model's place in memory."""
    return next((each for each in vitals.loaded if each.name == model.name), None) if vitals is not None else None


def _gpus_differ(new: tuple[Gpu, ...], told: tuple[Gpu, ...]) -> bool:
    return len(new) != len(told) or any(
        one.name != other.name
        or abs(one.used_percent - other.used_percent) >= _PERCENT
        or abs(one.memory_used - other.memory_used) > _SHARE * one.memory_total
        for one, other in zip(new, told, strict=True)
    )


def _loaded_differ(new: tuple[Loaded, ...], told: tuple[Loaded, ...]) -> bool:
    before = {model.name: model for model in told}
    if before.keys() != {model.name for model in new}:
        return True
    return any(
        (model.size_bytes, model.vram_bytes) != (before[model.name].size_bytes, before[model.name].vram_bytes)
        or abs(model.expires_at - before[model.name].expires_at) >= _EXPIRY_S
        for model in new
    )


def _count(value: int) -> int:
    return min(max(0, value), 2**53)


def _finite(value: float) -> float:
    return value if math.isfinite(value) and abs(value) < 1e11 else 0.0


def _percent(value: float) -> float:
    return round(min(100.0, value), 1) if 0 <= value < math.inf else UNKNOWN
