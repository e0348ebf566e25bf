"""A process that has imported pushd, and forks what is `python -m MODULE` but for the imports.

They take most of what a start costs. `tests/nursery.py` asks, over the socket that is standard
input: one packet of JSON, which has `module`, `arguments`, `environment` and `folder`, and with it
the descriptors that become the new process's 0, 1 and 2. The answer is the number of the process.
"""

import contextlib
import gc
import json
import os
import runpy
import signal
import socket
import sys
from importlib import import_module
from typing import Any

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins

IMPORTED = (
    *("twisted.scripts.twistd", "twisted.scripts._twistd_unix", "twisted.internet.epollreactor"),
    *("pushd.service", "pushd.simulators.alone", "pushd.simulators.tls"),
    *(f"pushd.cli.{name}" for name in ("commands", "harness", "neighbours", "pushes", "tables")),
    *(f"pushd.cli.{name}" for name in ("backups", "development", "logs", "starting", "words")),
    *(f"pushd.providers.{name}" for name in ("apns", "fcm", "ubuntu", "webpush", "wns")),
)
ORDER = 1 << 18  # bytes


def serve(asked: socket.socket) -> dict[str, Any] | None:
    """Fork for each order. In a child gives its order; None, when nobody asks any more."""
    while True:
        try:
            data, descriptors, _, _ = socket.recv_fds(asked, ORDER, 3)
        except KeyboardInterrupt:
            continue  # meant for the tests, which end this process
        if not data:
            return None
        told, tells = os.pipe()
        between = os.fork()
        if between:
            # The end of the process between gives its child away, to whoever asked.
            os.waitpid(between, 0)
            asked.send(os.read(told, 32))
            for descriptor in (told, tells, *descriptors):
                os.close(descriptor)
            continue
        child = os.fork()
        if child:
            os.write(tells, str(child).encode())
            os._exit(0)
        os.close(told)
        os.close(tells)
        asked.close()
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        order: dict[str, Any] = json.loads(data)
        return order


def become(order: dict[str, Any]) -> None:
    """What the interpreter does between its start and the first line of a module."""
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    sys.argv = ["", *order["arguments"]]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    runpy.run_module(order["module"], run_name="__main__", alter_sys=True)


def main() -> None:
    for name in IMPORTED:
        import_module(name)
    list(getPlugins(IServiceMaker))
    assert "twisted.internet.reactor" not in sys.modules, "each child has a reactor of its own"
    gc.collect()
    gc.freeze()
    asked = socket.socket(fileno=os.dup(0))
    with contextlib.suppress(OSError):
        asked.send(b"ready")
    order = serve(asked)
    if order is not None:
        become(order)


if __name__ == "__main__":
    main()
