"""Places and readers for the analytics tests."""

import pytest

from analytics import recorder


@pytest.fixture
def path(tmp_path):
    """Where the analytics file is."""
    return tmp_path / 'analytics.duckdb'


@pytest.fixture
async def opened(path):
    """A recorder on a new file."""
    sink = await recorder.Recorder.open(path)
    yield sink
    await sink.close()
