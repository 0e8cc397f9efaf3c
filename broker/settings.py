"""What can be set about the broker."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from broker.endpoints import Endpoints


class BrokerSettings(BaseModel):
    """Settings of the broker process."""

    model_config = ConfigDict(frozen=True, extra='forbid')

    data_dir: Path = Field(description='Folder that holds queue.db and the logs.')
    endpoints: Endpoints = Field(description='Where the sockets are.')
    lease_ttl_s: float = Field(default=15.0, gt=0, description='How long a run may go without a heartbeat, seconds.')
    heartbeat_s: float = Field(default=5.0, gt=0, description='How often workers send a heartbeat, seconds.')
    reattach_s: float = Field(default=2.0, gt=0, description='How long a worker that vanished may take to come back.')
    retry_base_s: float = Field(default=2.0, ge=0, description='Back-off before the first retry, seconds; it doubles.')
    retry_max_s: float = Field(default=60.0, ge=0, description='Longest back-off, seconds.')
    overdue_after_s: float = Field(default=600.0, gt=0, description='A job that waited longer is overdue, seconds.')
    overdue_every: int = Field(default=3, ge=1, description='Of so many starts of a model one is for the overdue.')
    max_losses: int = Field(default=2, ge=1, description='A job that took this many workers down with it is dead.')
    max_waiting: int = Field(default=100_000, ge=1, description='Jobs that may wait; more are refused.')
    max_answer_bytes: int = Field(default=32_000_000, ge=1_000, description='A longer answer ends its job as dead.')
    log_level: str = Field(default='info', description='debug, info, warning or error.')
