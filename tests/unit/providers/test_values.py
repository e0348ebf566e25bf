"""The values of the contract: notifications, requests, responses, what is found by a probe."""

import time
from typing import Any

import pytest

from pushd.providers.contract import (
    Accepted,
    BadOption,
    Busy,
    Device,
    Finding,
    Limits,
    Notification,
    Outcome,
    Provider,
    Refused,
    Request,
    Response,
    Scope,
    Secret,
    Token,
    Unregistered,
    by_status,
    found,
)
from tests.unit.providers.bench import NOW, Obedient
from tests.unit.providers.samples import BARE, BODIES, BODY, FULL


@pytest.mark.parametrize(
    ("outcome", "finding"),
    [
        (Accepted("1"), Finding("the question was taken")),
        (
            Unregistered(reason="404 UNREGISTERED"),
            Finding("the service knows us, and not the made-up device (404 UNREGISTERED)"),
        ),
        (
            Busy(9, Scope.BACKEND, "HTTP 503"),
            Finding("HTTP 503", False, "wait: the service is reached, but it is busy"),
        ),
        (Refused("403: no key", alarm=True), Finding("403: no key", False)),
    ],
)
def test_an_outcome_says_whether_a_probe_went_well(outcome: Outcome, finding: Finding) -> None:
    assert found(outcome) == finding


# The values.


def test_a_summary_has_the_registered_names_and_whole_numbers() -> None:
    assert FULL.summary() == {
        "message-count": 3,
        "pending-subscription-count": 1,
        "last-message-sender": "romeo@example.net",
        "last-subscription-sender": "nurse@example.net",
        "last-message-body": BODY,
    }


def test_a_summary_leaves_out_what_is_not_told() -> None:
    assert BARE.summary() == {}
    assert Notification("n", message_count=0).summary() == {"message-count": 0}


def test_a_summary_can_go_without_bodies_and_senders() -> None:
    assert "last-message-body" not in FULL.summary(bodies=False)
    assert FULL.summary(bodies=False, senders=False) == {
        "message-count": 3,
        "pending-subscription-count": 1,
    }


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("Wed, 18 Nov 2026 11:06:50 GMT", 10.0),
        ("Wednesday, 18-Nov-26 11:06:50 GMT", 10.0),
        ("Wed Nov 18 11:06:50 2026", 10.0),
        ("Wed, 18 Nov 2026 11:06:30 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("99999999999", None),
        ("Wed, 99 Nov 2026 11:06:50 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert Response(503, {"RETRY-after": value}).retry_after(NOW) == seconds


def test_a_date_without_a_zone_is_one_of_gmt_wherever_this_machine_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The old form of C's asctime (RFC 9110 §5.6.7)."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        found = Response(503, {"Retry-After": "Wed Nov 18 11:06:50 2026"}).retry_after(NOW)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found == 10.0


def test_no_retry_after_is_none() -> None:
    assert Response(503).retry_after(NOW) is None


@pytest.mark.parametrize("body", [*BODIES, b'{"a": ' + b"9" * 5000 + b"}"])
def test_a_body_that_is_no_json_object_reads_as_an_empty_one(body: bytes) -> None:
    if body.startswith(b'{"'):
        body = body[:-1]
    assert Response(200, body=body).json() == {}


def test_a_body_is_cut_at_the_limit() -> None:
    assert len(Response(200, body=b"x" * 100_000).body) == 16_384


def test_header_names_have_no_case() -> None:
    response = Response(200, {"APNS-Id": "1"})
    assert response.header("apns-ID") == "1"
    assert response.header("other") == ""


def test_a_request_writes_json_and_forms() -> None:
    assert Request("https://a.example/", json={"a": [1]}).body == b'{"a":[1]}'
    form = Request("https://a.example/", form={"a": "b c", "d": "ü"})
    assert form.body == b"a=b+c&d=%C3%BC"
    assert form.headers == {"content-type": "application/x-www-form-urlencoded"}
    named = Request("https://a.example/", json={}, headers={"content-type": "text/x"})
    assert named.headers == {"content-type": "text/x"}


def test_the_repr_of_a_request_names_the_host_alone() -> None:
    request = Request("https://push.example.net/3/device/abc?x=1", headers={"a": "b"})
    assert repr(request) == "<Request POST push.example.net>"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (204, Refused("HTTP 204")),
        (301, Refused("HTTP 301, a redirect, which is not followed", alarm=True)),
        (408, Busy(9, Scope.DEVICE, "HTTP 408")),
        (413, Refused("HTTP 413", shrink=True)),
        (418, Refused("HTTP 418")),
        (429, Busy(9, Scope.DEVICE, "HTTP 429")),
        (500, Busy(9, Scope.BACKEND, "HTTP 500")),
        (599, Busy(9, Scope.BACKEND, "HTTP 599")),
    ],
)
def test_a_status_that_nobody_documents_has_a_careful_outcome(status: int, outcome: Any) -> None:
    assert by_status(Response(status, {"retry-after": "9"}), NOW) == outcome


def test_a_token_is_to_be_renewed_at_four_fifths_of_its_life() -> None:
    assert Token(Secret("x"), NOW, NOW + 3600).renew_at == NOW + 2880


def test_what_is_wrong_with_an_option_is_a_value_error_that_names_it() -> None:
    error = BadOption("base_url is not an https address", "base_url")
    assert isinstance(error, ValueError)
    assert error.option == "base_url"


def test_a_provider_may_leave_most_to_the_defaults() -> None:
    provider = Obedient()
    assert Provider.lane(provider, Device(Secret("x"))) == ""
    assert Provider.credential(provider, "") is None
    assert Provider.limits == Limits(50, None, 1)
