from pushd.routing.events import AccountRemoved, Events, ServerStarted


def test_listeners_hear_exactly_their_kind_in_the_order_of_asking() -> None:
    events, heard = Events(), list[str]()
    events.listen(AccountRemoved, lambda event: heard.append(f"first {event.account}"))
    events.listen(AccountRemoved, lambda event: heard.append(f"second {event.account}"))
    events.listen_all(lambda event: heard.append(f"all {type(event).__name__}"))

    events.emit(AccountRemoved("a@example.net"))
    events.emit(ServerStarted())

    assert heard == [
        "first a@example.net",
        "second a@example.net",
        "all AccountRemoved",
        "all ServerStarted",
    ]


def test_a_listener_that_fails_stops_nobody() -> None:
    events, heard = Events(), list[str]()

    def broken(event: AccountRemoved) -> None:
        raise RuntimeError("broken")

    events.listen(AccountRemoved, broken)
    events.listen(AccountRemoved, lambda event: heard.append(event.account))

    events.emit(AccountRemoved("a@example.net"))

    assert heard == ["a@example.net"]


def test_who_asks_late_hears_what_comes_then() -> None:
    events, heard = Events(), []
    events.emit(ServerStarted())
    events.listen(ServerStarted, lambda event: heard.append("one"))
    events.emit(ServerStarted())
    events.listen_all(lambda event: heard.append("all"))
    events.emit(ServerStarted())

    assert heard == ["one", "one", "all"]
