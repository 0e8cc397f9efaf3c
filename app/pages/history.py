"""Every job there was: search, filter, sort, and take away."""

from app import theme
from app.parts import Parts


def create(parts: Parts) -> None:
    """Build the page."""
    theme.page('History')
