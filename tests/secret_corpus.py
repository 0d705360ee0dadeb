"""What redaction must find, and what it must leave alone: for every test that looks for secrets in an output.

Tokens are spelt in two halves, so that no scanner takes this file for a leak. None of them opens anything.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

AWS_ID = "AKIAQX7P2MZV4TRB9KWE"
AWS_SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYzzYxWvUtS4"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiIsIm5hbWUiOiJhIn0.TJVA95OrM7E2cBab30RMHrHDcEfx"
PEM_BODY = "MIIEpAIBAAKCAQEA1c7zKq3hX"
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{PEM_BODY}\n{PEM_BODY}\n-----END RSA PRIVATE KEY-----"
SLACK_PATH = "T0AB12CD3/B0EF45GH6/a1B2c3D4e5F6g7H8"
SLACK_BOT = "xoxb-123456789012-abcdefGHIJKL"
GITHUB = "ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
GITHUB_FINE = "github_pat_11ABCDEFG0a1B2c3D4e5F6g7H8_xyz"
STRIPE = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"
GOOGLE = "AIzaSyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q"
OPENAI = "sk-proj-a1B2c3D4e5F6g7H8i9J0k1L2"
SENDGRID = "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"
BASIC = "YWxhZGRpbjpvcGVuc2VzYW1l"
# Longer than such numbers are, so that no time, identifier or path of a file holds one by chance.
PIN = "471108154230"
CVV = "737216094855"
OTP = "991337640218"


class Login(NamedTuple):
    user: str
    password: str


def shown(value: Any) -> str:
    """Return everything that can be seen of a value."""
    return f"{value!r} {value}"


# What must not be seen again, and a value that holds it.
PLANTED: list[tuple[str, Any]] = [
    # Keys of a dict, in every spelling and at any depth.
    ("hunter2", {"password": "hunter2"}),
    ("hunter2", {"user": {"profile": [{"new_password": "hunter2"}]}}),
    ("hunter2", {"dbPassword": "hunter2"}),
    ("hunter2", {"PGPASSWORD": "hunter2"}),
    ("hunter2", {"passwd": "hunter2", "user": "root"}),
    ("hunter2", {"pass": "hunter2"}),
    ("hunter2", {"SMTP_PASS": "hunter2"}),
    ("hunter2", {"password_confirmation": "hunter2"}),
    ("correct horse battery", {"passphrase": "correct horse battery"}),
    ("abc123xyz", {"token": "abc123xyz"}),
    ("abc123xyz", {"accessToken": "abc123xyz"}),
    ("abc123xyz", {"refresh_token": "abc123xyz", "expires_in": 3600}),
    ("abc123xyz", {"csrfmiddlewaretoken": "abc123xyz"}),
    ("abc123xyz", {"X-Auth-Token": "abc123xyz"}),
    ("abc123xyz", {"tokens": ["abc123xyz", "def456"]}),
    ("abc123xyz", {"client_secret": "abc123xyz"}),
    ("abc123xyz", {"SECRET_KEY": "abc123xyz"}),
    ("abc123xyz", {"secrets": {"db": "abc123xyz"}}),
    ("abc123xyz", {"api_key": "abc123xyz"}),
    ("abc123xyz", {"apikey": "abc123xyz"}),
    ("abc123xyz", {"X-Api-Key": "abc123xyz"}),
    ("abc123xyz", {"privateKey": "abc123xyz"}),
    ("abc123xyz", {"encryption_key": "abc123xyz"}),
    ("abc123xyz", {"AccountKey": "abc123xyz"}),
    ("Zm9vOmJhcg", {"Authorization": "Custom Zm9vOmJhcg"}),
    ("Zm9vOmJhcg", {"proxy-authorization": "Zm9vOmJhcg"}),
    ("s3ss10n", {"Cookie": "sid=s3ss10n; theme=dark"}),
    ("s3ss10n", {"Set-Cookie": "sid=s3ss10n; Path=/"}),
    ("s3ss10n", {"cookies": {"sid": "s3ss10n"}}),
    ("s3ss10n", {"session": "s3ss10n"}),
    ("s3ss10n", {"sessionid": "s3ss10n"}),
    ("s3ss10n", {"PHPSESSID": "s3ss10n"}),
    ("p4ss", {"auth": ("admin", "p4ss")}),
    ("p4ss", {"credentials": {"user": "admin", "code": "p4ss"}}),
    (PIN, {"pin": int(PIN)}),
    (CVV, {"cvv": CVV}),
    ("078-05-1120", {"ssn": "078-05-1120"}),
    ("4111111111111111", {"card_number": "4111111111111111"}),
    (OTP, {"otp": int(OTP)}),
    ("abc123xyz", {"slack_webhook_url": "https://chat.example.com/abc123xyz"}),
    ("abc123xyz", OrderedDict(secret="abc123xyz")),
    ("hunter2", Login("root", "hunter2")),
    # Headers and environments as pairs, and command lines.
    ("abc123xyz", [("X-Api-Key", "abc123xyz"), ("Accept", "*/*")]),
    ("abc123xyz", [(b"x-api-key", b"abc123xyz")]),
    ("s3ss10n", [("Host", "a"), ("Cookie", "sid=s3ss10n")]),
    ("hunter2", ["mysql", "--password", "hunter2", "db"]),
    ("hunter2", "Command '['mysql', '--password', 'hunter2']' returned non-zero exit status 1."),
    ("hunter2", "mysql --user root --password hunter2 --verbose"),
    ("hunter2", "mysql --password=hunter2"),
    # URLs.
    ("hunter2", "postgres://app:hunter2@db.example.com:5432/app"),
    ("p@ss:w#rd", "redis://:p@ss:w#rd@cache:6379/0"),
    ("hunter2", {"dsn": "amqp://guest:hunter2@mq//"}),
    ("abc123xyz", "https://abc123xyz@github.com/o/r.git"),
    ("abc123xyz", "GET https://api.example.com/v1?token=abc123xyz&page=2 HTTP/1.1"),
    ("hunter2", "/login?user=a&password=hunter2"),
    ("abc123xyz", "https://a.blob.example.net/c?sv=2022&sig=abc123xyz%3D"),
    ("abc123xyz", "https://b.s3.example.com/k?X-Amz-Signature=abc123xyz"),
    ("abc123xyz", "redirect=%2Fcb%3Faccess_token%3Dabc123xyz"),
    # Credentials that show by themselves, in the middle of a text.
    ("a1b2c3d4e5", "sent Bearer a1b2c3d4e5 to the server"),
    (BASIC, f"sent Basic {BASIC} to the server"),
    (JWT, f"rejected {JWT}: expired"),
    (JWT.split(".")[1], f"rejected {JWT}"),
    (AWS_ID, f"key {AWS_ID} is not authorised"),
    (AWS_SECRET, f"aws: {AWS_ID} / {AWS_SECRET}"),
    (PEM_BODY, f"cannot load {PEM}, is it encrypted?"),
    (PEM_BODY, f"cannot load {PEM[:80]}"),
    (PEM_BODY, PEM.replace("RSA PRIVATE KEY", "OPENSSH PRIVATE KEY").encode()),
    (SLACK_PATH, f"POST https://hooks.slack.com/services/{SLACK_PATH} failed"),
    (SLACK_PATH, f"HTTPSConnectionPool(port=443): Max retries exceeded with url: /services/{SLACK_PATH}"),
    (SLACK_BOT, f"slack said invalid_auth to {SLACK_BOT}"),
    (GITHUB, f"git push with {GITHUB} refused"),
    (GITHUB_FINE, [GITHUB_FINE]),
    (STRIPE, f"charge failed for {STRIPE}"),
    (GOOGLE, f"maps?k={GOOGLE}"),
    (OPENAI, f"Incorrect key provided: {OPENAI}."),
    (SENDGRID, f"mail: {SENDGRID}"),
    # Texts with a telling key: exceptions, logs, documents, source.
    ("hunter2", "login failed: password=hunter2"),
    ("hunter2", "login failed (password: hunter2)"),
    ("abc123xyz", "the API key: abc123xyz was refused"),
    ("abc123xyz", "no session id=abc123xyz found"),
    ("hunter2 is long", "password='hunter2 is long'"),
    ("hunter2", '{"user": "root", "password": "hunter2"}'),
    ("hunter2", '{\\"password\\": \\"hunter2\\"}'),
    (PIN, f'{{"pin": {PIN}, "user": 5}}'),
    ("hunter2", "{'user': 'root', 'password': b'hunter2'}"),
    ("hunter2", "<user>root</user><password>hunter2</password>"),
    ("hunter2", "config['db_password'] = 'hunter2'"),
    ("abc123xyz", "Authorization: Digest username=root, response=abc123xyz\r\nAccept: */*"),
    ("abc123xyz", 'curl -H "Authorization: Token abc123xyz" https://api.example.com'),
    ("s3ss10n", "GET / HTTP/1.1\r\nHost: a\r\nCookie: theme=dark; sid=s3ss10n\r\n\r\n"),
    ("abc123xyz", "Traceback (most recent call last):\n  File 'a.py', line 1\nKeyError: 'api_key=abc123xyz'"),
    ("abc123xyz", "DefaultEndpointsProtocol=https;AccountKey=abc123xyz==;EndpointSuffix=a"),
    ("abc123xyz", "export AWS_SECRET_ACCESS_KEY=abc123xyz\nexport HOME=/root"),
    ("abc123xyz", "first line\\nsecret=abc123xyz"),
    ("abc123xyz", "first line\\napi_key=abc123xyz"),
    (JWT, f"first line\\n{JWT}"),
    (AWS_SECRET, f"aws\\n{AWS_SECRET}"),
]

# What looks alike and is of use: must come back as it went in, as a value and inside a text.
HARMLESS: list[Any] = [
    {"token_count": 5},
    {"max_tokens": 512, "total_tokens": 640, "tokens": 128},
    {"tokenizer": "bpe", "tokenization": "fast"},
    {"token_type": "word", "token_expires_in": 3600},
    {"page_token": "CAUQAA", "eos_token": "</s>"},
    {"password_changed_at": "2024-05-01", "password_length": 12, "password_attempts": 3},
    {"has_password": True, "password": None},
    {"password_policy": "strict", "password_validators": ["length"]},
    {"session_count": 7, "sessions": 3, "session_timeout": 30},
    {"cookie_consent": "yes", "cookie_domain": "example.com"},
    {"secret_name": "db/main", "secret_version": 4, "secretary": "anna"},
    {"author": "anna", "authority": "city", "authorized": "yes", "auth_method": "ldap"},
    {"key": "user:17", "primary_key": 17, "sort_key": "name", "keyboard": "de", "public_key": "abcdef"},
    {"pin_count": 40, "spin": "left", "pass": 12, "fail": 1, "passed": 11, "compass": "north"},
    {"PWD": "/srv/app", "PATH": "/bin"},
    {"card_type": "visa", "credit_card_type": "visa", "postcard": "sunny"},
    {"name": "auth.create_token", "value": 12.5, "hostname": "web-1"},
    ["password", "username"],
    {"status": "ok", "opt": 1, "options": 2, "ssnake": 3},
    "GET https://example.com:8080/a/b?page=2&q=a@b -> 200 in 12 ms",
    "http://localhost:8080/@user",
    "ssh://git@example.com/o/r.git",
    "commit 3f786850e387550fdab836ed7e6dc881de23001b on aws",
    "basic authentication needed; bearer authentication too",
    "Basic understanding of tokens: see the manual",
    "session: started for anna",
    "unexpected token: '}'",
    "cache key: user:17, primary key: 17, session idle: 30",
    "the secret of a good soup, and the key to it",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "task-scheduler-with-a-rather-long-name-in-it",
    "password=, next; password=",
    "def f(tokens=3, max_token=None): ...",
    "C:\\temp\\new.txt: 12:30:01 took 5 ms, ratio 3:4",
    "日本語のテキスト: これは秘密ではありません",
]
