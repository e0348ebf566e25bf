"""Stand-ins for providers, each a process on the load's core, and backends that lead there."""

import json
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from benchmarks.processes import ServerError
from pushd.net.certificates import DevelopmentCA
from pushd.simulators.fcm_tokens import ServiceAccount

ROOT = Path(__file__).parents[1]
NOWHERE = "https://127.0.0.1:9"  # where nobody listens


@dataclass(frozen=True)
class Kind:
    """A provider, and how it is spoken to."""

    type: str
    alpn: str = "h2"

    def fields(self, number: int, url: str) -> dict[str, str]:
        """What a device with this number registers; `url` is where the stand-in is."""
        match self.type:
            case "apns":
                return {"token": f"{number:064}"}
            case "ubuntu":
                return {"token": f"device:{number:07}", "application-id": "bench.example_bench"}
            case "wns":
                return {"token": f"{url}/channel/?token={number:07}"}
            case "webpush" | "unifiedpush":
                return {
                    "endpoint": f"{url}/push/{number:07}",
                    "p256dh": _subscription(),
                    "auth": _base64url(b"sixteen bytes ok"),
                }
        return {"token": f"device:{number:07}"}


FCM = Kind("fcm", "http/1.1")
FCM_H2 = Kind("fcm")
APNS = Kind("apns")
WEBPUSH, UNIFIEDPUSH = Kind("webpush"), Kind("unifiedpush")
WEBHOOK, UBUNTU, WNS = Kind("webhook"), Kind("ubuntu"), Kind("wns")


@cache
def _subscription() -> str:
    """A browser's public key; one serves all, since each push is sealed with a key of its own."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return _base64url(key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


class StandIn:
    """A provider's process; used as a context, it runs and then has ended."""

    def __init__(self, folder: Path, kind: Kind, *, is_stalled: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        authority = DevelopmentCA(folder, time.time())
        self.ca_file = authority.path
        issued = authority.issue(["127.0.0.1"])
        self._command = [
            *(sys.executable, "-m", "benchmarks.stub"),
            *(str(issued.certificate), str(issued.key), kind.alpn),
            *(["stalled"] if is_stalled else []),
        ]
        self.base_url = ""

    def __enter__(self) -> "StandIn":
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        port = self._process.stdout.readline().strip()
        if not port:
            self.__exit__()
            raise ServerError("a stand-in for a provider does not start")
        self.base_url = f"https://127.0.0.1:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def came(self) -> Sequence[tuple[int, float]]:
        """Numbers of devices that were pushed since the last call, and when."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("report\n")
        self._process.stdin.flush()
        found: list[tuple[int, float]] = json.loads(self._process.stdout.readline())
        return found


def backend(folder: Path, kind: Kind, host: str, stand_in: StandIn | None) -> str:
    """The lines of a backend in the configuration, for devices that register at `host`."""
    options: dict[str, Any] = {
        "type": kind.type,
        "register_host": host,
        "pubsub_host": host,
        "base_url": stand_in.base_url if stand_in is not None else NOWHERE,
    }
    if stand_in is not None:
        options["ca_file"] = str(stand_in.ca_file)
    folder.mkdir(parents=True, exist_ok=True)
    options |= _own(folder, kind, options["base_url"])
    return f"    - {json.dumps(options)}\n"


def _own(folder: Path, kind: Kind, url: str) -> dict[str, Any]:
    """What a provider has besides, its files made."""
    match kind.type:
        case "apns":
            key = folder / "AuthKey_BENCHBENCH.p8"
            made = ec.generate_private_key(ec.SECP256R1())
            key.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            key.chmod(0o600)
            return {"key_file": str(key), "team_id": "BENCHBENCH", "topic": "example.bench"}
        case "fcm":
            account = folder / "account.json"
            text = json.dumps(ServiceAccount.made_up("bench").as_file(url))
            account.write_text(text)
            account.chmod(0o600)
            return {"service_account": str(account)}
        case "webpush" | "unifiedpush":
            # All devices are at one host here, and it takes what there is.
            return {"sub": "mailto:bench@example.net", "requests_per_host": 0}
        case "webhook":
            return {"url": f"{url}/push", "secret": f"whsec_{'A' * 32}"}
        case "wns":
            sid = "ms-app://s-1-15-2-1-2-3"
            return {"package_sid": sid, "auth_key": "bench", "token_uri": f"{url}/token"}
    return {}
