"""The queue on disk: SQLite in WAL mode with ``synchronous=FULL``, one connection, one commit per batch.

``NORMAL`` would be faster and lose acknowledged jobs with the power; a ``kill -9`` never shows it. SQLite comes with
apsw, because the one in many Pythons has the WAL-reset bug (all versions up to 3.51.2).
"""

from broker.store.journal import Store as Store
from broker.store.schema import MIGRATIONS as MIGRATIONS
from broker.store.schema import SCHEMA as SCHEMA
