"""Stand-ins behind real TLS."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet import reactor as the_reactor
from twisted.trial.unittest import TestCase

from pushd.net import http2_origin
from pushd.net.certificates import DevelopmentCA
from pushd.simulators.tls import server_options
from tests.patience import LONGEST
from tests.support import AGES

reactor: Any = the_reactor


class OverTLS(TestCase):
    """An authority, a certificate that it issued, and stand-ins that end with the test."""

    timeout = LONGEST
    names: tuple[str, ...] = ("127.0.0.1",)  # for which the certificate is

    def setUp(self) -> None:
        # However long this machine takes, it is no reason for another connection.
        self.patch(http2_origin, "CROWDED_FOR", AGES)  # type: ignore[no-untyped-call]
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        ca = DevelopmentCA(self.folder / "ca", time.time())
        self.ca, self.files = ca.path, ca.issue(list(self.names), "server")

    def put_on(self, simulator: Any, factory: Any = None, options: Any = None) -> str:
        """Have a stand-in listen, by its own door unless another is given; gives its address."""
        options = options or server_options(self.files.certificate, self.files.key)
        port = reactor.listenSSL(0, factory or simulator.door(), options, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.addCleanup(simulator.close)
        simulator.base_url = f"https://127.0.0.1:{port.getHost().port}"
        return str(simulator.base_url)
