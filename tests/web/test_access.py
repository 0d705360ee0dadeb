"""Who may see what: nobody, unless the application says so."""

from __future__ import annotations

import asyncio
import hmac

import pytest

from time_execution.exceptions import ConfigurationError
from time_execution.guard import faults
from time_execution.web.access import Access, is_local
from time_execution.web.message import Request

TOKEN = "a-long-token-of-mine"


def request(*, client="127.0.0.1", native=None, **headers):
    return Request(
        "GET", "/", client=client, native=native, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def test_without_auth_nobody_sees_pages():
    """Nothing about a request helps: neither its address nor what it sends."""
    assert not Access().may_see_pages(request(authorization="Bearer x"))


@pytest.mark.parametrize("answer", [False, None, 1, "yes", object(), [True]])
def test_only_true_grants(answer):
    """What is merely truthy may be a mistake, such as the name of a user."""
    assert not Access(auth=lambda _: answer).may_see_pages(request())


def test_auth_gets_the_request_of_the_framework():
    """And what it says is what counts."""
    native = object()
    assert Access(auth=lambda given: given is native).may_see_pages(request(native=native))


def test_auth_that_raises_refuses():
    """It is counted, since it may be broken rather than strict."""

    def broken(_):
        raise RuntimeError

    assert not Access(auth=broken).may_see_pages(request())
    assert faults.as_dict()["hook"] == {"auth: RuntimeError": 1}


def test_interrupt_passes():
    """What is no `Exception` is not taken for a refusal."""

    def interrupted(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Access(auth=interrupted).may_see_pages(request())


def test_asynchronous_auth_is_awaited_where_it_can_be():
    """Elsewhere it refuses, rather than that its coroutine counts for true."""

    async def auth(given):
        await asyncio.sleep(0)
        return given == "admin"

    access = Access(auth=auth)
    assert access.is_async
    assert asyncio.run(access.ask(request(native="admin")))
    assert not asyncio.run(access.ask(request(native="guest")))
    assert not access.may_see_pages(request(native="admin"))
    hidden = Access(auth=lambda given: auth(str(given)))
    assert not hidden.may_see_pages(request(native="admin"))


def test_asking_works_with_any_auth():
    """Also with a plain one, with none, and with one that raises."""

    async def broken(_):
        raise RuntimeError

    assert asyncio.run(Access(auth=lambda _: True).ask(request()))
    assert not asyncio.run(Access().ask(request()))
    assert not asyncio.run(Access(auth=broken).ask(request()))


@pytest.mark.parametrize("client", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
def test_loopback_addresses(client):
    """All of the machine's own are."""
    assert is_local(request(client=client))


@pytest.mark.parametrize(
    "client", [None, "", "10.0.0.1", "192.0.2.1", "::2", "::ffff:10.0.0.1", "localhost", "127.0.0.1.evil", "0.0.0.0"]
)
def test_other_addresses(client):
    """Whatever is not surely the machine's own is another's; so is a Unix socket, behind which a proxy stands."""
    assert not is_local(request(client=client))


@pytest.mark.parametrize(
    "header",
    [
        *("forwarded", "x_forwarded_for", "x_forwarded_host", "x_forwarded_proto", "x_forwarded_port", "x_real_ip"),
        *("via", "cf_connecting_ip", "true_client_ip", "x_envoy_external_address"),
    ],
)
def test_proxy_is_not_the_client(header):
    """One on this machine speaks for somebody elsewhere, even where the header claims the loopback."""
    assert not is_local(request(**{header: "127.0.0.1"}))


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000", "[::1]", "a.localhost"]
)
def test_names_of_this_machine(host):
    """Whoever asks for one of them means this machine; and so does who names none, as HTTP 1.0 allows."""
    assert is_local(request(host=host))
    assert is_local(request())


@pytest.mark.parametrize(
    "host",
    [
        *("shop.example", "shop.example:80", "192.0.2.1", "[2001:db8::1]:80", "", ":", "[", "localhost.example"),
        *("127.0.0.1.evil", "evil:127.0.0.1", "localhost@evil", "0.0.0.0:8000"),
    ],
)
def test_other_names(host):
    """A page of another site's name that was led to this machine, or a proxy whose headers the server took away."""
    assert not is_local(request(host=host))


def test_metrics_by_address():
    """By default for clients on this machine, by choice for all."""
    assert Access().may_scrape(request())
    assert not Access().may_scrape(request(client="192.0.2.1"))
    assert Access(metrics="open").may_scrape(request(client="192.0.2.1"))


def test_metrics_by_token(monkeypatch):
    """With a token, nothing but the token counts, and it is compared in constant time."""
    compared, digest = [], hmac.compare_digest

    def counted(given, expected):
        compared.append(given)
        return digest(given, expected)

    monkeypatch.setattr(hmac, "compare_digest", counted)
    access = Access(metrics_token=TOKEN)
    assert access.may_scrape(request(client="192.0.2.1", authorization=f"Bearer {TOKEN}"))
    for wrong in ("", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"bearer {TOKEN}", "Bearer ä"):
        assert not access.may_scrape(request(authorization=wrong))
    assert not access.may_scrape(request())
    assert len(compared) == 8


def test_token_is_shown_nowhere():
    """Neither by `repr` nor among the attributes' texts."""
    assert TOKEN not in repr(Access(metrics_token=TOKEN))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"auth": True}, "auth"),
        ({"auth": "admin"}, "auth"),
        ({"metrics": "everybody"}, "metrics_access"),
        ({"metrics": None}, "metrics_access"),
        ({"metrics_token": ""}, "metrics_token"),
        ({"metrics_token": "short"}, "metrics_token"),
        ({"metrics_token": b"bytes-are-no-text"}, "metrics_token"),
        ({"metrics_token": TOKEN, "metrics": "open"}, "metrics_token"),
    ],
)
def test_wrong_arguments(options, named):
    """They are refused by name, and a token is not shown."""
    with pytest.raises(ConfigurationError, match=named) as caught:
        Access(**options)
    assert TOKEN not in str(caught.value)
