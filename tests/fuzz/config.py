"""Configuration: any document gives options, or a list of mistakes with their place and remedy."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from random import Random

from pushd.config.checks import ServiceAccountFile
from pushd.config.kinds import Duration, Url
from pushd.config.load import read
from pushd.config.mod_push import SECTIONS, TARGETS
from pushd.config.problems import ConfigErrors
from pushd.config.reader import option_fields
from pushd.config.sections import Config, Limits, Listen, Log, Push, Sessions
from pushd.config.summary import summary
from pushd.wire.secret import Secret

FOLDER = Path(tempfile.gettempdir()) / "pushd-fuzz-nowhere"
MARKER = "sesame"
HEAD = "domains: [localhost]\ndata: .\nlisten: {client: ['127.0.0.1:0'], client_tls: []}\n"


@dataclass(frozen=True, slots=True)
class Options:
    account: ServiceAccountFile | None = None
    bearer: Secret | None = None
    lifetime: Duration = 60.0
    url: Url = "https://push.example"


NAMES = sorted(
    {*SECTIONS, *TARGETS, "type", "register_host", "pubsub_host", "app_name", "base_url", "ca_file"}
    | {"certificate", "key", "secret", "file", "env", "host", "nodetree", "plugins", "certfile"}
    | {"localhost", "example.net", "push.example.net", "ping", "auth_key", "service_account"}
    | {name for c in (Config, Limits, Listen, Log, Push, Sessions) for name in option_fields(c)}
)
VALUES = (
    *("~", "no", "on", "052", "12:30", "5000", "72h", "10MB", ":0", "127.0.0.1:0", ".", "/", "''"),
    *("all", "localhost", "Example.NET", "fcm", "gcm", "text", "messages", "/dev/null", "'", '"'),
    *('"\\ud800"', "{", "*x", "&x", "!x", "-", "? |", "<<: {a: b}", "%TAG ! tag:x,2000:", "---"),
    *(
        "-1",
        "1e999",
        "9" * 400,
        "\u00e9",
        "[::1]:5222",
        "[]",
        "{}",
        "0x7f",
        "1_000",
        "\x85",
        "null",
    ),
    *(
        "http://127.0.0.1:9",
        "https://\u00e9",
        "https://[",
        "2 days",
        "-5s",
        ".inf",
        "\x00",
        "\ufeff",
    ),
)
TOKENS = tuple(
    token.encode()
    for token in (
        *NAMES,
        *VALUES,
        ": ",
        "\n",
        "\n  ",
        "\n- ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "#",
        "|\n ",
    )
)


def write(random: Random) -> bytes:
    text = HEAD if random.random() < 0.7 else ""
    while random.random() < 0.75:
        text += f"{random.choice(NAMES)}: {_value(random, 3)}\n"
    if random.random() < 0.2:
        shape = random.choice(
            ("components: {{b.example: {{secret: {}}}}}", "modules: {{ping: {{bearer: {}}}}}")
        )
        quoted = random.choice(
            ("{}", "'{}'", "[{}]", "&a {}", "@{}", '"\\q{}"', "| {}", "{{file: {}}}")
        )
        text += shape.format(quoted.format(MARKER)) + "\n"
    return text.encode()


def _value(random: Random, depth: int) -> str:
    way = random.random()
    if depth and way < 0.25:
        return f"[{', '.join(_value(random, depth - 1) for _ in range(random.randrange(4)))}]"
    if depth and way < 0.6:
        entries = (
            f"{random.choice(NAMES)}: {_value(random, depth - 1)}"
            for _ in range(random.randrange(5))
        )
        return "{" + ", ".join(entries) + "}"
    return random.choice(VALUES if way < 0.9 else NAMES)


def one(data: bytes) -> None:
    try:
        config = read(
            data,
            FOLDER / "pushd.yml",
            {"fcm": Options},
            {"ping": Options},
            now=0.0,
            environment={"x": MARKER},
        )
    except ConfigErrors as errors:
        told = _checked(errors, data)
    else:
        assert config.path == FOLDER / "pushd.yml"
        told = "\n".join([*summary(config), repr(config)])
    if data.count(MARKER.encode()) == 1 and b"secret: " + MARKER.encode() in data:
        assert MARKER not in told, "a secret is told"


def _checked(errors: ConfigErrors, data: bytes) -> str:
    """What is told of the mistakes; each has its place, what was found, and a remedy."""
    assert errors.problems
    assert len(str(errors).splitlines()) == len(errors.problems)
    breaks = (b"\n", b"\r", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9")
    count = sum(map(data.count, breaks))
    for problem in errors.problems:
        assert problem.found
        assert problem.remedy
        assert 0 <= problem.line <= count + 2
        assert len(str(problem)) < 2_000
    return str(errors)
