"""Where the broker's three sockets are, and the keys that open them when they are not files of ours."""

from pydantic import BaseModel, ConfigDict, Field


class Endpoints(BaseModel):
    """Addresses of the broker. On ``ipc://`` the 0700 folder is the lock; on ``tcp://`` CURVE keys are."""

    model_config = ConfigDict(frozen=True, extra='forbid')

    client: str = Field(description='Where clients send requests (ROUTER).')
    worker: str = Field(description='Where workers sign in (ROUTER).')
    facts: str = Field(description='Where facts and tokens are published (XPUB).')
    broker_public: str = Field(default='', description='CURVE public key of the broker, Z85. Empty on ipc.')
    broker_secret: str = Field(default='', repr=False, description='CURVE secret key of the broker; only it gets this.')
    peer_public: str = Field(default='', description='CURVE public key that clients and workers use.')
    peer_secret: str = Field(default='', repr=False, description='CURVE secret key that clients and workers use.')

    def for_peers(self) -> 'Endpoints':
        """The same without the broker's secret."""
        return self.model_copy(update={'broker_secret': ''})
