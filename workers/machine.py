"""How the machine is: processors, memory, GPUs. Asked off the event loop, for even reading that takes time."""

import asyncio
import platform
import shutil
import subprocess
import time

import psutil

from broker import vitals

GPU_EVERY_S = 15.0
_GPU_TIMEOUT_S = 5.0
_QUERY = ('--query-gpu=name,memory.total,memory.used,utilization.gpu', '--format=csv,noheader,nounits')
_MIB = 1024 * 1024


class Machine:
    """Reads what there is to read; what cannot be known stays unknown, and nothing here ever fails."""

    def __init__(self, *, nvidia_smi: str | None = None) -> None:
        self._began_at = time.monotonic()
        self._smi = nvidia_smi if nvidia_smi is not None else shutil.which('nvidia-smi') or ''
        self._gpus: tuple[vitals.Gpu, ...] = ()
        self._gpus_at = -GPU_EVERY_S
        self._system = f'{platform.system()} {platform.machine()}'.strip()
        psutil.cpu_percent()  # the first call only begins to measure

    async def look(self) -> vitals.Vitals:
        """How it is now."""
        return await asyncio.to_thread(self._look)

    def _look(self) -> vitals.Vitals:
        now = time.monotonic()
        if self._smi and now - self._gpus_at >= GPU_EVERY_S:
            self._gpus_at = now
            self._gpus = self._ask_driver()
        try:
            memory = psutil.virtual_memory()
            total, used = memory.total, memory.total - memory.available
            percent = psutil.cpu_percent()
        except (OSError, psutil.Error):
            total, used, percent = 0, 0, vitals.UNKNOWN
        return vitals.Vitals(
            system=self._system,
            cpus=psutil.cpu_count() or 0,
            cpu_percent=percent,
            memory_total=total,
            memory_used=used,
            gpus=self._gpus,
            up_s=now - self._began_at,
        )

    def _ask_driver(self) -> tuple[vitals.Gpu, ...]:
        try:
            found = subprocess.run(
                [self._smi, *_QUERY],
                capture_output=True, stdin=subprocess.DEVNULL, timeout=_GPU_TIMEOUT_S, text=True, check=True,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
            return ()
        return tuple(gpu for line in found.stdout.splitlines() if (gpu := _gpu(line)) is not None)


def _gpu(line: str) -> vitals.Gpu | None:
    """A line like ``NVIDIA RTX 4090, 24564, 1203, 37``; numbers that the driver does not know are words."""
    parts = [part.strip() for part in line.rsplit(',', 3)]
    if len(parts) != 4 or not parts[0]:
        return None
    total, used, percent = (_number(part) for part in parts[1:])
    return vitals.Gpu(
        name=parts[0],
        memory_total=round(max(0.0, total) * _MIB),
        memory_used=round(max(0.0, used) * _MIB),
        used_percent=percent,
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return vitals.UNKNOWN
