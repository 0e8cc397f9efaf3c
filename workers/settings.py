"""What can be set about a worker."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from broker.endpoints import Endpoints


class WorkerSettings(BaseModel):
    """Settings of one worker process."""

    model_config = ConfigDict(frozen=True, extra='forbid')

    data_dir: Path = Field(description='Folder that holds the logs.')
    endpoints: Endpoints = Field(description='Where the broker is.')
    worker: str = Field(min_length=1, max_length=200, description='Stable name of this place, e.g. host:1.')
    slots: int = Field(default=1, ge=1, le=1000, description='How many jobs run at once.')
    engine: Literal['auto', 'ollama', 'demo'] = Field(
        default='auto', description='What answers: Ollama, the built-in demo, or Ollama as soon as it is there (auto).'
    )
    ollama_url: str = Field(default='http://127.0.0.1:11434', description='Where Ollama listens.')
    first_token_timeout_s: float = Field(default=300.0, gt=0, description='Longest wait for the first token, seconds.')
    idle_timeout_s: float = Field(default=120.0, gt=0, description='Longest silence between two tokens, seconds.')
    total_timeout_s: float = Field(default=3600.0, gt=0, description='Longest a job may run, seconds.')
    drain_s: float = Field(default=5.0, ge=0, le=30, description='How long runs may go on after a stop, seconds.')
    demo_chars_per_s: float = Field(default=250.0, gt=0, description='Speed of the demo; a Chinese character is two.')
    demo_first_token_s: float = Field(default=0.0, ge=0, description='How long the demo thinks first, seconds.')
    log_level: str = Field(default='info', description='debug, info, warning or error.')
