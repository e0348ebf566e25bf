"""What TLS shows at the doors: a store of certificates for each kind, and the handshakes of all."""

from typing import Any

from pushd import measures
from pushd.config.sections import Config
from pushd.net.handshakes import Handshakes
from pushd.net.tls import CertificateStore


class Certificates:
    """The certificates of the domains, as clients and as other servers see them."""

    def __init__(self, reactor: Any, config: Config) -> None:
        self._reactor = reactor
        self._config = config
        self._handshakes = Handshakes(reactor, config.limits.tls_handshake_timeout)
        self._stores: list[CertificateStore] = []

    def for_clients(self) -> CertificateStore | None:
        """None without files: clients then come without TLS. Raises what CertificateStore does."""
        files = measures.certificate_files(self._config)
        return self._kept(CertificateStore(files, handshakes=self._handshakes)) if files else None

    def for_servers(self) -> CertificateStore:
        """They are asked for theirs. Raises what CertificateStore does."""
        from pushd.net.mutual import ALPN, ask_for_certificates

        files = measures.certificate_files(self._config)
        return self._kept(CertificateStore(files, ALPN, self._handshakes, ask_for_certificates))

    def _kept(self, store: CertificateStore) -> CertificateStore:
        self._stores.append(store)
        return store

    def replace(self, config: Config) -> None:
        """Use this configuration's files. Raises CertificateError, and changes nothing."""
        for store in self._stores:
            store.replace(measures.certificate_files(config))

    def limit(self, config: Config) -> None:
        """Handshakes may take as long as this configuration says."""
        self._handshakes.timeout = config.limits.tls_handshake_timeout

    def watch(self) -> None:
        """Look at the files from time to time, until `unwatch`."""
        for store in self._stores:
            store.watch(self._reactor)

    def unwatch(self) -> None:
        for store in self._stores:
            store.unwatch()
