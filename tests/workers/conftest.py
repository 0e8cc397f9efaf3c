import pytest

from tests.standin import StandIn


@pytest.fixture
async def ollama():
    """A stand-in Ollama with a model for each fault."""
    async with StandIn() as standin:
        yield standin
