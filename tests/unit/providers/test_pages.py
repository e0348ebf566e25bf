"""docs/providers/: configurations that load, tables that say what the code does, a receiver."""

import dataclasses
import json
import re
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pushd import measures
from pushd.config.load import load
from pushd.providers import (
    apns_answers,
    apns_payload,
    catalogue,
    fcm,
    ubuntu,
    webhook,
    webpush_encryption,
    webpush_endpoints,
    wns,
)
from pushd.providers.contract import Device, Notification, Response, Secret, Sending
from tests.patience import PATIENCE
from tests.unit.providers import pages
from tests.unit.providers.apple import certificate, signing_key
from tests.unit.providers.bench import NOW, account, ec_pem
from tests.unit.providers.pages import PAGES, Row, tables

DEVICE = Device(Secret("phone-1"))
TYPES = sorted(catalogue.types())
TEXTS = {path.stem: path.read_text("utf-8") for path in sorted(PAGES.glob("*.rst"))}
ROWS = [
    (kind, table, row)
    for kind in TYPES
    for table, rows in tables(TEXTS.get(kind, "")).items()
    for row in rows
]


def test_there_is_a_page_for_each_provider_and_the_index_names_it() -> None:
    assert sorted(TEXTS) == sorted([*TYPES, "index"])
    for name in TYPES:
        assert f"``{name}.rst``" in TEXTS["index"]
    for name in ("index", *TYPES):
        page = f"providers/{name}.rst" if name == "index" else f"{name}.rst"
        assert page in (PAGES.parent / "index.rst").read_text("utf-8") + TEXTS["index"]


# Configurations.


def configurations(text: str) -> Iterator[tuple[str, str]]:
    """The examples behind a comment such as `.. configuration: name`, by that name."""
    found = re.finditer(
        r"^\.\. configuration: (\S+)\n\n\.\. code-block:: yaml\n\n((?:   .*\n|\n)+)", text, re.M
    )
    for match in found:
        yield match[1], textwrap.dedent(match[2])


EXAMPLES = [(page, *example) for page, text in TEXTS.items() for example in configurations(text)]
CLIENTS = list(configurations((PAGES.parent / "clients.rst").read_text("utf-8")))


LISTEN = "listen: {client: ['127.0.0.1:5222'], client_tls: []}"  # which takes no certificate


def furnish(folder: Path) -> None:
    """Make the files that the examples name."""
    signing_key(folder, "AuthKey_ABC123DEFG.p8")
    certificate(folder, name="apns.pem", ends_at=time.time() + 200 * 86_400)
    account(folder).rename(folder / "fcm-service-account.json")
    (folder / "vapid.pem").write_text(ec_pem())
    (folder / "wns-secret").write_text("a client secret\n")
    for number, name in enumerate(("webhook-secret", "webhook-secret-new")):
        (folder / name).write_text(f"whsec_{str(number) * 32}\n")
    for file in folder.iterdir():
        file.chmod(0o600)


@pytest.mark.parametrize(
    ("page", "text"),
    [(page, text) for page, _, text in EXAMPLES] + [("index", text) for _, text in CLIENTS],
    ids=[f"{page}-{name}" for page, name, _ in EXAMPLES] + [name for name, _ in CLIENTS],
)
def test_an_example_is_a_configuration_that_loads(page: str, text: str, tmp_path: Path) -> None:
    furnish(tmp_path)
    text = text.replace("/etc/pushd/", f"{tmp_path}/").replace("# vapid_key", "vapid_key")
    file = tmp_path / "pushd.yml"
    file.write_text(f"domains: [example.net]\ndata: {tmp_path}/data\n{LISTEN}\n{text}")
    config = load(file, catalogue.all_options(), now=time.time())
    assert [one.text for one in config.warnings if one.key != "domains[0]"] == []
    for backend in config.app_server.backends:
        assert page in ("index", backend.type)
        provider = measures.provider(backend, config.app_server.proxy)
        assert all(finding.is_good for finding in provider.examined(time.time()))


def test_every_page_has_a_configuration() -> None:
    assert {page for page, _, _ in EXAMPLES} == set(TEXTS)


def test_every_option_that_a_page_names_is_there() -> None:
    for page, _, text in EXAMPLES:
        for name in re.findall(r"^       #? ?([a-z_]+):", text, re.M):
            options = [field.name for field in _fields(page)] if page != "index" else [name]
            common = ("register_host", "pubsub_host", "app_name", "type")
            assert name in (*options, *common), (page, name)


def _fields(kind: str) -> Any:
    found = catalogue.find(kind)
    assert found is not None
    return dataclasses.fields(catalogue.options(found))


# Fields and limits.


@pytest.mark.parametrize("kind", TYPES)
def test_every_field_of_the_form_is_explained(kind: str) -> None:
    found = catalogue.find(kind)
    assert found is not None
    text = TEXTS[kind] + (TEXTS["webpush"] if kind == "unifiedpush" else "")
    for name in found.register_fields | found.optional_fields:
        assert f"``{name}``" in text, name
    assert f"``register-push-{kind}``" in text
    for alias in found.aliases:
        assert f"``{alias}``" in text


@pytest.mark.parametrize(
    ("kind", "limits"),
    [
        ("apns", (apns_payload.PAYLOAD_LIMIT, apns_payload.VOIP_LIMIT)),
        ("fcm", (fcm.DATA_LIMIT,)),
        ("ubuntu", (ubuntu.DATA_LIMIT, ubuntu.BODY_LIMIT)),
        ("unifiedpush", (webpush_endpoints.LONGEST,)),
        ("webhook", (webhook.BODY_LIMIT, webhook.LONGEST_TOKEN)),
        ("webpush", (webpush_encryption.RECORD_SIZE,)),
        ("wns", (wns.PAYLOAD_LIMIT,)),
    ],
)
def test_limits_are_those_of_the_code(kind: str, limits: tuple[int, ...]) -> None:
    for limit in limits:
        assert re.search(rf"\b({limit}|{limit:,})\b", TEXTS[kind]), limit


# Tables.


@pytest.mark.parametrize(
    ("kind", "table", "row"), ROWS, ids=[f"{kind}-{row.answer}" for kind, _, row in ROWS]
)
def test_a_row_says_what_the_code_does(kind: str, table: str, row: Row) -> None:
    assert pages.outcome(kind, table, row) == row.outcome


def test_every_word_of_the_tables_is_explained() -> None:
    for _, _, row in ROWS:
        assert f"\n\n{row.outcome}\n    " in TEXTS["index"]


def test_every_answer_that_apns_is_known_to_give_is_in_its_table() -> None:
    rows = {(row.status, row.word) for kind, _, row in ROWS if kind == "apns"}
    assert rows == {(200, ""), *apns_answers.ROWS}


def test_every_answer_that_fcm_is_known_to_give_is_in_its_table() -> None:
    service = tables(TEXTS["fcm"])["service"]
    rows = {(row.status, row.word) for row in service}
    # Without FcmError a 400 is told by what stands in it, and has no row of its own.
    assert rows == {(200, ""), *fcm.ROWS.keys() - {(400, "")}}


@pytest.mark.parametrize(
    ("kind", "statuses"),
    [
        ("ubuntu", {200, 400, 401, 405, 411, 413, 415, 429, 500, 503}),
        ("wns", {200, 400, 401, 403, 404, 405, 406, 410, 413, 500, 503}),
        ("webpush", {200, 201, 202, 204, 301, 307, 400, 401, 403, 404, 410, 413, 429, 500, 502}),
        ("unifiedpush", {200, 201, 202, 204, 400, 401, 403, 404, 410, 413, 429, 500, 503, 507}),
        ("webhook", {200, 204, 301, 400, 401, 403, 404, 405, 410, 413, 422, 429, 500, 503}),
    ],
)
def test_every_status_of_a_services_documents_is_in_its_table(
    kind: str, statuses: set[int]
) -> None:
    assert statuses <= {row.status for row in tables(TEXTS[kind])["service"]}


def test_no_status_removes_a_device_that_the_table_does_not_say() -> None:
    for kind in TYPES:
        table = tables(TEXTS[kind])["service"]
        for status in set(range(300, 600)) - {row.status for row in table}:
            said = pages.outcome(kind, "service", Row(str(status), ""))
            assert not said.startswith("gone"), (kind, status)


# The receiver of webhooks that is printed.


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Any]]:
    """Its port, and its process."""
    code = re.search(
        r"^\.\. receiver\n\n\.\. code-block:: python\n\n((?:   .*\n|\n)+)", TEXTS["webhook"], re.M
    )
    assert code is not None
    program = textwrap.dedent(code[1]).replace(
        'HTTPServer(("127.0.0.1", 8080), Receiver).serve_forever()',
        'server = HTTPServer(("127.0.0.1", 0), Receiver)\n'
        "    print(server.server_port, flush=True)\n"
        "    server.serve_forever()",
    )
    assert "server_port" in program
    file = tmp_path_factory.mktemp("receiver") / "receiver.py"
    file.write_text(program)
    running = subprocess.Popen(
        [sys.executable, "-u", str(file)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert running.stdout is not None
    yield int(running.stdout.readline()), running
    running.kill()
    running.wait()
    running.stdout.close()


@pytest.mark.parametrize(("secret", "status"), [("", 204), ("A" * 32, 401)])
def test_the_receiver_takes_what_is_signed_with_its_secret(
    receiver: tuple[int, Any], secret: str, status: int
) -> None:
    port, running = receiver
    shown = re.search(r'b64decode\("([^"]+)"\)', TEXTS["webhook"])
    assert shown is not None
    options = webhook.Options(
        f"http://127.0.0.1:{port}/push", Secret(f"whsec_{secret or shown[1]}")
    )
    provider = webhook.Webhook(options)
    now = time.time()
    for request in (
        provider.probe(now, Sending("probe")),
        provider.request(Notification("node-1", 3), DEVICE, now, Sending("id-1", None)),
    ):
        asked = urllib.request.Request(request.url, request.body, dict(request.headers))
        assert _status(asked) == status
        outcome = provider.outcome(Response(status), now)
        assert pages.told(outcome) == ("taken" if status == 204 else "alarm")
    if status == 204:
        said: Mapping[str, Any] = {"message-count": 3}
        assert running.stdout.readline().decode() == f"phone-1 {json.loads(json.dumps(said))}\n"


def _status(asked: urllib.request.Request) -> int:
    try:
        with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_what_is_posted_is_as_the_page_shows_it() -> None:
    shown = json.loads(re.search(r"   (\{\"type\".*?\}\})", TEXTS["webhook"], re.S)[1])  # type: ignore[index]
    options = webhook.Options("https://hooks.example.net/push", Secret("whsec_" + "A" * 32))
    note = Notification(shown["node"], 3, last_message_sender="romeo@example.net")
    made = webhook.Webhook(options).request(note, DEVICE, NOW, Sending("id"))
    assert json.loads(made.body).keys() == shown.keys()
    assert {name.lower() for name in made.headers} == {
        "content-type", "webhook-id", "webhook-timestamp", "webhook-signature",
    }  # fmt: skip
