"""What this desk is set to, and what one may change here."""

from app import theme
from app.parts import Parts


def create(parts: Parts) -> None:
    """Build the page."""
    theme.page('Settings')
