"""Model options and prompts that people keep under a name, in ``desk.db``."""

import unicodedata
from typing import Self

import msgspec

from app.chats.chat_options import Options
from app.desk import Desk
from app.i18n import N_, tr
from app.listeners import Listeners, Unsubscribe
from app.records import Records
from broker.client import new_job_id

MOST_NAME = 60
MOST = 200
MOST_PROMPT = 20_000
DEFAULT = 'default'
BUILT_IN = (
    (N_('Summarise'), N_('Summarise the following text in five points:\n\n{{text}}')),
    (N_('Translate'), N_('Translate into {{language}}; keep the tone and the formatting:\n\n{{text}}')),
    (N_('Explain code'), N_('Explain step by step what this code does, and name what could go wrong:\n\n{{code}}')),
    (N_('Improve my writing'), N_('Correct and tighten this text; list what you changed:\n\n{{text}}')),
    (
        N_('Weigh a decision'),
        N_('I have to decide: {{question}}\nName the reasons for and against, then advise me.'),
    ),
)


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """Options under a name; new conversations begin with the ``default`` one."""

    name: str
    options: Options
    default: bool = False


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A text to begin a message with; ``{{words}}`` in it are filled in. ``id`` is '' for one that is built in."""

    id: str
    name: str
    text: str


class Presets:
    """All that is kept; changes reach every page."""

    def __init__(self, desk: Desk) -> None:
        self._records = Records(desk)
        self._presets: dict[str, Preset] = {}
        self._prompts: dict[str, Prompt] = {}
        self._changed = Listeners()

    @classmethod
    async def open(cls, desk: Desk) -> Self:
        """Read what is kept."""
        kept = cls(desk)
        presets, _ = await kept._records.page('preset', limit=MOST, newest_first=False)
        kept._presets = {each.name: each for each in (msgspec.json.decode(data, type=Preset) for data in presets)}
        prompts, _ = await kept._records.page('prompt', limit=MOST, newest_first=False)
        kept._prompts = {each.id: each for each in (msgspec.json.decode(data, type=Prompt) for data in prompts)}
        return kept

    def on_change(self, callback: object) -> Unsubscribe:
        """Call back after each change."""
        return self._changed.add(callback)  # type: ignore[arg-type]

    def all(self) -> list[Preset]:
        """The presets by name."""
        return sorted(self._presets.values(), key=lambda each: unicodedata.normalize('NFKC', each.name).casefold())

    def default(self) -> Options:
        """What a new conversation begins with."""
        return next((each.options for each in self._presets.values() if each.default), Options())

    async def save(self, name: str, options: Options) -> str:
        """Keep options under a name, in place of those that had it; the name as it is kept, '' for none."""
        name = ' '.join(name.split())[:MOST_NAME]
        if name and (name in self._presets or len(self._presets) < MOST):
            before = self._presets.get(name)
            options = msgspec.structs.replace(options, preset=name)
            await self._put(Preset(name=name, options=options, default=before is not None and before.default))
        return name

    async def set_default(self, name: str) -> None:
        """New conversations begin with this one; '' is none."""
        for each in self.all():
            if each.default != (each.name == name):
                await self._put(msgspec.structs.replace(each, default=each.name == name))

    async def delete(self, name: str) -> None:
        """Forget one; conversations that took it keep their options."""
        await self._records.drop('preset', name)
        self._presets.pop(name, None)
        self._changed.call()

    def prompts(self, lang: str) -> list[Prompt]:
        """The prompts: one's own first, then those built in."""
        own = sorted(self._prompts.values(), key=lambda each: each.name.casefold())
        return own + [Prompt(id='', name=tr(lang, name), text=tr(lang, text)) for name, text in BUILT_IN]

    async def save_prompt(self, prompt_id: str, name: str, text: str) -> bool:
        """Keep a prompt, a new one with ``prompt_id`` ''; False when it has no name or no text."""
        name, text = ' '.join(name.split())[:MOST_NAME], text.strip()[:MOST_PROMPT]
        if not name or not text or (not prompt_id and len(self._prompts) >= MOST):
            return False
        prompt = Prompt(id=prompt_id if prompt_id in self._prompts else new_job_id(), name=name, text=text)
        await self._records.put('prompt', prompt.id, msgspec.json.encode(prompt))
        self._prompts[prompt.id] = prompt
        self._changed.call()
        return True

    async def delete_prompt(self, prompt_id: str) -> None:
        """Forget a prompt."""
        await self._records.drop('prompt', prompt_id)
        self._prompts.pop(prompt_id, None)
        self._changed.call()

    async def _put(self, preset: Preset) -> None:
        tag = DEFAULT if preset.default else ''
        await self._records.put('preset', preset.name, msgspec.json.encode(preset), tag=tag)
        self._presets[preset.name] = preset
        self._changed.call()
