"""The machines, what they run now, and what they could run."""

from app import theme
from app.parts import Parts


def create(parts: Parts) -> None:
    """Build the page."""
    theme.page('Workers')
