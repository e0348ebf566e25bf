import pytest

from pushd.routing.presence import unavailable
from pushd.wire.framer import seal
from pushd.wire.stanza import Stanza
from tests.hall import Hall

ORCHARD = "romeo@example.net/orchard"


def test_a_module_deals_with_the_types_that_it_claims() -> None:
    hall = Hall()
    sent: list[tuple[str, str]] = []
    came: list[tuple[str, str]] = []
    hall.host.presence.add(
        "probe",
        lambda session, stanza: sent.append((session.full, stanza.type)),
        lambda stanza, to: came.append((to.full, stanza.type)),
    )
    romeo = hall.login(ORCHARD)

    romeo.send("<presence type='probe' to='juliet@example.net'/>")
    hall.route(f"<presence type='probe' from='a@example.org' to='{ORCHARD}'/>")
    hall.route(f"<presence from='a@example.org' to='{ORCHARD}'/>")

    assert sent == [(ORCHARD, "probe")]
    assert came == [(ORCHARD, "probe")]


def test_a_type_is_claimed_once() -> None:
    presence = Hall().host.presence
    presence.add("", lambda session, stanza: None, lambda stanza, to: None)

    with pytest.raises(ValueError, match="two modules"):
        presence.add("", lambda session, stanza: None, lambda stanza, to: None)


def test_the_presence_of_available_resources_is_announced_and_withdrawn() -> None:
    hall = Hall()
    abroad: list[Stanza] = []
    hall.host.router.add_host("example.org", abroad.append)
    romeo = hall.login(ORCHARD)
    shown = seal(f"<presence from='{ORCHARD}'><show>away</show></presence>".encode())
    hall.host.lifecycle.present(romeo.session, shown, 0)
    hall.login("romeo@example.net/shy", available=False)

    hall.host.presence.announce("romeo@example.net", "a@example.org")
    hall.host.presence.withdraw("romeo@example.net", "a@example.org")

    announced, withdrawn = abroad
    assert announced.raw == (
        f"<presence to='a@example.org' from='{ORCHARD}'><show>away</show></presence>".encode()
    )
    assert (withdrawn.type, withdrawn.attributes["from"]) == ("unavailable", ORCHARD)
    assert withdrawn.attributes["to"] == "a@example.org"


def test_unavailable_presence_is_that_of_a_full_jid() -> None:
    assert unavailable(ORCHARD).raw == (f"<presence from='{ORCHARD}' type='unavailable'/>".encode())
