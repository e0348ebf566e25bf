"""Debian's Prosody as a server of other people: with s2s, on loopback."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import servers
from benchmarks.accounts import DOMAIN, PASSWORD
from benchmarks.ports import free_port
from pushd.wire.namespaces import NS_SASL
from pushd.wire.secret import Secret
from tests.patience import PATIENCE
from tests.scenarios.peers import Phone
from tests.scenarios.raw import Raw

# It asks the system's name servers, at port 53.
PLACES = """\
module:set_global();
local service, basic = require "net.resolvers.service", require "net.resolvers.basic";
local places = module:get_option("places", {});
local usual = service.new;
function service.new(host, ...)
    local port = places[host];
    if port then return basic.new("127.0.0.1", port, "tcp", {}); end
    return usual(host, ...);
end
"""


class Prosody(servers.Prosody):
    """It is told where we are, and whom it believes."""

    def emigrate(self, places: Mapping[str, int], authority: Path, chain: Path, key: Path) -> None:
        """`places` are ports on loopback, by domain; `chain` and `key` its own certificate."""
        self.places, self.authority = places, authority
        self.chain, self.key = chain, key
        self.s2s_port = free_port()

    def configure(self) -> None:
        (self.folder / "mod_places.lua").write_text(PLACES)
        places = ", ".join(f'["{name}"] = {port}' for name, port in self.places.items())
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
s2s_direct_tls_ports = {{ }}
modules_enabled = {{ "disco", "roster", "saslauth", "tls", "dialback", "smacks", "ping",
    "s2s_bidi", "places", "cloud_notify", "offline" }}
allow_unencrypted_plain_auth = true
c2s_require_encryption = false
s2s_require_encryption = true
s2s_secure_auth = true
use_ipv6 = false
authentication = "internal_hashed"
ssl = {{
    certificate = "{self.chain}", key = "{self.key}", cafile = "{self.authority}",
    capath = "/nonexistent", verifyext = {{ "lsec_ignore_purpose" }},
}}
use_libunbound = false
plugin_paths = {{ "{self.folder}" }}
places = {{ {places} }}
log = {{ debug = "{self.folder / "prosody.log"}" }}
VirtualHost "{DOMAIN}"
""")


class Foreigner(Phone):
    """A client of such a server; `house` has it as `other`."""

    house: Any

    def connect(self) -> None:
        user, _, domain = self.account.partition("@")
        raw = Raw(("127.0.0.1", self.house.other.port), timeout=PATIENCE)
        raw.open(domain)
        proof = base64.b64encode(f"\0{user}\0{self.password.reveal()}".encode()).decode()
        raw.send(f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>{proof}</auth>")
        raw.read_until(rb"<success[^>]*>(</success>)?")
        self._begin(raw, raw.open(domain))
        self.unread.clear()

    def settled(self) -> None:
        self.ask("<query xmlns='http://jabber.org/protocol/disco#info'/>", DOMAIN, "get")


def foreigner(house: Any, name: str) -> Foreigner:
    """Somebody with an account there, available."""
    phone = Foreigner(house, f"{name}@{DOMAIN}", "phone", Secret(PASSWORD))
    phone.log_in()
    phone.say("<presence/>")
    phone.settled()
    phone.unread.clear()
    return phone
