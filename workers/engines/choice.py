"""Which engine the settings ask for."""

from workers.engines.answer import Deadlines
from workers.engines.auto import AutoEngine
from workers.engines.base import Engine
from workers.engines.demo import DemoEngine
from workers.engines.ollama import OllamaEngine
from workers.settings import WorkerSettings


def make(settings: WorkerSettings) -> Engine:
    """A new engine. Raises ``ValueError`` for an address that is none."""
    deadlines = Deadlines(
        first_token_s=settings.first_token_timeout_s,
        idle_s=settings.idle_timeout_s,
        total_s=settings.total_timeout_s,
    )
    demo = DemoEngine(
        chars_per_s=settings.demo_chars_per_s, first_token_s=settings.demo_first_token_s, deadlines=deadlines
    )
    if settings.engine == 'demo':
        return demo
    ollama = OllamaEngine(settings.ollama_url, deadlines=deadlines, allow_admin=settings.allow_admin)
    return ollama if settings.engine == 'ollama' else AutoEngine(ollama, demo)
