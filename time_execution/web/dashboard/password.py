"""Passwords as they are kept: what scrypt makes of one, with salt and parameters in the same text."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from time_execution.exceptions import ConfigurationError

PREFIX = "scrypt:"
LONGEST = 1024
"""The longest password that is looked at, in bytes: a longer one is wrong."""

_COST, _BLOCK, _LANES = 2**15, 8, 1  # 32 MiB, and a tenth of a second
_MOST_COST, _MOST_BLOCK, _MOST_LANES = 2**20, 32, 16
_SALT, _LENGTH = 16, 32
_BYTES_A_BLOCK = 128
_SPARE = 2**20


def hash_password(password: str) -> str:
    """Return what to keep of a password: ``scrypt:COST:BLOCK:LANES:SALT:HASH``, free of signs that a shell reads.

    Blocks for a tenth of a second, and takes 32 MiB meanwhile.

    Raises:
        ConfigurationError: When it is empty, or longer than `LONGEST` bytes.
    """
    if not 0 < len(password.encode()) <= LONGEST:
        raise ConfigurationError(f"a password has 1 to {LONGEST:,} bytes")
    salt = secrets.token_bytes(_SALT)
    made = _scrypt(password, salt, (_COST, _BLOCK, _LANES), length=_LENGTH)
    return f"{PREFIX}{_COST}:{_BLOCK}:{_LANES}:{_text(salt)}:{_text(made)}"


class Password:
    """Tells whether a password is the right one. Immutable, thread-safe; `repr` shows nothing of it.

    Args:
        hashed: What `hash_password` returned.

    Raises:
        ConfigurationError: When it is something else; the message does not repeat it.
    """

    def __init__(self, hashed: str) -> None:
        try:
            kind, cost, block, lanes, salt, made = hashed.strip().split(":")
            self._parameters = (int(cost), int(block), int(lanes))
            self._salt, self._made = _bytes(salt), _bytes(made)
        except ValueError:
            raise ConfigurationError(_NO_HASH) from None
        if f"{kind}:" != PREFIX or not self._salt or not self._made or not _are_sane(*self._parameters):
            raise ConfigurationError(_NO_HASH)

    def __repr__(self) -> str:
        """Return nothing that would help to guess it."""
        return "Password(***)"

    def is_right(self, password: str) -> bool:
        """Whether this is the password; takes as long for a wrong one. Blocks as `hash_password` does."""
        # What is too long is hashed in part, and wrong: its length shows in no time that is taken.
        is_short = len(password.encode("utf-8", "replace")) <= LONGEST
        made = _scrypt(password[:LONGEST], self._salt, self._parameters, length=len(self._made))
        return hmac.compare_digest(made, self._made) and is_short


_NO_HASH = "the hash of the password is none: `time-execution dashboard --hash-password` makes one"


def _are_sane(cost: int, block: int, lanes: int) -> bool:
    """Whether scrypt takes these, and they ask for no more memory than a machine has."""
    is_power = cost > 1 and cost & (cost - 1) == 0
    return is_power and cost <= _MOST_COST and 0 < block <= _MOST_BLOCK and 0 < lanes <= _MOST_LANES


def _scrypt(password: str, salt: bytes, parameters: tuple[int, int, int], *, length: int) -> bytes:
    cost, block, lanes = parameters
    memory = _BYTES_A_BLOCK * block * (cost + lanes + 2) + _SPARE
    secret = password.encode("utf-8", "replace")
    return hashlib.scrypt(secret, salt=salt, n=cost, r=block, p=lanes, maxmem=memory, dklen=length)


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
