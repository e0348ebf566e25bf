"""UnifiedPush: apps that are woken through a server of their user's choice.

To us it is Web Push, as the specification has it since Android's AND_3.0.0: what a connector
gives to its app is a subscription. Distributors that came before pass our bodies on unread. What
servers tell of themselves at an endpoint is never asked for: no condition hangs on it.
"""

from pushd.providers import webpush
from pushd.providers.webpush import Options

__all__ = ["Options", "UnifiedPush"]


class UnifiedPush(webpush.WebPush):
    type = "unifiedpush"
    aliases = frozenset()

    @property
    def usual(self) -> tuple[str, ...]:
        """It is its user's choice; what an operator lets in alone is known."""
        return tuple(f"https://{host}/" for host in self.options.allow_hosts)
