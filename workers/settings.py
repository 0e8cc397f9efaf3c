"""What can be set about a worker."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from broker.endpoints import Endpoints

Label = Annotated[str, StringConstraints(pattern=r'^[A-Za-z0-9][A-Za-z0-9_.=-]{0,39}$')]


def _split_commas(value: object) -> object:
    return tuple(part.strip() for part in value.split(',') if part.strip()) if isinstance(value, str) else value


class WorkerSettings(BaseModel):
    """Settings of one worker process."""

    model_config = ConfigDict(frozen=True, extra='forbid')

    data_dir: Path = Field(description='Folder that holds the logs.')
    endpoints: Endpoints = Field(description='Where the broker is.')
    worker: str = Field(min_length=1, max_length=200, description='Stable name of this place, e.g. host:1.')
    slots: int = Field(
        default=1, ge=0, le=1000, description='How many jobs run at once; 0 finds out how many the engine takes.'
    )
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
    labels: Annotated[tuple[Label, ...], BeforeValidator(_split_commas)] = Field(
        default=(), max_length=16, description='Short words by which groups of workers are told apart, like gpu, big.'
    )
    canary_every_s: float = Field(
        default=300.0,
        ge=0,
        description='An idle model in memory that gave no token for this long is asked for one, seconds; 0 is never.',
    )
    breaker_failures: int = Field(
        default=5, ge=0, description='After so many failures in a row the engine is left alone for a while; 0 is never.'
    )
    allow_admin: bool = Field(
        default=False, description='Let jobs use paths that change Ollama itself: pull, push, create, copy, delete.'
    )
    log_level: str = Field(default='info', description='debug, info, warning or error.')
