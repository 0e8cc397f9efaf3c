"""What the running desk tells of itself at /metrics."""

import httpx

from tests.conftest import Corral, wait_for


def wait_recorded(desk: Corral, seq: int) -> None:
    """Wait until the statistics have all facts up to ``seq``: a stop gives them a second for what is missing."""
    wait_for(lambda: _recorded(desk) >= seq, 60, f'fact {seq} is in the statistics')


def _recorded(desk: Corral) -> float:
    try:
        text = httpx.get(f'{desk.url}/metrics').text
    except httpx.TransportError:  # it is just being started again
        return 0
    found = dict(line.rsplit(' ', 1) for line in text.splitlines() if line.startswith('corral_facts_'))
    return float(found.get('corral_facts_seq', 0)) - float(found.get('corral_facts_lag', 'inf'))
