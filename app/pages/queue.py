"""The queue as it is now: what runs, what waits, what ended lately."""

from app import theme
from app.parts import Parts


def create(parts: Parts) -> None:
    """Build the page."""
    theme.page('Queue')
