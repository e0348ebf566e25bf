"""What sections mean for each other: what no option can tell alone."""

import stat
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from itertools import combinations
from pathlib import Path
from typing import Any

from pushd.config import checks
from pushd.config.document import MapNode, Node
from pushd.config.files import fits_socket
from pushd.config.kinds import Domain, Reading, quoted
from pushd.config.reader import pairs
from pushd.config.sections import (
    AppServer,
    Attached,
    Component,
    Listen,
    Push,
    ServerToServer,
    Sessions,
    VirtualHost,
)


def apply(values: Mapping[str, Any], root: MapNode, reading: Reading, now: float) -> None:
    """Check what `values` has, by name of section; those that could not be read are absent.

    `now`, in seconds since the epoch, is what certificates are judged by.
    """
    rules = Rules(root, reading, datetime.fromtimestamp(now, UTC))
    for rule, names in (
        (rules.endpoints, ("listen", "s2s")),
        (rules.metrics, ("listen",)),
        (rules.admin_socket, ("listen", "data")),
        (rules.domains, ("domains", "listen", "component")),
        (rules.components, ("components", "domains", "listen")),
        (rules.app_server, ("app_server", "components")),
        (rules.component, ("component", "components", "domains", "app_server")),
        (rules.sessions, ("sessions",)),
        (rules.hold, ("sessions", "push")),
        (rules.s2s, ("s2s", "domains", "components")),
        (rules.push_hosts, ("s2s", "domains", "app_server")),
    ):
        if all(name in values for name in names):
            rule(*(values[name] for name in names))


class Rules:
    """Each rule reads some sections and reports what does not fit."""

    def __init__(self, root: MapNode, reading: Reading, now: datetime) -> None:
        self._root = root
        self._reading = reading
        self._now = now

    def endpoints(self, listen: Listen, s2s: ServerToServer | None) -> None:
        """No two listeners take the same port."""
        doors = [("listen", door) for door in ("client", "client_tls", "component", "metrics")]
        named = [(door, endpoint) for door in doors for endpoint in getattr(listen, door[1])]
        for name in ("listen", "listen_tls") if s2s is not None else ():
            named += [(("s2s", name), endpoint) for endpoint in getattr(s2s, name)]
        for (door, one), (other_door, other) in combinations(named, 2):
            if one.overlaps(other):
                found = f"{quoted(str(other))}, while {'.'.join(door)} has {quoted(str(one))}"
                self._refuse(self._root.at(*other_door), found, "another port")
        for endpoint in listen.component:
            if not endpoint.is_loopback:
                text = f"{endpoint}: component streams have no TLS, and this is no loopback address"
                self._reading.warn(self._root.at("listen", "component"), text)

    def metrics(self, listen: Listen) -> None:
        """Who reaches the metrics may read them."""
        for endpoint in listen.metrics:
            if not endpoint.is_loopback and not listen.metrics_for_all:
                self._refuse(
                    self._root.at("listen", "metrics"),
                    f"{quoted(str(endpoint))}, where others may reach it",
                    "a loopback address such as 127.0.0.1:5270, or metrics_for_all: true",
                )

    def admin_socket(self, listen: Listen, data: Path) -> None:
        """The default path fits into a socket's address, too."""
        path = data / "pushd.sock"
        if listen.admin is None and not fits_socket(path):
            self._refuse(
                self._root.at("listen", "admin"),
                f"{quoted(str(path))}, too long a path for a socket",
                "a path of at most 100 bytes",
            )

    def domains(
        self, domains: Mapping[str, VirtualHost], listen: Listen, component: Attached | None
    ) -> None:
        """Each domain has a certificate, unless nobody from outside can connect."""
        if not domains and component is None:
            self._refuse(
                self._root.at("domains"),
                "no domain",
                "one at least, such as example.net, or component: to serve another server",
            )
        is_private = all(endpoint.is_loopback for endpoint in (*listen.client, *listen.client_tls))
        for domain, host in domains.items():
            name, entries = self._named("domains", domain)
            if host.certificate:
                self._certificate(domain, host, host.certificate, entries)
            elif host.key:
                self._refuse(
                    name, "a key without a certificate", "the certificate of this key, too"
                )
            elif is_private:
                text = "no certificate, so no TLS; this is for listeners on loopback addresses only"
                self._reading.warn(name, text)
            else:
                self._refuse(
                    name,
                    "no certificate",
                    "certificate: and key: with the paths of PEM files, or listeners on loopback"
                    " addresses alone",
                )

    def _certificate(self, domain: str, host: VirtualHost, path: Path, entries: Node) -> None:
        """Certificate and key can be read, belong together and are good for the domain."""
        node = entries.at("certificate") if isinstance(entries, MapNode) else entries
        certificate = checks.load_certificate(_content(path))
        if certificate is None:
            found = f"{quoted(str(path))}, which holds no certificate (PEM)"
            self._refuse(node, found, f"a certificate for {domain}")
            return
        fault = checks.certificate_fault(certificate, domain, self._now)
        if fault:
            found = f"{quoted(str(path))}, {fault}"
            self._refuse(node, found, f"a certificate for {domain} that is valid now")
        elif checks.expires_soon(certificate, self._now):
            text = f"the certificate expires on {certificate.not_valid_after_utc:%Y-%m-%d}"
            self._reading.warn(node, text)
        key_path = host.key or path
        key_node = entries.at("key") if host.key and isinstance(entries, MapNode) else node
        fault = checks.key_fault(certificate, _content(key_path))
        if fault:
            self._refuse(key_node, f"{quoted(str(key_path))}, {fault}", "the certificate's own key")
        if key_path.stat().st_mode & stat.S_IROTH:
            self._reading.warn(key_node, "every user of this machine may read the key")

    def components(
        self,
        components: Mapping[str, Component],
        domains: Mapping[str, VirtualHost],
        listen: Listen,
    ) -> None:
        """A component has a domain of its own and a door to come in by."""
        for domain in components:
            if domain in domains:
                found = "a domain that the server serves itself"
                self._refuse(self._named("components", domain)[0], found, "another domain")
        if components and not listen.component:
            text = "no component can connect: listen.component names no endpoint"
            self._reading.warn(self._root.at("components"), text)

    def app_server(self, app_server: AppServer, components: Mapping[str, Component]) -> None:
        """Backends can be told apart, and their hosts are not a component's."""
        backends = app_server.backends
        apps = Counter((b.register_host, b.type, b.app_name) for b in backends)
        for (host, provider, app), count in apps.items():
            if count > 1:
                self._refuse(
                    self._root.at("app_server", "backends"),
                    f"{count} backends of type {provider} for the app {quoted(app)} on {host}",
                    "another app_name for each",
                )
        self._names(app_server)
        for host in {h for b in backends for h in (b.register_host, b.pubsub_host)}:
            if host in components:
                found = "a domain that is a host of the app server, too"
                self._refuse(self._named("components", host)[0], found, "another domain")

    def _names(self, app_server: AppServer) -> None:
        """What dialects call an app, they call one app of a pubsub_host."""
        for option in ("push_modules", "tigase_providers"):
            named = Counter(
                (one.pubsub_host, name)
                for one in app_server.backends
                for name in set(getattr(one, option))
            )
            for (host, name), count in named.items():
                if count > 1:
                    self._refuse(
                        self._root.at("app_server", "backends"),
                        f"{count} backends with {quoted(name)} among their {option} at {host}",
                        "another name for each",
                    )

    def component(
        self,
        component: Attached | None,
        components: Mapping[str, Component],
        domains: Mapping[str, VirtualHost],
        app_server: AppServer,
    ) -> None:
        """Being a component has a name of its own, and nothing but that name to serve at."""
        if component is None:
            return
        node = self._root.at("component", "domain")
        if component.domain in domains or component.domain in components:
            self._refuse(node, f"{component.domain}, which is served here", "a name of its own")
        hosts = {h for b in app_server.backends for h in (b.register_host, b.pubsub_host)}
        if component.domain not in hosts:
            remedy = f"register_host: and pubsub_host: {component.domain} in a backend"
            self._refuse(node, "a name at which no backend is served", remedy)
        for host in sorted(hosts - {component.domain}) if not domains else ():
            self._refuse(
                self._root.at("app_server", "backends"),
                f"the host {host}, which nobody can reach",
                f"{component.domain}, the name of the component",
            )
        if not _is_loopback(component.host):
            text = (
                f"{component.host}: component streams have no TLS, and this is no loopback address"
            )
            self._reading.warn(self._root.at("component", "host"), text)

    def sessions(self, sessions: Sessions) -> None:
        if sessions.resume_timeout == 0:
            text = "no session can be resumed, and this switches push off, too"
            self._reading.warn(self._root.at("sessions", "resume_timeout"), text)

    def hold(self, sessions: Sessions, push: Push) -> None:
        """Push never shortens what every client is promised."""
        if push.hold < sessions.resume_timeout and push.hold != Push().hold:
            promised = f"{sessions.resume_timeout:.0f} s"
            text = f"without effect: sessions are held for {promised} (sessions.resume_timeout)"
            self._reading.warn(self._root.at("push", "hold"), text)

    def s2s(
        self,
        s2s: ServerToServer | None,
        domains: Mapping[str, VirtualHost],
        components: Mapping[str, Component],
    ) -> None:
        """Between servers there is nothing without TLS, and a domain has one server."""
        if s2s is None:
            return
        if not domains:
            found = "a section, while no domain is served"
            self._refuse(self._root.at("s2s"), found, "domains of ours, or no section s2s")
        for domain, host in domains.items():
            if not host.certificate:
                found = "no certificate, while s2s is on"
                remedy = "certificate: and key: with the paths of PEM files, or no section s2s"
                self._refuse(self._named("domains", domain)[0], found, remedy)
        for domain in s2s.domains:
            if domain in domains or domain in components:
                node = next(
                    name
                    for name, _ in pairs(self._root.at("s2s", "domains"), self._reading, "")
                    if Domain().parse(name.text) == domain
                )
                self._refuse(node, "a domain that is served here", "a domain of others")

    def push_hosts(
        self,
        s2s: ServerToServer | None,
        domains: Mapping[str, VirtualHost],
        app_server: AppServer,
    ) -> None:
        """Other servers want a certificate for whom they publish to."""
        if s2s is None or app_server.access_backends == "local":
            return
        paths = [host.certificate for host in domains.values() if host.certificate]
        found = [checks.load_certificate(_content(path)) for path in paths]
        certificates = [one for one in found if one is not None]
        hosts = {h for b in app_server.backends for h in (b.register_host, b.pubsub_host)}
        for host in sorted(hosts - domains.keys()):
            if not any(checks.covers(one, host) for one in certificates):
                self._reading.warn(
                    self._root.at("app_server", "backends"),
                    f"no certificate of ours is for {host}, so servers of others do not publish"
                    " there; access_backends: local says that none is expected to",
                )

    def _named(self, section: str, name: str) -> tuple[Node, Node]:
        """The nodes of a domain's name and value, however the name is spelt there."""
        found = pairs(self._root.at(section), self._reading, "")
        return next((n, value) for n, value in found if Domain().parse(n.text) == name)

    def _refuse(self, node: Node, found: str, remedy: str) -> None:
        self._reading.report.refuse(node.mark, node.key, found, remedy)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _content(path: Path) -> bytes:
    try:
        return checks.read_file(path)
    except OSError:
        return b""
