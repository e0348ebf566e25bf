"""`python -m pushd ...` is `twistd -n --pidfile= pushd ...`.

In the foreground and without a pid file: what supervises the process knows its number,
and a pid file left by a crash would refuse the next start.
"""

import sys

from twisted.scripts.twistd import run


def main() -> None:
    """Run the server with the options of `twistd pushd` until it is told to stop."""
    sys.argv[1:] = ["--nodaemon", "--pidfile=", "pushd", *sys.argv[1:]]
    run()


if __name__ == "__main__":
    main()
