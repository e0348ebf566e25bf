"""What follows a login: a resource is bound, or a session resumed."""

from pushd.client.connection import Connection
from pushd.client.errors import Disconnected, NotResumed, Refused
from pushd.client.managed import Managed
from pushd.wire.element import Element, child, element, serialize, text
from pushd.wire.errors import StreamError
from pushd.wire.framer import StreamOpened
from pushd.wire.jid import JID, parse
from pushd.wire.namespaces import NS_BIND, NS_CLIENT, NS_SM


async def bind(connection: Connection, resource: str) -> JID:
    """Bind this resource, or one of the server's if empty (RFC 6120 §7). Raises Refused."""
    request = element(NS_BIND, "bind")
    if resource:
        request.addChild(element(NS_BIND, "resource", resource))
    connection.send(serialize(element(NS_CLIENT, "iq", request, type="set", id="bind")))
    answer = await _answer(connection)
    if answer.getAttribute("type") != "result":
        error = child(answer, NS_CLIENT, "error")
        raise Refused.read(answer if error is None else error)
    bound = child(answer, NS_BIND, "bind")
    return parse(text(child(bound, NS_BIND, "jid") if bound is not None else None))


async def resume(connection: Connection, sm: Managed) -> None:
    """Resume a session (XEP-0198 §5); `sm` then knows what the server has handled.

    Raises NotResumed, and Disconnected when the server claims a count that cannot be.
    """
    connection.send(sm.resume())
    answer = await _answer(connection)
    h = answer.getAttribute("h")
    try:
        if h is not None or answer.name == "resumed":
            sm.acknowledge(h or "")
    except StreamError as error:
        connection.offended(error)
        raise Disconnected(error.condition, error.text) from None
    if (answer.uri, answer.name) != (NS_SM, "resumed"):
        raise NotResumed(Refused.read(answer).condition, h, sm.again())


async def _answer(connection: Connection) -> Element:
    event = await connection.next()
    if isinstance(event, StreamOpened):
        raise Disconnected("bad-format", "a stream header is not expected here")
    return event.tree
