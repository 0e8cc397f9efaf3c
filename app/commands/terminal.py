"""Text from models and users is not to be trusted with a terminal: what could move its cursor, change its title, write
to its clipboard or turn the order of letters around is taken out.
"""

import re

LONGEST = 4096  # characters of one sequence; whoever begins a longer one must not swallow the rest of the text
_BIDI = '\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069'  # they make a line look other than it is
_STRING = r'(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])'  # OSC, DCS, SOS, PM and APC: text follows until BEL or ST
_BODY = r'[^\x07\x1b\x9c\n]'
_CSI = r'(?:\x1b\[|\x9b)[0-?]*[ -/]*'
_SEQUENCE = re.compile(
    rf'{_STRING}{_BODY}{{0,{LONGEST}}}(?:\x07|\x1b\\|\x9c)'
    rf'|{_CSI}[@-~]'
    r'|\x1b[ -/]*[0-OQ-WYZ`-~]'
)
_REST = re.compile(rf'\x1b[PX\[\\\]^_]?|[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff{_BIDI}]')
_BEGUN = re.compile(rf'(?:{_STRING}{_BODY}{{0,{LONGEST}}}\x1b?|{_CSI}|\x1b[ -/]*)\Z')
_IN_JSON = re.compile(rf'[\x7f-\x9f\ud800-\udfff{_BIDI}]')


def clean(text: str) -> str:
    """``text`` without control sequences and control characters; line ends and tabs stay."""
    return _REST.sub('', _SEQUENCE.sub('', text))


def clean_line(text: str) -> str:
    """The same in one line, for tables and messages."""
    return ' '.join(clean(text).split())


def escape_json(text: str) -> str:
    """JSON that means the same and has nothing in it that a terminal would obey."""
    return _IN_JSON.sub(lambda found: f'\\u{ord(found.group()):04x}', text)


class Stream:
    """``clean`` for text that comes in pieces: a sequence may begin in one and end in another."""

    def __init__(self) -> None:
        self._held = ''

    def feed(self, piece: str) -> str:
        """What may be printed now."""
        text = _SEQUENCE.sub('', self._held + piece)
        begun = _BEGUN.search(text)
        start = begun.start() if begun and len(text) - begun.start() <= LONGEST else len(text)
        self._held = text[start:]
        return _REST.sub('', text[:start])

    def end(self) -> str:
        """What was held back, once nothing more comes."""
        held, self._held = self._held, ''
        return clean(held)
