"""The stand-in for Web Push: subscriptions, what it refuses, and how each service says so."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet.task import Clock

from pushd.simulators.answers import Answer, ScriptError
from pushd.simulators.webpush import WebPushSimulator
from pushd.simulators.webpush_crypto import from_base64url, to_base64url
from pushd.simulators.webpush_services import FAULTS, SERVICES
from pushd.simulators.webpush_subscriptions import Subscription
from tests.unit.simulators.bench import result_of
from tests.unit.simulators.test_webpush_crypto import BODY, PLAINTEXT, WATERMELON
from tests.unit.simulators.webpush_bench import URL, Bench, b64, encrypt, point

ACCEPTED = {"mozilla": 201, "google": 201, "apple": 201, "microsoft": 201, "ntfy": 200}


@pytest.mark.parametrize("service", SERVICES)
def test_a_push_is_decrypted_and_put_on_record(service: str) -> None:
    bench = Bench()
    phone = bench.subscribe(service)
    answer = bench.push(phone, end_of("hello", 20), Urgency="low", TTL="60")
    assert answer.status == ACCEPTED[service]
    received = bench.last
    assert received.token == phone["endpoint"]
    assert received.message == "hello" + " " * 20
    assert received.authorized_by == bench.vapid
    assert received.claims["aud"] == URL
    assert (received.service, received.ttl, received.urgency) == (service, 60, "low")
    assert (received.status, received.error) == (answer.status, "")
    assert len(received.topic) == 32


def end_of(text: str, spaces: int) -> bytes:
    return text.encode() + b" " * spaces


def test_json_is_decoded_and_padding_counted() -> None:
    bench = Bench()
    phone = bench.subscribe()
    body = encrypt(b'{"message-count": 3}', phone, end=b"\x02" + bytes(100))
    bench.push(phone, body=body)
    assert bench.last.message == {"message-count": 3}
    assert (bench.last.size, bench.last.padding) == (len(body), 100)


def test_the_example_of_rfc_8291_arrives() -> None:
    bench = Bench()
    path = "/wpush/v2/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV"
    bench.simulator.subscriptions.adopt(Subscription("mozilla", path, WATERMELON))
    answer = bench.push({"endpoint": URL + path}, body=BODY, TTL="10", Urgency=None, Topic=None)
    assert answer.status == 201
    assert answer.headers["location"].startswith(f"{URL}/m/")
    assert answer.headers["ttl"] == "10"
    assert bench.last.message == PLAINTEXT.decode()


# --- subscriptions -------------------------------------------------------------------------


def test_a_subscription_outlives_its_stand_in() -> None:
    bench = Bench()
    phones = [bench.subscribe(service, "phone") for service in SERVICES]
    again = Bench(seed=bench.simulator.subscriptions.seed)
    again.key = bench.key
    for phone in phones:
        assert again.push(phone, b"still there").status in (200, 201)
        assert again.last.message == "still there"
    elsewhere = Bench()
    elsewhere.key = bench.key
    for phone in phones:
        assert elsewhere.push(phone).status == 404


def test_a_name_gives_the_same_subscription_again() -> None:
    bench = Bench()
    assert bench.subscribe(name="phone") == bench.subscribe(name="phone")
    others = [
        bench.subscribe(name="tablet"),
        bench.subscribe("ntfy", "phone"),
        dict(bench.simulator.subscribe("mozilla", "phone")),
        dict(bench.simulator.subscribe("mozilla")),
        dict(bench.simulator.subscribe("mozilla")),
    ]
    endpoints = [one["endpoint"] for one in [bench.subscribe(name="phone"), *others]]
    assert len(set(endpoints)) == len(endpoints)
    assert len({one["p256dh"] for one in [bench.subscribe(name="phone"), *others]}) == 6


def test_subscriptions_are_made_and_listed_by_control() -> None:
    bench = Bench()
    made = bench.control("POST", "subscriptions", {"name": "phone", "vapid": bench.vapid})
    assert made == bench.subscribe()
    assert set(made) == {"name", "service", "endpoint", "p256dh", "auth"}
    assert len(from_base64url(made["p256dh"])) == 65
    assert len(from_base64url(made["auth"])) == 16
    assert bench.push(made).status == 201
    assert bench.control("GET", "subscriptions") == {"subscriptions": [made]}
    other = bench.control("POST", "subscriptions", {"service": "ntfy"})
    assert (other["service"], other["name"]) == ("ntfy", "")


@pytest.mark.parametrize(
    "order",
    [
        {"service": "other"},
        {"service": "apple"},
        {"vapid": "no key"},
        {"vapid": b64(b"\4" + bytes(64))},
        {"name": 5},
        {"what": "ever"},
    ],
    ids=json.dumps,
)
def test_an_order_that_makes_no_sense_is_refused(order: Any) -> None:
    assert "error" in Bench().control("POST", "subscriptions", order)


@pytest.mark.parametrize("service", ["mozilla", "google", "apple", "ntfy"])
def test_an_endpoint_that_nobody_was_given_is_not_found(service: str) -> None:
    bench = Bench()
    before, behind = SERVICES[service].path
    for part in ("", "x", to_base64url(bytes(24)), to_base64url(bytes(56))):
        endpoint = f"{URL}{before}{part}{behind}"
        assert bench.push(bench.subscribe(service) | {"endpoint": endpoint}).status == 404
        assert bench.last.error == "not-found"
        assert bench.last.message is None


def test_mozilla_says_in_its_endpoints_whether_they_are_bound() -> None:
    bench = Bench()
    bound, unbound = bench.subscribe(), dict(bench.simulator.subscribe())
    assert "/wpush/v2/" in bound["endpoint"]
    assert "/wpush/v1/" in unbound["endpoint"]
    for phone, before, after in ((bound, "v2", "v1"), (unbound, "v1", "v2")):
        assert bench.push(phone).status == 201
        other = {**phone, "endpoint": phone["endpoint"].replace(f"/{before}/", f"/{after}/")}
        assert bench.push(other).status == 404


def test_an_endpoint_is_taken_whole() -> None:
    bench = Bench()
    ntfy = bench.subscribe("ntfy")["endpoint"]
    mozilla = bench.subscribe()["endpoint"]
    for endpoint in (ntfy.partition("?")[0], mozilla + "?a=b", mozilla + "/", mozilla[:-1]):
        assert bench.push(bench.subscribe() | {"endpoint": endpoint}).status == 404


def test_a_unifiedpush_server_says_that_it_is_one() -> None:
    bench = Bench()
    answer = result_of(bench.wire.ask("GET", bench.subscribe("ntfy")["endpoint"]))
    assert (answer.status, answer.json) == (200, {"unifiedpush": {"version": 1}})
    assert not bench.simulator.requests


# --- what is refused -----------------------------------------------------------------------

OTHER = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    ("headers", "fault"),
    [
        ({"TTL": None}, "missing-ttl"),
        ({"TTL": "-1"}, "bad-ttl"),
        ({"TTL": "soon"}, "unreadable-ttl"),
        ({"TTL": "1.5"}, "unreadable-ttl"),
        ({"TTL": "+60"}, "unreadable-ttl"),
        ({"TTL": ["60", "60"]}, "unreadable-ttl"),
        ({"Topic": "x" * 33}, "bad-topic"),
        ({"Topic": "a b"}, "bad-topic"),
        ({"Topic": "a/b"}, "bad-topic"),
        ({"Topic": "abcd="}, "bad-topic"),
        ({"Topic": ""}, "bad-topic"),
        ({"Topic": ["a", "b"]}, "bad-topic"),
        ({"Urgency": "urgent"}, "bad-urgency"),
        ({"Urgency": "high, low"}, "bad-urgency"),
        ({"Urgency": ["high", "low"]}, "bad-urgency"),
        ({"Content_Encoding": None}, "bad-crypto"),
        ({"Content_Encoding": "aesgcm"}, "bad-crypto"),
        ({"Content_Encoding": "gzip"}, "bad-crypto"),
        ({"Encryption": "salt=x"}, "bad-crypto"),
        ({"Crypto_Key": "dh=x"}, "bad-crypto"),
        ({"Authorization": None}, "unauthorized"),
        ({"Authorization": "vapid t=x,k=y"}, "bad-vapid-key"),
        ({"method": "PUT"}, "method"),
        ({"method": "DELETE"}, "method"),
        ({"body": b"plain text"}, "bad-crypto"),
        ({"body": BODY}, "bad-crypto"),
        ({"text": b"x" * 3994}, "too-large"),
    ],
    ids=str,
)
@pytest.mark.parametrize("service", SERVICES)
def test_what_is_wrong_is_refused(service: str, headers: dict[str, Any], fault: str) -> None:
    bench = Bench()
    answer = bench.push(bench.subscribe(service), **headers)
    known = FAULTS[fault]
    status = getattr(known, service, None) or known.status
    assert (bench.last.error, bench.last.status) == (fault, status)
    assert answer.status == status
    assert bench.last.message is None


def test_the_longest_message_is_taken() -> None:
    bench = Bench()
    assert bench.push(bench.subscribe(), b"x" * 3993).status == 201
    assert bench.last.size == 4096


def test_two_records_are_refused() -> None:
    bench = Bench()
    phone = bench.subscribe()
    # As http_ece makes them from a text that one record does not hold.
    body = encrypt(b"x" * 100, phone, record_size=100)
    assert bench.push(phone, body=body).json["errno"] == 110
    assert "one record" in bench.push(phone, body=body).json["message"]


def test_a_key_encrypts_one_message_which_may_be_sent_again() -> None:
    bench = Bench()
    phone = bench.subscribe()
    body = encrypt(b"one", phone, sender=OTHER)
    assert bench.push(phone, body=body).status == 201
    assert bench.push(phone, body=body).status == 201
    assert bench.push(phone, body=encrypt(b"two", phone, sender=OTHER)).status == 400


def test_the_vapid_key_does_not_encrypt() -> None:
    bench = Bench()
    phone = bench.subscribe()
    answer = bench.push(phone, body=encrypt(b"one", phone, sender=bench.key))
    assert answer.status == 400
    assert "VAPID" in answer.json["message"]


def test_a_token_for_another_origin_or_time_is_refused() -> None:
    bench = Bench()
    phone = bench.subscribe()
    once = bench.authorization()
    assert bench.push(phone, Authorization=once).status == 201
    for claims in ({"aud": "https://elsewhere.test"}, {"exp": bench.clock.seconds() + 90_000}):
        assert bench.push(phone, Authorization=bench.authorization(**claims)).status == 401
    bench.clock.advance(43_200)  # whoever computes it but once is caught after its time
    assert bench.push(phone, Authorization=once).json["message"] == "Invalid VAPID expiry"


@pytest.mark.parametrize(
    ("service", "status"), [("mozilla", 401), ("google", 403), ("apple", 400), ("ntfy", 401)]
)
def test_a_subscription_is_bound_to_its_vapid_key(service: str, status: int) -> None:
    bench = Bench()
    phone = bench.subscribe(service)
    header = bench.authorization(OTHER, b64(point(OTHER)))
    assert bench.push(phone, Authorization=header).status == status
    assert bench.last.error == "key-mismatch"
    # Signed by another than it says.
    bench.push(phone, Authorization=bench.authorization(OTHER))
    assert bench.last.error == "unauthorized"


def test_a_subscription_without_a_key_takes_any_or_none() -> None:
    bench = Bench()
    for service in ("mozilla", "google", "ntfy"):
        phone = bench.simulator.subscribe(service)
        for header in (None, bench.authorization(), bench.authorization(OTHER, b64(point(OTHER)))):
            assert bench.push(phone, Authorization=header).status == ACCEPTED[service]
        assert bench.push(phone, Authorization=bench.authorization(OTHER)).status in (401, 403)


def test_apple_wants_a_contact_that_is_somewhere_and_a_topic_that_is_base64() -> None:
    bench = Bench()
    phone = bench.subscribe("apple")
    header = bench.authorization(sub="mailto:operator@localhost")
    answer = bench.push(phone, Authorization=header)
    assert (answer.status, answer.json) == (403, {"reason": "BadJwtToken"})
    answer = bench.push(phone, Topic="12345")
    assert (answer.status, answer.json) == (400, {"reason": "BadWebPushTopic"})
    mozilla = bench.subscribe()
    assert bench.push(mozilla, Authorization=header).status == 201
    assert bench.push(mozilla, Topic="12345").status == 201


def test_a_ttl_of_nought_is_now_or_never_and_microsoft_takes_it_never() -> None:
    bench = Bench()
    for service in SERVICES:
        answer = bench.push(bench.subscribe(service), TTL="0")
        if service == "microsoft":
            said = answer.headers["x-wns-error-description"]
            assert (answer.status, said.split()[0]) == (400, "Ttl")
        else:
            assert answer.status == ACCEPTED[service]


def test_a_ttl_beyond_the_longest_is_cut_or_refused() -> None:
    bench = Bench()
    answer = bench.push(bench.subscribe(), TTL="9999999999")
    assert (answer.status, answer.headers["ttl"]) == (201, "2592000")
    assert bench.last.ttl == 9_999_999_999
    assert bench.push(bench.subscribe("google"), TTL="2419200").status == 201
    assert bench.push(bench.subscribe("google"), TTL="2419201").status == 400


def test_no_body_is_a_push_of_its_own_but_not_for_unifiedpush() -> None:
    bench = Bench()
    assert bench.push(bench.subscribe(), body=b"", Content_Encoding=None).status == 201
    assert bench.last.message is None
    assert bench.push(bench.subscribe("ntfy"), body=b"").status == 400


# --- answers -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("service", SERVICES)
def test_each_fault_can_be_scripted(service: str, name: str) -> None:
    bench = Bench()
    phone = bench.subscribe(service)
    bench.simulator.script(phone["endpoint"], Answer(error=name))
    answer = bench.push(phone)
    fault = FAULTS[name]
    status = getattr(fault, service, None) or fault.status
    assert answer.status == status
    if service == "mozilla":
        assert answer.json["code"] == fault.status
        assert answer.json["errno"] == fault.errno
        assert set(answer.json) == {"code", "errno", "error", "message", "more_info"}
    if service == "apple" and fault.reason:
        assert answer.json == {"reason": fault.reason}
    if service == "microsoft":
        assert (answer.headers["x-wns-status"] == "appthrottled") == (status == 406)
    if service == "ntfy":
        assert answer.json["http"] == fault.status
        assert answer.json.get("code") == fault.code
    assert ("location" in answer.headers) == (status in (301, 307, 308))
    assert bench.push(phone).status == ACCEPTED[service]


def test_what_services_say_beside() -> None:
    bench = Bench()
    phone = bench.subscribe()
    script = [
        Answer(error="gone"),
        Answer(error="back-off"),
        Answer(error="too-many", retry_after=7),
    ]
    bench.simulator.script(phone["endpoint"], *script)
    assert bench.push(phone).headers["cache-control"] == "max-age=86400"
    assert bench.push(phone).headers["retry-after"] == "120"
    assert bench.push(phone).headers["retry-after"] == "7"
    apple = bench.push(bench.subscribe("apple"))
    assert len(apple.headers["apns-id"]) == 36


@pytest.mark.parametrize(
    ("state", "status"), [("gone", 410), ("not-found", 404), ("no-subscriber", 507)]
)
def test_an_endpoint_may_be_no_more(state: str, status: int) -> None:
    bench = Bench()
    phone = bench.subscribe("ntfy")
    bench.control("POST", "states", {"token": phone["endpoint"], "is": state})
    assert bench.push(phone).status == status
    assert bench.push(phone).status == status
    bench.control("POST", "states", {"token": phone["endpoint"], "is": ""})
    assert bench.push(phone).status == 200


def test_a_script_hides_no_mistake() -> None:
    bench = Bench()
    phone = bench.subscribe()
    bench.simulator.script(phone["endpoint"], Answer(status=204))
    assert bench.push(phone, TTL=None).status == 400
    assert bench.push(phone).status == 204
    assert bench.push(phone).status == 201


def test_what_nobody_knows_is_not_scripted() -> None:
    with pytest.raises(ScriptError):
        Bench().simulator.script(None, Answer(error="BadDeviceToken"))


@pytest.mark.parametrize(
    ("base_url", "origin"),
    [
        ("https://push.test", "https://push.test"),
        ("https://push.test:443", "https://push.test"),
        ("https://push.test:8443/", "https://push.test:8443"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("https://[::1]:5231", "https://[::1]:5231"),
    ],
)
def test_the_origin_has_a_port_where_it_is_not_the_usual(base_url: str, origin: str) -> None:
    assert WebPushSimulator(Clock(), base_url).origin == origin


def test_what_is_forgotten_is_forgotten() -> None:
    bench = Bench()
    phone = bench.subscribe()
    bench.push(phone)
    bench.simulator.states[phone["endpoint"]] = "gone"
    bench.simulator.script(None, Answer(error="gone"))
    bench.simulator.forget()
    assert not bench.simulator.requests
    assert bench.push(phone).status == 201


def test_neither_endpoints_nor_keys_nor_messages_show_in_reprs() -> None:
    bench = Bench()
    phone = bench.subscribe()
    bench.push(phone, b'"a line for one pair of eyes"')
    shown = f"{bench.simulator.requests!r} {bench.simulator.subscriptions.all()!r}"
    for secret in (phone["endpoint"].rpartition("/")[2], phone["auth"], "a line for"):
        assert secret not in shown
