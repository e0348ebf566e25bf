"""A disk that is full, and has space again: a real server, whose files may not grow."""

import resource
from collections.abc import Iterator

import pytest

from tests.kills.device import Book, Device
from tests.kills.server import DOMAIN, Server, Template, Zygote

SIZE = 16_384  # bytes: less than the write-ahead log has, and more than the log of a test
USERS = ("romeo", "juliet", "nurse")


@pytest.fixture
def server() -> Iterator[Server]:
    zygote, template = Zygote(), Template(*USERS)
    server = Server(zygote, template)
    try:
        assert server.start(), server.log()
        yield server
    finally:
        server.close()
        template.close()
        zygote.close()


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="no limits of other processes here")
def test_a_full_disk_refuses_what_has_to_be_stored_and_all_is_whole_again_with_space(
    server: Server,
) -> None:
    book = Book()
    romeo, juliet, nurse = (
        Device(server, book, f"{user}/phone", lambda data: None) for user in USERS
    )
    for device in (romeo, juliet, nurse):
        device.connect()
    nurse.cut()
    for _ in range(20):  # each told by itself, so that the log grows
        romeo.write(f"nurse@{DOMAIN}")
        romeo.wait(lambda: not romeo.unacknowledged, "acknowledgement")
    assert (server.folder / "data" / "pushd.db-wal").stat().st_size > 2 * SIZE

    server.limit_files(SIZE)
    romeo.write(f"nurse@{DOMAIN}")  # accepted, and kept in memory: nobody knew yet
    romeo.write(juliet.name)
    juliet.wait(lambda: len(book.arrivals[juliet.name]) == 1, "live message")
    for number in range(200):
        say(romeo, f"e{number}", f"nurse@{DOMAIN}")
        romeo.read(0.01)
        if romeo.errors:
            break
    assert set(romeo.errors.values()) == {"resource-constraint"}
    say(romeo, "to a session", nurse.name)
    say(romeo, "to an account", f"nurse@{DOMAIN}")
    romeo.wait(lambda: "to an account" in romeo.errors, "refusal")
    told = romeo.acks
    for _ in range(10):
        juliet.write(romeo.name)
        romeo.write(juliet.name)
    juliet.wait(lambda: len(book.arrivals[juliet.name]) == 11, "live messages")
    romeo.wait(lambda: len(book.arrivals[romeo.name]) == 10, "live messages")
    assert romeo.acks == told
    assert len(romeo.unacknowledged) >= 12

    server.limit_files(-1)
    for device in (romeo, juliet):
        device.wait(lambda d=device: not d.unacknowledged, "acknowledgement")  # type: ignore[misc]
    say(romeo, "after", f"nurse@{DOMAIN}")
    romeo.wait(lambda: not romeo.unacknowledged, "acknowledgement")
    assert "after" not in romeo.errors

    server.kill()
    nurse.cut()
    assert server.start(), server.log()
    nurse.connect()
    nurse.wait(lambda: len(book.arrivals[nurse.name]) >= 21, "what was accepted")
    nurse.settle()
    assert book.missing() == []
    assert {"to a session", "to an account"}.isdisjoint(nurse.others)
    assert "after" in nurse.others
    log = server.log()
    assert log.count("cannot commit") == log.count("succeed again") == 1
    assert "Traceback" not in log


def say(device: Device, id: str, to: str) -> None:
    device.say(f"<message to='{to}' id='{id}' type='chat'><body>{id}</body></message>")
