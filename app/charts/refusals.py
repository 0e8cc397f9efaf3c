"""Why the SQL box refuses a statement, in the language of the page: its own sentences, and those of DuckDB that people
meet most. What is not known here stays as it is.
"""

import re

from app.i18n import N_, Speech

SENTENCES = (
    N_('Only SELECT statements can run here: nothing can be changed.'),
    N_('Only one statement at a time can run here.'),
    N_('There is no statement.'),
    N_('There are no parameters here; write the value itself.'),
    N_('There is no table {name} here. The tables are: {tables}.'),
    N_('The function {name} cannot be used here.'),
    N_('{what} cannot be used here.'),
    N_('The statement was stopped.'),
    N_('The statement was stopped after {s} s. Ask for a shorter time.'),
    N_('The statement was stopped: it takes more memory than there is. Ask for less at once.'),
    N_('syntax error at or near "{text}"'),
    N_('SELECT clause without selection list'),
    N_('unterminated string literal'),
    N_('unterminated quoted identifier'),
    N_('unterminated /* comment at or near "{text}"'),
    N_('Referenced column "{name}" not found in FROM clause'),
    N_('Referenced table "{name}" not found!'),
    N_('Table "{table}" does not have a column named "{name}"'),
    N_('Column "{name}" in EXCLUDE list not found in FROM clause'),
    N_('Ambiguous reference to column name "{name}" (use: {names})'),
    N_('column "{name}" must appear in the GROUP BY clause or must be part of an aggregate function.'),
    N_('WHERE clause cannot contain aggregates!'),
    N_("No function matches the given name and argument types '{call}'. You might need to add explicit type casts."),
    N_(
        'Could not choose a best candidate function for the function call "{call}". '
        'In order to select one, please add explicit type casts.'
    ),
    N_('Cannot compare values of type {one} and type {other} - an explicit cast is required'),
    N_('Could not convert string {text} to {type}'),
    N_('Set operations can only apply to expressions with the same number of result columns'),
    N_('LIMIT/OFFSET cannot be negative'),
)
HINT = '. Candidate bindings: '


def in_words(said: Speech, sentence: str) -> str:
    """``sentence`` as ``errors.Refused`` has it, in the language of the page."""
    first, hint, names = sentence.partition(HINT)
    text = _told(said, first)
    if not hint:
        return text
    return said.tr('{text}. Candidate bindings: {names}', text=text.rstrip('.。'), names=names.lstrip(': '))


def _told(said: Speech, sentence: str) -> str:
    for known, pattern in _PATTERNS:
        if found := pattern.fullmatch(sentence):
            return said.tr(known, **found.groupdict())
    return sentence


def _pattern(sentence: str) -> re.Pattern[str]:
    """What it reads like with anything filled in."""
    pieces = re.split(r'\{(\w+)\}', sentence)
    made = (re.escape(piece) if n % 2 == 0 else f'(?P<{piece}>.+?)' for n, piece in enumerate(pieces))
    return re.compile(''.join(made), re.DOTALL)


_PATTERNS = [(sentence, _pattern(sentence)) for sentence in SENTENCES]
