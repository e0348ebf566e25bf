from dataclasses import replace
from pathlib import Path

import pytest

from pushd import measures
from pushd.appserver.limits import UNLIMITED, Rate, Rules
from pushd.config.sections import AppServer, Config


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
        ("shared_tokens", False, "shared_tokens", False),
        ("requests_per_account", 0, "account_requests", UNLIMITED),
        ("requests_per_account", 4, "account_requests", Rate(0.25, 40)),
        ("requests_per_domain", 100, "domain_requests", Rate(0.01, 1000)),
        ("push_interval", 5.0, "pushes", Rate(5.0, 10)),
        ("push_burst", 3, "pushes", Rate(20.0, 3)),
        ("urgent_interval", 0.0, "urgent_pushes", Rate(0.0, 10)),
        ("urgent_burst", 2, "urgent_pushes", Rate(2.0, 2)),
    ],
)
def test_each_option_of_the_app_server_becomes_its_rule(
    option: str, value: object, rule: str, expected: object
) -> None:
    assert getattr(rules(**{option: value}), rule) == expected
