"""What a running server takes over of another configuration, and what it does not."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pushd.config.backends import Backend
from pushd.config.changes import differences, taken_over
from pushd.config.kinds import Endpoint
from pushd.config.sections import (
    AppServer,
    Component,
    Config,
    Dialects,
    Limits,
    Listen,
    Log,
    Push,
    ServerToServer,
    Sessions,
    VirtualHost,
)
from pushd.wire.secret import Secret

PEM = VirtualHost(Path("one.pem"), Path("one-key.pem"))
FCM = Backend("fcm", "example.net", "push.example.net", "My app", options="old")
RUNNING = Config(
    domains={"example.net": PEM, "example.org": VirtualHost()},
    data=Path("/data"),
    components={"rooms.example.net": Component(Secret("sesame"))},
    app_server=AppServer(backends=(FCM,)),
    s2s=ServerToServer(),
)


def domains(**given: VirtualHost) -> dict[str, VirtualHost]:
    names = {"net": "example.net", "org": "example.org", "com": "example.com"}
    return {**RUNNING.domains, **{names[key]: host for key, host in given.items()}}


def of(wanted: Config) -> tuple[list[str], list[str]]:
    """What changes, and what would have to."""
    now = taken_over(RUNNING, wanted)
    return list(differences(RUNNING, now)), list(differences(now, wanted))


def test_the_same_configuration_changes_nothing() -> None:
    assert of(replace(RUNNING, path=Path("other.yml"))) == ([], [])


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (
            {"domains": domains(net=VirtualHost(Path("two.pem")))},
            ["domains.example.net.certificate", "domains.example.net.key"],
        ),
        (
            {"components": {"rooms.example.net": Component(Secret("other"))}},
            ["components.rooms.example.net.secret"],
        ),
        ({"limits": Limits(stanza_bytes=20_000)}, ["limits.stanza_bytes"]),
        (
            {"sessions": Sessions(resume_timeout=60, queue_stanzas=7, queue_bytes=70_000)},
            ["sessions.resume_timeout", "sessions.queue_stanzas", "sessions.queue_bytes"],
        ),
        (
            {
                "app_server": AppServer(
                    "local",
                    3,
                    push_interval=1.0,
                    dialects=Dialects(mod_push=False, conversations=True),
                    backends=(replace(FCM, options="new"),),
                )
            },
            [
                "app_server.access_backends",
                "app_server.max_registrations",
                "app_server.push_interval",
                "app_server.dialects.mod_push",
                "app_server.dialects.conversations",
                "app_server.backends",
            ],
        ),
        ({"log": Log(level="debug")}, ["log.level"]),
        (
            {"s2s": ServerToServer(policy="deny", allow_private=True, ca_file=Path("ca.pem"))},
            ["s2s.policy", "s2s.ca_file", "s2s.allow_private"],
        ),
    ],
    ids=["certificate", "component", "limits", "sessions", "app-server", "log", "s2s"],
)
def test_this_is_taken_over(wanted: Mapping[str, Any], names: list[str]) -> None:
    assert of(replace(RUNNING, **wanted)) == (names, [])


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({"data": Path("/other")}, ["data"]),
        ({"listen": Listen(client=(Endpoint("", 5333),))}, ["listen.client"]),
        ({"domains": domains(com=PEM)}, ["domains.example.com"]),
        (
            {"domains": domains(org=PEM)},
            ["domains.example.org.certificate", "domains.example.org.key"],
        ),
        (
            {"domains": domains(net=VirtualHost())},
            ["domains.example.net.certificate", "domains.example.net.key"],
        ),
        ({"components": {}}, ["components.rooms.example.net"]),
        ({"sessions": Sessions(resume_timeout=0)}, ["sessions.resume_timeout"]),
        ({"push": Push(hold=60)}, ["push.hold"]),
        ({"modules": {"ping": False}}, ["modules.ping"]),
        (
            {"app_server": AppServer(backends=(replace(FCM, app_name="Other"),))},
            ["app_server.backends"],
        ),
        (
            {"app_server": AppServer(backends=(replace(FCM, push_modules=("prod",)),))},
            ["app_server.backends"],
        ),
        (
            {"app_server": AppServer(backends=(replace(FCM, tigase_providers=("fcm",)),))},
            ["app_server.backends"],
        ),
        ({"log": Log(format="json")}, ["log.format"]),
        (
            {"s2s": ServerToServer(listen=(), name_servers=(Endpoint("::1", 53),))},
            ["s2s.listen", "s2s.name_servers"],
        ),
    ],
    ids=[
        "data",
        "listener",
        "domain",
        "tls-at-last",
        "tls-no-more",
        "component",
        "no-resumption",
        "push",
        "module",
        "app",
        "push-modules",
        "tigase-providers",
        "form-of-the-log",
        "name-servers",
    ],
)
def test_this_waits_for_a_restart(wanted: Mapping[str, Any], names: list[str]) -> None:
    assert of(replace(RUNNING, **wanted)) == ([], names)


def test_what_waits_is_named_again_until_the_restart() -> None:
    wanted = replace(RUNNING, data=Path("/other"), log=Log(level="debug"))

    now = taken_over(taken_over(RUNNING, wanted), wanted)

    assert list(differences(now, wanted)) == ["data"]


def test_no_value_is_ever_told() -> None:
    told = [
        *differences(RUNNING, replace(RUNNING, components={"a": Component(Secret("sesame"))})),
        *differences(RUNNING, replace(RUNNING, domains={})),
    ]

    assert "sesame" not in repr(told)
