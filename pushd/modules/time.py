"""XEP-0202: Entity Time, the clock of the server and its zone."""

from datetime import UTC, datetime

from pushd.modules.base import Module, iq
from pushd.routing.requests import IQ
from pushd.wire.element import Element, element
from pushd.wire.instant import written

NS_TIME = "urn:xmpp:time"


class Time(Module):
    xep = 202
    features = frozenset({NS_TIME})

    @iq("get", NS_TIME, "time", to="server")
    def tell(self, request: IQ) -> Element:
        now = self.host.clock.seconds()
        return element(
            NS_TIME,
            "time",
            element(NS_TIME, "tzo", offset(datetime.fromtimestamp(now, UTC).astimezone())),
            element(NS_TIME, "utc", written(now)),
        )


def offset(local: datetime) -> str:
    """How far a zone is from UTC at this time, in hours and minutes: `-06:00` (XEP-0082 §3.2)."""
    zone = local.strftime("%z")
    return f"{zone[:3]}:{zone[3:5]}"
