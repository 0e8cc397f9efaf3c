"""Cells of a CSV file that no spreadsheet takes for a formula: whoever named a user so must not run one there.

``app/components/figures/files.js`` does the same for what a browser saves itself.
"""

FORMULA = ('=', '+', '-', '@', '\t', '\r')
BOM = '\ufeff'  # in front of a file: without it Excel takes UTF-8 for something else


def harmless(text: str) -> str:
    """The text of a cell, with an apostrophe in front where a spreadsheet would work it out."""
    return f"'{text}" if text.startswith(FORMULA) else text
