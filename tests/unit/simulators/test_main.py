"""A stand-in as a process of its own."""

import contextlib
import json
import signal
import socket
import ssl
import stat
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from pushd.net.certificates import DevelopmentCA
from pushd.simulators.fcm_tokens import GRANT_TYPE
from tests.nursery import Heard
from tests.patience import PATIENCE
from tests.unit.simulators.bench import SCOPE, note
from tests.unit.simulators.over_tls import H2Client, bearer

COMMAND = [sys.executable, "-m", "pushd.simulators"]


class Running:
    """A stand-in that has said where it is."""

    def __init__(self, *arguments: str, network: str = "fcm") -> None:
        self.process = Heard([*COMMAND, network, *arguments])
        self.url = self.process.stdout.readline().strip()
        assert self.url, self.process.ended(PATIENCE)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code, and what it had to complain of."""
        self.process.send_signal(number)
        code, _, complaints = self.process.ended(PATIENCE)
        return code, complaints


@pytest.fixture
def started() -> Iterator[Any]:
    """Starts stand-ins that do not outlive the test."""
    running: list[Running] = []

    def start(*arguments: str, network: str = "fcm") -> Running:
        running.append(Running(*arguments, network=network))
        return running[-1]

    yield start
    for each in running:
        if each.process.poll() is None:
            each.stop()


def refused(*arguments: str) -> str:
    """What it says when it does not even start."""
    code, said, complaints = Heard([*COMMAND, *arguments]).ended(PATIENCE)
    assert code != 0
    assert said == ""
    assert "Traceback" not in complaints
    return complaints


def post(url: str, data: bytes, ca: str | None, **headers: str) -> Any:
    context = None if ca is None else ssl.create_default_context(cafile=ca)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data, named)
    with urllib.request.urlopen(request, timeout=PATIENCE, context=context) as response:
        return json.load(response)


def push(ready: dict[str, Any]) -> Any:
    """All that a provider does, with nothing but what the ready file says."""
    account = json.loads(Path(ready["service_account"]).read_text())
    now = int(time.time())
    claims = {"iss": account["client_email"], "scope": SCOPE, "aud": account["token_uri"]}
    assertion = jwt.encode(
        claims | {"iat": now, "exp": now + 3600}, account["private_key"], algorithm="RS256"
    )
    form = urllib.parse.urlencode({"grant_type": GRANT_TYPE, "assertion": assertion}).encode()
    access = post(account["token_uri"], form, ready["ca"])["access_token"]
    return post(
        f"{ready['url']}/v1/projects/{account['project_id']}/messages:send",
        json.dumps({"message": note()}).encode(),
        ready["ca"],
        Authorization=f"Bearer {access}",
        Content_Type="application/json",
    )


def test_the_ready_file_is_enough_to_push(tmp_path: Path, started: Any) -> None:
    running = started("--ready-file", str(tmp_path / "ready"))
    text = (tmp_path / "ready").read_text()
    ready = json.loads(text)
    assert text.endswith("\n")
    assert text.count("\n") == 1
    assert ready["url"] == running.url
    assert ready["url"].startswith("https://127.0.0.1:")
    assert ready["control_url"] == f"{running.url}/control"
    assert ready["pid"] == running.process.pid
    assert push(ready)["name"].startswith("projects/pushd-simulator/messages/")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_told_to_and_leaves_nothing_behind(
    tmp_path: Path, started: Any, number: int
) -> None:
    running = started("--ready-file", str(tmp_path / "ready"))
    account = Path(json.loads((tmp_path / "ready").read_text())["service_account"])
    assert account.exists()
    assert running.stop(number) == (0, "")
    assert not account.parent.exists()


def test_without_tls_it_is_http(tmp_path: Path, started: Any) -> None:
    running = started("--plain", "--ready-file", str(tmp_path / "ready"))
    ready = json.loads((tmp_path / "ready").read_text())
    assert running.url.startswith("http://")
    assert ready["ca"] is None
    assert push(ready)["name"]


def test_a_folder_keeps_authority_and_account_from_run_to_run(tmp_path: Path, started: Any) -> None:
    def kept() -> tuple[str, str]:
        ready = json.loads((tmp_path / "ready").read_text())
        account = json.loads(Path(ready["service_account"]).read_text())
        return Path(ready["ca"]).read_text(), account["private_key"]

    arguments = ("--folder", str(tmp_path / "kept"), "--ready-file", str(tmp_path / "ready"))
    started(*arguments).stop()
    first = kept()
    started(*arguments)
    assert kept() == first
    assert push(json.loads((tmp_path / "ready").read_text()))["name"]
    for path in (tmp_path / "kept").glob("*account.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_another_project_gets_another_account(tmp_path: Path, started: Any) -> None:
    arguments = ("--folder", str(tmp_path), "--ready-file", str(tmp_path / "ready"))
    started(*arguments).stop()
    started(*arguments, "--project", "another")
    ready = json.loads((tmp_path / "ready").read_text())
    assert ready["project"] == "another"
    assert push(ready)["name"].startswith("projects/another/")


def test_a_certificate_of_one_s_own_is_shown(tmp_path: Path, started: Any) -> None:
    authority = DevelopmentCA(tmp_path / "ca", time.time())
    issued = authority.issue(["localhost"])
    started(
        *("--certificate", str(issued.certificate), "--key", str(issued.key)),
        *("--ca", str(authority.path), "--name", "localhost"),
        *("--ready-file", str(tmp_path / "ready")),
    )
    ready = json.loads((tmp_path / "ready").read_text())
    assert ready["url"].startswith("https://localhost:")
    assert push(ready)["name"]


def test_a_name_is_in_the_url_and_in_the_certificate(tmp_path: Path, started: Any) -> None:
    running = started("--name", "fcm.test", "--ready-file", str(tmp_path / "ready"))
    ready = json.loads((tmp_path / "ready").read_text())
    url = urllib.parse.urlsplit(running.url)
    assert url.hostname == "fcm.test"
    context = ssl.create_default_context(cafile=ready["ca"])
    with (
        socket.create_connection(("127.0.0.1", url.port or 0), timeout=PATIENCE) as connection,
        context.wrap_socket(connection, server_hostname="fcm.test") as shown,
    ):
        assert shown.version() == "TLSv1.3"


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        complaint = refused("fcm", "--plain", "--listen", f"127.0.0.1:{port}")
    assert complaint == f"cannot listen on 127.0.0.1:{port}: Address already in use\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fcm", "--listen", "8080"], "'8080' is not HOST:PORT, such as 127.0.0.1:0"),
        (["fcm", "--listen", "127.0.0.1:65536"], "is not HOST:PORT"),
        (["fcm", "--certificate", "x.pem"], "--certificate and --key belong together"),
        (["fcm", "--certificate", "none.pem", "--key", "none.pem"], "none.pem: No such file"),
        (["fcm", "--ready-file", "/none/at/all"], "/none/at/.all"),
        (["fcm", "--name", "not a name"], "neither a domain name nor an address"),
        (["gcm"], "invalid choice: 'gcm'"),
    ],
)
def test_what_cannot_work_is_said_without_a_traceback(arguments: list[str], words: str) -> None:
    assert words in refused(*arguments)


def test_certificates_that_do_not_fit_are_named(tmp_path: Path) -> None:
    authority = DevelopmentCA(tmp_path, time.time())
    one, two = (authority.issue(["localhost"], name) for name in ("one", "two"))
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nothing of the kind\n")
    secret = tmp_path / "secret.pem"
    key = load_pem_private_key(one.key.read_bytes(), None)
    locked = BestAvailableEncryption(b"password")
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))

    def complaint(certificate: Path, key: Path) -> str:
        return refused("fcm", "--certificate", str(certificate), "--key", str(key))

    assert complaint(one.certificate, two.key) == f"{two.key} is not the key of {one.certificate}\n"
    assert complaint(nonsense, one.key) == f"{nonsense} is not a certificate in PEM form\n"
    for file in (nonsense, secret):
        assert complaint(one.certificate, file).startswith(f"{file} is not a private key")


def test_a_damaged_account_in_the_folder_is_named_with_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "fcm-service-account.json"
    file.write_text("{}")
    complaint = refused("fcm", "--plain", "--folder", str(tmp_path))
    assert complaint.startswith(f"{file} is not a service account of an earlier run: remove it")


def test_fcm_answers_over_http2_too(tmp_path: Path, started: Any) -> None:
    for arguments in ((), ("--plain",)):
        running = started(*arguments, "--ready-file", str(tmp_path / "ready"))
        ready = json.loads((tmp_path / "ready").read_text())
        client = H2Client(running.url, ready["ca"])
        assert client.ask("POST", "/v1/projects/pushd-simulator/messages:send", {}, b"{}")[0] == 401
        status, said = client.ask("GET", "/control/requests", {})
        assert (status, json.loads(said)["last"]) == (200, 1)
        client.close()


# --- APNs ----------------------------------------------------------------------------------


def control(ready: dict[str, Any], path: str, order: Any = None) -> Any:
    data = None if order is None else json.dumps(order).encode()
    context = None if ready["ca"] is None else ssl.create_default_context(cafile=ready["ca"])
    url = f"{ready['control_url']}/{path}"
    with urllib.request.urlopen(url, data, timeout=PATIENCE, context=context) as response:
        return json.load(response)


def started_apns(started: Any, tmp_path: Path, *arguments: str) -> dict[str, Any]:
    started(*arguments, "--ready-file", str(tmp_path / "ready"), network="apns")
    ready: dict[str, Any] = json.loads((tmp_path / "ready").read_text())
    return ready


def test_the_ready_file_is_enough_to_push_to_both_environments(
    tmp_path: Path, started: Any
) -> None:
    ready = started_apns(started, tmp_path)
    authorization = bearer(ready["key_file"], ready["key_id"], ready["team_id"])
    for url in (ready["url"], ready["sandbox_url"]):
        client = H2Client(url, ready["ca"])
        assert client.push(authorization) == (200, None)
        assert client.push(None) == (403, {"reason": "MissingProviderToken"})
        client.close()
    found = control(ready, "requests")["requests"]
    assert [(one["environment"], one["status"]) for one in found] == [
        ("production", 200),
        ("production", 403),
        ("sandbox", 200),
        ("sandbox", 403),
    ]
    assert [one["requests"] for one in control(ready, "connections")["connections"]] == [2, 2]


def test_a_client_certificate_is_taken_in_the_handshake(tmp_path: Path, started: Any) -> None:
    ready = started_apns(started, tmp_path)
    order = {"topics": ["net.example.messenger"], "environments": ["production"]}
    issued = control(ready, "certificates", order)
    both = tmp_path / "client.pem"
    both.write_text(issued["certificate"] + issued["key"])
    for url, answer in (
        (ready["url"], (200, None)),
        (ready["sandbox_url"], (403, {"reason": "BadCertificateEnvironment"})),
    ):
        client = H2Client(url, ready["ca"], both)
        assert client.push(None) == answer
        client.close()
    stranger = DevelopmentCA(tmp_path / "stranger", time.time()).issue(["localhost"])
    both.write_text(stranger.certificate.read_text() + stranger.key.read_text())
    client = H2Client(ready["url"], ready["ca"], both)
    assert client.push(None) == (403, {"reason": "BadCertificate"})
    client.close()


def test_apns_without_tls_keeps_its_key_and_knows_its_apps(tmp_path: Path, started: Any) -> None:
    kept = ("--plain", "--folder", str(tmp_path / "kept"), "--topic", "net.example.other")
    first = started_apns(started, tmp_path, *kept)
    again = started_apns(started, tmp_path, *kept, "--listen-sandbox", "127.0.0.1:0")
    assert (again["key_id"], again["team_id"]) == (first["key_id"], first["team_id"])
    assert stat.S_IMODE(Path(again["key_file"]).stat().st_mode) == 0o600
    client = H2Client(again["url"], None)
    authorization = bearer(again["key_file"], again["key_id"], again["team_id"])
    assert client.push(authorization) == (400, {"reason": "TopicDisallowed"})
    client.close()
    (tmp_path / "kept" / "apns-key.json").write_text("[]")
    complaint = refused("apns", "--plain", "--folder", str(tmp_path / "kept"))
    assert complaint.startswith(f"{tmp_path}/kept/apns-key.json is not a key of an earlier run")


def test_orders_reach_connections_over_tls(tmp_path: Path, started: Any) -> None:
    ready = started_apns(started, tmp_path)
    authorization = bearer(ready["key_file"], ready["key_id"], ready["team_id"])

    def connect() -> H2Client:
        client = H2Client(ready["url"], ready["ca"])
        assert client.push(authorization) == (200, None)
        return client

    def order(**what: Any) -> None:
        assert control(ready, "connections", what) == {"connections": 1}

    client = connect()
    order(do="stall")
    client.socket.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.push(authorization)
    client.socket.settimeout(PATIENCE)
    order(do="stall", on=False)
    assert client.finish() == 200

    order(do="goaway", reason="Shutdown")
    assert client.rest().endswith(b'{"reason": "Shutdown"}')
    client.close()

    client = connect()
    order(do="cut")
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        assert client.rest() == b""  # no GOAWAY
    client.close()

    visits = control(ready, "connections")["connections"]
    assert [(one["requests"], one["closed_at"] is not None) for one in visits] == [
        (2, True),
        (1, True),
    ]
