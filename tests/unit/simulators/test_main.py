"""A stand-in as a process of its own."""

import json
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from pushd.net.certificates import DevelopmentCA
from pushd.simulators.fcm_tokens import GRANT_TYPE
from tests.unit.simulators.bench import SCOPE, note

COMMAND = [sys.executable, "-m", "pushd.simulators"]


class Running:
    """A stand-in that has said where it is."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "fcm", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url, self.process.communicate(timeout=10)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code, and what it had to complain of."""
        self.process.send_signal(number)
        _, complaints = self.process.communicate(timeout=10)
        return self.process.returncode, complaints


@pytest.fixture
def started() -> Iterator[Any]:
    """Starts stand-ins that do not outlive the test."""
    running: list[Running] = []

    def start(*arguments: str) -> Running:
        running.append(Running(*arguments))
        return running[-1]

    yield start
    for each in running:
        if each.process.poll() is None:
            each.stop()


def refused(*arguments: str) -> str:
    """What it says when it does not even start."""
    ended = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=20, check=False
    )
    assert ended.returncode != 0
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    return ended.stderr


def post(url: str, data: bytes, ca: str | None, **headers: str) -> Any:
    context = None if ca is None else ssl.create_default_context(cafile=ca)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data, named)
    with urllib.request.urlopen(request, timeout=10, context=context) as response:
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
        socket.create_connection(("127.0.0.1", url.port or 0), timeout=10) as connection,
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

    def complaint(certificate: Path, key: Path) -> str:
        return refused("fcm", "--certificate", str(certificate), "--key", str(key))

    assert complaint(one.certificate, two.key) == f"{two.key} is not the key of {one.certificate}\n"
    assert complaint(nonsense, one.key) == f"{nonsense} is not a certificate in PEM form\n"
    assert complaint(one.certificate, nonsense).startswith(f"{nonsense} is not a private key")


def test_a_damaged_account_in_the_folder_is_named_with_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "fcm-service-account.json"
    file.write_text("{}")
    complaint = refused("fcm", "--plain", "--folder", str(tmp_path))
    assert complaint.startswith(f"{file} is not a service account of an earlier run: remove it")
