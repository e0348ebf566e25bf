"""For which domains a certificate speaks on a stream between servers (RFC 6120 §13.7.1.2).

The common name never counts, and no distinguished name is looked at. What is in a certificate
is somebody else's: whatever cannot be read names nobody.
"""

from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from pushd.net.srv import address_of, ascii_name
from pushd.wire.errors import JIDMalformed
from pushd.wire.jid import prepare_domain

XMPP_ADDRESS = ObjectIdentifier("1.3.6.1.5.5.7.8.5")  # RFC 6120 §13.7.1.4
SRV_NAME = ObjectIdentifier("1.3.6.1.5.5.7.8.7")  # RFC 4985
SERVICES = ("_xmpp-server.", "_xmpps-server.")
_UTF8, _IA5 = 0x0C, 0x16  # the tags of these strings in DER
# What the reading of a certificate raises that somebody has made up.
BROKEN = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
# Of an authority, which lists what it is good for. COMPAT: many give certificates for servers
# alone, while a server is the client on the streams that it opens.
PURPOSES = frozenset(
    (
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    )
)

# Bits that a key has at the least (RFC 9325 §4.5, RFC 7590 §3).
RSA_BITS, CURVE_BITS = 2048, 224


def weakness_of(certificate: x509.Certificate, is_anchor: bool) -> str:
    """Why it could be somebody else's work, in words; empty for one that is sound.

    Nobody believes an anchor for its signature. Whatever chain the library finds, it does not ask.
    """
    try:
        key = certificate.public_key()
        digest = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return "an unknown kind of key or signature"
    if isinstance(key, RSAPublicKey) and key.key_size < RSA_BITS:
        return f"a key of {key.key_size} bits"
    if isinstance(key, EllipticCurvePublicKey) and key.curve.key_size < CURVE_BITS:
        return f"a key of {key.curve.key_size} bits"
    if not is_anchor and digest is not None and digest.name in ("md5", "sha1"):
        return f"a signature by {digest.name.upper()}"
    return ""


def speaks_for(certificate: x509.Certificate, domain: str, only_hosts: bool = False) -> bool:
    """Whether one of its alternative names is this domain (prepared).

    With `only_hosts`, no other names than those of hosts count; for an address, nothing but it.
    """
    names = _alternatives(certificate)
    if address_of(domain) is not None:
        names = [one for one in names if isinstance(one, x509.IPAddress)]
    elif only_hosts:
        names = [one for one in names if isinstance(one, x509.DNSName | x509.IPAddress)]
    return any(_is_meant(name, domain) for name in names)


def is_constrained(authority: x509.Certificate) -> bool:
    """Whether an authority may vouch for some names alone (RFC 5280 §4.2.1.10).

    Such constraints are kept to for the names of hosts; the names that are XMPP's own would
    escape them.
    """
    try:
        authority.extensions.get_extension_for_class(x509.NameConstraints)
    except x509.ExtensionNotFound:
        return False
    except BROKEN:
        return True
    return True


def names_of(certificate: x509.Certificate) -> list[str]:
    """The names in it that count, as text for people."""
    found = (_shown(name) for name in _alternatives(certificate))
    return [name for name in found if name]


def is_for_servers(certificate: x509.Certificate) -> bool:
    """Whether its authority lets it speak for a server, if it says for what it is."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    except BROKEN:
        return False
    return not PURPOSES.isdisjoint(usage)


def _alternatives(certificate: x509.Certificate) -> list[x509.GeneralName]:
    try:
        kind = x509.SubjectAlternativeName
        return list(certificate.extensions.get_extension_for_class(kind).value)
    except (x509.ExtensionNotFound, *BROKEN):
        return []


def _is_meant(name: x509.GeneralName, domain: str) -> bool:
    match name:
        case x509.DNSName(value=str(value)):
            return _matches(value.lower(), ascii_name(domain))
        case x509.IPAddress(value=value):
            try:
                return ip_address(domain.strip("[]")) == value
            except ValueError:
                return False
        case x509.OtherName(type_id=kind, value=value) if kind == SRV_NAME:
            said = _string(value, _IA5).lower()
            services = (one for one in SERVICES if said.startswith(one))
            return any(_matches(said.removeprefix(one), ascii_name(domain)) for one in services)
        case x509.OtherName(type_id=kind, value=value) if kind == XMPP_ADDRESS:
            try:
                return prepare_domain(_string(value, _UTF8)) == domain
            except JIDMalformed:
                return False
    return False


def _matches(name: str, domain: str) -> bool:
    """An asterisk stands for one whole label, the first one (RFC 6125 §6.4.3)."""
    if name.startswith("*."):
        first, _, rest = domain.partition(".")
        return bool(first) and "." in rest and rest == name[2:]
    return name == domain


def _shown(name: x509.GeneralName) -> str:
    match name:
        case x509.DNSName(value=value):
            return str(value)
        case x509.IPAddress(value=value):
            return str(value)
        case x509.OtherName(type_id=kind, value=value) if kind == SRV_NAME:
            return _string(value, _IA5)
        case x509.OtherName(type_id=kind, value=value) if kind == XMPP_ADDRESS:
            return _string(value, _UTF8)
    return ""


def _string(der: bytes, tag: int) -> str:
    """The text of one string in DER, all of it; empty for anything else."""
    if len(der) < 2 or der[0] != tag:
        return ""
    length, begin = der[1], 2
    if length == 0x81 and len(der) > 2:
        length, begin = der[2], 3
    elif length >= 0x80:
        return ""  # no domain is as long
    if len(der) != begin + length:
        return ""
    try:
        return der[begin:].decode("ascii" if tag == _IA5 else "utf-8")
    except UnicodeDecodeError:
        return ""
