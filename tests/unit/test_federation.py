"""Other servers, when the configuration is read again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet.testing import MemoryReactorClock

from pushd.config.sections import Config, ServerToServer, VirtualHost
from pushd.wiring.certificates import Certificates
from pushd.wiring.federation import Federation
from pushd.wiring.ports import Ports
from tests.hall import Hall
from tests.papers import Office
from tests.unit.net.test_mutual import Shown


def test_whom_it_believes_is_read_again(tmp_path: Path) -> None:
    """The same file with other authorities: a private network has a new one, say."""
    hall = Hall()
    old, new = Office(tmp_path / "old"), Office(tmp_path / "new")
    ours, theirs = old.issue("example.net"), new.issue("there.example")
    given = ServerToServer(listen=(), ca_file=old.path)
    host = VirtualHost(ours.certificate, ours.key)
    config = Config(domains={"example.net": host}, data=tmp_path, s2s=given)
    reactor: Any = MemoryReactorClock()
    ports, certificates = Ports(reactor, config), Certificates(reactor, config)
    made = Federation(reactor, hall.host, hall.turn, config, given, ports, certificates)

    def fault() -> str:
        shown: Any = Shown(theirs)
        return made.peers.authorities.fault(shown, "there.example", new.now + 1)

    assert fault().endswith("whom nobody here trusts")
    old.path.write_bytes(new.path.read_bytes())
    made.limit(replace(config, s2s=replace(given, policy="dialback")))
    assert fault() == ""
    assert made.peers.options.policy == "dialback"
