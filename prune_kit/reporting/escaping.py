"""Text of strangers (class names, file names) without characters that hide or that command."""

import unicodedata

DIRECTIONS = frozenset(
    "\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


def spelled_out(text: str, *, lines: bool = False) -> str:
    """Spell out control characters, and marks that change the direction of the text.

    Parameters
    ----------
    text
        Any text.
    lines
        Whether line breaks stay as they are.

    Returns
    -------
    str
        The text, with `\\u001b` in the place of an escape character, and so on.
    """
    if text.isprintable():
        return text
    return "".join(
        character if lines and character == "\n" else _spelled(character) for character in text
    )


def _spelled(character: str) -> str:
    hidden = character in DIRECTIONS or unicodedata.category(character) in ("Cc", "Cs", "Cn")
    return f"\\u{ord(character):04x}" if hidden else character
