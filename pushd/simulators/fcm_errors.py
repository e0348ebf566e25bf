"""What FCM and its surroundings say when they refuse, in Google's JSON.

Read from "FCM error codes" and the REST reference's `ErrorCode`. An answer of FCM itself
carries a `google.firebase.fcm.v1.FcmError`; without one, it comes from Google's front:
wrong credentials, no permission, no such project, a body that does not parse.
"""

from dataclasses import dataclass
from typing import Any

from pushd.simulators.fcm_message import Invalid, Unreadable, Violation
from pushd.simulators.web import Reply

_FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
_ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
_BAD_TOKEN = "The registration token is not a valid FCM registration token"  # noqa: S105
_EXPECTED = (
    "Expected OAuth 2 access token, login cookie or other valid authentication credential. "
    "See https://developers.google.com/identity/sign-in/web/devconsole-project."
)

Detail = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The name of an error, for the record and for scripts, and how it is said."""

    name: str
    reply: Reply


@dataclass(frozen=True, slots=True)
class Failure:
    """One kind of error: the HTTP status, the status by name, the words.

    `code` is the FcmError's; "" leaves that detail out. `field` is what a
    google.rpc.BadRequest names; "" leaves that detail out.
    """

    http: int
    status: str
    message: str
    code: str = ""
    field: str = ""

    def reply(self, http: int | None = None) -> Reply:
        """The answer, with another HTTP status where one is given."""
        details = [_fcm_error(self.code)] if self.code else []
        if self.field:
            details.append(_bad_request([Violation(self.field, self.message)]))
        return _error(http or self.http, self.status, self.message, details)


# What a script can ask for. The first eight are FCM's own error codes.
FAILURES = {
    "UNREGISTERED": Failure(404, "NOT_FOUND", "Requested entity was not found.", "UNREGISTERED"),
    "SENDER_ID_MISMATCH": Failure(
        403, "PERMISSION_DENIED", "SenderId mismatch", "SENDER_ID_MISMATCH"
    ),
    "QUOTA_EXCEEDED": Failure(
        429, "RESOURCE_EXHAUSTED", "Quota exceeded for this target.", "QUOTA_EXCEEDED"
    ),
    "UNAVAILABLE": Failure(
        503, "UNAVAILABLE", "The service is currently unavailable.", "UNAVAILABLE"
    ),
    "INTERNAL": Failure(500, "INTERNAL", "Internal error encountered.", "INTERNAL"),
    "INVALID_ARGUMENT": Failure(400, "INVALID_ARGUMENT", _BAD_TOKEN, "INVALID_ARGUMENT"),
    "THIRD_PARTY_AUTH_ERROR": Failure(
        401,
        "UNAUTHENTICATED",
        "Auth error from APNS or Web Push Service",
        "THIRD_PARTY_AUTH_ERROR",
    ),
    "UNSPECIFIED_ERROR": Failure(500, "UNKNOWN", "Unknown error.", "UNSPECIFIED_ERROR"),
    # INVALID_ARGUMENT about the token again, with the field named as well: FCM does either.
    "INVALID_TOKEN": Failure(
        400, "INVALID_ARGUMENT", _BAD_TOKEN, "INVALID_ARGUMENT", "message.token"
    ),
    # From here on there is no FcmError.
    "BAD_REQUEST": Failure(
        400,
        "INVALID_ARGUMENT",
        "Invalid value at 'message.data[0].value' (TYPE_STRING), 12",
        field="message.data[0].value",
    ),
    "NOT_FOUND": Failure(404, "NOT_FOUND", "Requested entity was not found."),
    "PERMISSION_DENIED": Failure(403, "PERMISSION_DENIED", "The caller does not have permission"),
    "UNAUTHENTICATED": Failure(
        401, "UNAUTHENTICATED", f"Request had invalid authentication credentials. {_EXPECTED}"
    ),
}


def scripted(name: str, http: int | None = None) -> Refusal:
    """One of FAILURES, with another HTTP status where one is given."""
    return Refusal(name, FAILURES[name].reply(http))


def no_credentials() -> Refusal:
    """The Authorization header is absent."""
    return _unauthenticated("is missing required authentication credential", "CREDENTIALS_MISSING")


def bad_credentials(*, expired: bool = False) -> Refusal:
    """The access token was never handed out, or its time is over."""
    reason = "ACCESS_TOKEN_EXPIRED" if expired else ""
    return _unauthenticated("had invalid authentication credentials", reason)


def wrong_scope() -> Refusal:
    """The access token was asked for with other scopes than FCM's."""
    return _denied(
        "Request had insufficient authentication scopes.", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"
    )


def foreign_project(project: str) -> Refusal:
    """The account has no rights in this project."""
    return _denied(
        "Permission 'cloudmessaging.messages.create' denied on resource "
        f"'//cloudresourcemanager.googleapis.com/projects/{project}' (or it may not exist).",
        "IAM_PERMISSION_DENIED",
    )


def unreadable(wrong: Unreadable) -> Refusal:
    """The parser's kind of 400: google.rpc.BadRequest alone."""
    details = [_bad_request(wrong.violations)]
    return Refusal("BAD_REQUEST", _error(400, "INVALID_ARGUMENT", str(wrong), details))


def invalid(wrong: Invalid) -> Refusal:
    """FCM's kind of 400: with FcmError, and alone where the token is what is wrong."""
    details = [_fcm_error("INVALID_ARGUMENT")]
    if not wrong.about_token:
        details.insert(0, _bad_request([wrong.violation] if wrong.violation else []))
    return Refusal("INVALID_ARGUMENT", _error(400, "INVALID_ARGUMENT", str(wrong), details))


def _fcm_error(code: str) -> Detail:
    return {"@type": _FCM_ERROR, "errorCode": code}


def _bad_request(violations: list[Violation]) -> Detail:
    detail: Detail = {"@type": _BAD_REQUEST}
    if violations:  # a message that is too large is no single field's fault
        detail["fieldViolations"] = [
            ({"field": each.field} if each.field else {}) | {"description": each.description}
            for each in violations
        ]
    return detail


def _unauthenticated(words: str, reason: str) -> Refusal:
    challenge = 'Bearer realm="https://accounts.google.com/"'
    if reason != "CREDENTIALS_MISSING":
        challenge += ', error="invalid_token"'  # RFC 6750 §3.1
    reply = _error(
        401,
        "UNAUTHENTICATED",
        f"Request {words}. {_EXPECTED}",
        [_info(reason)] if reason else [],
        WWW_Authenticate=challenge,
    )
    return Refusal("UNAUTHENTICATED", reply)


def _denied(words: str, reason: str) -> Refusal:
    reply = _error(403, "PERMISSION_DENIED", words, [_info(reason)])
    return Refusal("PERMISSION_DENIED", reply)


def _info(reason: str) -> Detail:
    return {"@type": _ERROR_INFO, "reason": reason, "domain": "googleapis.com"}


def _error(http: int, status: str, message: str, details: list[Detail], **headers: str) -> Reply:
    error: dict[str, Any] = {"code": http, "message": message, "status": status}
    if details:
        error["details"] = details
    return Reply.json(http, {"error": error}, **headers)
