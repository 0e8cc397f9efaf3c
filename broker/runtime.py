"""The settings that may be changed while the broker runs: what was configured, and what somebody has changed since."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from broker.settings import BrokerSettings

LIMITS = (
    *('rate', 'user_rate', 'model_rates', 'running', 'user_running'),
    *('max_waiting', 'max_waiting_per_user', 'max_waiting_bytes', 'max_answer_bytes', 'retry_base_s', 'retry_max_s'),
)
RETENTION = ('keep_completed', 'keep_cancelled', 'keep_dead', 'keep_jobs', 'keep_facts')
CHANGEABLE = frozenset(LIMITS + RETENTION)
_NOT_TOLD = {'data_dir', 'endpoints'}  # the endpoints have keys


class Wrong(Exception):
    """A setting cannot be that; ``field`` names it, the message is one sentence for people."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


class Runtime:
    """Settings in force: ``configured`` ones with ``changes`` on top. What no longer fits of those is left out."""

    def __init__(self, configured: BrokerSettings, changes: Mapping[str, Any] | None = None) -> None:
        self.configured = configured
        self.changes: dict[str, Any] = {}
        self.settings = configured
        for name, value in (changes or {}).items():
            try:
                self.change({name: value}, ())
            except Wrong:
                continue  # another version wrote it

    def change(self, values: Mapping[str, Any], reset: Sequence[str]) -> None:
        """Change these, all or none; those in ``reset`` are as configured again. Raises ``Wrong``."""
        for name in (*values, *reset):
            if name not in CHANGEABLE:
                raise Wrong(name, f'{name} cannot be changed while Corral runs')
        changes = {name: value for name, value in {**self.changes, **values}.items() if name not in reset}
        try:
            self.settings = BrokerSettings.model_validate({**self.configured.model_dump(), **changes})
        except ValidationError as error:
            first = error.errors()[0]
            what = first['msg'].removeprefix('Value error, ').replace('Input should be', 'it should be')
            field = str(first['loc'][0]) if first['loc'] else ''
            raise Wrong(field, f'{field}: {what}') from None
        self.changes = changes

    def told(self) -> bytes:
        """All settings but secrets, as JSON."""
        return self.settings.model_dump_json(exclude=_NOT_TOLD).encode()

    def told_configured(self) -> bytes:
        """The same as the file, the environment and the flags say."""
        return self.configured.model_dump_json(exclude=_NOT_TOLD).encode()

    def kept(self) -> dict[str, str]:
        """The changes as the store keeps them."""
        return {name: json.dumps(value) for name, value in self.changes.items()}

    @classmethod
    def restored(cls, configured: BrokerSettings, kept: Mapping[str, str]) -> 'Runtime':
        """With the changes that the store has kept."""
        changes: dict[str, Any] = {}
        for name, text in kept.items():
            try:
                changes[name] = json.loads(text)
            except ValueError:
                continue
        return cls(configured, changes)
