"""XEP-0092: Software Version. What the server runs on is nobody's business (§5)."""

from pushd.config.release import RELEASE
from pushd.modules.base import Module, iq
from pushd.routing.requests import IQ
from pushd.wire.element import Element, element

NS_VERSION = "jabber:iq:version"


class Version(Module):
    xep = 92
    features = frozenset({NS_VERSION})

    @iq("get", NS_VERSION, "query", to="server")
    def tell(self, request: IQ) -> Element:
        return element(
            NS_VERSION,
            "query",
            element(NS_VERSION, "name", "pushd"),
            element(NS_VERSION, "version", RELEASE),
        )
