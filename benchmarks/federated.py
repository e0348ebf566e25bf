"""The servers that are compared, as far as they talk with other servers: with `far`.

pushd and Prosody are told where that is; ejabberd asks its name server.
"""

from collections.abc import Mapping
from typing import Any

from benchmarks.far import FAR, Far
from benchmarks.ports import free_port
from benchmarks.processes import Server
from benchmarks.servers import Ejabberd, Prosody, Pushd
from pushd.net.certificates import IssuedCertificate


class Federated(Server):
    """A server with a door for others, at `s2s_port`."""

    s2s_port = 0

    def __init__(self, far: Far, *rest: Any, **more: Any) -> None:
        super().__init__(*rest, **more)
        self.far = far

    def launch(self) -> None:
        self.s2s_port = free_port()
        super().launch()

    def certificate(self) -> IssuedCertificate:
        return IssuedCertificate(self.far.ours.certificate, self.far.ours.key)


class FederatedPushd(Federated, Pushd):
    def sections(self) -> str:
        return f"""\
s2s:
  listen: ['127.0.0.1:{self.s2s_port}']
  ca_file: {self.far.office.path}
  domains: {{{FAR}: {{address: '127.0.0.1:{self.far.port}'}}}}
"""


class FederatedEjabberd(Federated, Ejabberd):
    def configure(self) -> None:
        super().configure()
        file = self.folder / "ejabberd.yml"
        file.write_text(
            file.read_text().replace(
                "listen:\n",
                f"""\
ca_file: "{self.far.office.path}"
s2s_use_starttls: required
s2s_cafile: "{self.far.office.path}"
outgoing_s2s_families: [ipv4]
listen:
  - port: {self.s2s_port}
    ip: "127.0.0.1"
    module: ejabberd_s2s_in
""",
                1,
            )
        )
        # Without the first two, the system's files tell which name servers there are.
        (self.folder / "inetrc").write_text(f"""\
{{resolv_conf, ""}}.
{{hosts_file, ""}}.
{{host, {{127,0,0,1}}, ["localhost"]}}.
{{nameserver, {{127,0,0,1}}, {self.far.zone.port}}}.
{{lookup, [file, dns]}}.
""")


# A domain, and those below it, are there: Prosody asks name servers at port 53 alone.
PLACES = """\
module:set_global();
local service, basic = require "net.resolvers.service", require "net.resolvers.basic";
local usual = service.new;
function service.new(host, ...)
    if host:sub(-#"%s") == "%s" then return basic.new("127.0.0.1", %d, "tcp", {}); end
    return usual(host, ...);
end
"""


class FederatedProsody(Federated, Prosody):
    def configure(self) -> None:
        super().configure()
        (self.folder / "mod_places.lua").write_text(PLACES % (FAR, FAR, self.far.port))
        written = self._file.read_text()
        for old, new in (
            ("s2s_ports = { }", f"s2s_ports = {{ {self.s2s_port} }}\ns2s_direct_tls_ports = {{ }}"),
            ('modules_disabled = { "s2s" }', f'plugin_paths = {{ "{self.folder}" }}'),
            ("modules_enabled = {", 'modules_enabled = { "places",'),
            ("ssl = {", f'ssl = {{ cafile = "{self.far.office.path}", capath = "/nonexistent",'),
            (
                "authentication =",
                "s2s_require_encryption = true\ns2s_secure_auth = true\nuse_ipv6 = false\n"
                "use_libunbound = false\nauthentication =",
            ),
        ):
            assert old in written, old
            written = written.replace(old, new, 1)
        self._file.write_text(written)


FEDERATED: Mapping[str, type[Federated]] = {
    server.name: server for server in (FederatedPushd, FederatedEjabberd, FederatedProsody)
}
