"""The way out: files that change under it, and what is kept of hosts."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.logger import capturedLogs

from pushd.config.proxies import Proxy
from pushd.net.certificates import DevelopmentCA
from pushd.net.http import Road
from pushd.net.outward import REMEMBERED, Outward
from pushd.net.proxy import Tunnel
from tests.unit.net.web_house import client_certificate


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    return DevelopmentCA(tmp_path / "ca", time.time()).path


def contexts(outward: Outward, *hosts: str) -> list[Any]:
    return [outward.tls(host, (b"h2",)) for host in hosts]


def touch(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 10**9))


def test_a_hosts_context_is_made_once(ca: Path) -> None:
    outward = Outward(reactor, Road(ca))
    one, other, again = contexts(outward, "a.example", "b.example", "a.example")
    assert one is again
    assert one is not other


def test_no_more_contexts_are_kept_than_a_limit(ca: Path) -> None:
    outward = Outward(reactor, Road(ca))
    contexts(outward, *(f"{number}.example" for number in range(REMEMBERED + 5)))
    assert len(outward._options) == REMEMBERED


def test_files_that_have_changed_count_for_what_is_opened_later(ca: Path, tmp_path: Path) -> None:
    mine = client_certificate(tmp_path, "mine")
    outward = Outward(reactor, Road(ca, mine.certificate, mine.key))
    (before,) = contexts(outward, "a.example")
    new = client_certificate(tmp_path, "new")
    touch(mine.key, new.key.read_bytes())
    touch(mine.certificate, new.certificate.read_bytes())
    (after,) = contexts(outward, "a.example")
    assert before is not after
    subject = outward._given[1]["certificate"].subject.rfc4514_string()
    assert subject == "CN=new"


def test_files_of_no_use_leave_what_was_there_before(ca: Path, tmp_path: Path) -> None:
    mine = client_certificate(tmp_path, "mine")
    outward = Outward(reactor, Road(ca, mine.certificate, mine.key))
    (before,) = contexts(outward, "a.example")
    mine.key.unlink()
    with capturedLogs() as logs:
        (after,) = contexts(outward, "a.example")
        contexts(outward, "a.example")
    assert before is after
    assert len(logs) == 1


def test_a_proxy_is_the_way_for_any_scheme() -> None:
    outward = Outward(reactor, Road(proxy=Proxy("proxy.example.net", 3128)))
    assert isinstance(outward.endpoint("http", "a.example", 80), Tunnel)
