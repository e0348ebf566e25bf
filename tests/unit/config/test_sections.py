"""The sections: frozen, with defaults, and made without a file for development."""

from dataclasses import FrozenInstanceError
from ipaddress import ip_network
from pathlib import Path

import pytest

from pushd.config.kinds import Endpoint
from pushd.config.reader import default_of, is_required, option_fields, option_kinds
from pushd.config.sections import Config, Limits, Push, Sessions, VirtualHost
from tests.unit.config.support import value_of


@pytest.mark.line(147)
def test_of_a_message_only_its_count_is_told_unless_somebody_wishes_more() -> None:
    defaults = Push()
    assert not defaults.include_senders
    assert defaults.include_message_count
    assert defaults.include_subscription_count
    assert not defaults.include_message_bodies


def test_the_defaults_are_what_the_documents_promise() -> None:
    assert Push() == Push(72 * 3600.0, 10, False, True, True, False, "messages", 1.0, 30.0)
    assert Sessions() == Sessions(300.0, 600.0, 5000, 10_000_000)
    assert Limits() == Limits(
        stanza_bytes=256 * 1024,
        unauthenticated_bytes=10_000,
        authentication_timeout=30.0,
        tls_handshake_timeout=10.0,
        unauthenticated_connections=1000,
        unauthenticated_per_address=100,
        connections=50_000,
        connections_per_address=1000,
        exempt_networks=(ip_network("127.0.0.0/8"), ip_network("::1/128")),
        bytes_per_second=1024 * 1024,
        stanzas_per_second=1000,
        login_failures_per_address=20,
        login_failures_per_account=10,
        login_failures_window=3600.0,
        sessions_per_account=20,
    )


def test_only_data_is_required() -> None:
    required = [name for name, field in option_fields(Config).items() if is_required(field)]
    assert required == ["data"]


@pytest.mark.parametrize("section", [Push, Sessions, Limits])
def test_every_default_can_be_written_and_keeps_its_own_bounds(section: type) -> None:
    for name, field in option_fields(section).items():
        kind, default = option_kinds(section)[name], default_of(field)
        assert value_of(kind, kind.show(default)) == default, name


def test_a_key_may_be_in_the_file_of_its_certificate() -> None:
    assert VirtualHost(Path("both.pem")).key_file == Path("both.pem")
    assert VirtualHost(Path("a.pem"), Path("b.pem")).key_file == Path("b.pem")
    assert VirtualHost().key_file is None


def test_a_configuration_does_not_change(tmp_path: Path) -> None:
    config = Config.for_development(tmp_path)
    with pytest.raises(FrozenInstanceError):
        config.data = tmp_path  # type: ignore[misc]


def test_a_configuration_for_development_listens_on_loopback_alone(tmp_path: Path) -> None:
    config = Config.for_development(tmp_path, "localhost", client=5222)
    assert config.listen.client == (Endpoint("127.0.0.1", 5222),)
    doors = (*config.listen.client, *config.listen.client_tls, *config.listen.component)
    assert all(endpoint.is_loopback for endpoint in doors)
    assert config.warnings == ()
