"""Free memory goes back to the system where the C library is told how."""

from pushd.net.memory import give_back


def test_it_is_given_back_on_any_system() -> None:
    give_back()
