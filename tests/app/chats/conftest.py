"""What the tests of the chat share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.desk import Desk
from tests.app.chats.chatting import Setup


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """An empty ``desk.db``."""
    opened = await Desk.open(tmp_path / 'desk.db')
    yield opened
    await opened.close()


@pytest.fixture
async def setup(tmp_path: Path) -> AsyncIterator[Setup]:
    """A service that is open, with nothing said yet."""
    made = Setup(tmp_path)
    await made.open()
    yield made
    await made.service.close()
