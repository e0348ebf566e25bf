"""h2 as it is used here: set up for a client, relieved of some work, its codes by their names."""

import json
import re

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes, Settings

from pushd.net.http2_frames import Goaway
from pushd.net.http2_headers import HeaderEncoder

HEADER_LIMIT = 16_384  # bytes of an answer's head, as RFC 9113 §6.5.2 counts them


class Library(H2Connection):
    """h2's own, which counts all open streams whenever it opens one. That is counted here."""

    MAX_CLOSED_STREAMS = 1000  # that are remembered, in case something for them is under way

    _tidy_at = 128  # streams, with those that have ended

    @property
    def open_outbound_streams(self) -> int:
        if len(self.streams) < self._tidy_at:
            return 0
        is_open = super().open_outbound_streams
        self._tidy_at = 2 * is_open + 128
        return is_open


def library(is_checked: bool) -> Library:
    """A new connection's; `is_checked` has it look at every header."""
    connection = Library(
        H2Configuration(
            header_encoding=None,
            validate_outbound_headers=is_checked,
            normalize_outbound_headers=is_checked,
            validate_inbound_headers=is_checked,
            normalize_inbound_headers=is_checked,
        )
    )
    connection.encoder = HeaderEncoder()  # type: ignore[assignment]
    connection.local_settings = Settings(
        client=True,
        initial_values={
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.MAX_HEADER_LIST_SIZE: HEADER_LIMIT,
        },
    )
    connection.decoder.max_header_list_size = HEADER_LIMIT
    return connection


def name_of(code: int) -> str:
    """An error code of RFC 9113 §7 by its name."""
    try:
        return ErrorCodes(code).name
    except ValueError:
        return f"error {code}"


def goodbye(told: Goaway) -> str:
    """Why the server ends the connection; APNs says it in JSON."""
    reason = None
    try:
        found = json.loads(told.debug)
        reason = found.get("reason") if isinstance(found, dict) else None
    except (ValueError, RecursionError):
        pass
    if isinstance(reason, str) and re.fullmatch(r"[A-Za-z]{1,60}", reason):
        return f"GOAWAY {reason}"
    return f"GOAWAY {name_of(told.code)}"
