"""Secrets that show by themselves: every kind of token that redaction knows, where it may stand, and what is none.

Tokens are put together here, so that no scanner takes this file for a leak. None of them opens anything.
"""

from __future__ import annotations

import json

import pytest

from time_execution.formats.redaction import MASK, REDACTOR

BODY = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0"
HEX = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"

# What is masked, and what begins it; of a URL, its end only.
TOKENS = [
    *(f"{kind}{BODY[:16].upper()}" for kind in ("AKIA", "ASIA")),
    *(f"xox{kind}-123456789012-{BODY[:12]}" for kind in "bpasr"),
    f"xoxe.xoxp-1-{BODY[:12]}",
    f"xapp-1-{BODY[:12]}",
    *(f"gh{kind}_{BODY[:36]}" for kind in "pousr"),
    f"github_pat_{BODY[:22]}",
    f"glpat-{BODY[:20]}",
    f"pypi-{BODY}",
    f"npm_{BODY[:36]}",
    *(f"{kind}_{BODY[:24]}" for kind in ("sk_live", "sk_test", "rk_live", "rk_test")),
    f"whsec_{BODY[:32]}",
    f"sk-proj-{BODY[:20]}",
    f"AIza{BODY[:35]}",
    f"ya29.{BODY[:30]}",
    f"SG.{BODY[:22]}.{BODY}",
    f"hvs.{BODY[:24]}",
    f"hf_{BODY[:34]}",
    f"dop_v1_{HEX}{HEX}",
    f"eyJ{BODY[:20]}.eyJ{BODY[:20]}.{BODY}",
]
ADDRESSES = [
    ("https://hooks.slack.com/services/", f"T0AB12CD3/B0EF45GH6/{BODY[:24]}"),
    ("https://hooks.slack.com/workflows/", f"T0AB12CD3/A0EF45GH6/1234/{BODY[:24]}"),
    ("https://hooks.slack.com/triggers/", f"T0AB12CD3/1234/{HEX}"),
    ("https://hooks.slack-gov.com/services/", f"T0AB12CD3/B0EF45GH6/{BODY[:24]}"),
    ("url: /services/", f"T0AB12CD3/B0EF45GH6/{BODY[:24]}"),
    ("https://discord.com/api/webhooks/", f"1234567890/{BODY}-x_y"),
    ("https://shop.webhook.office.com/", f"webhookb2/{HEX}@{HEX}/IncomingWebhook/{HEX}/{HEX}"),
    ("https://api.telegram.org/bot", f"123456789:AAF-{BODY[:31]}"),
    ("https://", f"{BODY[:20]}@git.example.com"),
]


@pytest.mark.parametrize("token", TOKENS, ids=lambda token: token[:8])
def test_a_token_is_masked_wherever_it_stands(token):
    """In a sentence, a document, a repr, behind an escaped line break, in an encoded address; nothing else is."""
    for text in ("{}", "refused {}: expired", "it is '{}'", "first\\n{} is", "\n{}\n", "to=x%20{}&n=1", "[{}]"):
        assert REDACTOR.redact_text(text.format(token)) == text.format(MASK)
    assert REDACTOR.redact([token, {"note": (token, 1)}]) == [MASK, {"note": (MASK, 1)}]
    assert REDACTOR.redact(token.encode()) == MASK.encode()
    assert json.loads(REDACTOR.redact_text(json.dumps({"note": token, "n": 1}))) == {"note": MASK, "n": 1}


@pytest.mark.parametrize(("before", "secret"), ADDRESSES, ids=lambda text: text[:30])
def test_the_secret_part_of_an_address_is_masked(before, secret):
    """What it is the address of stays legible."""
    shown = f"@{secret.partition('@')[2]}" if before == "https://" else ""
    assert REDACTOR.redact_text(f"POST {before}{secret} failed") == f"POST {before}{MASK}{shown} failed"


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED ", "PGP "])
@pytest.mark.parametrize("has_end", [True, False])
def test_a_private_key_is_masked_whole(kind, has_end):
    """Of any kind; one whose end was cut off up to the end of the text."""
    block = " BLOCK" if kind == "PGP " else ""
    end = f"-----END {kind}PRIVATE KEY{block}-----\nafter" if has_end else ""
    text = f"before\n-----BEGIN {kind}PRIVATE KEY{block}-----\n{BODY}\n{BODY}\n{end}"
    assert REDACTOR.redact_text(text) == (f"before\n{MASK}\nafter" if has_end else f"before\n{MASK}")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Basic", "basic"])
def test_what_follows_the_name_of_a_scheme_is_masked(scheme):
    """However it is written; what is only spoken of is none."""
    secret = f"{BODY[:12]}~+/==" if scheme.lower() == "bearer" else "YWxhZGRpbjpvcGVuc2VzYW1l"
    assert REDACTOR.redact_text(f"sent {scheme} {secret} twice") == f"sent {scheme} {MASK} twice"
    for prose in ("understanding of it", "Authentication.", "principles", "dXNlcm5hbWU is one"):
        if not (scheme.lower() == "bearer" and prose[0] == "d"):
            assert REDACTOR.redact_text(f"{scheme} {prose}") == f"{scheme} {prose}"


@pytest.mark.parametrize(
    "text",
    [
        f"aws commit {HEX}01234567",
        f"aws commit {HEX.upper()}01234567",
        f"aws path /{BODY}",
        f"aws {BODY}{BODY}",
        "task-scheduler-with-a-rather-long-name",
        "run task_test_everything_twice, then disk_live_migration",
        "https://hooks.slack.com/docs",
        "/bot/status and /bots",
        "SG.short.x",
        "basic dXNlcgBwYXNz:",
        "basic ADoBAgME",
        "a-sk-learn-model-in-a-training-pipeline",
    ],
)
def test_what_only_looks_like_a_token_is_shown(text):
    """Check sums, names with hyphens, addresses without a secret."""
    assert REDACTOR.redact_text(text) == text


def test_an_aws_secret_is_told_by_its_mixture():
    """Forty letters of both cases near a word of AWS are one, also behind an escaped line break."""
    secret = BODY
    for text in ("aws secret {}", "aws\\n{}", "aws='{}'"):
        assert REDACTOR.redact_text(text.format(secret)) == text.format(MASK)


@pytest.mark.parametrize("separator", ["=", ":", ": ", " = ", "=>", " => ", ":=", " := ", "%3A", "%3D", "%3d", "%3a"])
def test_a_key_is_parted_from_its_value_in_many_notations(separator):
    """Of languages, configuration files and encoded addresses."""
    assert REDACTOR.redact_text(f"x api_key{separator}{BODY}; y") == f"x api_key{separator}{MASK}; y"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("api_key=b'{0}'", "api_key=b'{1}'"),
        ('api_key=Rb"{0}"', 'api_key=Rb"{1}"'),
        ('"password": "{0}\\"{0}", "n": 1', '"password": "{1}", "n": 1'),
        ("password='{0}\\'{0}', n=1", "password='{1}', n=1"),
        ("password=[{0}, {0}] n=1", "password={1} n=1"),
        ("password=({0}, {0}) n=1", "password={1} n=1"),
        ("token={{{0}: {0}}} n=1", "token={1} n=1"),
        ('{{\\"token\\": \\"{0}\\"}}', '{{\\"token\\": \\"{1}\\"}}'),
        ("<token>{0}</token>", "<token>{1}</token>"),
        ("a <token {0}", "a <token {0}"),
        ("mail token>{0}", "mail token>{0}"),
        ("Authorization: Negotiate {0} {0}\nnext", "Authorization: {1}\nnext"),
        ("Cookie: a={0}; b={0}\nnext", "Cookie: {1}\nnext"),
        ('-H "Cookie: a={0}; b={0}" next', '-H "Cookie: {1}" next'),
        ("-H 'Cookie: a={0}; b={0}' next", "-H 'Cookie: {1}' next"),
        ("{{'authorization': 'Negotiate {0} {0}', 'n': 1}}", "{{'authorization': '{1}', 'n': 1}}"),
        ('authorization: "Negotiate {0} {0}", n=1', 'authorization: "{1}", n=1'),
        ("cookie: ['{0}', '{0}'], n=1", "cookie: {1}, n=1"),
        ("proxy_token=Digest {0}, next", "proxy_token={1}, next"),
        ("proxy_token=ApiKey {0}, next", "proxy_token={1}, next"),
        ("proxy_token=negotiate {0}, next", "proxy_token={1}, next"),
        ("f('token', '{0}')", "f('token', '{1}')"),
        ("'user', 'token', '{0}'", "'user', 'token', '{0}'"),
        ("token://{0}/x", "token://{0}/x"),
        ("session: started", "session: started"),
        ("session: {0}", "session: {1}"),
        ("session:started", "session:{1}"),
        ("session=started", "session={1}"),
        ("sessions: 17", "sessions: 17"),
        ("run --token {0} --n 1", "run --token {1} --n 1"),
        ("['run', '--token', '{0}', 'x']", "['run', '--token', '{1}', 'x']"),
        ("line\\ntoken={0}", "line\\ntoken={1}"),
        ("line\\rapi_key={0}", "line\\rapi_key={1}"),
        ("line\\tpassword={0}", "line\\tpassword={1}"),
        ('{{"pin": 4711, "n": 1}}', '{{"pin": "{1}", "n": 1}}'),
        ("password=!!; n", "password=!!; n"),
    ],
)
def test_what_stands_behind_a_telling_key_is_masked(text, masked):
    """Quoted, in brackets, as a header, as an option; and in prose only what is no word."""
    assert REDACTOR.redact_text(text.format(BODY)) == masked.format(BODY, MASK)
