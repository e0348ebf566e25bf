"""The whole way: a file in, a configuration or every mistake out."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from pushd.config.kinds import Endpoint
from pushd.config.load import load, read
from pushd.config.problems import ConfigErrors
from pushd.config.sections import Push
from pushd.wire.secret import Secret
from tests.unit.config.support import problems_in

NOW = 1_800_000_000.0
LOOPBACK = "listen: {client: ['127.0.0.1:0'], client_tls: []}\n"


@dataclass(frozen=True, slots=True)
class Options:
    service_account: str
    dry_run: bool = False


def problems_of(text: str, folder: Path, providers: Mapping[str, type] | None = None) -> list[str]:
    reading = partial(read, now=NOW)
    return [str(one) for one in problems_in(reading, text, folder / "pushd.yml", providers)]


def test_a_small_configuration_has_the_defaults_of_every_section(tmp_path: Path) -> None:
    file = tmp_path / "pushd.yml"
    file.write_text("domains: [localhost]\ndata: db\n" + LOOPBACK)
    config = load(file, now=NOW)
    assert list(config.domains) == ["localhost"]
    assert config.data == tmp_path / "db"
    assert config.admin_socket == tmp_path / "db" / "pushd.sock"
    assert config.listen.client == (Endpoint("127.0.0.1", 0),)
    assert config.push == Push()
    assert config.sessions.resume_timeout == 300.0
    assert config.sessions.queue_bytes == 10_000_000
    assert config.limits.stanza_bytes == 262_144
    assert config.path == file


def test_a_whole_configuration_is_read(tmp_path: Path) -> None:
    text = """
domains:
  Example.NET:
  münchen.example:
data: .
listen:
  client: [127.0.0.1:5222, "[::1]:5222"]
  client_tls: []
  component: [localhost:5347]
  admin: run/admin.sock
components:
  push.example.org: {secret: {env: COMPONENT}}
  rooms.example.net: {secret: keep me}
sessions: {resume_timeout: 10m, queue_stanzas: 100, queue_bytes: 256 KB}
limits: {stanza_bytes: 64KiB, authentication_timeout: 5}
push: {hold: 1d, include_senders: yes, notify_on: all, coalesce: 500ms}
app_server:
  access_backends: [example.net, example.org]
  backends:
    - type: fcm
      register_host: example.net
      pubsub_host: push.example.net
      service_account: "052"
      dry_run: on
      base_url: http://127.0.0.1:8080/
modules: {roster: , ping: no}
log: {level: debug, format: json}
"""
    config = read(
        text,
        tmp_path / "pushd.yml",
        {"fcm": Options},
        {"roster": None, "ping": None},
        now=NOW,
        environment={"COMPONENT": "from outside"},
    )
    assert list(config.domains) == ["example.net", "münchen.example"]
    assert config.listen.client == (Endpoint("127.0.0.1", 5222), Endpoint("::1", 5222))
    assert config.listen.component == (Endpoint("127.0.0.1", 5347),)
    assert config.admin_socket == tmp_path / "run" / "admin.sock"
    assert config.components["push.example.org"].secret == Secret("from outside")
    assert config.components["rooms.example.net"].secret == Secret("keep me")
    assert config.sessions.resume_timeout == 600.0
    assert config.sessions.queue_bytes == 256_000
    assert config.limits.stanza_bytes == 65_536
    assert config.limits.authentication_timeout == 5.0
    assert config.push.hold == 86_400.0
    assert config.push.include_senders is True
    assert config.push.notify_on == "all"
    assert config.push.coalesce == 0.5
    assert config.app_server.access_backends == ("example.net", "example.org")
    (backend,) = config.app_server.backends
    assert (backend.type, backend.register_host, backend.pubsub_host, backend.app_name) == (
        "fcm",
        "example.net",
        "push.example.net",
        "any",
    )
    assert backend.base_url == "http://127.0.0.1:8080"
    assert backend.options == Options("052", True)
    assert config.modules == {"roster": None, "ping": False}
    assert (config.log.level, config.log.format) == ("debug", "json")


def test_every_mistake_is_told_at_once_and_in_the_order_of_the_lines(tmp_path: Path) -> None:
    text = LOOPBACK + (
        "domains: [exa mple]\n"
        "puhs: {hold: 1d}\n"
        "push:\n"
        "  hold: fortnight\n"
        "  holt: 1d\n"
        "  hold: 3d\n"
        "sessions: {queue_stanzas: 052, queue_bytes: 12:30}\n"
        "log: {level: loud}\n"
    )
    assert problems_of(text, tmp_path) == [
        "1:1: data: found nothing; expected a folder that can be written to, or made",
        "2:11: domains[0]: found 'exa mple'; expected a domain name such as example.net",
        "3:1: puhs: found an unknown key; expected a known one: did you mean 'push'?",
        "5:9: push.hold: found 'fortnight'; expected a duration such as 300s, 5m, 72h or 1d"
        " (a bare number is seconds)",
        "6:3: push.holt: found an unknown key; expected a known one: did you mean 'hold'?",
        "7:3: push.hold: found the key again (first in line 5); expected it once",
        "8:27: sessions.queue_stanzas: found '052'; expected a whole number from 1,"
        " in decimal digits",
        "8:45: sessions.queue_bytes: found '12:30'; expected a size of at least 64KiB such as"
        " 64KiB, 256 KB or 10MB (a bare number is bytes)",
        "9:14: log.level: found 'loud'; expected debug, info, warning or error",
    ]


def test_the_errors_print_as_lines_that_an_editor_can_follow(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors) as caught:
        read("domains: [localhost]\n" + LOOPBACK, "pushd.yml", now=NOW)
    assert str(caught.value) == (
        "pushd.yml:1:1: data: found nothing; expected a folder that can be written to, or made"
    )


@pytest.mark.parametrize("name", ["missing.yml", "."])
def test_a_file_that_cannot_be_read_is_one_problem(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match="expected a configuration file"):
        load(tmp_path / name, now=NOW)


def test_an_empty_file_is_told_what_it_needs(tmp_path: Path) -> None:
    assert [line.split(":")[2].strip() for line in problems_of("", tmp_path)] == ["data", "domains"]


def test_a_section_without_content_has_its_defaults(tmp_path: Path) -> None:
    text = "domains: [localhost]\ndata: .\npush:\nlog: ~\ncomponents:\n" + LOOPBACK
    assert read(text, tmp_path / "pushd.yml", now=NOW).push == Push()
