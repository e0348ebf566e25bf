"""APNs: what is sent, where, and what a device and an operator may say."""

import json
from base64 import b64encode, urlsafe_b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.net.certificates import DevelopmentCA
from pushd.providers.apns import APNs, Options
from pushd.providers.apns_payload import collapse_id, token
from pushd.providers.contract import (
    BadCredential,
    BadField,
    BadOption,
    Call,
    Device,
    Encrypted,
    Notification,
    Request,
    Secret,
    Sending,
)
from tests.unit.providers.apple import certificate, ec_key, signing_key
from tests.unit.providers.bench import DAY, NOW, WHEREFORE, pem, rsa_key, too_long

README = "r3qpHKmzZHjYKYbG7yI4fhY+DWKqFZE5ZJEM8P+lDDo="
HEX = "af7aa91ca9b36478d82986c6ef22387e163e0d62aa15913964910cf0ffa50c3a"
UUID = "6c3f7a0e-0000-4000-8000-000000000001"
SEALED = Encrypted(Secret("c2VhbGVk"), "aXY=")
FULL = replace(WHEREFORE, last_subscription_sender="nurse@example.net", expires_at=NOW + 1000)


def options(folder: Path, **changes: Any) -> Options:
    given: dict[str, Any] = {
        "key_file": signing_key(folder),
        "team_id": "TEAM123456",
        "topic": "com.example.app",
    } | changes
    return Options(**given)


def device(token: str = README, **fields: str) -> Device:
    return Device(Secret(token), fields={k.replace("_", "-"): v for k, v in fields.items()})


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> APNs:
    return APNs(options(tmp_path_factory.mktemp("apns")))


def sent(
    provider: APNs,
    note: Notification = FULL,
    to: Device | None = None,
    sending: Sending = Sending(),  # noqa: B008  frozen
) -> Request:
    return provider.request(note, to or device(), NOW, sending)


def content(request: Request) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.body)
    return found


# What is sent.


@pytest.mark.line(136, 137)
@pytest.mark.mistake(14)
def test_a_notification_becomes_an_alert_that_the_app_may_rewrite(provider: APNs) -> None:
    request = sent(provider, sending=Sending(UUID, Secret("e30.e30.x")))
    assert request.method == "POST"
    assert request.url == f"https://api.push.apple.com/3/device/{HEX}"
    assert request.headers == {
        "apns-topic": "com.example.app",
        "apns-push-type": "alert",
        "apns-priority": "10",
        "apns-expiration": str(int(NOW) + 1000),
        "apns-collapse-id": collapse_id("2100994384"),
        "apns-id": UUID,
        "authorization": "bearer e30.e30.x",
    }
    assert content(request) == {
        "aps": {
            "alert": {"loc-key": "New message"},
            "sound": "default",
            "mutable-content": 1,
        },
        "node": "2100994384",
        "message-count": 3,
        "pending-subscription-count": 0,
        "last-message-sender": "romeo@example.net",
        "last-message-body": "Wherefore?",
        "last-subscription-sender": "nurse@example.net",
    }


@pytest.mark.line(137)
@pytest.mark.parametrize("truth", ["true", "1"])
@pytest.mark.parametrize("is_urgent", [False, True])
@pytest.mark.mistake(14)
def test_a_silent_push_wakes_the_app_and_shows_nothing(
    truth: str, is_urgent: bool, provider: APNs
) -> None:
    note = Notification("n", 3, last_message_sender="romeo@example.net", urgent=is_urgent)
    request = sent(provider, note, device(silent_push=truth))
    assert request.headers["apns-push-type"] == "background"
    assert request.headers["apns-priority"] == "5"
    assert content(request) == {
        "aps": {"content-available": 1},
        "node": "n",
        "message-count": 3,
        "last-message-sender": "romeo@example.net",
    }


@pytest.mark.parametrize(
    ("note", "text"),
    [
        (Notification("n"), None),
        (Notification("n", message_count=0, pending_subscription_count=0), None),
        (Notification("n", urgent=True), "Incoming call"),
        (Notification("n", 1, urgent=True), "New message"),
        (Notification("n", 1, urgent=True, call=Call("s")), "Incoming call"),
        (Notification("n", encrypted=SEALED), "New message"),
        (Notification("n", message_count=1), "New message"),
        (Notification("n", last_message_sender="romeo@example.net"), "New message"),
        (Notification("n", last_message_body=Secret("hi")), "New message"),
        (Notification("n", 1, 1), "New message"),
        (Notification("n", 0, 1), "New contact request"),
        (Notification("n", last_subscription_sender="nurse@example.net"), "New contact request"),
    ],
)
def test_what_can_be_shown_is_shown_at_once_and_the_rest_in_the_background(
    provider: APNs, note: Notification, text: str | None
) -> None:
    request = sent(provider, note)
    aps = content(request)["aps"]
    if text is None:
        assert aps == {"content-available": 1}
    else:
        assert aps["alert"] == {"loc-key": text}
    # Apple refuses a background push of another priority, and one with an alert.
    kind = "background" if text is None else "alert"
    assert request.headers["apns-push-type"] == kind
    assert request.headers["apns-priority"] == {"background": "5", "alert": "10"}[kind]
    assert ("content-available" in aps) == (kind == "background")


def test_texts_and_sound_are_the_operators(tmp_path: Path) -> None:
    provider = APNs(
        options(tmp_path, alert="MSG", contact_alert="SUB", call_alert="CALL", sound=None)
    )
    shown = [
        content(sent(provider, note))["aps"]
        for note in (Notification("n", 1), Notification("n", 0, 1), Notification("n", urgent=True))
    ]
    assert shown == [
        {"alert": {"loc-key": key}, "mutable-content": 1} for key in ("MSG", "SUB", "CALL")
    ]
    loud = APNs(options(tmp_path, sound="bell.caf"))
    assert content(sent(loud))["aps"]["sound"] == "bell.caf"


@pytest.mark.line(138)
@pytest.mark.parametrize(
    ("expires_at", "expiration"),
    [
        (None, NOW + DAY),
        (NOW + 10 * DAY, NOW + DAY),
        (NOW + 90, NOW + 90),
        (NOW, 0),
        (NOW - 5, 0),
    ],
)
@pytest.mark.mistake(12)
def test_apple_keeps_it_for_a_day_but_not_beyond_its_end(
    provider: APNs, expires_at: float | None, expiration: float
) -> None:
    request = sent(provider, Notification("n", 1, expires_at=expires_at))
    assert request.headers["apns-expiration"] == str(int(expiration))


@pytest.mark.mistake(15)
def test_the_end_counts_from_each_sending_and_not_from_the_start_of_the_server(
    provider: APNs,
) -> None:
    note = Notification("n", 1)
    later = provider.request(note, device(), NOW + 5 * DAY, Sending())
    assert later.headers["apns-expiration"] == str(int(NOW + 6 * DAY))


def test_a_lifetime_beyond_what_apple_takes_is_cut(tmp_path: Path) -> None:
    provider = APNs(options(tmp_path, lifetime=1e9))
    request = sent(provider, Notification("n", 1))
    assert request.headers["apns-expiration"] == str(int(NOW + 30 * DAY))


def test_a_collapse_id_is_one_per_node_and_tells_nothing_of_it() -> None:
    ids = {collapse_id(f"node-{number}") for number in range(100)}
    assert len(ids) == 100
    assert all(len(one.encode()) == 64 and "node" not in one for one in ids)


@pytest.mark.line(142)
@too_long
def test_what_is_too_long_loses_the_body_then_the_sender(
    provider: APNs, note: Notification, kept: set[str]
) -> None:
    request = sent(provider, note)
    assert len(request.body) <= 4096
    assert content(request).keys() - {"aps", "node"} == kept


def test_a_payload_of_exactly_the_limit_is_kept(provider: APNs) -> None:
    def made(length: int) -> Request:
        return sent(provider, Notification("n", 1, last_message_body=Secret("b" * length)))

    room = 4096 - len(made(1).body) + 1
    assert len(made(room).body) == 4096
    assert "last-message-body" not in content(made(room + 1))


def test_counts_go_last_and_a_bare_push_is_sent_all_the_same(provider: APNs) -> None:
    bare = content(sent(provider, Notification("n", 10**4100)))
    assert bare.keys() == {"aps", "node"}
    assert content(sent(provider, Notification("n" * 5000, 1))).keys() == {"aps"}


def test_text_is_counted_in_bytes_as_it_is_written(provider: APNs) -> None:
    body = "ü" * 1500  # 3,000 bytes in UTF-8, 9,000 as escapes
    request = sent(provider, Notification("n", 1, last_message_body=Secret(body)))
    assert content(request)["last-message-body"] == body


def test_what_is_sealed_is_named_as_tigases_apps_read_it(provider: APNs) -> None:
    request = sent(provider, Notification("n", encrypted=SEALED))

    assert json.loads(request.body) == {
        "aps": {"alert": {"loc-key": "New message"}, "mutable-content": 1, "sound": "default"},
        "node": "n",
        "encrypted": "c2VhbGVk",
        "iv": "aXY=",
    }


def test_sealed_news_that_nobody_is_to_be_shown_go_in_the_background(provider: APNs) -> None:
    quiet = Encrypted(Secret("c2VhbGVk"), "aXY=", quiet=True)

    request = sent(provider, Notification("n", encrypted=quiet))

    assert request.headers["apns-push-type"] == "background"
    assert json.loads(request.body)["encrypted"] == "c2VhbGVk"


@pytest.mark.parametrize(("length", "fits"), [(3_900, True), (4_096, False)])
def test_what_is_sealed_is_left_out_whole_where_it_does_not_fit(
    provider: APNs, length: int, fits: bool
) -> None:
    note = Notification("n", 2, encrypted=Encrypted(Secret("A" * length), "aXY="))

    body = sent(provider, note).body

    assert len(body) <= 4096
    assert ("encrypted" in json.loads(body)) == fits
    assert json.loads(body)["message-count"] == 2


def test_who_calls_is_told_beside_the_summary(provider: APNs) -> None:
    call = Call("sid1", ("audio", "video"), "romeo@example.net/orchard")

    told = json.loads(sent(provider, Notification("n", 1, urgent=True, call=call)).body)

    assert told["call-sid"] == "sid1"
    assert told["call-media"] == "audio,video"
    assert told["call-sender"] == "romeo@example.net/orchard"


def test_what_apple_finds_too_big_is_sent_with_the_counts_alone(provider: APNs) -> None:
    request = sent(provider, sending=Sending(shrink=True))
    assert content(request).keys() == {
        "aps",
        "node",
        "message-count",
        "pending-subscription-count",
    }


# Where it is sent.


@pytest.mark.parametrize(
    ("default", "field", "lane"),
    [
        ("production", None, "production"),
        ("sandbox", None, "sandbox"),
        ("production", "sandbox", "sandbox"),
        ("production", "development", "sandbox"),
        ("sandbox", "production", "production"),
        ("sandbox", "", "sandbox"),
    ],
)
@pytest.mark.mistake(16)
def test_a_device_is_reached_where_it_registered_for(
    default: str, field: str | None, lane: str, tmp_path: Path
) -> None:
    provider = APNs(options(tmp_path, environment=default))
    to = device(**({} if field is None else {"environment": field}))
    host = {"production": "api.push.apple.com", "sandbox": "api.sandbox.push.apple.com"}[lane]
    assert provider.lane(to) == lane
    assert sent(provider, to=to).url == f"https://{host}/3/device/{HEX}"


def test_each_environment_team_and_key_has_connections_of_its_own(tmp_path: Path) -> None:
    def links(**changes: Any) -> set[Any]:
        provider = APNs(options(tmp_path, **changes))
        return {
            sent(provider, to=device(environment=one)).link for one in ("production", "sandbox")
        }

    assert len(links()) == 2
    assert all(link.http2 for link in links())
    assert links() == links(topic="com.example.other")
    assert not links() & links(team_id="TEAM999999")
    assert not links() & links(key_id="ABC999DEFG")


def test_a_port_for_those_behind_a_firewall(tmp_path: Path) -> None:
    provider = APNs(options(tmp_path, port=2197))
    assert sent(provider).url.startswith("https://api.push.apple.com:2197/3/device/")
    sandbox = sent(provider, to=device(environment="sandbox"))
    assert sandbox.url.startswith("https://api.sandbox.push.apple.com:2197/3/device/")


@pytest.mark.parametrize(
    ("given", "production", "sandbox"),
    [
        ({"base_url": "https://127.0.0.1:7"}, "https://127.0.0.1:7", "https://127.0.0.1:7"),
        (
            {"base_url": "https://127.0.0.1:7", "sandbox_url": "https://127.0.0.1:8"},
            "https://127.0.0.1:7",
            "https://127.0.0.1:8",
        ),
        (
            {"sandbox_url": "https://127.0.0.1:8"},
            "https://api.push.apple.com",
            "https://127.0.0.1:8",
        ),
    ],
)
def test_a_stand_in_takes_apples_place(
    given: dict[str, str], production: str, sandbox: str, tmp_path: Path
) -> None:
    provider = APNs(options(tmp_path, **given))
    assert sent(provider).url == f"{production}/3/device/{HEX}"
    assert sent(provider, to=device(environment="sandbox")).url == f"{sandbox}/3/device/{HEX}"


# Who we are.


def test_with_a_key_requests_carry_a_token_and_no_certificate(provider: APNs) -> None:
    assert provider.credential("production") is provider.credential("sandbox") is not None
    assert provider.expires_at is None
    link = sent(provider).link
    assert (link.certificate, link.key) == (None, None)


def test_with_a_certificate_connections_do_and_requests_carry_nothing(tmp_path: Path) -> None:
    file = certificate(tmp_path, "com.example.app", "com.example.app.voip")
    provider = APNs(Options(certfile=file))
    request = sent(provider)
    assert provider.credential("production") is None
    assert "authorization" not in request.headers
    assert request.headers["apns-topic"] == "com.example.app"
    assert (request.link.certificate, request.link.key) == (file, None)
    assert provider.expires_at == NOW + 300 * DAY


def test_a_certificates_key_may_be_in_a_file_of_its_own(tmp_path: Path) -> None:
    file = certificate(tmp_path, with_key=False)
    key = signing_key(tmp_path, "apns-key.pem")
    link = sent(APNs(Options(certfile=file, keyfile=key))).link
    assert (link.certificate, link.key) == (file, key)


def test_a_renewed_certificate_in_the_same_file_gets_new_connections(tmp_path: Path) -> None:
    before = sent(APNs(Options(certfile=certificate(tmp_path)))).link
    assert sent(APNs(Options(certfile=certificate(tmp_path, ends_at=NOW + DAY)))).link != before


def test_apps_of_one_team_and_key_share_their_token(tmp_path: Path) -> None:
    one = APNs(options(tmp_path, topic="com.example.one"))
    other = APNs(options(tmp_path, topic="com.example.two"))
    assert one.credential("production") is other.credential("sandbox")


# What cannot start.


@pytest.mark.parametrize(
    ("changes", "option", "text"),
    [
        ({"key_file": None}, "key_file", "either key_file .* or certfile"),
        ({"team_id": None}, "team_id", "team_id"),
        ({"topic": None}, "topic", "topic"),
        ({"port": 5223}, "port", "443 or 2197"),
    ],
)
def test_options_that_do_not_fit_together_are_named(
    changes: dict[str, Any], option: str, text: str, tmp_path: Path
) -> None:
    with pytest.raises(BadOption, match=text) as raised:
        options(tmp_path, **changes)
    assert raised.value.option == option


def test_a_key_and_a_certificate_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match=r"either key_file .* or certfile"):
        options(tmp_path, certfile=certificate(tmp_path))


def test_a_key_file_of_another_name_needs_its_id(tmp_path: Path) -> None:
    file = signing_key(tmp_path, "push.p8")
    with pytest.raises(BadOption, match="key_id") as raised:
        options(tmp_path, key_file=file)
    assert raised.value.option == "key_id"
    assert options(tmp_path, key_file=file, key_id="ABC123DEFG")


@pytest.mark.line(148)
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "which holds no private key"),
        ("-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n", "holds no private key"),
        (pem(rsa_key()), "not one on the curve P-256"),
    ],
    ids=["empty", "broken", "RSA"],
)
def test_a_bad_signing_key_is_named_by_its_file(text: str, fault: str, tmp_path: Path) -> None:
    file = tmp_path / "AuthKey_ABC123DEFG.p8"
    file.write_text(text)
    with pytest.raises(BadCredential, match=f"{file}.*{fault}") as raised:
        Options(key_file=file, team_id="TEAM123456", topic="com.example.app")
    assert raised.value.option == "key_file"


def test_a_certificate_without_its_key_is_named_by_its_file(tmp_path: Path) -> None:
    file = certificate(tmp_path, with_key=False)
    with pytest.raises(BadCredential, match=f"{file}, which holds no private key"):
        Options(certfile=file)
    with pytest.raises(BadCredential, match="whose key does not belong"):
        Options(certfile=file, keyfile=signing_key(tmp_path, "other.pem", number=1))
    with pytest.raises(BadCredential, match="which cannot be read"):
        Options(certfile=file, keyfile=tmp_path / "nowhere.pem")


def test_a_pkcs12_file_is_called_by_its_name(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import NoEncryption, pkcs12

    file = tmp_path / "apns.p12"
    file.write_bytes(
        pkcs12.serialize_key_and_certificates(b"x", ec_key(), None, None, NoEncryption())
    )
    with pytest.raises(BadCredential, match=r"apns\.p12, which is PKCS#12"):
        Options(certfile=file)


@pytest.mark.parametrize(
    ("topics", "user_id", "topic", "fault"),
    [
        (("a.one", "a.two"), "", None, "topic, one of the certificate's: a.one, a.two"),
        ((), "", None, "topic, one of the certificate's: none"),
        (("a.one",), "", "b.one", "as topic one of the certificate's: a.one"),
        (("a.one", "a.two"), "", "a.two", None),
        ((), "", "b.one", None),
    ],
)
def test_the_topic_is_one_of_the_certificates(
    topics: tuple[str, ...],
    user_id: str,
    topic: str | None,
    fault: str | None,
    tmp_path: Path,
) -> None:
    file = certificate(tmp_path, *topics, user_id=user_id)
    if fault is None:
        assert sent(APNs(Options(certfile=file, topic=topic))).headers["apns-topic"] == topic
        return
    with pytest.raises(BadOption, match=fault) as raised:
        Options(certfile=file, topic=topic)
    assert raised.value.option == "topic"


def test_whose_certificates_are_trusted_may_be_said(tmp_path: Path) -> None:
    authority = DevelopmentCA(tmp_path / "ca", NOW).path
    assert sent(APNs(options(tmp_path, ca_file=authority))).link.ca_file == authority
    with pytest.raises(BadOption, match="no certificate in PEM form"):
        APNs(options(tmp_path, ca_file=signing_key(tmp_path)))


# What a device says.


@pytest.mark.line(94)
@pytest.mark.parametrize(
    "text",
    [
        README,
        README.rstrip("="),
        README.replace("+", "-").replace("/", "_"),
        README.replace("+", "-").replace("/", "_").rstrip("="),
        HEX,
        HEX.upper(),
    ],
    ids=["standard", "unpadded", "url-safe", "url-safe unpadded", "hex", "HEX"],
)
def test_a_token_is_taken_in_each_of_its_forms_and_kept_in_one(text: str, provider: APNs) -> None:
    provider.check({"token": text})
    assert provider.stored({"token": text}) == {"token": HEX}
    assert sent(provider, to=device(text)).url.endswith(f"/3/device/{HEX}")


def test_what_is_both_hexadecimal_and_base64_is_hexadecimal() -> None:
    text = "abcd" * 32
    assert token(text) == bytes.fromhex(text)


@pytest.mark.line(100)
@pytest.mark.parametrize(
    "text",
    [
        "x",
        "not base64!",
        README[:-1] + "==",
        README.replace("+", "-").replace("f", "/"),  # both alphabets at once
        README + "=",
        README[:-2] + "p=",  # bits that no encoder leaves
        f" {README}",
        f"{README}\n",
        "=",
        "abcd1234",  # too short, in either form
        "ab" * 31,
        "ab" * 513,
        "A" * 5000,
        "\uff41\uff42" * 32,
    ],
)
@pytest.mark.mistake(12)
def test_what_is_no_token_is_refused_and_not_repeated(text: str, provider: APNs) -> None:
    with pytest.raises(BadField) as raised:
        provider.check({"token": text})
    assert raised.value.field == "token"
    assert text not in str(raised.value) or text in ("x", "=")


@given(st.binary(min_size=32, max_size=512))
def test_any_token_survives_each_form(raw: bytes) -> None:
    for text in (
        raw.hex(),
        b64encode(raw).decode(),
        urlsafe_b64encode(raw).decode(),
        urlsafe_b64encode(raw).decode().rstrip("="),
    ):
        if text == raw.hex() or not set(text) <= set("0123456789abcdefABCDEF"):
            assert token(text) == raw


@pytest.mark.parametrize("environment", ["production", "sandbox", "development", ""])
@pytest.mark.parametrize("silent", ["true", "false", "1", "0", ""])
def test_what_else_a_device_may_say(environment: str, silent: str, provider: APNs) -> None:
    fields = {"token": README, "environment": environment, "silent-push": silent}
    provider.check(fields)
    kept = provider.stored(fields)
    assert kept["environment"] == environment.replace("development", "sandbox")
    assert kept["silent-push"] == silent


@pytest.mark.parametrize(
    ("field", "value"),
    [("environment", "Sandbox"), ("environment", "x"), ("silent-push", "yes")],
)
def test_what_it_may_not_say_is_named(field: str, value: str, provider: APNs) -> None:
    with pytest.raises(BadField) as raised:
        provider.check({"token": README, field: value})
    assert raised.value.field == field
