"""The way out of the house: which certificates are trusted, who we are, through which proxy."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import (
    IHostnameResolver,
    IOpenSSLClientConnectionCreator,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.ssl import optionsForClientTLS, platformTrust, trustRootFromCertificates
from twisted.logger import Logger
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from pushd.config.checks import key_fault, load_key, read_file, state_of
from pushd.net.bounded import Bound
from pushd.net.http import CONNECT_TIMEOUT, Road, authorities
from pushd.net.proxy import Tunnel
from pushd.net.public import PublicOnly, may_be_public
from pushd.net.spread import Spreading

log = Logger()

STRANGERS = 500  # connections at a time to all the hosts that strangers name
REMEMBERED = 20  # hosts whose TLS context is kept: to make one reads all trusted certificates

State = tuple[tuple[int, int, int], ...]


@implementer(IAgentEndpointFactory)
class Outward:
    """Makes endpoints for a road. Raises ValueError when one of its files is of no use.

    Files that change later count for connections made later; while they are of no use, what
    they held last does.
    """

    def __init__(self, reactor: Any, road: Road) -> None:
        is_judged = road.is_public and road.proxy is None
        self._reactor = Spreading(PublicOnly(reactor) if is_judged else reactor)
        self.bound = Bound(STRANGERS)  # of a public road
        self._road = road
        self._files = [file for file in (road.ca_file, road.certificate, road.key) if file]
        self._state = self._look()
        self._given = _given(road)
        self._options: OrderedDict[
            tuple[str, tuple[bytes, ...]], IOpenSSLClientConnectionCreator
        ] = OrderedDict()

    def endpoint(
        self, scheme: str, host: str, port: int, alpn: tuple[bytes, ...] = ()
    ) -> IStreamClientEndpoint:
        """Names are looked up whenever it connects. TLS, unless the scheme is http."""
        way = self.way(host, port)
        if self._road.is_public:
            way = self.bound.on(way)
        if scheme == "http":
            return way
        tls: IStreamClientEndpoint = wrapClientTLS(self.tls(host, alpn), way)
        return tls

    @property
    def names(self) -> IHostnameResolver:
        """What looks up the hosts of its ways, and leaves out addresses that are not to be."""
        found: IHostnameResolver = self._reactor.nameResolver
        return found

    def way(self, host: str, port: int) -> IStreamClientEndpoint:
        """A connection as such, without TLS."""
        road = self._road
        if road.is_public and not may_be_public(host):
            return _Nowhere()
        if road.proxy is not None:  # which looks names up, and decides where they may lead
            return Tunnel(self._reactor, road.proxy, host, port)
        return HostnameEndpoint(self._reactor, host, port, CONNECT_TIMEOUT)

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """For HTTP/1.1."""
        return self.endpoint(uri.scheme.decode(), uri.host.decode(), uri.port)

    def tls(self, host: str, alpn: tuple[bytes, ...]) -> IOpenSSLClientConnectionCreator:
        """How to encrypt, and whom to believe that it is that host."""
        self._read_again()
        options = self._options.get((host, alpn))
        if options is None:
            trust, extra = self._given
            options = optionsForClientTLS(
                host, trust, acceptableProtocols=alpn or None, extraCertificateOptions=dict(extra)
            )
            if len(self._options) >= REMEMBERED:
                self._options.popitem(last=False)
            self._options[host, alpn] = options
        return options

    def _read_again(self) -> None:
        """Have the files changed?"""
        state = self._look()
        if state == self._state:
            return
        self._state = state
        try:
            self._given = _given(self._road)
        except ValueError as error:
            log.error("{error}: what was there before stays in use", error=str(error))
        else:
            self._options.clear()

    def _look(self) -> State:
        found = []
        for file in self._files:
            try:
                found.append(state_of(file))
            except OSError:
                found.append((0, 0, 0))
        return tuple(found)


@implementer(IStreamClientEndpoint)
class _Nowhere:
    """A host that is not to be connected to: as if it had no address."""

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:  # noqa: N803
        return fail(DNSLookupError())


def _given(road: Road) -> tuple[Any, dict[str, Any]]:
    """What TLS is made with: whom to trust, and who we are."""
    trust = platformTrust()
    if road.ca_file is not None:
        trust = trustRootFromCertificates(authorities(road.ca_file))
    if road.certificate is None:
        return trust, {}
    return trust, identity(road.certificate, road.key or road.certificate)


def identity(certificate: Path, key: Path) -> dict[str, Any]:
    """A certificate, those that issued it, and its key, in the words of CertificateOptions.

    Raises ValueError naming the file and what is wrong.
    """
    from cryptography.x509 import load_pem_x509_certificates

    authorities(certificate)  # says what is wrong with it
    chain = load_pem_x509_certificates(read_file(certificate))
    try:
        data = read_file(key)
    except OSError as error:
        raise ValueError(f"{key}: {error.strerror}") from None
    fault = key_fault(chain[0], data)
    if fault:
        raise ValueError(f"{key}, {fault}")
    return {"certificate": chain[0], "privateKey": load_key(data), "extraCertChain": chain[1:]}
