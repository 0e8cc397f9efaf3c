"""The keyboard shortcuts of the desk: one table for the browser, for the ``?`` sheet and for the settings page.

``ShortcutList`` of ``app.components.shortcut_list`` shows it, ``app.components.hotkeys`` obeys it. Shortcuts of a
single letter are off while something is being written, and everywhere once they are switched off in this browser
(``corral.setKeys(false)``, the cookie ``corral_keys``), as they get in the way of speech input.
"""

from dataclasses import dataclass

from app.i18n import N_

COOKIE = 'corral_keys'  # 'off' switches the single letters off

EVERYWHERE, GO, WRITING = N_('Everywhere'), N_('Go to'), N_('While writing')
GROUPS = (EVERYWHERE, GO, WRITING)


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """One line of the table.

    ``keys`` are alternatives: 'mod+k' (Ctrl, or ⌘ on a Mac), 'alt+1', 'g c' (one after the other), '?'. ``does`` is a
    msgid. ``action`` is what ``hotkeys.js`` does; '' where the line only tells what some other part listens to.
    """

    keys: tuple[str, ...]
    does: str
    group: str = EVERYWHERE
    action: str = ''


TABLE = (
    Shortcut(keys=('mod+k',), does=N_('Find anything: pages, conversations, models, actions'), action='palette'),
    Shortcut(keys=('n',), does=N_('New conversation'), action='new'),
    Shortcut(keys=('/',), does=N_('Search on this page'), action='search'),
    Shortcut(keys=('[',), does=N_('Fold or unfold the left pane'), action='fold list'),
    Shortcut(keys=(']',), does=N_('Fold or unfold the right pane'), action='fold inspector'),
    Shortcut(keys=('?',), does=N_('Show the shortcuts'), action='sheet'),
    Shortcut(keys=('escape',), does=N_('Close what is open on top')),
    Shortcut(keys=('g c', 'alt+1'), does=N_('Chat'), group=GO, action='go /chat'),
    Shortcut(keys=('g q', 'alt+2'), does=N_('Queue'), group=GO, action='go /queue'),
    Shortcut(keys=('g h', 'alt+3'), does=N_('History'), group=GO, action='go /history'),
    Shortcut(keys=('g w', 'alt+4'), does=N_('Workers'), group=GO, action='go /workers'),
    Shortcut(keys=('g a', 'alt+5'), does=N_('Analytics'), group=GO, action='go /analytics'),
    Shortcut(keys=('g s', 'alt+6'), does=N_('Settings'), group=GO, action='go /settings'),
    Shortcut(keys=('enter',), does=N_('Send the message'), group=WRITING),
    Shortcut(keys=('shift+enter',), does=N_('New line'), group=WRITING),
)
