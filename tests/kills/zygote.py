"""A process that has imported the server and forks one for each start, which saves most of it.

What is forked is the service that `python -m pushd` runs, with a reactor of its own. The
parent speaks JSON, one line each way:

    {"start": ["--config", ...], "folder": "/tmp/...", "points": 0}     {"pid": 123}
    {"wait": 123}                                                       {"code": -9}
    {"look": 123}                                                       {"code": null}
"""

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import twisted.scripts.twistd  # noqa: F401 - imported for the children
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins

import pushd.__main__
import pushd.cli.logs
import pushd.cli.starting
import pushd.cli.twistd
import pushd.cli.words
import pushd.providers.apns
import pushd.providers.fcm
import pushd.service
from tests.kills.points import Fuse, fit, listen


def main() -> None:
    list(getPlugins(IServiceMaker))
    assert "twisted.internet.reactor" not in sys.modules, "each child has a reactor of its own"
    for line in sys.stdin:
        answer = _do(json.loads(line))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _do(order: dict[str, Any]) -> dict[str, Any]:
    if "start" in order:
        pid = os.fork()
        if not pid:
            _serve(order["start"], Path(order["folder"]), order["points"])
        return {"pid": pid}
    pid = order.get("wait") or order["look"]
    done, status = os.waitpid(pid, 0 if "wait" in order else os.WNOHANG)
    return {"code": os.waitstatus_to_exitcode(status) if done else None}


def _serve(arguments: list[str], folder: Path, points: int) -> None:
    """In the child: be the server; never returns."""
    code = 1
    try:
        os.setpgid(0, 0)
        log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for mine, standard in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(mine, standard)
        fuse = Fuse(folder / "died-at")
        fit(fuse)
        listen(fuse, folder / "fuse")
        fuse.light(points)
        sys.argv = ["pushd", *arguments]
        pushd.__main__.main()
        code = 0
    except Exception:  # noqa: BLE001 - in the log, which the test shows
        traceback.print_exc()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
