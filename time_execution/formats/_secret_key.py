"""Which keys name a secret, told by their words.

A key is split into words at ``_ - .`` and in camel case, so that ``X-Api-Key``, ``apiKey`` and ``API_KEY`` are one key,
and ``tokenizer`` holds no ``token``. What the key is *about* decides: ``password`` is a secret, ``password_changed_at``
is a date. Only `redaction` uses this module.
"""

from __future__ import annotations

import re
from enum import IntEnum
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_KEY = 256
"""Keys are judged by so many characters; a longer one is no name that a person gave."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z]*|[a-z]+|[0-9]+|[^\W\d_A-Za-z]+")


class Secrecy(IntEnum):
    """What is masked under a key."""

    NONE = 0
    UNLESS_NUMBER = 1
    ALWAYS = 2


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SECRET = _set("passwords passcode pwd secrets jwt bearer authorization cookie csrf xsrf apikeys otp totp cvv cvc ssn")
# Written without a break: PGPASSWORD, csrfmiddlewaretoken, clientsecret.
_SECRET_ENDINGS = tuple(
    _set(
        "password passwd passphrase secret token apikey accesskey secretkey privatekey accountkey sessionid sessionkey "
        "sessid"
    )
)
_SECRET_PAIRS = frozenset(
    tuple(pair.split("_"))
    for pair in _set(
        "api_key api_keys access_key access_keys private_key private_keys signing_key encryption_key decryption_key "
        "auth_key account_key shared_key master_key ssh_key gpg_key license_key pass_word pass_phrase pass_code "
        "user_pass user_pw db_pw db_pass database_pass smtp_pass mail_pass email_pass admin_pass root_pass ftp_pass "
        "proxy_pass mysql_pass postgres_pass pg_pass redis_pass rabbitmq_pass amqp_pass mongo_pass ldap_pass "
        "bind_pass key_pass pin_code card_pin user_pin card_number credit_card social_security security_code "
        "auth_code recovery_code recovery_codes backup_codes code_verifier connection_string webhook_url "
        "webhook_uri connect_sid amz_signature"
    )
)
# These also count things: `tokens: 512`, `sessions: 3`.
_SECRET_UNLESS_NUMBER = _set("tokens cookies session sessions credential credentials creds")
# Secret as the last word only: `auth` may hold ("user", "password"), `auth_method` does not.
_SECRET_AS_LAST = _set("auth")
# Secret as the only word: `pin` and `pw`, but not `gpio_pin`; `pass`, unless it counts the tests that did.
_SECRET_ALONE = {"pin": Secrecy.ALWAYS, "pw": Secrecy.ALWAYS, "pass": Secrecy.UNLESS_NUMBER}

# The word that a key ends with may say that the value is a count, a date, a name or a place, and so no secret.
_ABOUT = _set(
    "count counts counter length len size limit max min total usage used budget rate cost price index ids type types "
    "kind class name names path file filename dir url uri endpoint host port domain server provider issuer scope "
    "scopes audience algorithm alg format encoding method mode policy policies strength version status state enabled "
    "disabled required changed change changes updated update created expired expires expiry expiration lifetime age "
    "ttl timeout duration interval at in on date time timestamp year month day hour minute second seconds ms millis "
    "bytes attempts attempt retries field fields form page view model label prompt help error errors validator "
    "validators hasher hashers backend backends engine store manager service factory middleware consent secure "
    "httponly samesite details split"
)
_ABOUT_FIRST = _set("is has needs requires max min num total")
# Marks and cursors that happen to be called tokens.
_NO_TOKEN = _set("page pagination continuation cancel cancellation pad eos bos unk sep cls stop special")
# The environment's working directory.
_WORKING_DIRECTORY = "PWD"
# In the query of a URL these are credentials, too.
_QUERY_SECRET = _set("sig signature")


def words(key: str) -> tuple[str, ...]:
    """Return the words of a key in lower case.

    Example:
        >>> words("X-Api-Key"), words("dbPassword2"), words("OAuthToken")
        (('x', 'api', 'key'), ('db', 'password', '2'), ('o', 'auth', 'token'))
    """
    return tuple(word.lower() for word in _WORD.findall(key[:MAX_KEY]))


class KeyRule:
    """Says of a key whether its value is a secret; immutable, so any thread may ask.

    Args:
        keys: Keys that are secret beside the built-in ones, wherever their words stand in a key.
        allow: Keys that are not, compared whole.
    """

    def __init__(self, keys: Iterable[tuple[str, ...]] = (), allow: Iterable[tuple[str, ...]] = ()) -> None:
        self._keys = tuple(keys)
        self._allow = frozenset(allow)

    def secrecy(self, key: str) -> Secrecy:
        """Return what is to be masked under a key."""
        parts = words(key)
        if not parts or key == _WORKING_DIRECTORY or parts in self._allow:
            return Secrecy.NONE
        if any(_contains(parts, secret) for secret in self._keys):
            return Secrecy.ALWAYS
        pairs = set(pairwise(parts))
        if pairs & _SECRET_PAIRS and (parts[-1] not in _ABOUT or parts[-2:] in _SECRET_PAIRS):
            return Secrecy.ALWAYS
        if parts[-1] in _ABOUT or parts[0] in _ABOUT_FIRST or _is_marker(parts):
            return Secrecy.NONE
        return _by_word(parts)


def is_query_secret(key: str) -> bool:
    """Say whether a key that is no secret elsewhere is one in the query of a URL."""
    return key.lower() in _QUERY_SECRET


def _by_word(parts: tuple[str, ...]) -> Secrecy:
    if any(part in _SECRET or part.endswith(_SECRET_ENDINGS) for part in parts):
        return Secrecy.ALWAYS
    if parts[-1] in _SECRET_AS_LAST or not _SECRET_UNLESS_NUMBER.isdisjoint(parts):
        return Secrecy.UNLESS_NUMBER
    return _SECRET_ALONE.get(parts[0], Secrecy.NONE) if len(parts) == 1 else Secrecy.NONE


def _is_marker(parts: tuple[str, ...]) -> bool:
    return len(parts) > 1 and parts[-1] == "token" and parts[-2] in _NO_TOKEN


def _contains(parts: tuple[str, ...], secret: tuple[str, ...]) -> bool:
    size = len(secret)
    return any(parts[start : start + size] == secret for start in range(len(parts) - size + 1))
