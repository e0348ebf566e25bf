"""Push where a server has several domains: each publishes for its own accounts."""

import time
from collections.abc import Iterator

import pytest

from pushd.net.certificates import DevelopmentCA
from tests.patience import PATIENCE
from tests.scenarios.house import DOMAIN, FOREIGN, PASSWORD, PUSH_HOST, House
from tests.scenarios.peers import Phone
from tests.scenarios.reading import condition, secret_form, succeeded

SECOND = "second.example"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    authority = DevelopmentCA(folder, time.time())
    domains = {}
    for domain in (DOMAIN, SECOND):
        issued = authority.issue([domain], domain)
        domains[domain] = {"certificate": str(issued.certificate), "key": str(issued.key)}
    house = House(folder, domains=domains)
    try:
        house.start()
        yield house
        house.check()
    finally:
        house.close()


def phone_of(house: House, domain: str, user: str) -> Phone:
    jid = f"{user}@{domain}"
    house.operate("user-add", jid=jid, password=PASSWORD.reveal())
    return house.phone(jid)


@pytest.mark.line(83, 93, 135)
def test_accounts_of_each_domain_are_pushed_by_their_own(house: House) -> None:
    for domain in (DOMAIN, SECOND):
        phone = phone_of(house, domain, "juliet")
        given = phone.register(f"token-of-{domain}", to=DOMAIN)
        succeeded(phone.enable(given["jid"], given["node"], secret_form(given["secret"])))
        succeeded(phone.enable(FOREIGN, f"node of {domain}"))
        phone.cut()
        house.friend().message(phone.account, "hello")
        assert house.pushes(f"token-of-{domain}", wait=PATIENCE)
        publish = house.service().publish(f"node of {domain}")
        assert publish["from"] == domain
        house.service().accept(publish)
        received = house.event("publish-received", account=phone.account)
        assert (received["publisher"], received["outcome"]) == (domain, "accepted")


@pytest.mark.line(124, 135)
def test_a_domain_publishes_to_no_node_of_the_other(house: House) -> None:
    owner, other = phone_of(house, DOMAIN, "nurse"), phone_of(house, SECOND, "nurse")
    given = owner.register("token-of-the-nurse", to=DOMAIN)
    succeeded(other.enable(PUSH_HOST, given["node"], secret_form(given["secret"])))
    other.cut()
    house.friend().message(other.account, "hello")
    ended = house.event("push-disabled", account=other.account)
    assert "forbidden" in ended["reason"]
    assert not house.pushes("token-of-the-nurse")


@pytest.mark.line(2, 4)
def test_the_domain_that_stands_for_an_account_is_its_own(house: House) -> None:
    phone = phone_of(house, SECOND, "paris")
    succeeded(phone.enable(FOREIGN, "by domain", to=SECOND))
    assert condition(phone.enable(FOREIGN, "by domain", to=DOMAIN)) == "not-allowed"
