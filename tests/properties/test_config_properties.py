"""Any text given as a configuration is a Config or a list of mistakes, and nothing else."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pushd.config.checks import ServiceAccountFile
from pushd.config.kinds import Duration, Url
from pushd.config.load import read
from pushd.config.mod_push import SECTIONS, TARGETS
from pushd.config.problems import ConfigErrors
from pushd.config.reader import option_fields
from pushd.config.sections import Config, Limits, Listen, Log, Push, Sessions
from pushd.config.summary import summary
from pushd.wire.secret import Secret

FOLDER = Path(tempfile.gettempdir()) / "pushd-properties-nowhere"
MARKER = "sesame"


@dataclass(frozen=True, slots=True)
class Options:
    account: ServiceAccountFile | None = None
    bearer: Secret | None = None
    lifetime: Duration = 60.0
    url: Url = "https://push.example"


def outcome(data: bytes | str) -> str:
    """What is told of a configuration, right or wrong."""
    try:
        config = read(
            data, FOLDER / "pushd.yml", {"fcm": Options}, {"ping": Options}, now=0.0, environment={}
        )
    except ConfigErrors as errors:
        return report_of(errors)
    assert isinstance(config, Config)
    return "\n".join([*summary(config), repr(config)])


def report_of(errors: ConfigErrors) -> str:
    assert errors.problems
    assert len(str(errors).splitlines()) == len(errors.problems)
    assert all(problem.found and problem.remedy for problem in errors.problems)
    return str(errors)


NAMES = sorted(
    {*SECTIONS, *TARGETS, "type", "register_host", "pubsub_host", "app_name", "base_url", "ca_file"}
    | {"certificate", "key", "secret", "file", "env", "host", "nodetree", "plugins", "certfile"}
    | {"localhost", "example.net", "push.example.net", "ping", "auth_key", "service_account"}
    | {n for c in (Config, Limits, Listen, Log, Push, Sessions) for n in option_fields(c)}
)
SAID = """~ no on 052 12:30 5000 72h 10MB :0 127.0.0.1:0 . / all localhost Example.NET fcm gcm apns
    push.example.net text messages push /dev/null /etc/passwd http://127.0.0.1:9
    ' "\\ud800" { *x &x !x -"""
WORDS = st.sampled_from(SAID.split()) | st.just("")
TREES = st.recursive(
    WORDS | st.sampled_from(NAMES) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5).map(
            lambda entries: "{" + ", ".join(f"{name}: {v}" for name, v in entries.items()) + "}"
        )
    ),
    max_leaves=15,
)
DOCUMENTS = st.dictionaries(st.sampled_from(NAMES), TREES, max_size=8).map(
    lambda sections: "\n".join(f"{name}: {value}" for name, value in sections.items())
)
HEAD = "domains: [localhost]\ndata: .\nlisten: {client: ['127.0.0.1:0'], client_tls: []}\n"


@given(st.text())
@example("\x85")
@example("? |\n")
@example("<<: {a: b}")
@example("%TAG ! tag:x,2000:\n---\n")
def test_any_text_is_a_configuration_or_a_list_of_mistakes(text: str) -> None:
    assert outcome(text)


@given(st.binary())
def test_any_bytes_are_a_configuration_or_a_list_of_mistakes(data: bytes) -> None:
    assert outcome(data)


@given(DOCUMENTS, st.booleans())
def test_any_arrangement_of_words_is_a_configuration_or_a_list_of_mistakes(
    text: str, with_head: bool
) -> None:
    assert outcome(HEAD * with_head + text)


@given(st.data())
@pytest.mark.parametrize(
    "template",
    [
        "components: {{b.example: {{secret: {}}}}}",
        "components: {{b.example: {}}}",
        "app_server: {{backends: [{{type: fcm, bearer: {}}}]}}",
        "mod_push: {{backends: [{{type: gcm, auth_key: {}, bearer: {}}}]}}",
        "modules: {{ping: {{bearer: {}}}}}",
    ],
)
def test_a_secret_is_told_in_no_outcome(template: str, data: st.DataObject) -> None:
    shapes = ["{}", "'{}'", '"{}"', "[{}]", "{{file: [{}]}}", "{{{}: }}", "&a {}", "@{}", "%{}"]
    shapes += ["!{}", "*{}", "'{}", '"\\q{}"', "{{env: x, file: y, text: {}}}", "- {}", "| {}"]
    value = data.draw(st.sampled_from(shapes)).format(MARKER)
    count = template.count("{}") - template.count("{{}}")
    assert MARKER not in outcome(HEAD + template.format(*[value] * count))
