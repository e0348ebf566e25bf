"""The stand-in for FCM, asked over HTTP without sockets."""

import json
from email.utils import parsedate_to_datetime
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pushd.simulators.answers import Answer, Ending, ScriptError
from pushd.simulators.fcm import MAX_BODY, FCMSimulator
from pushd.simulators.fcm_errors import FAILURES
from pushd.simulators.fcm_tokens import GRANT_TYPE, MAX_TOKENS, TOKEN_FAILURES, ServiceAccount
from tests.unit.simulators.bench import FORM, NOW, URL, Bench, StillWaiting, note, result_of

SEND = "/v1/projects/pushd-simulator/messages:send"


@pytest.fixture
def bench() -> Bench:
    return Bench()


# --- The service account -------------------------------------------------------------------


def test_the_service_account_is_all_a_provider_needs(bench: Bench) -> None:
    account = bench.simulator.service_account()
    assert account["type"] == "service_account"
    assert account["project_id"] == "pushd-simulator"
    assert account["token_uri"] == f"{URL}/token"
    assert account["client_email"].endswith("@pushd-simulator.iam.gserviceaccount.com")
    key = serialization.load_pem_private_key(account["private_key"].encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.key_size == 2048


def test_nothing_in_the_service_account_points_to_the_vendor(bench: Bench) -> None:
    urls = [value for value in bench.simulator.service_account().values() if "://" in value]
    assert all(url.startswith(f"{URL}/") for url in urls)
    assert len(urls) == 4


def test_two_stand_ins_have_two_accounts() -> None:
    first, second = (Bench(account=None).simulator.service_account() for _ in range(2))
    assert first["private_key"] != second["private_key"]


def test_an_account_can_be_taken_up_by_the_next_stand_in(bench: Bench) -> None:
    file = bench.simulator.service_account()
    again = Bench(account=ServiceAccount.taken_up(json.loads(json.dumps(file))))
    assert again.simulator.service_account() == file
    assert again.simulator.project == "pushd-simulator"
    assert again.send(note()).status == 200


@pytest.mark.parametrize("name", ["project_id", "client_email", "private_key_id", "private_key"])
@pytest.mark.parametrize("value", [None, 7])
def test_something_else_is_not_taken_for_an_account(bench: Bench, name: str, value: Any) -> None:
    file: dict[str, Any] = bench.simulator.service_account() | {name: value}
    with pytest.raises(ValueError, match="not a service account"):
        ServiceAccount.taken_up(file)


def test_an_account_without_a_usable_key_is_refused(bench: Bench) -> None:
    file = bench.simulator.service_account()
    for changed in ({**file, "private_key": "none"}, {}):
        with pytest.raises(ValueError, match="not a service account"):
            ServiceAccount.taken_up(changed)


def test_the_account_follows_the_base_url() -> None:
    bench = Bench()
    bench.simulator.base_url = "http://127.0.0.1:4711/"
    assert bench.simulator.service_account()["token_uri"] == "http://127.0.0.1:4711/token"
    assert bench.ask_token(bench.assertion()).status == 200


# --- The token endpoint --------------------------------------------------------------------


def test_an_assertion_buys_an_access_token(bench: Bench) -> None:
    response = bench.ask_token(bench.assertion())
    assert response.status == 200
    assert response.headers["cache-control"] == "no-store"
    assert response.json["expires_in"] == 3599
    assert response.json["token_type"] == "Bearer"
    assert len(response.json["access_token"]) > 40


def test_every_access_token_is_another(bench: Bench) -> None:
    assert bench.sign_in() != bench.sign_in()


def test_requests_for_access_tokens_are_on_record_without_what_is_secret(bench: Bench) -> None:
    bench.sign_in()
    bench.ask_token(bench.assertion(aud="https://oauth2.googleapis.com/token"))
    good, bad = bench.simulator.token_requests
    issuer = bench.simulator.service_account()["client_email"]
    assert (good.number, good.at, good.status, good.error) == (1, NOW, 200, "")
    assert good.authorized_by == issuer
    assert (bad.status, bad.error, bad.authorized_by) == (400, "invalid_grant", "")
    assert (good.token, good.message, bad.token, bad.message) == ("", None, "", None)


def other_key_s(bench: Bench) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return jwt.encode(bench.claims(), key, algorithm="RS256")


@pytest.mark.parametrize(
    ("changes", "description"),
    [
        ({"iss": "nobody@example.net"}, "Invalid grant: account not found"),
        ({"aud": "https://oauth2.googleapis.com/token"}, "Invalid JWT: Failed audience check."),
        ({"exp": int(NOW) + 3601}, "Invalid JWT: Token must be a short-lived token"),
        ({"iat": int(NOW) - 7200, "exp": int(NOW) - 3600}, "Invalid JWT: Token must be a short"),
    ],
)
def test_an_assertion_that_is_not_right_is_an_invalid_grant(
    bench: Bench, changes: dict[str, Any], description: str
) -> None:
    response = bench.ask_token(bench.assertion(**changes))
    assert response.status == 400
    assert response.json["error"] == "invalid_grant"
    assert response.json["error_description"].startswith(description)


def test_a_signature_by_another_key_is_an_invalid_grant(bench: Bench) -> None:
    response = bench.ask_token(other_key_s(bench))
    assert (response.status, response.json["error"]) == (400, "invalid_grant")
    assert response.json["error_description"] == "Invalid JWT Signature."


def test_a_scope_that_does_not_exist_is_an_invalid_scope(bench: Bench) -> None:
    response = bench.ask_token(bench.assertion(scope="everything"))
    assert (response.status, response.json["error"]) == (400, "invalid_scope")


@pytest.mark.parametrize(
    ("data", "headers", "error"),
    [
        (b"", FORM, "unsupported_grant_type"),
        (b"grant_type=client_credentials&assertion=a", FORM, "unsupported_grant_type"),
        (b"grant_type=" + GRANT_TYPE.encode(), FORM, "invalid_request"),
        (b"grant_type=" + GRANT_TYPE.encode() + b"&assertion=", FORM, "invalid_request"),
        (
            b"grant_type=" + GRANT_TYPE.encode() + b"&assertion=a&assertion=b",
            FORM,
            "invalid_request",
        ),
        (b"nothing of the kind", FORM, "invalid_request"),
        (b"\xff", FORM, "invalid_request"),
        (b'{"grant_type": "x"}', {"Content-Type": "application/json"}, "invalid_request"),
        (b"grant_type=x", {}, "invalid_request"),
    ],
)
def test_a_form_that_is_not_right_is_refused(
    bench: Bench, data: bytes, headers: dict[str, str], error: str
) -> None:
    response = bench.request("POST", "/token", data=data, headers=headers)
    assert (response.status, response.json["error"]) == (400, error)


def test_the_query_does_not_take_the_place_of_the_form(bench: Bench) -> None:
    path = f"/token?grant_type={GRANT_TYPE}&assertion={bench.assertion()}"
    response = bench.request("POST", path, data=b"a=b", headers=FORM)
    assert response.json["error"] == "unsupported_grant_type"


@pytest.mark.parametrize("error", TOKEN_FAILURES)
def test_the_token_endpoint_fails_as_scripted_and_then_recovers(bench: Bench, error: str) -> None:
    bench.simulator.script_tokens(Answer(error=error, retry_after=7))
    response = bench.ask_token(bench.assertion())
    assert (response.status, response.json["error"]) == (TOKEN_FAILURES[error][0], error)
    assert response.headers["retry-after"] == "7"
    assert bench.ask_token(bench.assertion()).status == 200
    assert [each.error for each in bench.simulator.token_requests] == [error, ""]


def test_a_wrong_assertion_uses_up_no_scripted_answer(bench: Bench) -> None:
    bench.simulator.script_tokens(Answer(error="backend_error"))
    assert bench.ask_token("a.b.c").json["error"] == "invalid_grant"
    assert bench.ask_token(bench.assertion()).json["error"] == "backend_error"


def test_the_token_endpoint_can_answer_with_a_page(bench: Bench) -> None:
    bench.simulator.script_tokens(Answer(status=502))
    response = bench.ask_token(bench.assertion())
    assert response.status == 502
    assert response.headers["content-type"].startswith("text/html")


def test_an_error_of_fcm_cannot_be_scripted_for_the_token_endpoint(bench: Bench) -> None:
    with pytest.raises(ScriptError, match="known are invalid_grant"):
        bench.simulator.script_tokens(Answer(error="UNREGISTERED"))


# --- Who may send --------------------------------------------------------------------------


def test_a_message_with_an_access_token_is_accepted(bench: Bench) -> None:
    first, second = bench.send(note()), bench.send(note())
    assert first.status == 200
    assert set(first.json) == {"name"}
    assert first.json["name"].startswith("projects/pushd-simulator/messages/")
    assert first.json["name"] != second.json["name"]


def test_what_was_received_is_on_record(bench: Bench) -> None:
    access = bench.sign_in()
    bench.advance(5)
    bench.send(note("phone"), access)
    [received] = bench.simulator.requests
    assert received.number == 1
    assert received.at == NOW + 5
    assert received.token == "phone"
    assert received.project == "pushd-simulator"
    assert received.message == note("phone")
    assert received.authorized_by == bench.simulator.service_account()["client_email"]
    assert (received.status, received.error, received.validate_only) == (200, "", False)


def test_a_dry_run_is_accepted_and_marked(bench: Bench) -> None:
    response = bench.send(note(), validate_only=True)
    assert response.json["name"].endswith("/fake_message_id")
    assert bench.send(note(token=""), validate_only=True).status == 400
    assert bench.send(note(token=""), validateOnly=True).status == 400
    assert bench.send(note(token="")).status == 400
    assert [one.validate_only for one in bench.simulator.requests] == [True, True, True, False]


@pytest.mark.parametrize(
    "authorization",
    [None, "Bearer", "Bearer nonsense", "key=AAAAlegacy", "Basic eDp5"],
)
def test_without_a_known_access_token_nobody_sends(bench: Bench, authorization: str | None) -> None:
    headers = {"Content-Type": "application/json"}
    if authorization is not None:
        headers["Authorization"] = authorization
    data = json.dumps({"message": note()}).encode()
    response = bench.request("POST", SEND, data=data, headers=headers)
    assert response.status == 401
    assert (response.error["code"], response.error["status"]) == (401, "UNAUTHENTICATED")
    assert response.fcm_codes == []
    assert response.headers["www-authenticate"].startswith("Bearer ")
    [received] = bench.simulator.requests
    assert (received.token, received.status, received.authorized_by) == ("phone", 401, "")
    assert received.error == "UNAUTHENTICATED"


def test_the_scheme_is_read_in_any_case(bench: Bench) -> None:
    headers = {"Authorization": f"bearer {bench.sign_in()}", "Content-Type": "application/json"}
    data = json.dumps({"message": note()}).encode()
    assert bench.request("POST", SEND, data=data, headers=headers).status == 200


def test_an_access_token_holds_until_its_end_and_no_longer() -> None:
    bench = Bench(token_lifetime=60)
    access = bench.sign_in()
    bench.advance(59.9)
    assert bench.send(note(), access).status == 200
    bench.advance(0.1)
    response = bench.send(note(), access)
    assert (response.status, response.error["status"]) == (401, "UNAUTHENTICATED")
    assert response.fcm_codes == []
    assert response.error["details"][0]["reason"] == "ACCESS_TOKEN_EXPIRED"


def test_a_script_shortens_the_life_of_the_next_access_token(bench: Bench) -> None:
    bench.simulator.script_tokens(Answer(lifetime=2))
    response = bench.ask_token(bench.assertion())
    assert response.json["expires_in"] == 2
    bench.advance(2)
    assert bench.send(note(), response.json["access_token"]).status == 401
    assert bench.ask_token(bench.assertion()).json["expires_in"] == 3599


def test_revoked_access_tokens_hold_no_longer(bench: Bench) -> None:
    access = bench.sign_in()
    bench.simulator.revoke()
    assert bench.send(note(), access).status == 401
    assert bench.send(note()).status == 200


def test_of_too_many_access_tokens_the_oldest_is_forgotten(bench: Bench) -> None:
    first = bench.sign_in()
    assertion = bench.assertion()
    second = bench.ask_token(assertion).json["access_token"]
    for _ in range(MAX_TOKENS - 1):
        bench.ask_token(assertion)
    assert bench.send(note(), first).status == 401
    assert bench.send(note(), second).status == 200


def test_an_access_token_for_other_scopes_is_not_enough(bench: Bench) -> None:
    access = bench.sign_in(scope="https://www.googleapis.com/auth/devstorage.read_only")
    response = bench.send(note(), access)
    assert (response.status, response.error["status"]) == (403, "PERMISSION_DENIED")
    assert response.fcm_codes == []
    assert bench.simulator.requests[0].authorized_by


def test_the_scope_of_the_whole_platform_is_enough(bench: Bench) -> None:
    access = bench.sign_in(scope="https://www.googleapis.com/auth/cloud-platform")
    assert bench.send(note(), access).status == 200


def test_a_project_that_does_not_exist_is_not_a_dead_token(bench: Bench) -> None:
    response = bench.send(note(), project="no-such-project")
    assert (response.status, response.error["status"]) == (404, "NOT_FOUND")
    assert response.fcm_codes == []
    [received] = bench.simulator.requests
    assert (received.project, received.error) == ("no-such-project", "NOT_FOUND")


def test_somebody_else_s_project_is_forbidden_and_no_sender_id_mismatch(bench: Bench) -> None:
    response = bench.send(note(), project="someone-elses-project")
    assert (response.status, response.error["status"]) == (403, "PERMISSION_DENIED")
    assert response.fcm_codes == []
    assert "cloudmessaging.messages.create" in response.error["message"]


# --- What may be sent ----------------------------------------------------------------------


def test_the_parser_s_refusal_names_the_field_and_carries_no_fcm_error(bench: Bench) -> None:
    response = bench.send(note(data={"count": 12}))
    assert response.status == 400
    assert response.error == {
        "code": 400,
        "message": "Invalid value at 'message.data[0].value' (TYPE_STRING), 12",
        "status": "INVALID_ARGUMENT",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [
                    {
                        "field": "message.data[0].value",
                        "description": "Invalid value at 'message.data[0].value' (TYPE_STRING), 12",
                    }
                ],
            }
        ],
    }
    [received] = bench.simulator.requests
    assert (received.token, received.error) == ("phone", "BAD_REQUEST")


def test_a_malformed_token_is_refused_with_an_fcm_error_alone(bench: Bench) -> None:
    response = bench.send(note("two words"))
    assert response.status == 400
    assert response.error == {
        "code": 400,
        "message": "The registration token is not a valid FCM registration token",
        "status": "INVALID_ARGUMENT",
        "details": [
            {
                "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError",
                "errorCode": "INVALID_ARGUMENT",
            }
        ],
    }


def test_a_payload_that_is_too_large_is_refused_in_both_words(bench: Bench) -> None:
    response = bench.send(note(data={"body": "x" * 4093}))
    assert response.status == 400
    assert "too large" in response.error["message"]
    assert response.fcm_codes == ["INVALID_ARGUMENT"]
    assert response.violations == []


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (note(data={"from": "juliet"}), "message.data"),
        (note(android={"ttl": "2419201s"}), "message.android.ttl"),
        ({"data": {"a": "b"}}, "message"),
    ],
)
def test_a_value_that_fcm_does_not_take_is_named(
    bench: Bench, message: dict[str, Any], field: str
) -> None:
    response = bench.send(message)
    assert response.status == 400
    assert response.fcm_codes == ["INVALID_ARGUMENT"]
    assert [violation["field"] for violation in response.violations or ()] == [field]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"message": {"token": "\xff"}}', b"[]", b'"text"', b'{"message": "text"}'],
)
def test_a_body_that_is_no_message_is_refused(bench: Bench, body: bytes) -> None:
    response = bench.send(None, body=body)
    assert (response.status, response.error["status"]) == (400, "INVALID_ARGUMENT")
    assert response.fcm_codes == []
    assert response.violations
    assert bench.simulator.requests[0].status == 400


def test_a_body_of_another_type_is_refused(bench: Bench) -> None:
    response = bench.request(
        "POST",
        SEND,
        data=json.dumps({"message": note()}).encode(),
        headers={**FORM, "Authorization": f"Bearer {bench.sign_in()}"},
    )
    assert response.status == 400
    assert "application/json" in response.error["message"]


def test_a_type_with_a_charset_is_the_same_type(bench: Bench) -> None:
    response = bench.request(
        "POST",
        SEND,
        data=json.dumps({"message": note()}).encode(),
        headers={
            "Content-Type": "Application/JSON; charset=utf-8",
            "Authorization": f"Bearer {bench.sign_in()}",
        },
    )
    assert response.status == 200


def test_a_body_that_is_far_too_large_is_not_even_read(bench: Bench) -> None:
    response = bench.send(None, body=b" " * (MAX_BODY + 1))
    assert response.status == 413
    assert bench.simulator.requests == []
    assert bench.send(None, body=b" " * MAX_BODY).status == 400


@pytest.mark.parametrize("path", ["/token", SEND])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_another_method_is_refused(bench: Bench, path: str, method: str) -> None:
    response = bench.request(method, path)
    assert response.status == 405
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/fcm/send",
        "/gcm/send",
        "/batch",
        "/v1/projects//messages:send",
        "/v1/projects/pushd-simulator/messages",
        "/v1/projects/a/b/messages:send",
        "/v2/projects/pushd-simulator/messages:send",
        "/token/",
    ],
)
def test_there_is_nothing_at_any_other_path(bench: Bench, path: str) -> None:
    response = bench.request("POST", path, data=b"{}")
    assert response.status == 404
    assert response.headers["content-type"].startswith("text/html")


def test_a_colon_in_the_path_may_be_escaped(bench: Bench) -> None:
    path = SEND.replace(":", "%3A")
    assert bench.request("POST", path, data=b"{}").status == 401


# --- Scripts -------------------------------------------------------------------------------

SCRIPTED = {
    "UNREGISTERED": (404, "NOT_FOUND", ["UNREGISTERED"]),
    "SENDER_ID_MISMATCH": (403, "PERMISSION_DENIED", ["SENDER_ID_MISMATCH"]),
    "QUOTA_EXCEEDED": (429, "RESOURCE_EXHAUSTED", ["QUOTA_EXCEEDED"]),
    "UNAVAILABLE": (503, "UNAVAILABLE", ["UNAVAILABLE"]),
    "INTERNAL": (500, "INTERNAL", ["INTERNAL"]),
    "INVALID_ARGUMENT": (400, "INVALID_ARGUMENT", ["INVALID_ARGUMENT"]),
    "THIRD_PARTY_AUTH_ERROR": (401, "UNAUTHENTICATED", ["THIRD_PARTY_AUTH_ERROR"]),
    "UNSPECIFIED_ERROR": (500, "UNKNOWN", ["UNSPECIFIED_ERROR"]),
    "INVALID_TOKEN": (400, "INVALID_ARGUMENT", ["INVALID_ARGUMENT"]),
    "BAD_REQUEST": (400, "INVALID_ARGUMENT", []),
    "NOT_FOUND": (404, "NOT_FOUND", []),
    "PERMISSION_DENIED": (403, "PERMISSION_DENIED", []),
    "UNAUTHENTICATED": (401, "UNAUTHENTICATED", []),
}


def test_every_error_that_can_be_scripted_is_tried_here() -> None:
    assert set(SCRIPTED) == set(FAILURES)


@pytest.mark.parametrize("error", SCRIPTED)
def test_a_scripted_error_is_given_once_and_then_the_message_is_accepted(
    bench: Bench, error: str
) -> None:
    status, name, codes = SCRIPTED[error]
    bench.simulator.script("phone", Answer(error=error))
    response = bench.send(note("phone"))
    assert response.status == response.error["code"] == status
    assert response.error["status"] == name
    assert response.fcm_codes == codes
    assert bench.send(note("phone")).status == 200
    assert [(r.status, r.error) for r in bench.simulator.requests] == [(status, error), (200, "")]


def test_the_two_kinds_of_400_are_told_apart_by_their_details(bench: Bench) -> None:
    bench.simulator.script("phone", Answer(error="INVALID_ARGUMENT"), Answer(error="BAD_REQUEST"))
    about_token, about_payload = bench.send(note()), bench.send(note())
    assert about_token.violations is None
    assert "registration token" in about_token.error["message"]
    assert [each["field"] for each in about_payload.violations or ()] == ["message.data[0].value"]
    assert "registration token" not in about_payload.error["message"]


def test_a_bad_token_may_have_its_field_named_beside_the_fcm_error(bench: Bench) -> None:
    bench.simulator.script("phone", Answer(error="INVALID_TOKEN"))
    response = bench.send(note())
    assert response.fcm_codes == ["INVALID_ARGUMENT"]
    assert [each["field"] for each in response.violations or ()] == ["message.token"]


def test_scripted_answers_come_in_order_and_for_their_token_only(bench: Bench) -> None:
    bench.simulator.script("one", Answer(error="UNAVAILABLE"), Answer(error="UNREGISTERED"))
    assert [
        bench.send(note(token)).status for token in ("two", "one", "two", "one", "one", "two")
    ] == [200, 503, 200, 404, 200, 200]


def test_a_script_for_any_token_serves_whoever_comes(bench: Bench) -> None:
    bench.simulator.script(None, Answer(error="INTERNAL", times=2))
    assert [bench.send(note(token)).status for token in ("a", "b", "c")] == [500, 500, 200]


def test_a_dead_token_can_stay_dead(bench: Bench) -> None:
    bench.simulator.script("phone", Answer(error="UNREGISTERED", times=None))
    assert [bench.send(note()).status for _ in range(3)] == [404, 404, 404]


def test_what_the_sender_does_wrong_uses_up_no_scripted_answer(bench: Bench) -> None:
    bench.simulator.script("phone", Answer(error="UNREGISTERED"))
    assert bench.send(note(data={"n": 1})).status == 400
    assert bench.send(note(), access="nonsense").status == 401
    assert bench.send(note(), project="no-such-project").error.get("details") is None
    assert bench.send(note()).fcm_codes == ["UNREGISTERED"]


def test_retry_after_comes_as_seconds_or_as_a_date_or_not_at_all(bench: Bench) -> None:
    bench.simulator.script(
        "phone",
        Answer(error="QUOTA_EXCEEDED", retry_after=30),
        Answer(error="UNAVAILABLE", retry_after_date=90),
        Answer(error="QUOTA_EXCEEDED"),
        Answer(error="UNAVAILABLE", headers={"Retry-After": "soon"}),
    )
    headers = [bench.send(note()).headers.get("retry-after") for _ in range(4)]
    assert headers[0] == "30"
    assert headers[1] is not None
    assert parsedate_to_datetime(headers[1]).timestamp() == NOW + 90
    assert headers[2:] == [None, "soon"]


def test_a_status_without_an_error_is_a_page_without_json(bench: Bench) -> None:
    bench.simulator.script("phone", Answer(status=502))
    response = bench.send(note())
    assert response.status == 502
    assert response.headers["content-type"].startswith("text/html")
    assert bench.simulator.requests[0].status == 502


def test_an_error_can_come_with_another_status(bench: Bench) -> None:
    bench.simulator.script("phone", Answer(error="UNSPECIFIED_ERROR", status=418))
    response = bench.send(note())
    assert response.status == response.error["code"] == 418
    assert bench.simulator.requests[0].status == 418


def test_a_body_can_be_replaced(bench: Bench) -> None:
    bench.simulator.script("phone", Answer(error="INTERNAL", body="not json"), Answer(body="{"))
    first, second = bench.send(note()), bench.send(note())
    assert (first.status, first.body) == (500, b"not json")
    assert (second.status, second.body) == (200, b"{")


def test_a_delayed_answer_comes_when_its_time_is_there(bench: Bench) -> None:
    bench.simulator.script("phone", Answer(delay=3))
    waiting = bench.ask_send(note())
    assert bench.simulator.requests[0].status == 200
    bench.advance(2.9)
    assert not waiting.called
    bench.advance(0.1)
    assert result_of(waiting).status == 200


def test_a_delay_holds_up_nobody_else(bench: Bench) -> None:
    bench.simulator.script("slow", Answer(delay=3))
    waiting = bench.ask_send(note("slow"))
    assert bench.send(note("fast")).status == 200
    assert not waiting.called


def test_a_stalled_request_is_never_answered(bench: Bench) -> None:
    bench.simulator.script("phone", Answer(error="INTERNAL", ending=Ending.STALL))
    waiting = bench.ask_send(note())
    bench.advance(86_400)
    with pytest.raises(StillWaiting):
        result_of(waiting)
    [received] = bench.simulator.requests
    assert (received.status, received.error) == (None, "INTERNAL")


def test_an_error_that_fcm_does_not_have_cannot_be_scripted(bench: Bench) -> None:
    with pytest.raises(ScriptError, match="unknown error 'NotRegistered'; known are UNREGISTERED"):
        bench.simulator.script("phone", Answer(error="NotRegistered"))


# --- The record ----------------------------------------------------------------------------


def test_the_record_is_bounded() -> None:
    bench = Bench(limit=3)
    access = bench.sign_in()
    for number in range(5):
        bench.send(note(f"phone-{number}"), access)
    assert [each.number for each in bench.simulator.requests] == [3, 4, 5]


def test_the_record_is_bounded_at_ten_thousand_by_default(bench: Bench) -> None:
    assert bench.simulator.messages.record._kept.maxlen == 10_000
    assert bench.simulator.tokens.record._kept.maxlen == 10_000


def test_the_next_request_can_be_waited_for(bench: Bench) -> None:
    async def phone() -> str:
        received = await bench.simulator.next_request("phone", timeout=10)
        return f"{received.project} {received.message['data']['message-count']}"

    bench.send(note("another"))
    access = bench.sign_in()
    bench.send(note("phone"), access)
    assert result_of(phone()) == "pushd-simulator 3"
    with pytest.raises(StillWaiting):
        result_of(phone())


def test_a_stand_in_works_before_anybody_knows_its_port() -> None:
    bench = Bench()
    assert FCMSimulator(bench.clock).base_url == ""
