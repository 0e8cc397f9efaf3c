"""Signatures of webhooks, as standardwebhooks.com has them: whoever has the secret sees that a message is ours."""

import base64
import hashlib
import hmac
import secrets

PREFIX = 'whsec_'


def new_secret() -> str:
    """A secret of 256 random bits, in the form that libraries for receivers take."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def headers(secret: str, message_id: str, at: int, body: bytes) -> dict[str, str]:
    """The three headers of one try; ``at`` is unix seconds, and the id is the same in all tries of a message."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = f'{message_id}.{at}.'.encode() + body
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {'webhook-id': message_id, 'webhook-timestamp': str(at), 'webhook-signature': f'v1,{digest}'}
