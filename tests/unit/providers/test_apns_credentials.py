"""Tokens that are signed here, and what certificates say of themselves."""

import gc
import json
from base64 import urlsafe_b64decode
from itertools import pairwise
from pathlib import Path

import jwt
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from pushd.providers.apns_credentials import Identity, ProviderToken, provider_token, topics_in
from pushd.providers.contract import Response, Token
from pushd.providers.credentials import Got, Keeper
from tests.unit.providers.apple import certificate, ec_key, signing_key, topics_extension
from tests.unit.providers.bench import DAY, NOW, FakeTransport, Fixed

ISSUED = NOW + 0.7


def made() -> ProviderToken:
    return ProviderToken("TEAM123456", "ABC123DEFG", ec_key())


def claims(token: Token) -> dict[str, object]:
    text = token.value.reveal()
    found: dict[str, object] = jwt.decode(
        text, ec_key().public_key(), ["ES256"], options={"verify_iat": False, "verify_exp": False}
    )
    return found


def test_a_token_says_who_signed_it_when_and_nothing_else() -> None:
    token = made().request(ISSUED)
    header = token.value.reveal().partition(".")[0]
    assert json.loads(urlsafe_b64decode(header + "==")) == {"alg": "ES256", "kid": "ABC123DEFG"}
    assert claims(token) == {"iss": "TEAM123456", "iat": int(NOW)}
    assert len(urlsafe_b64decode(token.value.reveal().rpartition(".")[2] + "==")) == 64


def test_a_token_is_good_for_an_hour_and_renewed_after_fifty_minutes() -> None:
    token = made().request(ISSUED)
    assert (token.expires_at, token.renew_at) == (NOW + 3600, NOW + 3000)


@pytest.mark.parametrize(
    ("seconds", "is_same"), [(0, True), (2999, True), (3000, False), (9999, False), (-100, False)]
)
def test_the_token_is_kept_until_it_is_due_and_not_across_a_clock_set_back(
    seconds: float, is_same: bool
) -> None:
    credential = made()
    first = credential.request(NOW)
    assert (credential.request(NOW + seconds) is first) == is_same


def test_a_token_that_is_called_stale_is_replaced_once_for_all_who_hold_it() -> None:
    credential = made()
    first = credential.request(NOW)
    credential.forget(first)
    second = credential.request(NOW + 1300)
    assert second is not first
    credential.forget(first)
    assert credential.request(NOW + 1301) is second


class Lanes:
    """Two keepers with one credential, as those of two environments."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        credential = made()
        self.keepers = [
            Keeper(
                credential,
                FakeTransport(),
                self.clock,
                Fixed(),
                25.0,
                10.0,
                lambda got, response, seconds: None,
            )
            for _ in range(2)
        ]

    def tokens(self) -> list[Got]:
        got: list[Got] = []
        for keeper in self.keepers:
            Deferred.fromCoroutine(keeper.token()).addCallback(got.append)
        return got


def test_all_connections_share_one_token() -> None:
    lanes = Lanes()
    for minutes in (0, 30, 49, 51, 99, 101, 500):
        lanes.clock.advance(NOW + minutes * 60 - lanes.clock.seconds())
        one, other = lanes.tokens()
        assert isinstance(one, Token)
        assert one is other
        assert lanes.clock.seconds() - one.fetched_at < 3000


def test_a_token_is_renewed_at_most_once_in_twenty_minutes_whatever_is_said_of_it() -> None:
    lanes = Lanes()
    seen: list[Got] = []
    for _ in range(600):
        lanes.clock.advance(60)
        for keeper, token in zip(lanes.keepers, lanes.tokens(), strict=True):
            assert isinstance(token, Token)
            seen += [token] if token not in seen else []
            keeper.discard(token)
    times = [token.fetched_at for token in seen if isinstance(token, Token)]
    assert len(times) > 20
    assert all(later - earlier >= 1200 for earlier, later in pairwise(times))


def test_one_token_serves_all_who_have_the_same_team_and_key(tmp_path: Path) -> None:
    file = signing_key(tmp_path)
    copy = signing_key(tmp_path, "copy.p8")
    other = signing_key(tmp_path, "other.p8", number=1)
    first = provider_token("TEAM123456", "ABC123DEFG", file)
    assert provider_token("TEAM123456", "ABC123DEFG", copy) is first
    assert provider_token("TEAM999999", "ABC123DEFG", file) is not first
    assert provider_token("TEAM123456", "ABC999DEFG", file) is not first
    assert provider_token("TEAM123456", "ABC123DEFG", other) is not first


def test_what_nobody_uses_any_more_is_forgotten(tmp_path: Path) -> None:
    file = signing_key(tmp_path)
    token = provider_token("TEAM777777", "ABC123DEFG", file).request(NOW)
    gc.collect()
    assert provider_token("TEAM777777", "ABC123DEFG", file).request(NOW) is not token


def test_an_answer_to_what_nobody_asked_is_no_token() -> None:
    assert not isinstance(made().accept(Response(200, body=b'{"access_token": "x"}'), NOW), Token)


# Certificates.


@pytest.mark.parametrize(
    ("topics", "user_id", "expected", "main"),
    [
        ((), "com.example.app", ("com.example.app",), "com.example.app"),
        ((), "", (), ""),
        (("com.example.app",), "", ("com.example.app",), "com.example.app"),
        (
            ("com.example.app", "com.example.app.voip", "com.example.app.complication"),
            "com.example.app",
            ("com.example.app", "com.example.app.voip", "com.example.app.complication"),
            "com.example.app",
        ),
        (
            ("com.example.app.voip", "com.example.app"),
            "",
            ("com.example.app.voip", "com.example.app"),
            "com.example.app",
        ),
        (("com.example.one", "com.example.two"), "", ("com.example.one", "com.example.two"), ""),
    ],
)
def test_a_certificate_names_its_topics(
    topics: tuple[str, ...],
    user_id: str,
    expected: tuple[str, ...],
    main: str,
    tmp_path: Path,
) -> None:
    identity = Identity.load(certificate(tmp_path, *topics, user_id=user_id))
    assert (identity.topics, identity.main_topic) == (expected, main)


def test_a_certificate_says_when_it_ends_and_is_told_from_its_successor(tmp_path: Path) -> None:
    first = Identity.load(certificate(tmp_path))
    second = Identity.load(certificate(tmp_path, ends_at=NOW + 5 * DAY))
    assert (first.expires_at, second.expires_at) == (NOW + 300 * DAY, NOW + 5 * DAY)
    assert first.fingerprint != second.fingerprint


@pytest.mark.parametrize("cut", range(60))
def test_an_extension_that_is_cut_off_is_read_without_harm(cut: int) -> None:
    whole = topics_extension("com.example.app", "com.example.app.voip")
    assert len(list(topics_in(whole))) == 2
    assert set(topics_in(whole[:cut])) <= set(topics_in(whole))


def test_long_topics_are_read() -> None:
    topics = [f"com.example.{'x' * 100}{number}" for number in range(9)]
    assert list(topics_in(topics_extension(*topics))) == topics
