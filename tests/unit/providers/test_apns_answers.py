"""Every answer of APNs, and what follows from it."""

import json

import pytest

from pushd.providers.apns_answers import ROWS, read
from pushd.providers.contract import Accepted, Busy, Outcome, Refused, Response, Scope, Unregistered
from tests.unit.providers.bench import NOW


def answer(status: int, reason: str, **more: object) -> Response:
    return Response(status, body=json.dumps({"reason": reason, **more}).encode())


def outline(outcome: Outcome) -> str:
    """The outcome without its text."""
    words: list[str] = [type(outcome).__name__.lower()]
    match outcome:
        case Busy():
            words.append(outcome.scope.value)
            words += [f"{outcome.after:g}s"] if outcome.after else []
        case Refused():
            for name in ("alarm", "renew_credential", "shrink"):
                words += [name] if getattr(outcome, name) else []
    words += [name for name in ("guarded", "fresh") if getattr(outcome, name, False)]
    return " ".join(words)


TABLE = [
    (400, "BadDeviceToken", "unregistered guarded"),
    (400, "DeviceTokenNotForTopic", "refused alarm guarded"),
    (400, "TopicDisallowed", "refused alarm"),
    (400, "BadTopic", "refused alarm"),
    (400, "MissingTopic", "refused alarm"),
    (400, "MissingDeviceToken", "refused"),
    (400, "BadCollapseId", "refused"),
    (400, "BadExpirationDate", "refused"),
    (400, "BadMessageId", "refused"),
    (400, "BadPriority", "refused"),
    (400, "DuplicateHeaders", "refused"),
    (400, "InvalidPushType", "refused"),
    (400, "PayloadEmpty", "refused"),
    (400, "IdleTimeout", "busy backend fresh"),
    (403, "ExpiredProviderToken", "refused renew_credential"),
    (403, "InvalidProviderToken", "refused alarm"),
    (403, "MissingProviderToken", "refused alarm"),
    (403, "Forbidden", "refused alarm"),
    (403, "BadCertificate", "refused alarm"),
    (403, "BadCertificateEnvironment", "refused alarm"),
    (403, "BadEnvironmentKeyIdInToken", "refused alarm"),
    (403, "UnrelatedKeyIdInToken", "refused alarm fresh"),
    (404, "BadPath", "refused"),
    (405, "MethodNotAllowed", "refused"),
    (410, "Unregistered", "unregistered"),
    (410, "ExpiredToken", "unregistered"),
    (413, "PayloadTooLarge", "refused shrink"),
    (429, "TooManyProviderTokenUpdates", "busy backend 1200s"),
    (429, "TooManyRequests", "busy device"),
    (500, "InternalServerError", "busy backend"),
    (503, "ServiceUnavailable", "busy backend"),
    (503, "Shutdown", "busy backend fresh"),
]


@pytest.mark.line(140, 143)
@pytest.mark.parametrize(("status", "reason", "expected"), TABLE, ids=[row[1] for row in TABLE])
def test_each_answer_of_apples_table(status: int, reason: str, expected: str) -> None:
    outcome = read(answer(status, reason), NOW)
    assert outline(outcome) == expected
    assert f"{status} {reason}" in repr(outcome)


def test_no_row_is_without_its_test() -> None:
    assert ROWS.keys() == {(status, reason) for status, reason, _ in TABLE}


def test_what_is_accepted_has_the_id_that_apple_gave_it() -> None:
    name = "6c3f7a0e-0000-4000-8000-000000000001"
    assert read(Response(200, {"apns-id": name}), NOW) == Accepted(name)
    assert read(Response(200), NOW) == Accepted()
    assert read(Response(200, {"apns-id": "a b"}), NOW) == Accepted()


@pytest.mark.parametrize(
    ("timestamp", "since"),
    [
        (1_795_000_000_123, 1_795_000_000.123),
        (1_795_000_000_000.5, 1_795_000_000.0005),
        (None, None),
        ("1795000000123", None),
        (True, None),
        (-1, None),
        (0, None),
        (1e300, None),
    ],
)
def test_the_time_of_a_death_is_told_in_milliseconds(
    timestamp: object, since: float | None
) -> None:
    outcome = read(answer(410, "Unregistered", timestamp=timestamp), NOW)
    assert outcome == Unregistered(since=since, reason="410 Unregistered")


@pytest.mark.parametrize("status", [400, 401, 402, 404, 406, 409, 410, 418, 451, 499])
@pytest.mark.parametrize("reason", ["", "NeverHeardOf", "DeviceTokenInactive", "Unregistered "])
def test_nothing_unknown_ends_a_registration(status: int, reason: str) -> None:
    outcome = read(answer(status, reason), NOW)
    assert isinstance(outcome, Refused)
    assert not outcome.alarm


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
@pytest.mark.parametrize("reason", ["Unregistered", "ExpiredToken"])
def test_a_word_that_belongs_to_another_status_ends_no_registration(
    status: int, reason: str
) -> None:
    assert not isinstance(read(answer(status, reason), NOW), Unregistered)


@pytest.mark.line(143)
def test_an_unknown_403_is_about_us_unless_others_are_served() -> None:
    outcome = read(answer(403, "NeverHeardOf"), NOW)
    assert outline(outcome) == "refused alarm guarded"


@pytest.mark.parametrize(
    ("status", "expected"), [(500, "busy backend"), (502, "busy backend"), (504, "busy backend")]
)
def test_unknown_faults_of_the_service_are_waited_for(status: int, expected: str) -> None:
    assert outline(read(answer(status, "NeverHeardOf"), NOW)) == expected
    assert outline(read(Response(status, body=b"<html>"), NOW)) == expected


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (429, "TooManyRequests"),
        (429, "TooManyProviderTokenUpdates"),
        (500, "InternalServerError"),
        (503, "ServiceUnavailable"),
        (503, "Shutdown"),
        (400, "IdleTimeout"),
    ],
)
def test_retry_after_is_honoured_where_it_is_present(status: int, reason: str) -> None:
    body = json.dumps({"reason": reason}).encode()
    outcome = read(Response(status, {"retry-after": "77"}, body), NOW)
    assert isinstance(outcome, Busy)
    assert outcome.after == 77


@pytest.mark.parametrize(
    "body", [b"", b"null", b'{"reason": null}', b'{"reason": 5}', b'{"reason": "a token 00ff"}']
)
def test_a_body_that_says_nothing_is_judged_by_its_status(body: bytes) -> None:
    assert read(Response(410, body=body), NOW) == Refused("HTTP 410")
    assert read(Response(400, body=body), NOW) == Refused("HTTP 400")
    assert read(Response(429, body=body), NOW) == Busy(None, Scope.DEVICE, "HTTP 429")
