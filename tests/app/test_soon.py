"""What happens while something is read, or right after it, is read, too: nothing stays as it was."""

import asyncio
from types import SimpleNamespace

import pytest
from nicegui import background_tasks

from app.soon import Soon


@pytest.fixture
def place(monkeypatch):
    """Where a page would be."""
    tasks = []
    monkeypatch.setattr(background_tasks, 'create', lambda work, **_: tasks.append(asyncio.ensure_future(work)))
    return SimpleNamespace(is_deleted=False, tasks=tasks)


async def test_the_last_of_many_changes_is_never_forgotten(place):
    state, read = 0, []

    async def look():
        read.append(state)

    soon = Soon(place, look, 0.02)
    for state in range(1, 40):
        soon()
        if state % 5 == 0:
            await asyncio.sleep(0)
    await asyncio.gather(*place.tasks)
    assert read[-1] == 39 and len(read) < 10
    soon()
    await asyncio.gather(*place.tasks)
    assert len(place.tasks) == len(read)


async def test_what_happens_while_it_is_read_is_read_after_it(place):
    read = []

    async def look():
        read.append(len(read))
        if len(read) == 1:
            soon()

    soon = Soon(place, look, 0.0)
    soon()
    while len(read) < 2:
        await asyncio.gather(*place.tasks)
    place.is_deleted = True
    soon()
    await asyncio.gather(*place.tasks)
    assert read == [0, 1]
