from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pushd import measures
from pushd.appserver.limits import UNLIMITED, Rate, Rules
from pushd.config.backends import Backend
from pushd.config.kinds import Endpoint
from pushd.config.proxies import DIRECT, Proxy
from pushd.config.sections import AppServer, Config, Dialects, RemoteDomain, ServerToServer
from pushd.providers import catalogue


def rules(**given: object) -> Rules:
    config = Config.for_development(Path())
    return measures.rules(replace(config, app_server=replace(AppServer(), **given)))  # type: ignore[arg-type]


def test_what_holds_for_the_app_server_is_the_same_with_and_without_a_configuration() -> None:
    assert rules() == Rules()


@pytest.mark.parametrize(
    ("option", "value", "rule", "expected"),
    [
        ("access_backends", "local", "access", "local"),
        ("max_registrations", 3, "registrations_per_account", 3),
        ("max_registrations_per_domain", 0, "registrations_per_domain", 0),
        ("max_room_registrations", 3, "rooms_per_account", 3),
        ("dialects", Dialects(False, v1=True), "dialects", frozenset({"v1"})),
        ("shared_tokens", False, "shared_tokens", False),
        ("forget_after", 5.0, "forget_after", 5.0),
        ("requests_per_account", 0, "account_requests", UNLIMITED),
        ("requests_per_account", 4, "account_requests", Rate(0.25, 40)),
        ("requests_per_domain", 100, "domain_requests", Rate(0.01, 1000)),
        ("push_interval", 5.0, "pushes", Rate(5.0, 10)),
        ("push_burst", 3, "pushes", Rate(20.0, 3)),
        ("urgent_interval", 0.0, "urgent_pushes", Rate(0.0, 10)),
        ("urgent_burst", 2, "urgent_pushes", Rate(5.0, 2)),
    ],
)
def test_each_option_of_the_app_server_becomes_its_rule(
    option: str, value: object, rule: str, expected: object
) -> None:
    assert getattr(rules(**{option: value}), rule) == expected


@dataclass(frozen=True)
class Found:
    """What a provider was made with."""

    options: Any


@dataclass(frozen=True)
class Options:
    base_url: str = "https://a.example"
    proxy: Proxy | None = None


OURS, OTHER = Proxy("proxy.example.net", 3128), Proxy("other.example.net", 3128)


@pytest.mark.parametrize(
    ("own", "way"), [(None, OURS), (OTHER, OTHER), (DIRECT, None)], ids=["none", "own", "direct"]
)
def test_a_backend_goes_through_its_own_proxy_or_that_of_all(
    own: Proxy | None, way: Proxy | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "find", lambda _: Found)
    backend = Backend("webhook", "localhost", "push.localhost", proxy=own, options=Options())
    made: Any = measures.provider(backend, OURS)
    assert made.options.proxy == way
    unled: Any = measures.provider(backend)
    assert unled.options.proxy == (OTHER if own is OTHER else None)


@pytest.mark.parametrize(
    ("policy", "expected"), [("deny", "require"), ("dialback", "dialback"), ("require", "require")]
)
def test_who_is_named_is_talked_with_where_all_others_are_denied(
    policy: Any, expected: str
) -> None:
    named = {
        "friend.example": RemoteDomain(),
        "near.example": RemoteDomain(address=Endpoint("::1", 5269)),
        "old.example": RemoteDomain("dialback"),
        "spam.example": RemoteDomain("deny"),
    }
    given = ServerToServer(policy=policy, domains=named)
    options = measures.s2s_options(Config(domains={}, data=Path(), s2s=given))
    assert [options.policy_for(name) for name in (*named, "chat.friend.example", "a.example")] == [
        *(expected, expected, "dialback", "deny", expected, policy)
    ]
