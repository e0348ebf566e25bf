"""What the apps of a dialect expect in a push, where that is not the summary."""

from collections.abc import Callable, Mapping

from pushd.appserver.dialects import conversations
from pushd.appserver.registrations import Registration

_TOLD: Mapping[str, Callable[[Registration], dict[str, str]]] = {
    conversations.NAME: conversations.told,
}


def told(registration: Registration) -> dict[str, str]:
    """As in `providers/contract.Device`."""
    tell = _TOLD.get(registration.dialect)
    return tell(registration) if tell is not None else {}
