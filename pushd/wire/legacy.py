"""Nodeprep and Resourceprep (RFC 6122, appendix A and B), for the addresses of others.

PRECIS allows less: no symbols in a local part, and nothing that this Unicode does not know.
Other servers have such addresses from before, or from a newer Unicode. What the old rules
leave as it is is therefore taken from others, and only that: where they would map a
character to another one, two addresses would look like one.
"""

import re
import stringprep
import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache

_OLD = unicodedata.ucd_3_2_0  # the Unicode of RFC 3454

# What Nodeprep, Resourceprep and SASLprep (RFC 4013 §2.3) all prohibit, by RFC 3454's tables.
PROHIBITED: tuple[Callable[[str], bool], ...] = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)
_INVISIBLE = frozenset(("Cc", "Cf", "Co", "Cs"))
# What is never shown (Default_Ignorable_Code_Point) beyond these categories.
_unseen = re.compile(
    "[\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\ufff0-\ufff8\U000e0000-\U000e0fff]"
).search


def local_part(text: str) -> str:
    """The local part as Nodeprep has it, which only folds case here. Raises ValueError."""
    prepared = _OLD.normalize("NFKC", "".join(map(_folded, _kept(text))))
    if prepared != unicodedata.normalize("NFC", text.lower()):
        raise ValueError("another local part under the old rules")
    if any(character in " \"&'/:<>@" for character in prepared):
        raise ValueError("a forbidden character")
    _check(prepared)
    return prepared


def resource(text: str) -> str:
    """The resource, which Resourceprep leaves as it is. Raises ValueError."""
    prepared = _OLD.normalize("NFKC", "".join(_kept(text)))
    if prepared != unicodedata.normalize("NFC", text):
        raise ValueError("another resource under the old rules")
    _check(prepared)
    return prepared


@lru_cache(4_096)
def _is_prohibited(character: str) -> bool:
    return (
        unicodedata.category(character) in _INVISIBLE
        or _unseen(character) is not None
        or any(is_prohibited(character) for is_prohibited in PROHIBITED)
    )


_folded = lru_cache(4_096)(stringprep.map_table_b2)


def _kept(text: str) -> Iterable[str]:
    return (character for character in text if not stringprep.in_table_b1(character))


def _check(text: str) -> None:
    """What is prohibited, and which directions go together (RFC 3454 §5 and §6)."""
    if any(map(_is_prohibited, text)):
        raise ValueError("a forbidden character")
    leftward = [stringprep.in_table_d1(character) for character in text]
    if any(leftward) and not (
        leftward[0] and leftward[-1] and not any(map(stringprep.in_table_d2, text))
    ):
        raise ValueError("directions that do not go together")
