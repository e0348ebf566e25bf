"""`python -m pushd ...` is `twistd -n --pidfile= pushd ...`.

In the foreground and without a pid file: what supervises the process knows its number,
and a pid file left by a crash would refuse the next start.
"""

import sys
from typing import Any

from twisted.application import app
from twisted.scripts import twistd

from twisted.plugins.pushd_plugin import pushd


class Options(twistd.ServerOptions):  # type: ignore[name-defined,misc]
    """Those of twistd, which asks here for no plugin but ours.

    The others would load the tools for tests with them, and a server needs no more at rest.
    """

    @staticmethod
    def _getPlugins(interface: Any, package: Any = None) -> Any:
        return [pushd]


def main() -> None:
    """Run the server with the options of `twistd pushd` until it is told to stop."""
    sys.argv[1:] = ["--nodaemon", "--pidfile=", "pushd", *sys.argv[1:]]
    app.run(twistd.runApp, Options)


if __name__ == "__main__":
    main()
