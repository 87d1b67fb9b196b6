"""Text of strangers (class names, file names) made harmless: signs that would hide or command are spelled out."""

import unicodedata

TURNS = frozenset(
    "\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


def spelled_out(text: str, *, lines: bool = False) -> str:
    """Control characters, and marks that turn the line around, as `\\u001b`; `lines` may be broken."""
    if text.isprintable():
        return text
    return "".join(sign if lines and sign == "\n" else _spelled(sign) for sign in text)


def _spelled(sign: str) -> str:
    hidden = sign in TURNS or unicodedata.category(sign) in ("Cc", "Cs", "Cn")
    return f"\\u{ord(sign):04x}" if hidden else sign
