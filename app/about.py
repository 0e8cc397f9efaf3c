"""What can be told about this Corral: versions, folders and their sizes, addresses, what the checks find."""

import asyncio
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from analytics.versions import SCHEMA_VERSION
from app import desk_schema
from app.commands import checkup
from app.settings import AppSettings
from broker import protocol

FILES = ('queue.db', 'desk.db', 'analytics.duckdb', 'webhooks.db')


class Size(NamedTuple):
    """A file of ours, with what lies beside it (a write-ahead log); ``schema`` is 0 where it has none."""

    name: str
    size: int
    schema: int


class About(NamedTuple):
    """All that is told. Times are seconds, sizes bytes."""

    version: str
    python: str
    system: str
    data_dir: str
    sizes: tuple[Size, ...]
    free: int
    uptime_s: float
    memory: int
    addresses: tuple[tuple[str, str], ...]


def look(settings: AppSettings, told: protocol.Settings | None, address: str) -> About:
    """As it is now; it looks at the disk. ``address`` is the one that the desk was opened by."""
    folder = settings.data_dir
    schemas = {
        'queue.db': told.schema if told else 0,
        'desk.db': len(desk_schema.MIGRATIONS),
        'analytics.duckdb': SCHEMA_VERSION,
    }
    process = psutil.Process()
    places = settings.endpoints
    return About(
        version=settings.version,
        python=platform.python_version(),
        system=f'{platform.system()} {platform.release()} {platform.machine()}',
        data_dir=str(folder),
        sizes=tuple(Size(name, _size(folder, name), schemas.get(name, 0)) for name in FILES),
        free=psutil.disk_usage(str(folder)).free,
        uptime_s=max(0.0, time.time() - process.create_time()),
        memory=process.memory_info().rss,
        addresses=(
            ('desk', address),
            ('queue', places.client),
            ('workers', places.worker),
            ('facts', places.facts),
        ),
    )


async def check(settings: AppSettings) -> list[checkup.Finding]:
    """What ``doctor`` looks at, as far as a Corral that runs can be looked at from inside."""

    def findings() -> list[checkup.Finding]:
        return [
            *checkup.python(),
            *checkup.packages(),
            *checkup.folder(settings.data_dir),
            *checkup.databases(settings.data_dir, thorough=False, in_use=True),
            *checkup.ollama(settings.ollama_url, settings.engine),
        ]

    return await asyncio.to_thread(findings)


def report(about: About, workers: Sequence[protocol.WorkerInfo], findings: Sequence[checkup.Finding]) -> str:
    """Everything as lines to be sent to whoever helps: no text of a job, no name of a user, no key."""
    lines = [
        f'Corral {about.version}, Python {about.python}, {about.system}',
        f'data: {about.data_dir}, {about.free / 1e9:.1f} GB free',
        f'up {about.uptime_s:.0f} s, {about.memory / 1e6:.0f} MB of memory',
        *(f'{each.name}: {each.size / 1e6:.1f} MB, schema {each.schema or "-"}' for each in about.sizes),
        *(f'{name}: {address}' for name, address in about.addresses),
        *(
            f'worker {each.worker}: {each.engine} {each.engine_version}, {each.slots} slots, '
            f'{len(each.models)} models{", " + each.problem if each.problem else ""}'
            for each in workers
        ),
        *(
            f'[{each.state}] {each.what}: {each.detail}{" – " + each.advice if each.advice else ""}'
            for each in findings
        ),
    ]
    home = str(Path.home())
    return '\n'.join(lines).replace(home, '~') if len(home) > 1 else '\n'.join(lines)


def _size(folder: Path, name: str) -> int:
    found = 0
    for suffix in ('', '-wal', '.wal'):
        try:
            found += os.stat(folder / f'{name}{suffix}').st_size
        except OSError:
            continue
    return found
