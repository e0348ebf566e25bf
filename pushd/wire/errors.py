"""The errors of RFC 6120: one class per stanza error condition (§8.3.3), and `StreamError` (§4.9).

A refused request raises one of these; `routing/requests.py` alone turns it into a stanza.
Each class carries the type that the RFC gives its condition.
"""

from typing import ClassVar

from pushd.wire.element import Element, element
from pushd.wire.namespaces import NS_STANZA_ERRORS, NS_STREAM_ERRORS, NS_STREAMS, NS_XML

LANGUAGE = "en"  # of what this server says to people


class StanzaError(Exception):
    """A stanza error: its condition and type, a text for people, an application's own element."""

    condition: ClassVar[str] = "undefined-condition"
    type: ClassVar[str] = "cancel"

    def __init__(self, text: str = "", extra: Element | None = None) -> None:
        super().__init__(text or self.condition)
        self.text = text
        self.extra = extra

    def element(self) -> Element:
        """The `<error/>` child (RFC 6120 §8.3.2)."""
        error = element("jabber:client", "error", type=self.type)
        error.children.append(element(NS_STANZA_ERRORS, self.condition))
        if self.text:
            error.children.append(_words(NS_STANZA_ERRORS, self.text))
        if self.extra is not None:
            error.children.append(self.extra)
        return error


class BadRequest(StanzaError):
    condition, type = "bad-request", "modify"


class Conflict(StanzaError):
    condition = "conflict"


class FeatureNotImplemented(StanzaError):
    condition = "feature-not-implemented"


class Forbidden(StanzaError):
    condition, type = "forbidden", "auth"


class Gone(StanzaError):
    condition = "gone"


class InternalServerError(StanzaError):
    condition = "internal-server-error"


class ItemNotFound(StanzaError):
    condition = "item-not-found"


class JIDMalformed(StanzaError):
    condition, type = "jid-malformed", "modify"


class NotAcceptable(StanzaError):
    condition, type = "not-acceptable", "modify"


class NotAllowed(StanzaError):
    condition = "not-allowed"


class NotAuthorized(StanzaError):
    condition, type = "not-authorized", "auth"


class PolicyViolation(StanzaError):
    condition, type = "policy-violation", "modify"


class RecipientUnavailable(StanzaError):
    condition, type = "recipient-unavailable", "wait"


class Redirect(StanzaError):
    condition, type = "redirect", "modify"


class RegistrationRequired(StanzaError):
    condition, type = "registration-required", "auth"


class RemoteServerNotFound(StanzaError):
    condition = "remote-server-not-found"


class RemoteServerTimeout(StanzaError):
    condition, type = "remote-server-timeout", "wait"


class ResourceConstraint(StanzaError):
    condition, type = "resource-constraint", "wait"


class ServiceUnavailable(StanzaError):
    condition = "service-unavailable"


class SubscriptionRequired(StanzaError):
    condition, type = "subscription-required", "auth"


class UndefinedCondition(StanzaError):
    condition = "undefined-condition"


class UnexpectedRequest(StanzaError):
    condition, type = "unexpected-request", "wait"


class StreamError(Exception):
    """Ends a stream, with a condition of RFC 6120 §4.9.3."""

    def __init__(self, condition: str, text: str = "", extra: Element | None = None) -> None:
        super().__init__(text or condition)
        self.condition = condition
        self.text = text
        self.extra = extra

    def element(self) -> Element:
        """The `<stream:error/>` element (RFC 6120 §4.9.2)."""
        error = element(NS_STREAMS, "error", element(NS_STREAM_ERRORS, self.condition))
        if self.text:
            error.children.append(_words(NS_STREAM_ERRORS, self.text))
        if self.extra is not None:
            error.children.append(self.extra)
        return error


def _words(namespace: str, said: str) -> Element:
    """The text of an error, with its language (RFC 6120 §4.9.2 and §8.3.2)."""
    words = element(namespace, "text", said)
    words.attributes[NS_XML, "lang"] = LANGUAGE
    return words
