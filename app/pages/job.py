"""One job's page: where it stands, its timeline, its attempts and its result."""

from app import theme
from app.parts import Parts


def create(parts: Parts, job_id: str) -> None:
    """Build the page of a job; ``job_id`` comes from the address."""
    theme.page('Job')
