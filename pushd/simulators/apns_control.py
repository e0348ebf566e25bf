"""What a test may tell the stand-in for APNs under /control, beside scripts."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pushd.simulators.answers import ScriptError
from pushd.simulators.apns_connections import ORDERS
from pushd.simulators.apns_devices import Device
from pushd.simulators.apns_tokens import ENVIRONMENTS, Key
from pushd.simulators.base import Act

if TYPE_CHECKING:
    from pushd.simulators.apns import APNsSimulator

HELP = {
    "devices": (
        "GET, POST, DELETE /control/devices; POST takes "
        '{"token": hexadecimal, "environment", "topics", "dead": true, "dead_since", '
        '"dead_reason"}, or {"only_known": true}, which makes all others no devices'
    ),
    "connections": (
        "GET /control/connections: those of providers; POST does to all of them one of: "
        + ", ".join(
            f'{{"do": "{do}"' + "".join(f', "{name}": ...' for name in takes) + "}"
            for do, takes in ORDERS.items()
        )
    ),
    "keys": (
        "POST /control/keys: another signing key, "
        'for {"team_id", "environments", "topics"}, each of which may be absent'
    ),
    "certificates": (
        'POST /control/certificates: a client certificate, for {"topics": [bundle id, ...], '
        '"environments"}'
    ),
}


class Rooms:
    """Devices, connections, keys, certificates."""

    def __init__(self, simulator: "APNsSimulator") -> None:
        self._simulator = simulator

    def all(self) -> Mapping[str, Mapping[str, Act]]:
        return {
            "devices": {"GET": self._list, "POST": self._add_device, "DELETE": self._forget},
            "connections": {"GET": self._visits, "POST": self._order},
            "keys": {"POST": self._new_key},
            "certificates": {"POST": self._new_certificate},
        }

    def _list(self, order: Mapping[str, Any]) -> Any:
        found = [device.as_json() for device in self._simulator.devices.all()]
        return {"only_known": self._simulator.devices.only_known, "devices": found}

    def _add_device(self, order: Mapping[str, Any]) -> Any:
        rest = dict(order)
        only_known = rest.pop("only_known", self._simulator.devices.only_known)
        if not isinstance(only_known, bool):
            raise ScriptError("only_known must be true or false")
        if rest:
            self._simulator.devices.add(Device.from_json(rest, self._simulator.clock.seconds()))
        self._simulator.devices.only_known = only_known
        return self._list(order)

    def _forget(self, order: Mapping[str, Any]) -> Any:
        self._simulator.devices.clear()
        return self._list(order)

    def _visits(self, order: Mapping[str, Any]) -> Any:
        return {"connections": [visit.as_json() for visit in self._simulator.connections.all()]}

    def _order(self, order: Mapping[str, Any]) -> Any:
        return {"connections": self._simulator.connections.order(order)}

    def _new_key(self, order: Mapping[str, Any]) -> Any:
        _takes(order, "team_id", "environments", "topics")
        team = order.get("team_id", self._simulator.key.team)
        if not isinstance(team, str) or not team:
            raise ScriptError("team_id must be text")
        key = Key.made_up(team, _environments(order, ()), frozenset(_texts(order, "topics", ())))
        self._simulator.add_key(key)
        return key.as_file()

    def _new_certificate(self, order: Mapping[str, Any]) -> Any:
        _takes(order, "topics", "environments")
        topics = _texts(order, "topics", ())
        if not topics:
            raise ScriptError("topics must name the app's bundle id at least")
        issued = self._simulator.issue(*topics, environments=_environments(order, ENVIRONMENTS))
        return {"certificate": issued.certificate.decode(), "key": issued.key.decode()}


def _takes(order: Mapping[str, Any], *known: str) -> None:
    for name in order:
        if name not in known:
            raise ScriptError(f"this takes {', '.join(known)}, but no {name!r}")


def _texts(order: Mapping[str, Any], name: str, usual: Iterable[str]) -> tuple[str, ...]:
    value = order.get(name, list(usual))
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise ScriptError(f"{name} must be a list of texts")
    return tuple(value)


def _environments(order: Mapping[str, Any], usual: Iterable[str]) -> frozenset[str]:
    chosen = frozenset(_texts(order, "environments", usual))
    if not chosen <= frozenset(ENVIRONMENTS):
        raise ScriptError(f"environments must be some of {', '.join(ENVIRONMENTS)}")
    return chosen
