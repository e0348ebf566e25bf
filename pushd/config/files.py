"""Files, folders, sockets, and secrets, which may be kept in files.

Paths that are relative start at the folder of the configuration file.
"""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pushd.config.document import MapNode, Node, Scalar, is_null, shape
from pushd.config.kinds import Kind, Reading, quoted
from pushd.wire.secret import Kept, Secret

MAX_SECRET_BYTES = 65_536


@dataclass(frozen=True)
class File(Kind):
    """A file that can be read; `fault` says what is wrong with its content, or None."""

    fault: Callable[[Path], str | None] | None = None
    content: str = "a file that can be read"
    title = "file"

    @property
    def expected(self) -> str:
        return self.content

    def read(self, node: Node, reading: Reading) -> Path:
        path = _path(node, reading, self.expected)
        fault = unreadable(path) or (self.fault(path) if self.fault else None)
        if fault:
            reading.refuse(node, f"{quoted(str(path))}, {fault}", self.expected)
        return path


@dataclass(frozen=True)
class Folder(Kind):
    """A folder that can be written to, or made."""

    title = "folder"
    expected = "a folder that can be written to, or made"

    def read(self, node: Node, reading: Reading) -> Path:
        path = _path(node, reading, self.expected)
        fault = unwritable(path)
        if fault:
            reading.refuse(node, f"{quoted(str(path))}, {fault}", self.expected)
        return path


@dataclass(frozen=True)
class Socket(Kind):
    """The path of a Unix socket, in a folder that exists or will be made."""

    title = "path of a socket"
    expected = "a path of at most 100 bytes for the socket"

    def read(self, node: Node, reading: Reading) -> Path:
        path = _path(node, reading, self.expected)
        if not fits_socket(path) or path.is_dir():
            reading.refuse(node, quoted(str(path)), self.expected)
        return path


@dataclass(frozen=True)
class Hidden(Kind):
    """A secret: the text itself, or where it is kept. Nothing of it is ever shown."""

    title = "secret"
    expected = "a secret: its text, {file: path} or {env: NAME}"

    def takes(self, node: Node) -> bool:
        return isinstance(node, MapNode) or super().takes(node)

    def read(self, node: Node, reading: Reading) -> Secret:
        text = ""
        match node:
            case Scalar(text=text) if not node.is_null:
                pass
            case MapNode(entries={"file": where}) if len(node.entries) == 1:
                return self._from_file(where, reading)
            case MapNode(entries={"env": Scalar(text=name) as where}) if len(node.entries) == 1:
                if name not in reading.environment:
                    reading.refuse(where, f"{quoted(name)}, which is not set", "a set variable")
                text = reading.environment[name]
            case _:
                reading.refuse(node, shape(node), self.expected)
        if not text:
            reading.refuse(node, "an empty secret", self.expected)
        return Secret(text)

    def _from_file(self, node: Node, reading: Reading) -> Secret:
        path = File().read(node, reading)
        try:
            with path.open("rb") as file:
                data = file.read(MAX_SECRET_BYTES + 1)
            text = data.decode() if len(data) <= MAX_SECRET_BYTES else ""
        except (OSError, UnicodeDecodeError):
            text = ""
        if not text.strip():
            remedy = "a file with the secret as text in UTF-8"
            reading.refuse(node, f"{quoted(str(path))}, which holds no secret", remedy)
        return Kept(text.removesuffix("\n").removesuffix("\r"), path)

    def show(self, value: Any) -> str:
        return repr(value)


def unreadable(path: Path) -> str | None:
    """Why the file cannot be read, or None. Devices and pipes are no files."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "which is not a file"
        if not os.access(path, os.R_OK):
            return "which may not be read"
    except OSError as error:
        return f"which cannot be opened ({error.strerror})"
    return None


def unwritable(folder: Path) -> str | None:
    """Why nothing can be written into the folder, nor the folder be made, or None."""
    existing = folder
    while not os.path.lexists(existing) and existing != existing.parent:
        existing = existing.parent
    try:
        if not stat.S_ISDIR(existing.stat().st_mode):
            return f"where {quoted(str(existing))} is not a folder"
        if not os.access(existing, os.W_OK | os.X_OK):
            return f"where {quoted(str(existing))} may not be written to"
        folder.stat()
    except FileNotFoundError:
        return None if existing != folder else "which is a link to nowhere"
    except OSError as error:
        return f"which cannot be opened ({error.strerror})"
    return None


def fits_socket(path: Path) -> bool:
    """Whether the path fits into a socket's address (104 to 108 bytes, by system)."""
    return len(os.fsencode(path)) <= 100


def _path(node: Node, reading: Reading, expected: str) -> Path:
    if not isinstance(node, Scalar) or node.is_null or not node.text:
        reading.refuse(node, "nothing" if is_null(node) else shape(node), expected)
    return reading.folder / node.text
