"""What is wrong with bytes that expat does not take (RFC 6120 §4.9.3)."""

from xml.parsers.expat import ExpatError, errors

from pushd.wire.errors import StreamError

_INVALID_TOKEN = errors.codes[errors.XML_ERROR_INVALID_TOKEN]
CONDITIONS = {
    errors.codes[getattr(errors, f"XML_ERROR_{name}")]: condition
    for name, condition in {
        "UNBOUND_PREFIX": "bad-namespace-prefix",
        "UNDECLARING_PREFIX": "bad-namespace-prefix",
        "RESERVED_PREFIX_XML": "bad-namespace-prefix",
        "RESERVED_PREFIX_XMLNS": "bad-namespace-prefix",
        "RESERVED_NAMESPACE_URI": "bad-namespace-prefix",
        "UNDEFINED_ENTITY": "restricted-xml",
        "UNKNOWN_ENCODING": "unsupported-encoding",
        "INCORRECT_ENCODING": "unsupported-encoding",
    }.items()
}


def offence(error: ExpatError, place: bytes) -> StreamError:
    """The stream error for it; `place` is where expat stopped, the next four bytes or so."""
    condition = CONDITIONS.get(error.code, "not-well-formed")
    if error.code == _INVALID_TOKEN and not _is_utf8(place):
        condition = "unsupported-encoding"  # RFC 6120 §4.9.3.22
    return StreamError(condition)


def _is_utf8(data: bytes) -> bool:
    """Whether a character begins here; one that is cut off at the end is fine."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start > 0 or error.reason == "unexpected end of data"
    return True
