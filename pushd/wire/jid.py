"""RFC 7622: addresses, split, prepared and compared.

Local parts follow the PRECIS profile UsernameCaseMapped, resources OpaqueString, domains
IDNA2008. Nearly all addresses are plain ASCII and pass by one regular expression; the
libraries for the others are imported when the first of these arrives. Names that are given
here follow these rules to the letter (`prepare_local`, `prepare_resource`, `JID.of`); what is
read (`parse`) may be an address of others, who may have it from before them (`legacy`).
"""

import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NoReturn, final
from unicodedata import normalize

from pushd.wire import precis
from pushd.wire.errors import JIDMalformed

__all__ = ["JID", "neighbourhood", "parse", "prepare_domain", "prepare_local", "prepare_resource"]

MAX_BYTES: Final = 1023  # of a local part or resource, after preparation (RFC 7622 §3.3, §3.4)
MAX_DOMAIN: Final = 253  # octets of a domain name with its labels in ASCII (RFC 1035 §3.1)
MAX_LABEL: Final = 63

# Composition (NFC) turns at most three code points into two bytes, so what is longer than
# this can never become short enough, and need not be prepared to be refused.
_MAX_UNPREPARED: Final = MAX_BYTES * 3 // 2

_CACHED: Final = 16_384  # addresses
_LONGEST_CACHED: Final = 256  # code points; longer ones would let strangers fill the memory

_LOCAL: Final = r"[!#-%(-.0-9;=?A-Z\[-~]{1,1023}"
_LABEL: Final = r"(?!..--)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME: Final = rf"(?:{_LABEL}\.)*(?=[0-9-]*[A-Za-z]){_LABEL}"
_RESOURCE: Final = r"[ -~]{1,1023}"

_plain_jid = re.compile(rf"(?:({_LOCAL})@)?({_NAME})\.?(?:/({_RESOURCE}))?").fullmatch
_plain_local = re.compile(_LOCAL).fullmatch
_plain_label = re.compile(_LABEL).fullmatch
_plain_resource = re.compile(_RESOURCE).fullmatch
_forbidden_local = re.compile(r"[\"&'/:<>@]").search  # RFC 7622 §3.3.1


@final
class JID:
    """An address, prepared; two that RFC 7622 calls the same are equal.

    Immutable and hashable. An absent part is "", `bare` and `full` are text, and `full` of
    a bare JID is its `bare`. Made by `parse` and `JID.of`, which check; not by the class.
    """

    __slots__ = ("bare", "domain", "full", "local", "resource")

    local: str
    domain: str
    resource: str
    bare: str
    full: str

    def __init__(self, local: str, domain: str, resource: str) -> None:
        bare = f"{local}@{domain}" if local else domain
        keep = object.__setattr__
        keep(self, "local", local)
        keep(self, "domain", domain)
        keep(self, "resource", resource)
        keep(self, "bare", bare)
        keep(self, "full", f"{bare}/{resource}" if resource else bare)

    @classmethod
    def of(cls, local: str, domain: str, resource: str = "") -> "JID":
        """Make an address of its parts, each prepared and checked; "" leaves one out.

        Raises JIDMalformed.
        """
        return cls(
            prepare_local(local) if local else "",
            prepare_domain(domain),
            prepare_resource(resource) if resource else "",
        )

    def with_resource(self, resource: str) -> "JID":
        """The same account with this resource, prepared; "" gives the bare JID.

        Raises JIDMalformed.
        """
        return JID(self.local, self.domain, prepare_resource(resource) if resource else "")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a JID does not change: {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a JID does not change: {name}")

    def __eq__(self, other: object) -> bool:
        return self.full == other.full if isinstance(other, JID) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.full)

    def __str__(self) -> str:
        return self.full

    def __repr__(self) -> str:
        return f"JID({self.full!r})"

    def __reduce__(self) -> tuple[type["JID"], tuple[str, str, str]]:
        return JID, (self.local, self.domain, self.resource)


def parse(text: str) -> JID:
    """Read an address (RFC 7622 §3.1), of whomever. An address seen lately costs a look-up.

    Raises JIDMalformed for any text that is none.
    """
    return _remembered(text) if len(text) <= _LONGEST_CACHED else _read(text)


def neighbourhood(domain: str) -> str:
    """What a domain has in common with those that its owner can make up at will, more or less."""
    return ".".join(domain.rsplit(".", 2)[-2:])


def _read(text: str) -> JID:
    plain = _plain_jid(text)
    if plain is not None:
        local, domain, resource = plain.groups("")
        if len(domain) <= MAX_DOMAIN:
            return JID(local.lower(), domain.lower(), resource)
    # The first slash and the first at sign before it divide the text as it came: what looks
    # like one of them only after preparation never does (RFC 7622 §3.1).
    bare, slash, resource = text.partition("/")
    local, at, domain = bare.partition("@")
    if not at:
        local, domain = "", bare
    return JID(
        _others_local(local) if at else "",
        prepare_domain(domain),
        _others_resource(resource) if slash else "",
    )


_remembered = lru_cache(_CACHED)(_read)


def prepare_local(text: str) -> str:
    """A local part or user name as it is stored and compared (RFC 7622 §3.3).

    Raises JIDMalformed.
    """
    if _plain_local(text):
        return text.lower()
    prepared = _enforce("UsernameCaseMapped", text, "local part")
    if _forbidden_local(prepared):
        raise JIDMalformed("the local part holds a forbidden character")
    return prepared


def prepare_resource(text: str) -> str:
    """A resource as it is stored and compared (RFC 7622 §3.4); none begins with a space (§3.5).

    Raises JIDMalformed.
    """
    if text.startswith(" "):
        raise JIDMalformed("the resource begins with a space")
    return text if _plain_resource(text) else _enforce("OpaqueString", text, "resource")


def _others_local(text: str) -> str:
    """COMPAT: a local part that a server with Nodeprep may have given (RFC 6122)."""
    try:
        return prepare_local(text)
    except JIDMalformed as refusal:
        from pushd.wire.legacy import local_part

        return _old(local_part, text, refusal)


def _others_resource(text: str) -> str:
    """COMPAT: a resource that a server with Resourceprep may have given (RFC 6122)."""
    try:
        return text if _plain_resource(text) else _enforce("OpaqueString", text, "resource")
    except JIDMalformed as refusal:
        from pushd.wire.legacy import resource

        return _old(resource, text, refusal)


def _old(prepare: Callable[[str], str], text: str, refusal: JIDMalformed) -> str:
    """The part by the old rules; what these do not allow either is refused as by the new ones."""
    if len(text) > _MAX_UNPREPARED or len(normalize("NFC", text)) > MAX_BYTES:
        raise refusal
    try:
        prepared = prepare(text)
        if 0 < len(prepared.encode()) <= MAX_BYTES:
            return prepared
    except ValueError:
        pass
    raise refusal


def prepare_domain(text: str) -> str:
    """A domain as it is stored and compared: lower case, labels in Unicode, no final dot.

    A domain name, of one label or several, an IPv4 address, or an IPv6 address in brackets
    and without a zone (RFC 7622 §3.2). Raises JIDMalformed.
    """
    if len(text) > _MAX_UNPREPARED:
        raise JIDMalformed("the domain is too long")
    if text.startswith("["):
        return _ipv6(text)
    try:
        name = (text.lower() if text.isascii() else _mapped(text)).removesuffix(".")
        if not name:
            raise JIDMalformed("the domain is empty")
        labels = name.split(".")
        if labels[-1].isascii() and labels[-1].isdecimal():
            # Only an IPv4 address ends in a number; resolvers read the others as one, too.
            return str(IPv4Address(name))
        prepared, octets = [], -1
        for label in labels:
            unicode_label, ascii_length = _label(label)
            prepared.append(unicode_label)
            octets += ascii_length + 1
            if octets > MAX_DOMAIN:
                raise JIDMalformed("the domain is too long")
    except ValueError:
        raise JIDMalformed("the domain is not a valid name") from None
    return ".".join(prepared)


def _label(label: str) -> tuple[str, int]:
    """A label in Unicode, and its length in ASCII. Raises ValueError."""
    if _plain_label(label):
        return label, len(label)
    if len(label) > MAX_LABEL:
        raise ValueError("too long")
    import idna

    if label.startswith("xn--"):
        return idna.ulabel(label), len(label)
    return label, len(idna.alabel(label))


def _ipv6(text: str) -> str:
    try:
        if text.endswith("]") and "%" not in text:
            return f"[{IPv6Address(text[1:-1])}]"
    except ValueError:
        pass
    raise JIDMalformed("the domain is not a valid IPv6 address")


def _mapped(text: str) -> str:
    """Width and case mapped and composed, as RFC 7622 §3.2.1 asks of a domain."""
    profile = precis.profile("UsernameCaseMapped")
    mapped: str = profile.case_mapping_rule(profile.width_mapping_rule(text))
    return profile.normalization_rule(mapped)


def _enforce(profile: precis.ProfileName, text: str, part: str) -> str:
    if not text:
        raise JIDMalformed(f"the {part} is empty")
    if len(text) > _MAX_UNPREPARED:
        raise JIDMalformed(f"the {part} is too long")
    try:
        return precis.enforce(profile, text, MAX_BYTES)
    except precis.TooLong:
        raise JIDMalformed(f"the {part} is too long") from None
    except ValueError:
        raise JIDMalformed(f"the {part} holds a forbidden character") from None
