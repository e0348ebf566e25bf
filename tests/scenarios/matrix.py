"""A server of ours among those of another make, with domains for each kind of certificate.

Both sides have users at domains that are named for what is tried there, such as
`expired.direct.dialback.theirs.example`: how its certificate is, by which kind of record it is
found, and what the other side demands of it. Both ask the same name server.
"""

import base64
import itertools
import json
import ssl
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import servers
from benchmarks.accounts import Population
from benchmarks.ports import free_port
from benchmarks.processes import Server, a_core
from pushd.config.sections import Dialects
from pushd.wire.element import Element
from pushd.wire.namespaces import NS_SASL
from pushd.wire.secret import Secret
from tests.papers import SERVER, Office, Paper
from tests.patience import PATIENCE
from tests.scenarios.fcm import Fcm
from tests.scenarios.neighbours import PASSWORD, Neighbour
from tests.scenarios.peers import Phone, Service, until
from tests.scenarios.raw import Raw
from tests.scenarios.test_starting import free_port as free_place
from tests.scenarios.tongues import MODULE
from tests.scenarios.zone import Zone

OURS, THEIRS = "ours.example", "theirs.example"
USER = "user"
HOST = "localhost"  # where all are; ejabberd asks the system for it
_numbers = itertools.count(1)

# By what a certificate is, and whether it speaks for its domain.
PAPERS: dict[str, Callable[[Office, str], Paper]] = {
    "good": lambda office, domain: office.issue(domain, f"push.{domain}"),
    "wildcard": lambda office, domain: office.issue(f"*.{domain.partition('.')[2]}"),
    "server-only": lambda office, domain: office.issue(domain, purposes=(SERVER,)),
    "expired": lambda office, domain: office.issue(domain, days=-1),
    "self-signed": lambda office, domain: office.issue(domain, itself=True),
    "wrong-name": lambda office, domain: office.issue("somebody.example"),
    "cn-only": lambda office, domain: office.issue(cn=domain),
}
VALID = ("good", "wildcard", "server-only")
# We do not start with any of the others.
OUR_PAPERS = (*VALID, "self-signed")
TRANSPORTS = {"starttls": "", "direct": "s"}  # and the kind of their records
POLICIES = ("require", "dialback")


def their(paper: str, transport: str, policy: str) -> str:
    return _named(paper, transport, policy, THEIRS)


def our(paper: str, transport: str, policy: str) -> str:
    return _named(paper, transport, policy, OURS)


def _named(paper: str, transport: str, policy: str, side: str) -> str:
    first = "any." if paper == "wildcard" else ""  # it covers none of the others
    return f"{first}{paper}.{transport}.{policy}.{side}"


def _parts(domain: str) -> tuple[str, str, str]:
    """The paper, the transport and the policy that a domain is named for."""
    paper, transport, policy = domain.split(".")[-5:-2]
    return paper, transport, policy


SERVICE = f"push.{their('good', 'starttls', 'require')}"  # a component there
COMPONENT_SECRET = Secret("the secret of a component")
REGISTRATIONS = 2  # that a domain of theirs may have here
# ejabberd's.
MODULES = (
    *("adhoc", "client_state", "disco", "offline", "ping", "push", "push_keepalive", "roster"),
    "stream_mgmt",
)
# With good certificates, for each of ours one: several would share a stream (XEP-0220 §2.6).
FOR_OURS = tuple(f"for-{one}" for one in OUR_PAPERS)
THEIR_DOMAINS = tuple(
    their(*each) for each in itertools.product((*PAPERS, *FOR_OURS), TRANSPORTS, POLICIES)
)
OUR_DOMAINS = tuple(our(*each) for each in itertools.product(OUR_PAPERS, TRANSPORTS, POLICIES))


def _paper(office: Office, domain: str) -> Paper:
    return PAPERS.get(_parts(domain)[0], PAPERS["good"])(office, domain)


class Prosody(servers.Prosody):
    """With all the domains, and a name server of the test's own.

    Without bidirectional streams: else the one way would be proved by the other.
    """

    bears = 3  # refusals of a push service in a row, instead of 16; then it is done with it
    papers: dict[str, Paper]
    authority: Path
    name_server: int

    @classmethod
    def is_installed(cls) -> bool:
        """With what asks a name server at another port than 53, which Debian recommends only."""
        return super().is_installed() and any(Path("/usr/lib").glob("*/lua/5.*/lunbound.so"))

    def configure(self) -> None:
        self.s2s_port, self.direct_port = free_port(), free_port()
        demanding = ", ".join(f'"{one}"' for one in OUR_DOMAINS if _parts(one)[2] == "require")
        hosts = "".join(
            f"""\
VirtualHost "{domain}"
    ssl = {self._tls_of(paper)}
    s2s_direct_tls_ssl = {self._tls_of(paper)}
"""
            for domain, paper in self.papers.items()
        )
        self._file.write_text(f"""\
run_as_root = true
prosody_user = "{servers._user_name()}"
prosody_group = "{servers._user_name()}"
pidfile = "{self.folder / "prosody.pid"}"
data_path = "{self.folder / "data"}"
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {self.port} }}
c2s_direct_tls_ports = {{ }}
s2s_ports = {{ {self.s2s_port} }}
s2s_direct_tls_ports = {{ {self.direct_port} }}
modules_enabled = {{ "disco", "roster", "saslauth", "tls", "dialback", "smacks", "ping",
    "offline", "cloud_notify" }}
allow_unencrypted_plain_auth = true
c2s_require_encryption = false
s2s_require_encryption = true
s2s_secure_auth = false
s2s_secure_domains = {{ {demanding} }}
use_ipv6 = false
push_max_errors = {self.bears}
authentication = "internal_plain"
unbound = {{
    resolvconf = false, hoststxt = false, forward = "127.0.0.1@{self.name_server}",
    options = {{ ["do-not-query-localhost:"] = "no", ["module-config:"] = "iterator" }},
}}
log = {{ warn = "{self.folder / "prosody.log"}" }}
component_ports = {{ {self.component_port} }}
{hosts}
Component "{SERVICE}"
    component_secret = "{COMPONENT_SECRET.reveal()}"
""")

    def _tls_of(self, paper: Paper) -> str:
        return f"""{{
        certificate = "{paper.certificate}", key = "{paper.key}", cafile = "{self.authority}",
        capath = "/nonexistent", verifyext = {{ "lsec_ignore_purpose" }},
    }}"""

    def populate(self, population: Population) -> None:
        for domain in self.papers:
            name = domain.replace(".", "%2e").replace("-", "%2d")
            folder = self.folder / "data" / name / "accounts"
            folder.mkdir(parents=True)
            words = f'return {{ ["password"] = "{PASSWORD.reveal()}" }};\n'
            (folder / f"{USER}.dat").write_text(words)


class Ejabberd(servers.Ejabberd):
    """The same. A domain that demands certificates has no dialback there."""

    bears = 1
    papers: dict[str, Paper]
    authority: Path
    name_server: int

    def configure(self) -> None:
        super().configure()
        self.s2s_port, self.direct_port = free_port(), free_port()
        files = []
        for number, (domain, paper) in enumerate(self.papers.items()):
            # What no file is for shows any of them, and so another domain's.
            if not domain.startswith("wrong-name"):
                pem = self.folder / f"paper-{number}.pem"
                pem.write_bytes(paper.certificate.read_bytes() + paper.key.read_bytes())
                files.append(str(pem))
        lenient = [one for one in self.papers if _parts(one)[2] == "dialback"]
        settings = {
            "hosts": list(self.papers),
            "loglevel": "warning",
            "certfiles": files,
            "ca_file": str(self.authority),
            "s2s_cafile": str(self.authority),
            "s2s_use_starttls": "required",
            "outgoing_s2s_families": ["ipv4"],
            "auth_password_format": "plain",
            "api_permissions": {
                "console commands": {"from": ["ejabberd_ctl"], "who": "all", "what": "*"}
            },
            "listen": [
                {"port": self.port, "ip": "127.0.0.1", "module": "ejabberd_c2s"},
                {"port": self.s2s_port, "ip": "127.0.0.1", "module": "ejabberd_s2s_in"},
                {
                    "port": self.direct_port,
                    "ip": "127.0.0.1",
                    "module": "ejabberd_s2s_in",
                    "tls": True,
                },
                {
                    "port": self.component_port,
                    "ip": "127.0.0.1",
                    "module": "ejabberd_service",
                    "access": "all",
                    "hosts": {SERVICE: {"password": COMPONENT_SECRET.reveal()}},
                },
            ],
            "modules": {f"mod_{name}": {} for name in MODULES},
            "append_host_config": {
                domain: {"modules": {"mod_s2s_dialback": {}}} for domain in lenient
            },
        }
        (self.folder / "ejabberd.yml").write_text(json.dumps(settings))
        # Else it would read the system's own file again, and forget these.
        (self.folder / "inetrc").write_text(
            '{resolv_conf, ""}.\n{lookup, [file, dns]}.\n'
            f"{{nameserver, {{127,0,0,1}}, {self.name_server}}}.\n"
        )

    def populate(self, population: Population) -> None:
        """Its accounts are made once it runs."""

    def start(self) -> None:
        super().start()
        user = f"<user name='{USER}' password='{PASSWORD.reveal()}'/>"
        hosts = "".join(f"<host jid='{domain}'>{user}</host>" for domain in self.papers)
        document = self.folder / "accounts.xml"
        document.write_text(f"<server-data xmlns='urn:xmpp:pie:0'>{hosts}</server-data>")
        self.run(*self._control, "import_piefxis", str(document))


class Blind(Raw):
    """It does not look at the certificate."""

    def start_tls(self, ca: Path, name: str = "localhost") -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._socket = context.wrap_socket(self._socket, server_hostname=name)


class Native(Phone):
    """A user of ours."""

    def connect(self) -> None:
        place = self.house.ready["c2s_tls"]
        domain = self.account.partition("@")[2]
        raw = Blind((place["host"], place["port"]), self.house.authority, domain, PATIENCE)
        self._log_in(raw, domain)

    def _log_in(self, raw: Raw, domain: str) -> None:
        raw.open(domain)
        proof = base64.b64encode(f"\0{USER}\0{PASSWORD.reveal()}".encode()).decode()
        raw.send(f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>{proof}</auth>")
        raw.read_until(rb"<success[^>]*>(</success>)?")
        self._begin(raw, raw.open(domain))
        self.unread.clear()


class Stranger(Native):
    """A user of theirs."""

    house: Any

    @property
    def domain(self) -> str:
        return self.account.partition("@")[2]

    def connect(self) -> None:
        raw = Raw(("127.0.0.1", self.house.theirs.port), timeout=PATIENCE)
        self._log_in(raw, self.domain)

    def lose(self) -> None:
        """The connection breaks; their server says nothing of it."""
        self.raw.reset()

    def leave(self) -> None:
        """The session ends, and what comes is stored."""
        self.raw.send("</stream:stream>")
        self.raw.read_to_end()

    def settled(self) -> None:
        self.ask("<query xmlns='http://jabber.org/protocol/disco#info'/>", self.domain, "get")


class Matrix:
    """Both servers, running."""

    def __init__(self, folder: Path, kind: type[Any]) -> None:
        self.zone = Zone()
        self.zone.address(HOST, "127.0.0.1")
        office = Office(folder / "office")
        self.fcm = Fcm(folder)
        self._phones: dict[str, Phone] = {}
        self._service: Service | None = None
        self._unused = itertools.product(FOR_OURS, TRANSPORTS, POLICIES)
        self.theirs: Server = kind(folder / kind.name, a_core(), tls=False)
        theirs: Any = self.theirs
        self.bears: int = theirs.bears
        theirs.papers = {one: _paper(office, one) for one in THEIR_DOMAINS}
        theirs.authority, theirs.name_server = office.path, self.zone.port
        theirs.folder.mkdir()
        theirs.populate(Population())
        theirs.start()
        try:
            self.ours = self._ours(folder / "ours", office)
        except BaseException:
            theirs.end()
            self.fcm.close()
            raise
        for domain in THEIR_DOMAINS:
            self._record(domain, theirs.s2s_port, theirs.direct_port)
        for domain in OUR_DOMAINS:
            self._record(domain, _port(self.ours.place), _port(self.direct))
        self.zone.service(f"push.{self.ours.domain}", HOST, _port(self.ours.place))
        self.zone.service(SERVICE, HOST, theirs.s2s_port)
        self.ready = {"component": {"host": "127.0.0.1", "port": theirs.component_port}}

    def _ours(self, folder: Path, office: Office) -> Neighbour:
        folder.mkdir()
        ours = Neighbour(folder, our("good", "starttls", "require"), office.path)
        self.direct = free_place()
        papers = {one: _paper(office, one) for one in OUR_DOMAINS}
        ours._given = {
            "domains": {
                domain: {"certificate": str(paper.certificate), "key": str(paper.key)}
                for domain, paper in papers.items()
            },
            "app_server": {
                "backends": [
                    {
                        **self.fcm.backend(ours.domain, f"push.{ours.domain}"),
                        "push_modules": [MODULE],
                    }
                ],
                "dialects": asdict(Dialects.every()),
                "max_registrations_per_domain": REGISTRATIONS,
            },
        }
        ours.configure(
            [],
            papers[ours.domain].certificate,
            papers[ours.domain].key,
            listen_tls=[self.direct],
            name_servers=[f"127.0.0.1:{self.zone.port}"],
            domains={f"dialback.{THEIRS}": {"policy": "dialback"}},
        )
        ours.start()
        return ours

    def _record(self, domain: str, port: int, direct: int) -> None:
        kind = TRANSPORTS[_parts(domain)[1]]
        self.zone.service(domain, HOST, direct if kind else port, kind=kind)

    @property
    def service(self) -> Service:
        """A push service there."""
        if self._service is None:
            self._service = until(self._connected, "place for components")
        return self._service

    def _connected(self) -> Service | None:
        house: Any = self
        try:
            return Service(house, SERVICE, COMPONENT_SECRET)
        except ConnectionRefusedError:  # that port is the last to be there
            return None

    def close_service(self) -> None:
        """It goes, and their server has noticed."""
        self.service.raw.send("</stream:stream>")
        self.service.raw.read_to_end()
        self.service.close()
        self._service = None

    def phone(self, domain: str) -> Phone:
        """The user of a domain, who stays there."""
        if domain not in self._phones:
            account = f"{USER}@{domain}"
            if domain in OUR_DOMAINS:
                self.ours.operate("user-add", jid=account, password=PASSWORD.reveal())
                phone = Native(self.ours, account, "phone", PASSWORD)
            else:
                house: Any = self
                phone = Stranger(house, account, "phone", PASSWORD)
            phone.log_in()
            phone.say("<presence/>")
            phone.settled()
            phone.unread.clear()
            self._phones[domain] = phone
        return self._phones[domain]

    def stranger(self) -> "Stranger":
        """A user of theirs whom no other test has, resumable."""
        phone = self.phone(their(*next(self._unused)))
        assert isinstance(phone, Stranger)
        phone.manage()
        return phone

    def say(self, sender: str, receiver: str) -> Element | None:
        """One writes to the other; gives what arrives, or None if it comes back instead."""
        id = f"matrix-{next(_numbers)}"
        one, other = self.phone(sender), self.phone(receiver)
        one.say(f"<message to='{other.jid}' id='{id}' type='chat'><body>{id}</body></message>")

        def arrived() -> Element | None:
            for phone in (one, other):
                phone.settled()
                for stanza in phone.unread:
                    if stanza.getAttribute("id") == id:
                        return stanza
            return None

        found: Element = until(arrived, f"message from {sender} to {receiver}")
        for phone in (one, other):
            phone.unread.clear()
        return None if found.getAttribute("type") == "error" else found

    def has_given_up(self, node: str) -> bool:
        """Whether their server says that it has ended what a user had enabled at this node."""
        logs = [one.read_text() for one in self.theirs.folder.glob("*.log")]
        lines = [line for log in logs for line in log.splitlines() if "isabling push" in line]
        return any(node in line for line in lines)

    def close(self) -> None:
        for phone in self._phones.values():
            phone.close()
        if self._service is not None:
            self._service.close()
        self.ours.close()
        self.theirs.end()
        self.fcm.close()
        self.zone.close()


def _port(place: str) -> int:
    return int(place.rpartition(":")[2])
