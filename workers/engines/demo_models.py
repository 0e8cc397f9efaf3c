"""The models of the demo: its own, and those that it only plays to have pulled. They answer as it does, canned.

Nothing is downloaded and nothing takes memory; sizes and speeds are made up, and it says so.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

from broker import errand, facts, vitals
from workers.engines import tending
from workers.engines.failure import EngineFailure
from workers.engines.tending import Progress

MODEL = 'demo'
PLAYED = 'demo: nothing is downloaded'
_SIZES = {'0.6b': 0.5, '1b': 0.8, '1.5b': 1.1, '3b': 2.0, '4b': 2.6, '7b': 4.7, '8b': 5.2, '14b': 9.3, '32b': 20.0}
_USUAL_GB = 1.6
_PULL_S, _STEP_S = 6.0, 0.1  # a pull takes so long, whatever its size
_LOAD_S = 0.4
_KEEP_S = 300.0
_UNKNOWN = 'no-such-model'  # a name that fails, to see how that looks


class DemoModels:
    """Which there are, and which of them play to be in memory."""

    def __init__(self, *, pull_s: float = _PULL_S) -> None:
        self._pull_s = pull_s
        self._infos = {MODEL: _info(MODEL, 0)}
        self._leaves: dict[str, float] = {MODEL: errand.FOR_EVER}  # in memory, by when they leave it (unix seconds)

    def has(self, model: str) -> bool:
        """Whether a job may ask for it."""
        return _full(model) in self._infos or model in self._infos

    def infos(self) -> tuple[facts.ModelInfo, ...]:
        """All of them, its own first."""
        self._forget()
        return tuple(_resident(info, name in self._leaves) for name, info in self._infos.items())

    def loaded(self) -> tuple[vitals.Loaded, ...]:
        """Those that play to be in memory."""
        self._forget()
        return tuple(
            vitals.Loaded(name=name, size_bytes=self._infos[name].size_bytes, expires_at=at)
            for name, at in self._leaves.items()
        )

    def used(self, model: str) -> None:
        """A job runs on it, so it is in memory."""
        name = model if model in self._infos else _full(model)
        if self._leaves.get(name) != errand.FOR_EVER:
            self._leaves[name] = time.time() + _KEEP_S if name != MODEL else errand.FOR_EVER

    async def tend(self, order: errand.Order) -> AsyncGenerator[Progress, None]:
        """Play it."""
        name = order.model if order.model in self._infos else _full(order.model)
        if order.action == 'pull':
            async for progress in self._pull(name):
                yield progress
            return
        if order.action not in ('load', 'unload', 'remove'):
            raise EngineFailure('bad_request', 'the demo only plays to load, unload, pull and remove models')
        if name not in self._infos:
            raise EngineFailure('model_not_found', f"model '{order.model}' not found")
        if order.action == 'remove' and name == MODEL:
            raise EngineFailure('bad_request', 'the demo model is built in and stays')
        yield Progress(status=f'demo: {order.action}')
        await asyncio.sleep(_LOAD_S if self._pull_s else 0)
        if order.action == 'load':
            self._leaves[name] = time.time() + (order.keep_s or _KEEP_S) if order.keep_s >= 0 else errand.FOR_EVER
        else:
            self._leaves.pop(name, None)
        if order.action == 'remove':
            self._infos.pop(name, None)

    async def _pull(self, name: str) -> AsyncGenerator[Progress, None]:
        yield Progress(status=PLAYED)
        if name.partition(':')[0] == _UNKNOWN:
            raise tending.trouble('pull model manifest: file does not exist')
        size = _size(name)
        steps = max(1, round(self._pull_s / _STEP_S))
        for step in range(1, steps + 1):
            await asyncio.sleep(_STEP_S if self._pull_s else 0)
            done = size * step // steps
            yield Progress(
                status=PLAYED, completed=done, total=size, digest='sha256:demo', part_completed=done, part_total=size
            )
        self._infos[name] = _info(name, size)
        yield Progress(status='success', completed=size, total=size)

    def _forget(self) -> None:
        now = time.time()
        self._leaves = {name: at for name, at in self._leaves.items() if at == errand.FOR_EVER or at > now}


def _info(name: str, size: int) -> facts.ModelInfo:
    return facts.ModelInfo(
        name=name,
        engine='demo',
        size_bytes=size,
        capabilities=('completion',),
        resident=True,
        format='built-in',
        family='demo',
        modified_at=datetime.now(UTC).strftime('%Y-%m-%dT%H:%M:%SZ') if size else '',
    )


def _resident(info: facts.ModelInfo, loaded: bool) -> facts.ModelInfo:
    fields = {name: getattr(info, name) for name in info.__struct_fields__} | {'resident': loaded}
    return facts.ModelInfo(**fields)


def _size(name: str) -> int:
    tag = name.rpartition(':')[2].lower()
    return round(next((gb for size, gb in _SIZES.items() if tag.startswith(size)), _USUAL_GB) * 1e9)


def _full(name: str) -> str:
    return name if ':' in name.rpartition('/')[2] else f'{name}:latest'
