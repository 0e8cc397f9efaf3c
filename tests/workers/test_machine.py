"""What a worker tells of its machine; what cannot be known is unknown and never an error."""

import os
import stat

import pytest

from broker import vitals
from workers.machine import Machine

GB = 1024 * 1024 * 1024


def driver(folder, script):
    """Something that is called like the driver's own program."""
    path = folder / 'nvidia-smi'
    path.write_text(f'#!/bin/sh\n{script}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


async def test_processors_and_memory_are_told():
    felt = await Machine(nvidia_smi='').look()
    assert felt.cpus == os.cpu_count()
    assert 0 < felt.memory_used < felt.memory_total
    assert 0 <= felt.cpu_percent <= 100
    assert felt.gpus == ()


@pytest.mark.skipif(os.name == 'nt', reason='a shell script')
async def test_gpus_are_told_as_the_driver_tells_them_and_it_is_asked_rarely(tmp_path):
    lines = 'NVIDIA GeForce RTX 4090, 24576, 12288, 37\\nSome, other card, 8192, 0, [N/A]\\n\\nrubbish'
    machine = Machine(nvidia_smi=driver(tmp_path, f'echo x >> {tmp_path}/asked; printf "{lines}"'))
    for _ in range(3):
        felt = await machine.look()
    assert felt.gpus == (
        vitals.Gpu(name='NVIDIA GeForce RTX 4090', memory_total=24 * GB, memory_used=12 * GB, used_percent=37.0),
        vitals.Gpu(name='Some, other card', memory_total=8 * GB, memory_used=0, used_percent=vitals.UNKNOWN),
    )
    assert (tmp_path / 'asked').read_text() == 'x\n'


@pytest.mark.skipif(os.name == 'nt', reason='a shell script')
@pytest.mark.parametrize('script', ['exit 9', 'printf "\\377"', 'echo'])
async def test_a_driver_that_fails_is_no_error(tmp_path, script):
    assert (await Machine(nvidia_smi=driver(tmp_path, script)).look()).gpus == ()


async def test_a_driver_that_is_not_there_is_no_error(tmp_path):
    assert (await Machine(nvidia_smi=str(tmp_path / 'none')).look()).gpus == ()
