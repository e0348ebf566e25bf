"""The sections of mod_push, ejabberd's push module of 2015, as its README has them.

`mod_push` and `mod_pubsub`, at the top level or under `modules`, become parts of the
sections `push` and `app_server`. The nodes keep their keys, so that what is wrong with
them is told in the words of the one who wrote them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from pushd.config.document import ListNode, MapNode, Node, Scalar, is_null
from pushd.config.kinds import Domain, DomainName, Faulty, Reading
from pushd.config.reader import construct, entries_of, option_fields, refuse_unknown

SECTIONS = ("mod_push", "mod_pubsub")

TARGETS = {
    "include_senders": "push",
    "include_message_count": "push",
    "include_subscription_count": "push",
    "include_message_bodies": "push",
    "access_backends": "app_server",
    "backends": "app_server",
}
IGNORED = {"iqdisc": "a queue of ejabberd's that pushd does not have"}


@dataclass(frozen=True, slots=True)
class ModPubsub:
    """The pubsub service that mod_push needed; pushd has one of its own."""

    host: DomainName
    nodetree: Literal["virtual"] = "virtual"
    plugins: tuple[str, ...] = ("push",)


def understand(root: MapNode, reading: Reading) -> MapNode:
    """The configuration with mod_push's sections turned into pushd's.

    Conflicts with pushd's own sections go to the report, and so do two names for one pubsub host.
    """
    found = {name: _section(name, root, reading) for name in SECTIONS}
    root = _without_sections(root)
    mod_push, mod_pubsub = found["mod_push"], found["mod_pubsub"]
    if mod_push is not None:
        root = _spread(mod_push, root, reading)
    if mod_pubsub is not None:
        _judge_pubsub(mod_pubsub, root, reading)
    return root


def _section(name: str, root: MapNode, reading: Reading) -> MapNode | None:
    """The one section of this name, at the top level or under `modules`."""
    nodes = [root.entries[name]] if name in root.entries else []
    modules = root.entries.get("modules")
    if isinstance(modules, ListNode | MapNode):
        nodes += [value for key, value in _modules(modules) if key == name]
    if len(nodes) > 1:
        first = nodes[0].named_at.line
        node = nodes[1]
        reading.report.refuse(
            node.named_at, node.key, f"the section again (first in line {first})", "it once"
        )
    for node in nodes[:1]:
        try:
            return entries_of(node, reading, "a mapping of options")
        except Faulty:
            break
    return None


def _modules(node: ListNode | MapNode) -> Iterator[tuple[str, Node]]:
    if isinstance(node, MapNode):
        yield from node.entries.items()
        return
    for item in node.items:
        if isinstance(item, Scalar):
            yield item.text, MapNode(item.mark, item.mark, item.key, {})


def _without_sections(root: MapNode) -> MapNode:
    root = root.without(SECTIONS)
    modules = root.entries.get("modules")
    if isinstance(modules, MapNode):
        return root.having({"modules": modules.without(SECTIONS)})
    if isinstance(modules, ListNode):
        kept = (i for i in modules.items if not (isinstance(i, Scalar) and i.text in SECTIONS))
        return root.having({"modules": replace(modules, items=tuple(kept))})
    return root


def _spread(mod_push: MapNode, root: MapNode, reading: Reading) -> MapNode:
    """Put mod_push's options where pushd has them."""
    mod_push = _without_ignored(mod_push, reading)
    refuse_unknown(mod_push, (*TARGETS, "certfile"), reading)
    mod_push = _with_certfile(mod_push, reading)
    for target in ("push", "app_server"):
        moved = {n: v for n, v in mod_push.entries.items() if TARGETS.get(n) == target}
        own = root.entries.get(target)
        if own is None or is_null(own):
            own = MapNode(mod_push.mark, mod_push.named_at, target, {})
        if not isinstance(own, MapNode):
            continue  # the reader has a word about it
        for name in moved.keys() & own.entries.keys():
            place = f"{target}.{name} in line {own.entries[name].named_at.line}"
            node = moved.pop(name)
            reading.report.refuse(
                node.named_at, node.key, f"an option that is given as {place}, too", "it once"
            )
        root = root.having({target: own.having(moved)})
    return root


def _without_ignored(section: MapNode, reading: Reading) -> MapNode:
    for name, reason in IGNORED.items():
        if name in section.entries:
            node = section.entries[name]
            reading.report.warn(node.named_at, node.key, f"not used: {reason}")
    return section.without(IGNORED)


def _with_certfile(mod_push: MapNode, reading: Reading) -> MapNode:
    """Give the section's own `certfile` to the apns backends that have no credential."""
    certfile = mod_push.entries.get("certfile")
    backends = mod_push.entries.get("backends")
    if certfile is None:
        return mod_push
    items = list(backends.items) if isinstance(backends, ListNode) else []
    takers = [i for i, item in enumerate(items) if _lacks_certfile(item)]
    if not isinstance(backends, ListNode) or not takers:
        text = "not used: no backend of type apns is without a certfile of its own"
        reading.report.warn(certfile.named_at, certfile.key, text)
        return mod_push
    for i in takers:
        item = items[i]
        items[i] = item.having({"certfile": certfile}) if isinstance(item, MapNode) else item
    return mod_push.having({"backends": replace(backends, items=tuple(items))})


def _lacks_certfile(backend: Node) -> bool:
    if not isinstance(backend, MapNode) or {"certfile", "key_file"} & backend.entries.keys():
        return False
    kind = backend.entries.get("type")
    return isinstance(kind, Scalar) and kind.text == "apns"


def _judge_pubsub(mod_pubsub: MapNode, root: MapNode, reading: Reading) -> None:
    """Check what mod_push needed of its pubsub service, and that backends name the same host."""
    mod_pubsub = _without_ignored(mod_pubsub, reading)
    refuse_unknown(mod_pubsub, option_fields(ModPubsub), reading)
    try:
        options = construct(ModPubsub, mod_pubsub, reading)
    except Faulty:
        return
    if "push" not in options.plugins:
        reading.report.refuse(
            mod_pubsub.entries["plugins"].mark,
            mod_pubsub.entries["plugins"].key,
            "plugins without 'push'",
            "'push' among them",
        )
    for plugin in set(options.plugins) - {"push"}:
        node = mod_pubsub.entries["plugins"]
        reading.warn(
            node, f"the plugin {plugin!r} is not used: pushd's pubsub host is for push alone"
        )
    _judge_host(options.host, mod_pubsub.entries["host"], root, reading)


def _judge_host(host: str, node: Node, root: MapNode, reading: Reading) -> None:
    places: dict[str, list[int]] = {}
    for name, line in _pubsub_hosts(root):
        places.setdefault(name, []).append(line)
    if not places:
        reading.warn(node, "not used: there is no backend that has it as its pubsub_host")
    others = {name: lines for name, lines in places.items() if name != host}
    for other, lines in others.items():
        where = f"line{'s' * (len(lines) > 1)} {', '.join(map(str, lines))}"
        reading.report.refuse(
            node.mark,
            node.key,
            f"{host!r}, where backends have the pubsub_host {other!r} ({where})",
            f"one name for the one host: {other!r} here, or {host!r} there",
        )


def _pubsub_hosts(root: MapNode) -> Iterator[tuple[str, int]]:
    """The pubsub_host of each backend that has one, with its line."""
    backends = root.at("app_server", "backends")
    for item in backends.items if isinstance(backends, ListNode) else ():
        node = item.entries.get("pubsub_host") if isinstance(item, MapNode) else None
        if isinstance(node, Scalar):
            try:
                yield Domain().parse(node.text), node.mark.line
            except ValueError:
                continue
