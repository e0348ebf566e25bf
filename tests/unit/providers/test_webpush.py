"""Web Push: what is sent and where to, and what each answer means."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pushd.net.certificates import DevelopmentCA
from pushd.providers.contract import (
    Accepted,
    BadCredential,
    BadField,
    Busy,
    Device,
    Encrypted,
    Limits,
    Notification,
    Outcome,
    Provider,
    Refused,
    Request,
    Response,
    Scope,
    Secret,
    Sending,
    Token,
    Unregistered,
)
from pushd.providers.unifiedpush import UnifiedPush
from pushd.providers.vapid import Keys
from pushd.providers.webpush import Options, WebPush, topic
from pushd.providers.webpush_answers import read
from tests.unit.providers.bench import DAY, NOW, WHEREFORE, pem, too_long
from tests.unit.providers.browser import Browser, claims_of

ENDPOINT = "https://push.example.org/wpush/v2/gAAAAABl%2fx"
ORIGIN = "https://push.example.org"
SUB = "mailto:admin@example.net"
PHONE = Browser(11)
FIELDS = PHONE.fields(ENDPOINT)


def made(kind: type[Provider] = WebPush, secret: bytes = bytes(32), **options: Any) -> Provider:
    provider = kind(Options(SUB, **options))
    provider.keep(secret)
    return provider


PROVIDER = made()


def device(provider: Provider = PROVIDER, **changes: str) -> Device:
    fields = provider.completed(provider.stored(FIELDS | changes), {})
    return Device(Secret(fields.pop("token")), fields=fields)


def sent(
    note: Notification,
    to: Device | None = None,
    provider: Provider = PROVIDER,
    shrink: bool = False,
) -> Request:
    to = to or device(provider)
    credential = provider.credential(provider.lane(to))
    assert credential is not None
    token = credential.request(NOW)
    assert isinstance(token, Token)
    return provider.request(note, to, NOW, Sending(credential=token.value, shrink=shrink))


def content(request: Request) -> Any:
    return json.loads(PHONE.read(request.body))


# What is sent.


@pytest.mark.line(136, 138)
@pytest.mark.parametrize("kind", [WebPush, UnifiedPush])
def test_a_notification_goes_sealed_to_its_endpoint(kind: type[Provider]) -> None:
    request = sent(WHEREFORE, provider=made(kind))
    authorization = request.headers.pop("authorization")
    claims, key = claims_of(authorization, ORIGIN, NOW)
    assert (request.method, request.url) == ("POST", ENDPOINT)  # its escapes byte for byte
    assert request.headers == {
        "content-encoding": "aes128gcm",
        "content-type": "application/octet-stream",
        "ttl": "86400",
        "urgency": "high",
        "topic": topic("2100994384"),
    }
    assert content(request) == {
        "node": "2100994384",
        "message-count": 3,
        "pending-subscription-count": 0,
        "last-message-sender": "romeo@example.net",
        "last-message-body": "Wherefore?",
    }
    assert claims["sub"] == SUB
    assert key == made().shown()["vapid"]
    assert request.link.is_public


@pytest.mark.parametrize(
    ("note", "urgency"),
    [
        (Notification("n", 1), "high"),
        (Notification("n", pending_subscription_count=1), "high"),
        (Notification("n", urgent=True), "high"),
        (Notification("n"), "normal"),
        (Notification("n", 0, 0), "normal"),
    ],
)
def test_what_a_person_is_to_see_is_urgent(note: Notification, urgency: str) -> None:
    assert sent(note).headers["urgency"] == urgency


@pytest.mark.parametrize(
    ("expires_at", "ttl"), [(None, "86400"), (NOW + 90, "90"), (NOW + 9 * DAY, "86400"), (1, "1")]
)
def test_it_is_kept_for_a_day_but_not_beyond_its_end(expires_at: float | None, ttl: str) -> None:
    assert sent(Notification("n", 1, expires_at=expires_at)).headers["ttl"] == ttl


def test_nothing_is_kept_for_longer_than_google_takes() -> None:
    provider = made(lifetime=90 * DAY)
    assert sent(Notification("n", 1), provider=provider).headers["ttl"] == str(28 * 86_400)


def test_a_topic_has_32_characters_and_is_the_same_for_a_node() -> None:
    assert topic("a") == topic("a") != topic("b")
    assert {len(topic(str(number))) for number in range(50)} == {32}


def test_the_length_of_a_body_tells_little() -> None:
    notes = [Notification("n", 1, last_message_body=Secret("x" * length)) for length in range(180)]
    assert {len(sent(note).body) for note in notes} == {358}
    longer = Notification("n", 1, last_message_body=Secret("x" * 300))
    assert len(sent(longer).body) == 614
    plain = made(padding=False)
    assert len(sent(notes[0], provider=plain).body) + 7 == len(sent(notes[7], provider=plain).body)


@pytest.mark.line(142)
@pytest.mark.parametrize("padding", [True, False])
@too_long
def test_what_is_too_long_for_mozillas_bridge_loses_the_body_then_the_sender(
    note: Notification, kept: set[str], padding: bool
) -> None:
    request = sent(note, provider=made(padding=padding))
    assert len(request.body) < 2744
    assert content(request).keys() - {"node"} == kept


@pytest.mark.parametrize("padding", [True, False])
def test_what_is_encrypted_already_may_be_as_long_as_any_service_must_take(padding: bool) -> None:
    provider = made(padding=padding)
    note = Notification("n", 3, encrypted=Encrypted(Secret("A" * 3900), "iv"))
    request = sent(note, provider=provider)
    assert 4000 < len(request.body) <= 4096
    assert len(content(request)["encrypted"]) == 3900
    longer = Notification("n", 3, encrypted=Encrypted(Secret("A" * 4000), "iv"))
    assert content(sent(longer, provider=provider)) == {"node": "n", "message-count": 3}
    assert content(sent(note, shrink=True)) == {"node": "n", "message-count": 3}


def test_what_a_service_finds_too_big_has_the_counts_alone() -> None:
    note = Notification("n", 3, last_message_sender="romeo@example.net")
    assert content(sent(note, shrink=True)) == {"node": "n", "message-count": 3}


def test_each_origin_has_a_lane_and_a_signature_of_its_own() -> None:
    for endpoint, origin in (
        (ENDPOINT, ORIGIN),
        ("https://Push.Example.org/x", ORIGIN),
        ("https://push.example.org:443/?x", ORIGIN),
        ("https://push.example.org:8443/x", "https://push.example.org:8443"),
        ("https://[2A00:0:0::1]/x", "https://[2a00::1]"),
        ("https://8.8.8.8/x", "https://8.8.8.8"),
    ):
        to = device(endpoint=endpoint)
        assert PROVIDER.lane(to) == origin
        request = sent(Notification("n", 1), to)
        claims_of(request.headers["authorization"], origin, NOW)
        assert request.url == endpoint
    assert (PROVIDER.limits.concurrency, PROVIDER.limits.rate) == (4, 20.0)


@pytest.mark.parametrize(
    ("rate", "limits"),
    [(100, Limits(20, 100.0, 100)), (3, Limits(1, 3.0, 3)), (0, Limits(50, None, 1))],
)
def test_how_fast_a_host_is_used_is_the_operators_choice(rate: int, limits: Limits) -> None:
    assert made(requests_per_host=rate).limits == limits


def authority(folder: Path) -> Path:
    return DevelopmentCA(folder / "ca", time.time()).path


@pytest.mark.parametrize("allow_private", [True, False])
def test_real_browsers_are_trusted_as_usual_beside_a_stand_in(
    tmp_path: Path, allow_private: bool
) -> None:
    ca = authority(tmp_path)
    provider = made(base_url="https://127.0.0.1:7443", ca_file=ca, allow_private=allow_private)
    links = [
        sent(Notification("n", 1), device(provider, endpoint=endpoint), provider).link
        for endpoint in ("https://127.0.0.1:7443/x", ENDPOINT)
    ]
    assert [(link.ca_file, link.is_public) for link in links] == [
        (ca, False),
        (None, not allow_private),
    ]
    assert provider.links == set(links)


def test_authorities_of_the_operators_are_those_of_all_hosts(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    link = sent(Notification("n", 1), provider=made(ca_file=ca)).link
    assert (link.ca_file, link.is_public) == (ca, True)


# Keys of ours.


def file(folder: Path, *keys: ec.EllipticCurvePrivateKey) -> Path:
    path = folder / "vapid.pem"
    path.write_text("".join(map(pem, keys)))
    return path


def key(number: int) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(number, ec.SECP256R1())


def public(number: int) -> str:
    return Keys([key(number)]).current


def test_the_form_shows_the_key_and_a_registration_remembers_it() -> None:
    shown = PROVIDER.shown()["vapid"]
    PROVIDER.check(FIELDS | {"vapid": shown})
    for echoed in ({}, {"vapid": ""}, {"vapid": shown}):
        stored = PROVIDER.stored(FIELDS | echoed)
        assert PROVIDER.completed(stored, {})["vapid"] == shown


def test_a_subscription_that_is_registered_again_is_for_its_old_key_unless_it_says_other(
    tmp_path: Path,
) -> None:
    rotated = made(vapid_key=file(tmp_path, key(2), key(1)))
    before = {"vapid": public(1)}
    assert rotated.completed(rotated.stored(FIELDS), before)["vapid"] == public(1)
    echoed = rotated.stored(FIELDS | {"vapid": public(2)})
    assert rotated.completed(echoed, before)["vapid"] == public(2)


def test_a_subscription_for_the_key_of_another_is_refused() -> None:
    with pytest.raises(BadField, match="no key of this server's") as raised:
        PROVIDER.check(FIELDS | {"vapid": public(99)})
    assert raised.value.field == "vapid"


def test_what_was_registered_before_a_key_came_is_signed_as_before(tmp_path: Path) -> None:
    own = made()
    old = device(own)
    rotated = made(vapid_key=file(tmp_path, key(2), key(1)))
    assert rotated.shown()["vapid"] == public(2)
    for to, signer in (
        (old, own.shown()["vapid"]),
        (device(rotated, vapid=public(1)), public(1)),
        (device(rotated), public(2)),
    ):
        header = sent(Notification("n", 1), to, rotated).headers["authorization"]
        assert claims_of(header, ORIGIN, NOW)[1] == signer


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no private key"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no private key"),
        (pem(ec.generate_private_key(ec.SECP384R1())), "P-256"),
        (pem(key(1)) + pem(ec.generate_private_key(ec.SECP384R1())), "P-256"),
    ],
    ids=["nothing", "no key", "another curve", "another curve among them"],
)
def test_a_file_without_keys_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "vapid.pem"
    path.write_text(text)
    with pytest.raises(BadCredential, match=says) as raised:
        made(vapid_key=path)
    assert raised.value.option == "vapid_key"


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadCredential, match="can be read"):
        made(vapid_key=tmp_path / "none.pem")


# What an operator is told without waking anybody.


def test_the_key_and_the_contact_are_examined(tmp_path: Path) -> None:
    path = file(tmp_path, key(2))
    provider = made(vapid_key=path)
    found = list(provider.examined(NOW))
    assert [finding.text for finding in found] == [
        f"new subscriptions are made for the key {public(2)}",
        f"it is from {path}; subscriptions for 1 older are served, too",
        f"push services are told to turn to {SUB}",
    ]
    assert all(finding.is_good for finding in found)
    assert provider.probe_lane is None
    assert provider.probe(NOW, Sending()) is None


def test_a_backend_that_may_reach_into_the_house_is_told_of() -> None:
    finding = list(made(allow_private=True).examined(NOW))[-1]
    assert finding.is_good
    assert "allow_private" in finding.remedy


@pytest.mark.parametrize(
    ("options", "hosts"),
    [
        ({}, ["fcm.googleapis.com", "updates.push.services.mozilla.com", "web.push.apple.com"]),
        ({"allow_hosts": ("push.apple.com",)}, ["web.push.apple.com"]),
        ({"deny_hosts": ("googleapis.com", "apple.com")}, ["updates.push.services.mozilla.com"]),
        ({"base_url": "https://127.0.0.1:5231"}, ["127.0.0.1:5231"]),
    ],
)
def test_the_browsers_services_that_are_let_in_are_looked_for(
    options: dict[str, Any], hosts: list[str]
) -> None:
    assert [request.url.split("/")[2] for request in made(**options).places()] == hosts


def test_nobody_knows_which_servers_users_of_unifiedpush_choose() -> None:
    assert list(UnifiedPush(Options(SUB)).places()) == []
    [place] = UnifiedPush(Options(SUB, allow_hosts=("ntfy.example.net",))).places()
    assert place.url == "https://ntfy.example.net/"


# Subscriptions.


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("p256dh", "x"),
        ("p256dh", FIELDS["p256dh"][:-2]),
        ("p256dh", "B" + "A" * 86),
        ("p256dh", FIELDS["auth"]),
        ("auth", "x"),
        ("auth", FIELDS["auth"][:-2]),
        ("auth", FIELDS["auth"] + "AAAA"),
        ("auth", "ä" * 22),
    ],
)
def test_keys_that_cannot_be_are_refused(field: str, value: str) -> None:
    with pytest.raises(BadField) as raised:
        PROVIDER.check(FIELDS | {field: value})
    assert raised.value.field == field
    assert value not in str(raised.value).split()


def test_keys_are_kept_in_one_form() -> None:
    padded = {"p256dh": FIELDS["p256dh"] + "=", "auth": FIELDS["auth"] + "=="}
    PROVIDER.check(FIELDS | padded)
    assert PROVIDER.stored(FIELDS | padded) == PROVIDER.stored(FIELDS)
    assert PROVIDER.stored(FIELDS)["token"] == ENDPOINT


@pytest.mark.parametrize(
    "broken", [{"endpoint": "http://push.example.org/"}, {"auth": ""}, {"p256dh": "x"}]
)
def test_what_could_not_register_now_is_sent_nothing(broken: dict[str, str]) -> None:
    fields = PROVIDER.stored(FIELDS) | broken
    to = Device(Secret(broken.get("endpoint", ENDPOINT)), fields=fields)
    with pytest.raises(BadField):
        sent(Notification("n", 1), to)


# Answers. Whose they are stands before each.


def mozilla(errno: int, message: str = "x") -> bytes:
    return json.dumps({"code": 1, "errno": errno, "error": "x", "message": message}).encode()


def apple(reason: str) -> bytes:
    return json.dumps({"reason": reason}).encode()


GOOGLES = (
    b"the VAPID credentials in the authorization header do not correspond to the credentials used"
    b" to create the subscriptions.\n"
)
OTHER = "the subscription was made for another key"
STALE = "our signature is not taken"


def stale(reason: str) -> Refused:
    return Refused(f"{reason}: {STALE}", renew_credential=True, guarded=True)


def other(reason: str) -> Unregistered:
    return Unregistered(guarded=True, reason=f"{reason}: {OTHER}")


TABLE: list[tuple[str, int, dict[str, str], bytes, Outcome]] = [
    ("RFC 8030", 201, {"Location": "https://push.example.org/m/1", "TTL": "60"}, b"", Accepted()),
    ("RFC 8030", 202, {"Link": "</receipt/1>"}, b"", Accepted()),
    ("others", 200, {}, b"", Accepted()),
    ("others", 204, {}, b"", Accepted()),
    ("Apple", 201, {"apns-id": "x"}, b"", Accepted()),
    ("others", 206, {}, b"", Refused("HTTP 206")),
    (
        "Mozilla",
        301,
        {"Location": "https://127.0.0.1/"},
        b"",
        Refused("HTTP 301, a redirect, which is not followed"),
    ),
    ("others", 302, {}, b"", Refused("HTTP 302, a redirect, which is not followed")),
    ("RFC 8030", 307, {}, b"", Refused("HTTP 307, a redirect, which is not followed")),
    ("others", 308, {}, b"", Refused("HTTP 308, a redirect, which is not followed")),
    ("RFC 8030", 400, {}, b"", Refused("HTTP 400")),
    ("Mozilla", 400, {}, mozilla(101), Refused("HTTP 400 errno 101")),
    ("Mozilla", 400, {}, mozilla(108), Refused("HTTP 400 errno 108")),
    ("Mozilla", 400, {}, mozilla(110), Refused("HTTP 400 errno 110")),
    ("Mozilla", 400, {}, mozilla(111), Refused("HTTP 400 errno 111")),
    ("Mozilla", 400, {}, mozilla(112), Refused("HTTP 400 errno 112")),
    ("Mozilla", 400, {}, mozilla(113), Refused("HTTP 400 errno 113")),
    ("Mozilla", 400, {}, mozilla(114), Refused("HTTP 400 errno 114")),
    ("Apple", 400, {}, apple("BadTtl"), Refused("HTTP 400 BadTtl")),
    ("Apple", 400, {}, apple("BadUrgency"), Refused("HTTP 400 BadUrgency")),
    ("Apple", 400, {}, apple("BadWebPushTopic"), Refused("HTTP 400 BadWebPushTopic")),
    ("Apple", 400, {}, apple("BadVapidPublicKey"), Refused("HTTP 400 BadVapidPublicKey")),
    ("Apple", 400, {}, apple("VapidPkHashMismatch"), other("HTTP 400 VapidPkHashMismatch")),
    ("Apple", 403, {}, apple("VapidPkHashMismatch"), other("HTTP 403 VapidPkHashMismatch")),
    ("Apple", 403, {}, apple("BadJwtToken"), stale("HTTP 403 BadJwtToken")),
    ("Apple", 400, {}, apple("BadJwtToken"), stale("HTTP 400 BadJwtToken")),
    ("Apple", 403, {}, apple("ExpiredJwtToken"), stale("HTTP 403 ExpiredJwtToken")),
    ("RFC 8292", 401, {"WWW-Authenticate": "vapid"}, b"", stale("HTTP 401")),
    ("RFC 8292", 403, {}, b"", stale("HTTP 403")),
    ("Mozilla", 401, {}, mozilla(109, "Invalid VAPID expiry"), stale("HTTP 401 errno 109")),
    (
        "Mozilla",
        401,
        {},
        mozilla(109, "VAPID public key mismatch"),
        other("HTTP 401 errno 109"),
    ),
    ("Google", 403, {}, GOOGLES, other("HTTP 403")),
    (
        "Google",
        403,
        {},
        b"the key in the authorization header does not correspond to the sender ID used to sub",
        other("HTTP 403"),
    ),
    ("Google", 403, {}, b"invalid JWT provided\n", stale("HTTP 403")),
    *(
        (
            "ntfy",
            code // 100,
            {},
            b'{"code":%d,"http":%d,"error":"x"}' % (code, code // 100),
            Refused(
                f"HTTP {code // 100}: its server lets nobody write there without a login",
                renew_credential=True,
                guarded=True,
            ),
        )
        for code in (40101, 40301)
    ),
    ("RFC 8030", 404, {}, b"", Unregistered(reason="HTTP 404")),
    ("Mozilla", 404, {}, mozilla(102), Unregistered(reason="HTTP 404 errno 102")),
    ("others", 405, {}, b"", Refused("HTTP 405")),
    # Edge's says so where others say 429.
    (
        "Microsoft",
        406,
        {"Retry-After": "900", "X-WNS-Status": "appthrottled"},
        b"",
        Busy(900, Scope.BACKEND, "HTTP 406, throttled"),
    ),
    (
        "Microsoft: a channel",
        406,
        {"Retry-After": "60", "X-WNS-Status": "channelThrottled"},
        b"",
        Busy(60, Scope.DEVICE, "HTTP 406, throttled"),
    ),
    (
        "Microsoft: no end",
        406,
        {"X-WNS-NotificationStatus": "appthrottled"},
        b"",
        Busy(None, Scope.BACKEND, "HTTP 406, throttled"),
    ),
    (
        "Microsoft: of late",
        429,
        {"Retry-After": "900", "X-WNS-Status": "appthrottled"},
        b"",
        Busy(900, Scope.BACKEND, "HTTP 429, throttled"),
    ),
    ("others", 406, {"Retry-After": "60"}, b"", Refused("HTTP 406")),
    ("Google", 410, {}, b"push subscription has unsubscribed", Unregistered(reason="HTTP 410")),
    ("Apple", 410, {}, apple("Unregistered"), Unregistered(reason="HTTP 410 Unregistered")),
    (
        "Mozilla",
        410,
        {"Cache-Control": "max-age=86400"},
        mozilla(103),
        Unregistered(reason="HTTP 410 errno 103"),
    ),
    ("Mozilla", 410, {}, mozilla(105), Unregistered(reason="HTTP 410 errno 105")),
    ("Mozilla", 410, {}, mozilla(106), Unregistered(reason="HTTP 410 errno 106")),
    ("RFC 8030", 413, {}, b"", Refused("HTTP 413", shrink=True)),
    ("Mozilla", 413, {}, mozilla(104), Refused("HTTP 413 errno 104", shrink=True)),
    ("RFC 8030", 429, {"Retry-After": "30"}, b"", Busy(30, Scope.DEVICE, "HTTP 429")),
    ("ntfy", 429, {}, b'{"code":42908,"http":429}', Busy(None, Scope.DEVICE, "HTTP 429")),
    ("others", 500, {}, b"", Busy(None, Scope.BACKEND, "HTTP 500")),
    ("Mozilla", 500, {}, mozilla(999), Busy(None, Scope.BACKEND, "HTTP 500 errno 999")),
    ("others", 502, {}, b"", Busy(None, Scope.BACKEND, "HTTP 502")),
    *(
        ("Mozilla", 502, {}, mozilla(errno), Busy(None, Scope.DEVICE, f"HTTP 502 errno {errno}"))
        for errno in range(900, 904)
    ),
    (
        "Mozilla",
        503,
        {"Retry-After": "120"},
        mozilla(201),
        Busy(120, Scope.BACKEND, "HTTP 503 errno 201"),
    ),
    ("Mozilla", 503, {}, mozilla(202), Busy(None, Scope.BACKEND, "HTTP 503 errno 202")),
    ("others", 504, {"Retry-After": "9"}, b"", Busy(9, Scope.BACKEND, "HTTP 504")),
    ("ntfy", 507, {}, b'{"code":50701,"http":507}', Busy(900, Scope.DEVICE, "HTTP 507")),
    ("ntfy", 507, {"Retry-After": "60"}, b"", Busy(60, Scope.DEVICE, "HTTP 507")),
]


@pytest.mark.line(140, 143)
@pytest.mark.parametrize(
    ("status", "headers", "body", "outcome"),
    [row[1:] for row in TABLE],
    ids=[f"{row[0]} {row[1]} {row[3][:60].decode()}" for row in TABLE],
)
def test_each_answer_has_its_outcome(
    status: int, headers: dict[str, str], body: bytes, outcome: Outcome
) -> None:
    assert read(Response(status, headers, body), NOW) == outcome


@pytest.mark.parametrize(
    "body", [apple("x" * 100), apple("a b"), mozilla(10**9), b'{"errno": true, "reason": 5}']
)
def test_words_that_are_none_are_not_repeated(body: bytes) -> None:
    assert read(Response(400, {}, body), NOW) == Refused("HTTP 400")
