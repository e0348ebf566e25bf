"""The stand-in for APNs: what it takes, and for which of Apple's reasons it does not."""

import json
import re
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import crypto
from twisted.logger import capturedLogs

from pushd.simulators.answers import Answer as Scripted
from pushd.simulators.apns_devices import Device
from pushd.simulators.apns_push import MOST, MOST_OF_VOIP
from pushd.simulators.apns_reasons import REASONS
from pushd.simulators.apns_tokens import Key
from tests.unit.simulators.apns_bench import ALERT, NOW, SILENT, TOKEN, TOPIC, Answer, Bench, Line

OTHER = "11" * 32
DAY = 86_400


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def line(bench: Bench) -> Line:
    return bench.line()


def refused(answer: Answer) -> tuple[int | None, str]:
    assert answer.headers["content-type"].startswith("application/json")
    return answer.status, answer.reason


# --- A push that is as it should be --------------------------------------------------------


def test_a_push_is_accepted_and_on_record(bench: Bench, line: Line) -> None:
    sent = "6b4f3bd1-6d3f-4f4a-9f55-2f6c9f8f3c11"
    answer = line.push(apns_id=sent, apns_collapse_id="c" * 64)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["apns-id"] == sent
    assert "apns-unique-id" not in answer.headers
    (got,) = bench.simulator.requests
    assert (got.number, got.at, got.token, got.message) == (1, NOW, TOKEN, ALERT)
    assert (got.status, got.error, got.environment) == (200, "", "production")
    assert (got.topic, got.push_type, got.priority) == (TOPIC, "alert", 10)
    assert (got.expiration, got.collapse_id, got.id) == (int(NOW) + DAY, "c" * 64, sent)
    assert (got.connection, got.stream, got.remarks) == (1, 1, ())
    assert got.authorized_by == f"PUSHDTEAM1/{bench.simulator.key.id}"


def test_the_sandbox_says_an_id_of_its_own_besides(bench: Bench) -> None:
    answer = bench.line("sandbox").push()
    assert answer.status == 200
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["apns-unique-id"])
    assert bench.simulator.requests[0].environment == "sandbox"


def test_an_id_is_made_up_where_none_is_given(line: Line) -> None:
    assert re.fullmatch(
        r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", line.push().headers["apns-id"]
    )
    again = line.push(apns_id=None)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", again.headers["apns-id"])


@pytest.mark.parametrize(
    ("payload", "headers"),
    [
        (SILENT, {"apns_push_type": "background", "apns_priority": "5"}),
        (SILENT, {"apns_push_type": "background", "apns_priority": "1"}),
        ({"aps": {"badge": 3}}, {}),
        ({"aps": {"alert": "text", "sound": "default"}, "message-count": 3}, {}),
        ({"aps": {}}, {"apns_push_type": "voip", "apns_topic": f"{TOPIC}.voip"}),
        ({"mdm": "magic"}, {"apns_push_type": "mdm"}),
        (ALERT, {"apns_expiration": "0"}),
        (ALERT, {"apns_expiration": None, "apns_priority": None}),
    ],
)
def test_other_pushes_that_are_right(line: Line, payload: Any, headers: dict[str, Any]) -> None:
    assert line.push(payload, **headers).status == 200


def test_a_payload_may_have_as_much_as_apple_allows(line: Line) -> None:
    def sized(size: int) -> bytes:
        empty = json.dumps({"aps": {"alert": ""}}).encode()
        return empty[:-3] + b"x" * (size - len(empty)) + empty[-3:]

    assert line.push(sized(MOST)).status == 200
    assert refused(line.push(sized(MOST + 1))) == (413, "PayloadTooLarge")
    voip = {"apns_push_type": "voip", "apns_topic": f"{TOPIC}.voip"}
    assert line.push(sized(MOST_OF_VOIP), **voip).status == 200
    assert refused(line.push(sized(MOST_OF_VOIP + 1), **voip)) == (413, "PayloadTooLarge")


# --- What it refuses -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "options"),
    [
        ("MethodNotAllowed", {"method": "PUT"}),
        ("BadPath", {"path": f"/2/device/{TOKEN}"}),
        ("BadPath", {"path": f"/3/device/{TOKEN}/"}),
        ("BadPath", {"path": f"/3/device/{TOKEN}?a=b"}),
        ("MissingDeviceToken", {"token": ""}),
        ("BadDeviceToken", {"token": TOKEN[:62]}),
        ("BadDeviceToken", {"token": TOKEN + "0"}),
        ("BadDeviceToken", {"token": "r3qpHKmzZHjYKYbG7yI4fhY-DWKqFZE5ZJEM8P-lDDo="}),
        ("MissingTopic", {"apns_topic": None}),
        ("MissingTopic", {"apns_topic": ""}),
        ("BadTopic", {"apns_topic": "net example"}),
        ("TopicDisallowed", {"apns_topic": f"{TOPIC}.voip"}),
        ("TopicDisallowed", {"apns_push_type": "voip", "payload": {"aps": {}}}),
        ("InvalidPushType", {"apns_push_type": "loud"}),
        ("InvalidPushType", {"payload": SILENT}),
        ("InvalidPushType", {"apns_push_type": "background", "apns_priority": "5"}),
        ("BadPriority", {"apns_push_type": "background", "payload": SILENT}),
        ("BadPriority", {"apns_push_type": None, "payload": SILENT}),
        ("BadPriority", {"apns_priority": "7"}),
        ("BadPriority", {"apns_priority": "high"}),
        ("BadExpirationDate", {"apns_expiration": "soon"}),
        ("BadExpirationDate", {"apns_expiration": "-1"}),
        ("BadExpirationDate", {"apns_expiration": "1.5"}),
        ("BadCollapseId", {"apns_collapse_id": "c" * 65}),
        ("BadCollapseId", {"apns_collapse_id": "ü" * 33}),
        ("BadMessageId", {"apns_id": "1"}),
        ("BadMessageId", {"apns_id": "6b4f3bd16d3f4f4a9f552f6c9f8f3c11"}),
        ("DuplicateHeaders", {"extra": (("apns-priority", "10"),)}),
        ("DuplicateHeaders", {"extra": (("apns-topic", TOPIC),)}),
        ("PayloadEmpty", {"payload": b""}),
        ("PayloadEmpty", {"payload": b"{"}),
        ("PayloadEmpty", {"payload": b'{"aps": {"badge": NaN}}'}),
        ("PayloadEmpty", {"payload": []}),
        ("PayloadEmpty", {"payload": {"message-count": 3}}),
        ("PayloadTooLarge", {"payload": {"aps": {"alert": "x" * 4096}}}),
        ("MissingProviderToken", {"authorization": None}),
        ("MissingProviderToken", {"authorization": "bearer "}),
        ("MissingProviderToken", {"authorization": "basic abc"}),
        ("InvalidProviderToken", {"authorization": "bearer abc"}),
    ],
)
def test_what_apple_refuses_is_refused_for_its_reason(
    bench: Bench, line: Line, reason: str, options: dict[str, Any]
) -> None:
    answer = line.push(**options)
    assert refused(answer) == (REASONS[reason], reason)
    (got,) = bench.simulator.requests
    assert (got.status, got.error) == (REASONS[reason], reason)


def test_what_is_wrong_uses_up_no_scripted_answer(bench: Bench, line: Line) -> None:
    bench.simulator.script(TOKEN, Scripted(error="TooManyRequests"))
    assert line.push(apns_priority="7").reason == "BadPriority"
    assert refused(line.push()) == (429, "TooManyRequests")
    assert line.push().status == 200


# The bugs of other app servers that such a stand-in would have shown.


@pytest.mark.parametrize("seconds", [4 * 7 * DAY, 1])
def test_an_expiry_counted_from_1970_is_refused(line: Line, seconds: int) -> None:
    assert line.push(apns_expiration=str(seconds)).reason == "BadExpirationDate"


def test_an_expiry_computed_once_at_the_start_is_refused_a_day_later(
    bench: Bench, line: Line
) -> None:
    once = str(int(bench.clock.seconds()) + DAY)
    assert line.push(apns_expiration=once).status == 200
    bench.clock.advance(DAY + 301)
    fresh = f"bearer {bench.token()}"
    answer = line.push(apns_expiration=once, authorization=fresh)
    assert answer.reason == "BadExpirationDate"


def test_a_short_token_is_a_bad_one_and_not_a_limit(line: Line) -> None:
    assert refused(line.push(token="abcdef")) == (400, "BadDeviceToken")


def test_a_silent_payload_under_the_headers_of_an_alert_is_refused(line: Line) -> None:
    silent = {"aps": {"content-available": 1}, "message-count": 1}
    assert line.push(silent).reason == "InvalidPushType"


# --- What Apple takes, and frowns at -------------------------------------------------------


@pytest.mark.parametrize(
    ("remark", "options"),
    [
        ("apns-push-type is missing", {"apns_push_type": None}),
        ("the token is not in lower case", {"token": TOKEN.upper()}),
        (
            "apns-id is not in lower case",
            {"apns_id": "6B4F3BD1-6D3F-4F4A-9F55-2F6C9F8F3C11"},
        ),
        (
            "apns-expiration: nothing is stored for more than 30 days",
            {"apns_expiration": str(int(NOW) + 31 * DAY)},
        ),
        ("a payload is never compressed", {"extra": (("content-encoding", "gzip"),)}),
        ("aps has no 'message-count'", {"payload": {"aps": {"alert": "a", "message-count": 1}}}),
        ("aps: badge is not a whole number", {"payload": {"aps": {"badge": "3"}}}),
        ("aps: badge is not a whole number", {"payload": {"aps": {"badge": True}}}),
        ("aps: alert is neither text nor an object", {"payload": {"aps": {"alert": 1}}}),
        ("aps: sound is neither text nor an object", {"payload": {"aps": {"sound": 1}}}),
        (
            "aps: mutable-content wants an alert",
            {"payload": {"aps": {"badge": 1, "mutable-content": 1}}},
        ),
        (
            "aps: content-available is not 1",
            {"payload": {"aps": {"alert": "a", "content-available": True}}},
        ),
        (
            "aps: interruption-level is unknown",
            {"payload": {"aps": {"alert": "a", "interruption-level": "loud"}}},
        ),
        (
            "aps: relevance-score is not from 0 to 1",
            {"payload": {"aps": {"alert": "a", "relevance-score": 2}}},
        ),
    ],
)
def test_oddities_are_accepted_with_a_remark(
    bench: Bench, line: Line, remark: str, options: dict[str, Any]
) -> None:
    assert line.push(**options).status == 200
    assert bench.simulator.requests[0].remarks == (remark,)
    assert bench.simulator.requests[0].token == TOKEN


def test_headers_that_may_be_indexed_are_remarked(bench: Bench, line: Line) -> None:
    headers = [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", f"/3/device/{TOKEN}"),
        (":authority", "api.push.apple.com"),
        ("authorization", bench.bearer()),
        ("apns-topic", TOPIC),
        ("apns-push-type", "alert"),
    ]
    assert line.request(headers, json.dumps(ALERT).encode())[1].status == 200
    # The client here, h2, never indexes `authorization`.
    assert bench.simulator.requests[0].remarks == (":path may be indexed",)


# --- Provider tokens -----------------------------------------------------------------------


def forged(bench: Bench) -> str:
    stranger = Key.made_up("PUSHDTEAM1")
    return bench.token(stranger, header={"kid": bench.simulator.key.id})


def damaged(bench: Bench) -> str:
    head, claims, signature = bench.token().split(".")
    return f"{head}.{claims}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


def unsigned(bench: Bench) -> str:
    return bench.token().rpartition(".")[0] + "."


@pytest.mark.parametrize(
    ("reason", "make"),
    [
        ("InvalidProviderToken", forged),
        ("InvalidProviderToken", damaged),
        ("InvalidProviderToken", unsigned),
        ("InvalidProviderToken", lambda bench: bench.token(header={"kid": None})),
        ("InvalidProviderToken", lambda bench: bench.token(header={"kid": "ABCDEFGHIJ"})),
        ("InvalidProviderToken", lambda bench: bench.token(iss="OTHERTEAM1")),
        ("InvalidProviderToken", lambda bench: bench.token(iss=None)),
        ("InvalidProviderToken", lambda bench: bench.token(iat=None)),
        ("InvalidProviderToken", lambda bench: bench.token(iat=str(int(NOW)))),
        ("InvalidProviderToken", lambda bench: bench.token(iat=int(NOW) + 301)),
        ("ExpiredProviderToken", lambda bench: bench.token(iat=int(NOW) - 3600)),
        ("ExpiredProviderToken", lambda bench: bench.token(iat=int(NOW * 1000) // 10**6)),
    ],
)
def test_a_provider_token_that_does_not_hold(bench: Bench, reason: str, make: Any) -> None:
    line = bench.line()
    assert refused(line.push(authorization=f"bearer {make(bench)}")) == (403, reason)
    assert bench.simulator.requests[0].authorized_by == ""
    assert line.limits == [1]


def test_another_algorithm_is_refused(bench: Bench, line: Line) -> None:
    import base64

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    head = {"alg": "none", "kid": bench.simulator.key.id}
    claims = {"iss": bench.simulator.key.team, "iat": int(NOW)}
    answer = line.push(authorization=f"bearer {part(head)}.{part(claims)}.")
    assert answer.reason == "InvalidProviderToken"


def test_a_provider_token_holds_for_an_hour(bench: Bench, line: Line) -> None:
    bearer = bench.bearer()
    bench.clock.advance(3599)
    assert line.push(authorization=bearer).status == 200
    bench.clock.advance(1)
    assert line.push(authorization=bearer).reason == "ExpiredProviderToken"


def test_a_second_change_within_twenty_minutes_is_punished(bench: Bench, line: Line) -> None:
    assert line.push().status == 200
    bench.clock.advance(1)
    renewed = f"bearer {bench.token()}"
    assert line.push(authorization=renewed).status == 200  # soon after it was opened: no fault
    bench.clock.advance(1199)
    early = f"bearer {bench.token()}"
    assert refused(line.push(authorization=early)) == (429, "TooManyProviderTokenUpdates")
    assert line.push(authorization=renewed).reason == "TooManyProviderTokenUpdates"
    assert bench.line().push(authorization=early).status == 200  # on another connection
    bench.clock.advance(1)
    assert line.push(authorization=renewed).status == 200
    assert line.push(authorization=f"bearer {bench.token()}").status == 200
    visit, _ = bench.simulator.connections.all()
    assert visit.as_json()["provider_tokens"] == 3


def test_a_new_connection_begins_with_any_token(bench: Bench, line: Line) -> None:
    assert line.push().status == 200
    bench.clock.advance(1)
    assert bench.line().push(authorization=f"bearer {bench.token()}").status == 200


def test_a_key_of_another_team_wants_a_connection_of_its_own(bench: Bench, line: Line) -> None:
    other = Key.made_up("OTHERTEAM1")
    bench.simulator.add_key(other)
    assert line.push().status == 200
    bearer = f"bearer {bench.token(other)}"
    assert refused(line.push(authorization=bearer)) == (403, "UnrelatedKeyIdInToken")
    assert bench.line().push(authorization=bearer).status == 200


def test_a_key_may_be_for_one_environment(bench: Bench) -> None:
    own = Key.made_up("PUSHDTEAM1", environments=frozenset(["sandbox"]))
    bench.simulator.add_key(own)
    bearer = f"bearer {bench.token(own)}"
    answer = bench.line().push(authorization=bearer)
    assert refused(answer) == (403, "BadEnvironmentKeyIdInToken")
    assert bench.line("sandbox").push(authorization=bearer).status == 200


def test_a_key_may_be_for_some_topics(bench: Bench, line: Line) -> None:
    own = Key.made_up("PUSHDTEAM1", topics=frozenset([TOPIC]))
    bench.simulator.add_key(own)
    bearer = f"bearer {bench.token(own)}"
    assert line.push(authorization=bearer).status == 200
    answer = line.push(authorization=bearer, apns_topic="net.example.other")
    assert refused(answer) == (400, "TopicDisallowed")


def test_a_revoked_key_signs_no_more(bench: Bench, line: Line) -> None:
    assert line.push().status == 200
    bench.simulator.revoke(bench.simulator.key.id)
    assert line.push().reason == "InvalidProviderToken"


def test_the_team_s_apps_may_be_limited() -> None:
    line = Bench(topics=[TOPIC]).line()
    voip = {"apns_push_type": "voip", "apns_topic": f"{TOPIC}.voip"}
    assert line.push().status == 200
    assert line.push({"aps": {}}, **voip).status == 200
    assert line.push(apns_topic="net.example.other").reason == "TopicDisallowed"


def test_a_key_can_be_taken_up_by_the_next_stand_in(bench: Bench) -> None:
    file = json.loads(json.dumps(bench.simulator.credentials()))
    again = Bench(key=Key.taken_up(file))
    assert again.line().push(authorization=f"bearer {bench.token()}").status == 200


@pytest.mark.parametrize("name", ["team_id", "key_id", "private_key"])
@pytest.mark.parametrize("value", [None, 7, "short"])
def test_something_else_is_not_taken_for_a_key(bench: Bench, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match="not a key that a stand-in"):
        Key.taken_up(dict(bench.simulator.credentials()) | {name: value})


@given(st.text())
def test_no_authorization_breaks_it(text: str) -> None:
    line = Bench().line()
    clean = text.encode("ascii", "ignore").decode().strip()
    clean = re.sub(r"[\x00-\x1f\x7f]", "", clean).strip()
    answer = line.push(authorization=f"bearer {clean}".strip())
    assert answer.status == 403


# --- Client certificates -------------------------------------------------------------------


def shown(pem: bytes) -> Any:
    return crypto.X509.from_cryptography(x509.load_pem_x509_certificate(pem))


def test_a_client_certificate_takes_the_place_of_a_token(bench: Bench) -> None:
    issued = bench.simulator.issue(TOPIC)
    line = bench.line(certificate=shown(issued.certificate))
    assert line.limits == [1000]  # it is known from the start who pushes
    assert line.push(authorization=None).status == 200
    assert line.push(authorization="bearer nonsense").status == 200  # it is not looked at
    assert bench.simulator.requests[0].authorized_by == TOPIC


def test_the_topic_may_be_left_out_with_a_certificate_for_one(bench: Bench) -> None:
    one = bench.line(certificate=shown(bench.simulator.issue(TOPIC).certificate))
    assert one.push(authorization=None, apns_topic=None).status == 200
    assert bench.simulator.requests[0].topic == TOPIC
    issued = bench.simulator.issue(TOPIC, f"{TOPIC}.voip")
    two = bench.line(certificate=shown(issued.certificate))
    assert two.push(authorization=None, apns_topic=None).reason == "MissingTopic"


def test_a_certificate_is_for_its_topics(bench: Bench) -> None:
    line = bench.line(certificate=shown(bench.simulator.issue(TOPIC).certificate))
    answer = line.push(authorization=None, apns_topic="net.example.other")
    assert refused(answer) == (400, "TopicDisallowed")
    live = {"apns_push_type": "liveactivity", "apns_topic": f"{TOPIC}.push-type.liveactivity"}
    assert line.push(authorization=None, **live).reason == "MissingProviderToken"


def test_a_certificate_is_for_its_environments(bench: Bench) -> None:
    issued = bench.simulator.issue(TOPIC, environments=["sandbox"])
    line = bench.line(certificate=shown(issued.certificate))
    assert refused(line.push(authorization=None)) == (403, "BadCertificateEnvironment")
    assert bench.line("sandbox", shown(issued.certificate)).push(authorization=None).status == 200


def test_a_stranger_s_certificate_is_a_bad_one(bench: Bench) -> None:
    line = bench.line(certificate=shown(Bench().simulator.issue(TOPIC).certificate))
    assert refused(line.push(authorization=None)) == (403, "BadCertificate")


def test_an_expired_certificate_is_a_bad_one(bench: Bench) -> None:
    line = bench.line(certificate=shown(bench.simulator.issue(TOPIC).certificate))
    bench.clock.advance(366 * DAY)
    assert refused(line.push(authorization=None)) == (403, "BadCertificate")


# --- Devices -------------------------------------------------------------------------------


def test_a_token_of_the_other_environment_is_a_bad_one(bench: Bench, line: Line) -> None:
    bench.simulator.devices.add(Device(token=TOKEN, environment="sandbox"))
    assert refused(line.push()) == (400, "BadDeviceToken")
    assert bench.line("sandbox").push().status == 200


def test_a_token_of_another_app_is_not_for_the_topic(bench: Bench, line: Line) -> None:
    bench.simulator.devices.add(Device(token=TOKEN, topics=("net.example.other",)))
    assert refused(line.push()) == (400, "DeviceTokenNotForTopic")


@pytest.mark.parametrize("reason", ["Unregistered", "ExpiredToken"])
def test_a_dead_token_is_gone_since_a_time_in_milliseconds(
    bench: Bench, line: Line, reason: str
) -> None:
    bench.simulator.devices.add(Device(token=TOKEN, dead_since=NOW - 60.5, dead_reason=reason))
    answer = line.push()
    assert refused(answer) == (410, reason)
    assert answer.json["timestamp"] == int((NOW - 60.5) * 1000)


def test_a_scripted_410_has_its_timestamp(bench: Bench, line: Line) -> None:
    bench.simulator.script(None, Scripted(error="Unregistered"))
    assert line.push().json == {"reason": "Unregistered", "timestamp": int(NOW * 1000)}


def test_unknown_tokens_can_be_bad_ones(bench: Bench, line: Line) -> None:
    bench.simulator.devices.only_known = True
    bench.simulator.devices.add(Device(token=OTHER))
    assert line.push().reason == "BadDeviceToken"
    assert line.push(token=OTHER).status == 200
    bench.simulator.forget()
    assert line.push().status == 200


# --- Scripts -------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_can_be_scripted(bench: Bench, line: Line, reason: str) -> None:
    bench.simulator.script(TOKEN, Scripted(error=reason))
    assert refused(line.push()) == (REASONS[reason], reason)
    assert line.push(token=OTHER).status == 200


def test_a_status_without_a_reason_is_a_page(bench: Bench, line: Line) -> None:
    bench.simulator.script(None, Scripted(status=502))
    answer = line.push()
    assert answer.status == 502
    assert answer.headers["content-type"].startswith("text/html")
    assert bench.simulator.requests[0].status == 502


def test_a_busy_answer_may_say_when_to_come_back(bench: Bench, line: Line) -> None:
    bench.simulator.script(None, Scripted(error="ServiceUnavailable", retry_after=7))
    assert line.push().headers["retry-after"] == "7"


def test_tokens_and_payloads_stay_out_of_the_log(bench: Bench, line: Line) -> None:
    with capturedLogs() as logged:
        line.push({"aps": {"alert": "a dark secret"}})
        bench.simulator.devices.add(Device(token=OTHER))
        said = repr(bench.simulator.requests) + repr(bench.simulator.devices.all())
    said += repr([sorted(map(repr, event.items())) for event in logged])
    assert logged
    for secret in (TOKEN, OTHER, "a dark secret", bench.token().rpartition(".")[2]):
        assert secret not in said
