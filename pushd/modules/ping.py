"""XEP-0199: XMPP Ping, answered for served domains and for accounts."""

from pushd.modules.base import Module, iq
from pushd.routing.requests import IQ

NS_PING = "urn:xmpp:ping"


class Ping(Module):
    xep = 199
    features = frozenset({NS_PING})
    account_features = frozenset({NS_PING})

    @iq("get", NS_PING, "ping", to="server")
    def answer(self, request: IQ) -> None:
        """An empty result: here we are (XEP-0199 §4)."""

    @iq("get", NS_PING, "ping", to="account")
    async def answer_for(self, request: IQ) -> None:
        """The same, to who may know that there is such an account."""
        await self.visible(request)
