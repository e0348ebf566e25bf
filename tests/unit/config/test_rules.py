"""What sections mean for each other."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from pushd.config.load import read
from pushd.config.problems import ConfigErrors
from pushd.config.sections import Config
from pushd.net.certificates import DevelopmentCA, IssuedCertificate
from tests.unit.config.support import problems_in

NOW = 1_795_564_800.0  # 2026-11-25
DAY = 86_400.0
LOCAL = "domains: [localhost]\ndata: .\nlisten: {client: ['127.0.0.1:5222'], client_tls: []}\n"


@dataclass(frozen=True, slots=True)
class Free:
    """A provider without options."""


def config_of(text: str, folder: Path, now: float = NOW) -> Config:
    return read(text, folder / "pushd.yml", {"webhook": Free, "fcm": Free}, now=now)


def problems_of(text: str, folder: Path, now: float = NOW) -> list[str]:
    return [str(problem) for problem in problems_in(config_of, text, folder, now)]


def cautions_of(text: str, folder: Path, now: float = NOW) -> list[str]:
    return [str(caution) for caution in config_of(text, folder, now).warnings]


@pytest.fixture
def issued(tmp_path: Path) -> IssuedCertificate:
    return DevelopmentCA(tmp_path, NOW).issue(["example.net"])


def with_certificate(certificate: str = "server.pem", key: str | None = "server-key.pem") -> str:
    lines = ["data: .", "domains:", "  example.net:", f"    certificate: {certificate}"]
    return "\n".join([*lines, *([f"    key: {key}"] if key else [])])


def test_a_domain_has_a_certificate_and_its_key(tmp_path: Path, issued: IssuedCertificate) -> None:
    config = config_of(with_certificate(), tmp_path)
    assert config.domains["example.net"].certificate == issued.certificate
    assert config.domains["example.net"].key_file == issued.key
    assert config.warnings == ()


def test_certificate_and_key_may_be_one_file(tmp_path: Path, issued: IssuedCertificate) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(issued.key.read_bytes() + issued.certificate.read_bytes())
    both.chmod(0o600)
    config = config_of(with_certificate("both.pem", None), tmp_path)
    assert config.domains["example.net"].key_file == both
    assert config.warnings == ()


def test_a_domain_without_a_certificate_is_for_loopback_alone(tmp_path: Path) -> None:
    assert problems_of("domains: [example.net]\ndata: .\n", tmp_path) == [
        "1:11: domains[0]: found no certificate; expected certificate: and key: with the paths"
        " of PEM files, or listeners on loopback addresses alone"
    ]
    assert cautions_of(LOCAL, tmp_path) == [
        "1:11: domains[0]: warning: no certificate, so no TLS; this is for listeners on"
        " loopback addresses only"
    ]


def test_a_key_alone_is_no_certificate(tmp_path: Path, issued: IssuedCertificate) -> None:
    text = "data: .\ndomains: {example.net: {key: server-key.pem}}\n"
    assert problems_of(text, tmp_path) == [
        "2:11: domains.example.net: found a key without a certificate;"
        " expected the certificate of this key, too"
    ]


def test_a_certificate_of_another_domain_is_refused(
    tmp_path: Path, issued: IssuedCertificate
) -> None:
    text = with_certificate().replace("  example.net", "  example.org")
    assert problems_of(text, tmp_path) == [
        f"4:18: domains.example.org.certificate: found '{issued.certificate}',"
        " which is for example.net; expected a certificate for example.org that is valid now"
    ]


def test_a_certificate_is_refused_when_it_has_expired(
    tmp_path: Path, issued: IssuedCertificate
) -> None:
    (problem,) = problems_of(with_certificate(), tmp_path, NOW + 400 * DAY)
    assert "which expired on 2027-11-25; expected a certificate for example.net" in problem


def test_a_certificate_that_expires_soon_is_a_warning(
    tmp_path: Path, issued: IssuedCertificate
) -> None:
    assert cautions_of(with_certificate(), tmp_path, NOW + 340 * DAY) == [
        "4:18: domains.example.net.certificate: warning: the certificate expires on 2027-11-25"
    ]


def test_a_key_of_another_certificate_is_refused_by_name(
    tmp_path: Path, issued: IssuedCertificate
) -> None:
    assert problems_of(with_certificate(key="ca-key.pem"), tmp_path) == [
        f"5:10: domains.example.net.key: found '{tmp_path}/ca-key.pem',"
        " whose key does not belong to the certificate; expected the certificate's own key"
    ]


def test_a_certificate_that_does_not_parse_is_refused_by_name(
    tmp_path: Path, issued: IssuedCertificate
) -> None:
    issued.certificate.write_text("sesame")
    assert problems_of(with_certificate(), tmp_path) == [
        f"4:18: domains.example.net.certificate: found '{issued.certificate}',"
        " which holds no certificate (PEM); expected a certificate for example.net"
    ]


def test_a_key_that_everybody_may_read_is_a_warning(
    tmp_path: Path, issued: IssuedCertificate
) -> None:
    issued.key.chmod(0o644)
    assert cautions_of(with_certificate(), tmp_path) == [
        "5:10: domains.example.net.key: warning: every user of this machine may read the key"
    ]


def test_there_is_one_domain_at_least(tmp_path: Path) -> None:
    assert problems_of("domains: []\ndata: .\n", tmp_path) == [
        "1:10: domains: found no domain; expected one at least, such as example.net, or"
        " component: to serve another server"
    ]


def test_two_listeners_do_not_take_one_port(tmp_path: Path) -> None:
    text = LOCAL.replace("client_tls: []", "client_tls: [':5222']")
    assert "3:50: listen.client_tls: found ':5222', while listen.client has '127.0.0.1:5222'" in (
        str(problems_of(text, tmp_path))
    )


def test_components_over_the_network_are_a_warning(tmp_path: Path) -> None:
    text = LOCAL.replace("client_tls: []", "client_tls: [], component: [':5347']")
    assert cautions_of(text, tmp_path)[1] == (
        "3:65: listen.component: warning: :5347: component streams have no TLS, and this is no"
        " loopback address"
    )


def test_the_socket_in_a_deep_data_folder_needs_another_place(tmp_path: Path) -> None:
    text = LOCAL.replace("data: .", f"data: {'x' * 100}")
    (problem,) = problems_of(text, tmp_path)
    assert problem.startswith("3:9: listen.admin: found '")
    assert problem.endswith("too long a path for a socket; expected a path of at most 100 bytes")
    assert config_of(text.replace("listen: {", "listen: {admin: /tmp/a.sock, "), tmp_path)


def test_a_component_has_a_domain_of_its_own(tmp_path: Path) -> None:
    text = LOCAL + "components: {LocalHost: {secret: sesame}}\n"
    assert problems_of(text, tmp_path) == [
        "4:14: components.LocalHost: found a domain that the server serves itself;"
        " expected another domain"
    ]


def test_a_component_without_a_door_is_a_warning(tmp_path: Path) -> None:
    text = LOCAL + "components: {rooms.localhost: {secret: sesame}}\n"
    assert cautions_of(text, tmp_path)[1] == (
        "4:13: components: warning: no component can connect: listen.component names no endpoint"
    )


def test_a_host_of_the_app_server_is_no_component(tmp_path: Path) -> None:
    text = (
        LOCAL
        + "components: {push.localhost: {secret: sesame}}\n"
        + "app_server: {backends: [{type: webhook, register_host: localhost,"
        + " pubsub_host: Push.localhost}]}\n"
    )
    assert problems_of(text, tmp_path) == [
        "4:14: components.push.localhost: found a domain that is a host of the app server, too;"
        " expected another domain"
    ]


@pytest.mark.parametrize(
    ("option", "name"),
    [("push_modules", "monalProdiOS"), ("tigase_providers", "snikket:apns:1")],
)
def test_what_dialects_call_an_app_they_call_one(option: str, name: str, tmp_path: Path) -> None:
    both = ", ".join(
        f"{{type: fcm, app_name: {app}, register_host: localhost, pubsub_host: push.localhost,"
        f" {option}: ['{name}', other-{app}]}}"
        for app in ("one", "two")
    )
    assert problems_of(LOCAL + f"app_server: {{backends: [{both}]}}\n", tmp_path) == [
        f"4:24: app_server.backends: found 2 backends with '{name}' among their {option} at"
        " push.localhost; expected another name for each"
    ]


def test_backends_of_one_type_and_host_have_different_apps(tmp_path: Path) -> None:
    backend = "{type: TYPE, register_host: localhost, pubsub_host: push.localhost}"
    both = f"{backend.replace('TYPE', 'fcm')}, {backend.replace('TYPE', 'gcm')}"
    assert problems_of(LOCAL + f"app_server: {{backends: [{both}]}}\n", tmp_path) == [
        "4:24: app_server.backends: found 2 backends of type fcm for the app 'any' on localhost;"
        " expected another app_name for each"
    ]
    named = both.replace("type: gcm", "app_name: b, type: gcm")
    backends = config_of(LOCAL + f"app_server: {{backends: [{named}]}}\n", tmp_path)
    assert len(backends.app_server.backends) == 2


def test_no_resumption_is_no_push_and_says_so(tmp_path: Path) -> None:
    text = LOCAL + "sessions: {resume_timeout: 0}\n"
    assert cautions_of(text, tmp_path)[1] == (
        "4:28: sessions.resume_timeout: warning: no session can be resumed, and this switches"
        " push off, too"
    )


@pytest.mark.parametrize("hold", ["4m", "0"])
def test_a_hold_that_is_shorter_than_what_all_sessions_have_says_so(
    tmp_path: Path, hold: str
) -> None:
    text = LOCAL + f"push: {{hold: {hold}}}\n"
    assert cautions_of(text, tmp_path)[1:] == [
        "4:14: push.hold: warning: without effect: sessions are held for 300 s"
        " (sessions.resume_timeout)"
    ]
    for enough in ("push: {hold: 5m}", "sessions: {resume_timeout: 5d}"):
        assert len(cautions_of(LOCAL + f"{enough}\n", tmp_path)) == 1


def test_what_could_not_be_read_causes_no_second_complaint(tmp_path: Path) -> None:
    text = "domains: [example.net]\ndata: .\nlisten: {client: [5222]}\n"
    (problem,) = problems_of(text, tmp_path)
    assert problem.startswith("3:19: listen.client[0]: found '5222'; expected an address")


def test_a_secret_is_in_no_error_and_in_no_representation(tmp_path: Path) -> None:
    text = LOCAL + "components: {localhost: {secret: sesame, secrte: sesame}, b: sesame}\n"
    with pytest.raises(ConfigErrors) as caught:
        config_of(text, tmp_path)
    assert "sesame" not in f"{caught.value}{caught.value!r}"
    config = config_of(LOCAL + "components: {b: {secret: sesame}}\n", tmp_path)
    assert "sesame" not in f"{config}"


WATCHED = "domains: [localhost]\ndata: .\nlisten:\n  client: ['127.0.0.1:5222']\n  client_tls: []\n"


@pytest.mark.parametrize("place", ["127.0.0.1:5270", "[::1]:5270", "localhost:0"])
def test_metrics_are_for_loopback(place: str, tmp_path: Path) -> None:
    config = config_of(f"{WATCHED}  metrics: ['{place}']\n", tmp_path)

    assert len(config.listen.metrics) == 1


@pytest.mark.parametrize("place", [":5270", "192.0.2.1:5270", "0.0.0.0:5270", "[::]:5270"])
def test_metrics_elsewhere_are_asked_for_in_so_many_words(place: str, tmp_path: Path) -> None:
    text = f"{WATCHED}  metrics: ['{place}']\n"

    [problem] = problems_of(text, tmp_path)
    assert "listen.metrics: found" in problem
    assert (
        "where others may reach it; expected a loopback address such as 127.0.0.1:5270" in problem
    )
    assert problem.endswith("or metrics_for_all: true")
    assert config_of(f"{text}  metrics_for_all: true\n", tmp_path).listen.metrics[0].port == 5270


def test_metrics_take_no_other_listener_s_port(tmp_path: Path) -> None:
    [problem] = problems_of(f"{WATCHED}  metrics: ['127.0.0.1:5222']\n", tmp_path)

    assert "while listen.client has" in problem


# The app server among other servers.


@pytest.mark.parametrize(
    ("names", "access", "missing"),
    [
        (["example.net", "push.example.net"], "all", []),
        (["example.net", "*.example.net"], "[example.org]", []),
        (["example.net"], "all", ["push.example.net"]),
        (["example.net"], "[example.org]", ["push.example.net"]),
        (["example.net"], "local", []),
    ],
)
def test_other_servers_want_a_certificate_for_a_pubsub_host(
    names: list[str], access: str, missing: list[str], tmp_path: Path
) -> None:
    made = DevelopmentCA(tmp_path, NOW).issue(names)
    text = f"""\
data: .
domains: {{example.net: {{certificate: {made.certificate}, key: {made.key}}}}}
s2s: {{}}
app_server:
  access_backends: {access}
  backends:
    - {{type: webhook, register_host: example.net, pubsub_host: push.example.net}}
"""
    assert cautions_of(text, tmp_path) == [
        f"7:5: app_server.backends: warning: no certificate of ours is for {host}, so servers of"
        " others do not publish there; access_backends: local says that none is expected to"
        for host in missing
    ]
    assert cautions_of(text.replace("s2s: {}", ""), tmp_path) == []


# A component of another server.

ATTACHED = """\
data: .
component: {domain: push.example.net, secret: between us}
app_server:
  backends:
    - {type: webhook, register_host: push.example.net, pubsub_host: push.example.net}
"""


def test_who_is_a_component_needs_no_domain_and_lets_no_client_in(tmp_path: Path) -> None:
    config = config_of(ATTACHED, tmp_path)

    assert config.component is not None
    assert (config.component.host, config.component.port) == ("127.0.0.1", 5347)
    assert config.names == ("push.example.net",)
    assert config.doors.client == config.doors.client_tls == ()
    assert not config.is_open
    assert config.warnings == ()


def test_the_component_has_a_name_of_its_own(tmp_path: Path) -> None:
    text = LOCAL.replace("localhost", "push.example.net").replace("data: .\n", "") + ATTACHED

    assert problems_of(text, tmp_path) == [
        "4:21: component.domain: found push.example.net, which is served here;"
        " expected a name of its own"
    ]


def test_the_component_has_something_to_serve(tmp_path: Path) -> None:
    text = "data: .\ncomponent: {domain: push.example.net, secret: between us}\n"

    assert problems_of(text, tmp_path) == [
        "2:21: component.domain: found a name at which no backend is served;"
        " expected register_host: and pubsub_host: push.example.net in a backend"
    ]


def test_a_backend_at_a_host_that_nobody_reaches_is_refused(tmp_path: Path) -> None:
    text = ATTACHED.replace("pubsub_host: push.example.net", "pubsub_host: other.example.net")

    assert problems_of(text, tmp_path) == [
        "5:5: app_server.backends: found the host other.example.net, which nobody can reach;"
        " expected push.example.net, the name of the component"
    ]


def test_a_component_far_away_is_warned_of(tmp_path: Path) -> None:
    text = ATTACHED.replace("secret: between us", "secret: between us, host: xmpp.example.net")

    assert cautions_of(text, tmp_path) == [
        "2:65: component.host: warning: xmpp.example.net: component streams have no TLS, and this"
        " is no loopback address"
    ]


def test_nobody_is_neither_a_server_nor_a_component(tmp_path: Path) -> None:
    [problem] = problems_of("data: .\n", tmp_path)

    assert problem.endswith("or component: to serve another server")
