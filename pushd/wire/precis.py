"""The profiles of RFC 8265 (PRECIS), at a cost that grows with the text and no faster.

The library knows the rules, but classifies every character anew each time, and looks through
the whole text for every digit of some scripts: a few kilobytes of these took it seconds. Here
a character is classified once, and what is about the whole text is asked once.
"""

import mmap
from functools import cache
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from precis_i18n.profile import Profile

ProfileName = Literal["UsernameCaseMapped", "OpaqueString"]

_UNKNOWN, _VALID, _FREE, _CONTEXT, _NEVER = range(5)
_MOST: Final = {"UsernameCaseMapped": _VALID, "OpaqueString": _FREE}
_KINDS: Final = {"PVALID": _VALID, "FREE_PVAL": _FREE, "CONTEXTJ": _CONTEXT, "CONTEXTO": _CONTEXT}
# The class of each code point that was met. Pages of a map that nothing touches cost nothing;
# a bytearray would be written, a megabyte of it, when it is made.
_classes: Final = mmap.mmap(-1, 0x110000)


class TooLong(ValueError):
    """Prepared, the text has more bytes than it may."""


def enforce(name: ProfileName, text: str, longest: int) -> str:
    """The text as the profile prepares it, of at most so many bytes in UTF-8.

    Raises ValueError for what the profile does not allow, and for an empty text.
    """
    rules = profile(name)
    prepared = rules.idempotence_check(rules.apply_five_rules(text))
    if not prepared:
        raise ValueError("empty")
    if len(prepared.encode()) > longest:
        raise TooLong
    most = _MOST[name]
    asked: set[str] = set()
    for place, character in enumerate(prepared):
        kind = _classes[ord(character)] or _classify(character)
        if kind <= most:
            continue
        if kind in (_FREE, _NEVER):
            raise ValueError("a character that is not allowed")
        if character not in asked and _is_misplaced(prepared, place):
            raise ValueError("a character that is not allowed there")
        if _is_about_the_whole(character):
            asked.add(character)
    return prepared


@cache
def profile(name: ProfileName) -> "Profile":
    """The library's profile; it is imported when the first text needs it."""
    from precis_i18n import get_profile

    return get_profile(name)


def _classify(character: str) -> int:
    from precis_i18n.derived import derived_property

    code = ord(character)
    derived, _ = derived_property(code, profile("OpaqueString").base.ucd)
    kind = _classes[code] = _KINDS.get(derived, _NEVER)
    return kind


def _is_misplaced(text: str, place: int) -> bool:
    """Whether a character that depends on its context may not be here (RFC 5892, appendix A)."""
    from precis_i18n.context import context_rule_error

    return bool(context_rule_error(text, place, profile("OpaqueString").base.ucd))


def _is_about_the_whole(character: str) -> bool:
    """Whether the context is all of the text: RFC 5892, appendix A.7 to A.9."""
    return (
        character == "\u30fb"
        or "\u0660" <= character <= "\u0669"
        or "\u06f0" <= character <= "\u06f9"
    )
