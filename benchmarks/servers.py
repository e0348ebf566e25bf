"""The servers that are compared, each with its configuration for loopback alone.

No service of the system is touched. Where a driver differs from its server's defaults is
said in it: rate limits are off, and so are modules that pushd has no counterpart for.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.accounts import DOMAIN, Population, portable, write_prosody, write_pushd
from benchmarks.component import SECRET
from benchmarks.ports import free_port
from benchmarks.processes import Server, ServerError, family
from pushd.config.release import RELEASE


class Pushd(Server):
    """pushd of this tree. Without TLS it lets clients in on loopback addresses alone."""

    name = "pushd"

    @classmethod
    def is_installed(cls) -> bool:
        return True

    @classmethod
    def version(cls) -> str:
        return RELEASE

    def configure(self) -> None:
        host = "{}"
        if self._tls:
            issued = self.certificate()
            host = f"{{certificate: {issued.certificate}, key: {issued.key}}}"
        self._file.write_text(
            f"domains:\n  {DOMAIN}: {host}\n"
            f"data: {self.folder / 'data'}\n"
            f"listen:\n  client: ['127.0.0.1:{self.port}']\n  client_tls: []\n"
            f"  component: ['127.0.0.1:{self.component_port}']\n"
            f"log:\n  level: warning\n{self._components()}{self.sections()}"
        )

    def _components(self) -> str:
        lines = [f"  {domain}: {{secret: {SECRET}}}\n" for domain in self.components]
        return "".join(["components:\n", *lines]) if lines else ""

    def sections(self) -> str:
        """What else is in the configuration."""
        return ""

    def command(self) -> list[str]:
        run = [*self.profiler, "pushd"] if self.profiler else [sys.executable, "-m", "pushd"]
        # Whoever kills the benchmark leaves no server.
        return [*run, f"--with-process={os.getpid()}", "--config", str(self._file)]

    def environment(self) -> Mapping[str, str]:
        return {"PYTHONPATH": str(Path(__file__).parents[1])}

    def populate(self, population: Population) -> None:
        write_pushd(population, self.folder / "data")

    @property
    def _file(self) -> Path:
        return self.folder / "pushd.yml"


class Ejabberd(Server):
    """ejabberd: Debian's configuration less what is not compared, and without its rate limit."""

    name = "ejabberd"

    @classmethod
    def is_installed(cls) -> bool:
        return shutil.which("ejabberdctl") is not None

    @classmethod
    def version(cls) -> str:
        return _debian_version("ejabberd")

    def configure(self) -> None:
        pem = self.folder / "server.pem"
        issued = self.certificate()
        pem.write_bytes(issued.certificate.read_bytes() + issued.key.read_bytes())
        (self.folder / "ejabberd.yml").write_text(f"""\
hosts: [{DOMAIN}]
loglevel: warning
certfiles: ["{pem}"]
listen:
  - port: {self.port}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    max_stanza_size: 262144
    access: all
    starttls: {str(self._tls).lower()}
{self._components()}auth_password_format: scram
api_permissions:
  "console commands": {{from: [ejabberd_ctl], who: all, what: "*"}}
modules:
  mod_adhoc: {{}}
  mod_carboncopy: {{}}
  mod_client_state: {{}}
  mod_disco: {{}}
  mod_offline: {{}}
  mod_ping: {{}}
  mod_push: {{}}
  mod_push_keepalive: {{}}
  mod_roster: {{versioning: true}}
  mod_stream_mgmt: {{resend_on_timeout: if_offline}}
""")
        # Read by ejabberdctl: as who it was started, and distribution on loopback without
        # a daemon that would outlive it.
        port = free_port()
        (self.folder / "ejabberdctl.cfg").write_text(
            f"EXEC_CMD=as_current_user\nERL_DIST_PORT={port}\nINET_DIST_INTERFACE=127.0.0.1\n"
        )
        (self.folder / "inetrc").touch()

    def _components(self) -> str:
        if not self.components:
            return ""
        hosts = "".join(
            f'      "{domain}": {{password: "{SECRET}"}}\n' for domain in self.components
        )
        return f"""\
  - port: {self.component_port}
    ip: "127.0.0.1"
    module: ejabberd_service
    access: all
    hosts:
{hosts}"""

    def command(self) -> list[str]:
        return [*self._control, "foreground"]

    def populate(self, population: Population) -> None:
        document = self.folder / "accounts.xml"
        document.write_text(portable(population))
        with self:
            self.run(*self._control, "import_piefxis", str(document))
            registered = self.run(*self._control, "registered_users", DOMAIN).split()
            if len(registered) != len(population.names()):
                raise ServerError(f"ejabberd has {len(registered)} accounts after an import")

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        for pid in family(process.pid):
            with contextlib.suppress(OSError):
                if "beam" in Path(f"/proc/{pid}/comm").read_text():
                    os.kill(pid, signal.SIGTERM)

    @property
    def _control(self) -> list[str]:
        return [
            "ejabberdctl",
            *("--config-dir", str(self.folder), "--config", str(self.folder / "ejabberd.yml")),
            *("--ctl-config", str(self.folder / "ejabberdctl.cfg")),
            *("--logs", str(self.folder), "--spool", str(self.folder / "spool")),
            *("--node", "bench@localhost"),
        ]


class Prosody(Server):
    """Prosody: Debian's modules less what is not compared, and without its rate limit."""

    name = "prosody"

    @classmethod
    def is_installed(cls) -> bool:
        return shutil.which("prosodyctl") is not None

    @classmethod
    def version(cls) -> str:
        return _debian_version("prosody")

    @classmethod
    def can_push(cls) -> bool:
        return Path("/usr/lib/prosody/modules/mod_cloud_notify").exists()

    def configure(self) -> None:
        issued = self.certificate()
        modules = ["disco", "roster", "saslauth", "smacks", "ping", "carbons", "csi_simple"]
        if self._tls:
            modules.append("tls")
        if self.components:
            modules += ["cloud_notify", "offline"]
        components = "".join(
            f'Component "{domain}"\n  component_secret = "{SECRET}"\n' for domain in self.components
        )
        self._file.write_text(f"""\
run_as_root = true
prosody_user = "{_user_name()}"
prosody_group = "{_user_name()}"
pidfile = "{self.folder / "prosody.pid"}"
data_path = "{self.folder / "data"}"
interfaces = {{ "127.0.0.1" }}
component_ports = {{ {self.component_port} }}
c2s_ports = {{ {self.port} }}
c2s_direct_tls_ports = {{ }}
s2s_ports = {{ }}
modules_enabled = {{ {", ".join(f'"{name}"' for name in modules)} }}
modules_disabled = {{ "s2s" }}
c2s_require_encryption = false
authentication = "internal_hashed"
ssl = {{ certificate = "{issued.certificate}", key = "{issued.key}" }}
log = {{ warn = "{self.folder / "prosody.log"}" }}
VirtualHost "{DOMAIN}"
{components}""")

    def command(self) -> list[str]:
        return ["prosody", "-F", "--config", str(self._file)]

    def populate(self, population: Population) -> None:
        write_prosody(population, self.folder / "data")

    @property
    def _file(self) -> Path:
        return self.folder / "prosody.cfg.lua"


SERVERS: Mapping[str, type[Server]] = {server.name: server for server in (Pushd, Ejabberd, Prosody)}


def _debian_version(package: str) -> str:
    done = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Version}", package],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()


def _user_name() -> str:
    return Path(f"/proc/{os.getpid()}").owner()
