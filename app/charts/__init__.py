"""The sections of the analytics page, in order. Each is a module whose ``create()`` builds it and returns its parts."""

from app.charts import replay, tiles, use, waiting, work

SECTIONS = (tiles.create, work.create, waiting.create, use.create, replay.create)
