"""A house that lets nobody out but through its proxy."""

import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.patience import PATIENCE
from tests.scenarios.house import House, opened
from tests.scenarios.peers import until

USER, PASSWORD = "jo", "a password for the proxy"
BASIC = b64encode(f"{USER}:{PASSWORD}".encode())


class Proxy:
    """Opens tunnels for who knows the password, and remembers what it was asked."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.is_strict = False  # takes no password
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(
                    target=self._tunnel, args=(self._listener.accept()[0],), daemon=True
                ).start()

    def _tunnel(self, client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            said = client.recv(1000)
            if not said:
                return
            head += said
        self.heads.append(head)
        if self.is_strict or BASIC not in head:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            client.close()
            return
        host, port = head.split()[1].decode().split(":")
        target = socket.create_connection((host, int(port)), PATIENCE)
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self._open += [client, target]
        threading.Thread(target=self._pass_on, args=(target, client), daemon=True).start()
        self._pass_on(client, target)

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Break every tunnel off."""
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut()
        self._listener.close()


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    proxy = Proxy()
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, proxy: Proxy) -> Iterator[House]:
    url = f"http://{USER}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{proxy.port}"
    yield from opened(tmp_path_factory, app_server={"proxy": url, "backends": [{}]})


def test_a_push_goes_through_the_proxy(house: House, proxy: Proxy) -> None:
    phone = house.phone()
    phone.enable_registered("behind")
    phone.cut()
    house.friend().message(phone.account, "hello")

    assert [one["status"] for one in house.pushes("behind", wait=PATIENCE)] == [200]
    place = house.stand_ins["fcm"]["url"].removeprefix("https://")
    # The token's request and the push share a connection.
    asked = [head.split(b"\r\n")[0].decode() for head in proxy.heads]
    assert asked == [f"CONNECT {place} HTTP/1.1"]


def test_a_probe_goes_through_the_proxy_too(house: House, proxy: Proxy) -> None:
    done = house.operator.pushdctl("-c", "pushd.yml", "push", "probe")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"connected, through the proxy 127.0.0.1:{proxy.port}" in done.stdout
    assert PASSWORD not in done.stdout


def test_a_proxy_that_refuses_is_an_alarm_that_names_it(house: House, proxy: Proxy) -> None:
    proxy.is_strict = True
    proxy.cut()
    phone = house.phone()
    phone.enable_registered("locked-in")
    phone.cut()
    house.friend().message(phone.account, "hello")

    def told() -> str:
        status = house.operator.pushdctl("--config", "pushd.yml", "status")
        return status.stdout if "proxy" in status.stdout else ""

    status = until(told, "alarm of the proxy")
    assert f"the proxy 127.0.0.1:{proxy.port} does not take our user name and password" in status
    assert house.pushes("locked-in") == []


def test_a_probe_tells_that_the_proxy_refuses(house: House, proxy: Proxy) -> None:
    done = house.operator.pushdctl("-c", "pushd.yml", "push", "probe")
    assert done.returncode == 1, done.stdout + done.stderr
    words = f"the proxy 127.0.0.1:{proxy.port} does not take our user name and password (HTTP 407)"
    assert f"FAIL  connection  {words}" in done.stdout
    assert PASSWORD not in done.stdout


def test_the_password_is_told_to_nobody_else(house: House) -> None:
    files = [house.events_file, *house.folder.glob("*.log")]
    written = [file.read_text(errors="replace") for file in files]
    said = [run.out + run.err for run in house.operator.runs]
    for text in [*written, *said]:
        assert PASSWORD not in text
        assert BASIC.decode() not in text
