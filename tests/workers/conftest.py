import pytest

from tests.standin import StandIn
from tests.workers.fake_broker import FakeBroker


@pytest.fixture
async def broker():
    """A broker that the test plays; workers sign in to it."""
    async with FakeBroker() as made:
        yield made


@pytest.fixture
async def ollama():
    """A stand-in Ollama with a model for each fault."""
    async with StandIn() as standin:
        yield standin
