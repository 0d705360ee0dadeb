"""Which keys name a secret: every word that the documentation of redaction stands for, and what makes one harmless."""

from __future__ import annotations

import pytest

from time_execution.formats.redaction import MASK, REDACTOR

SECRET = "abc123xyz"

# Keys as people write them; whatever is under one of these is masked, numbers too.
SECRET_KEYS = """
password passwords passwd passphrase passcode pwd secret secrets token jwt bearer authorization cookie csrf xsrf
apikey apikeys otp totp cvv cvc ssn pin pw user_pw dbPw pass_word passPhrase pass-code

PGPASSWORD mypasswd clientpassphrase clientsecret csrfmiddlewaretoken googleapikey awsaccesskey awssecretkey
rsaprivatekey storageaccountkey PHPSESSID asp_sessionid mysessionkey

api_key apiKeys access_key AccessKeys private_key PRIVATE_KEYS signing-key encryption.key decryptionKey auth_key
account_key shared_key MASTER_KEY ssh_key gpg_key license_key user_pass db_pass DATABASE_PASS smtp_pass mail_pass
email_pass admin_pass root_pass ftp_pass proxyPass mysql_pass postgres_pass pg_pass redis_pass rabbitmq_pass amqp_pass
mongo_pass ldap_pass bind_pass key_pass pin_code card_pin user_pin card_number credit_card social_security_no
security_code auth_code recovery_code recoveryCodes backup_codes code_verifier ConnectionString webhook_url webhook_uri
connect.sid X-Amz-Signature
"""

# These may count things: a number under one of them is shown, a text is not.
COUNTING_KEYS = "tokens cookies session sessions credential credentials creds auth basic_auth pass"

# What a key is about, by its last word, so that its value is no secret.
ABOUT = """
count counts counter length len size limit max min total usage used budget rate cost price index ids type types kind
class name names path file filename dir url uri endpoint host port domain server provider issuer scope scopes audience
algorithm alg format encoding method mode policy policies strength version status state enabled disabled required
changed change changes updated update created expired expires expiry expiration lifetime age ttl timeout duration
interval at in on date time timestamp year month day hour minute second seconds ms millis bytes attempts attempt retries
field fields form page view model label prompt help error errors validator validators hasher hashers backend backends
engine store manager service factory middleware consent secure httponly samesite details split
"""

HARMLESS_KEYS = """
is_password has_token needs_secret requires_password max_tokens min_tokens num_tokens total_tokens
page_token pagination_token continuationToken cancel_token cancellation_token pad_token eos_token bos_token unk_token
sep_token cls_token stop_token special_token
auth_user auth_realm pin_colour pass_through PWD OLDPWD
"""


@pytest.mark.parametrize("key", SECRET_KEYS.split())
def test_what_stands_under_a_secret_key_is_masked(key):
    """In a value of any type, and in a text behind any separator."""
    assert REDACTOR.redact({key: SECRET, "n": 1}) == {key: MASK, "n": 1}
    assert REDACTOR.redact({key: 4711}) == {key: MASK}
    assert REDACTOR.redact_text(f"{key}={SECRET} n=1") == f"{key}={MASK} n=1"
    assert REDACTOR.redact_text(f'{{"{key}": "{SECRET}", "n": 1}}') == f'{{"{key}": "{MASK}", "n": 1}}'


@pytest.mark.parametrize("key", COUNTING_KEYS.split())
def test_a_number_under_a_key_that_also_counts_is_shown(key):
    """``tokens: 512`` is a count, ``tokens: abc123xyz`` is none."""
    assert REDACTOR.redact({key: 512}) == {key: 512}
    assert REDACTOR.redact({key: SECRET}) == {key: MASK}
    assert REDACTOR.redact({key: [SECRET]}) == {key: MASK}
    assert REDACTOR.redact_text(f"{key}=512") == f"{key}=512"
    assert REDACTOR.redact_text(f"{key}={SECRET}") == f"{key}={MASK}"


@pytest.mark.parametrize("word", ABOUT.split())
def test_what_is_only_about_a_secret_is_shown(word):
    """``password_changed_at`` holds a moment, ``token_count`` a number."""
    value = {f"password_{word}": "kept", f"apiToken{word.title()}": "kept", f"credit_card_{word}": "kept"}
    assert REDACTOR.redact(value) == value
    assert REDACTOR.redact_text(f"secret_{word}=kept") == f"secret_{word}=kept"


@pytest.mark.parametrize("key", HARMLESS_KEYS.split())
def test_what_only_sounds_like_a_secret_is_shown(key):
    """Questions, counts, marks of a language model, cursors and working directories."""
    assert REDACTOR.redact({key: "kept"}) == {key: "kept"}
    assert REDACTOR.redact_text(f"{key}=kept") == f"{key}=kept"


@pytest.mark.parametrize("key", ["sig", "signature", "Signature"])
def test_a_signature_is_secret_in_a_query_only(key):
    """It opens what its URL names; elsewhere it is a function's."""
    assert REDACTOR.redact_text(f"https://h/a?v=1&{key}={SECRET}&n=2") == f"https://h/a?v=1&{key}={MASK}&n=2"
    assert REDACTOR.redact_text(f"https://h/a?{key}={SECRET}") == f"https://h/a?{key}={MASK}"
    assert REDACTOR.redact_text(f"{key}={SECRET}") == f"{key}={SECRET}"


@pytest.mark.parametrize("word", ["None", "null", "nil", "true", "False", "undefined"])
def test_what_stands_for_nothing_is_shown(word):
    """That a password was missing is worth knowing."""
    assert REDACTOR.redact_text(f"connect(password={word}, n=1)") == f"connect(password={word}, n=1)"


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize("letter", ["", "b"])
@pytest.mark.parametrize(
    "shape", ["[({key}, {value})]", "[[{key}, {value}]]", "[[{other}, {other}], [{key}, {value}]]"], ids=str
)
def test_pairs_in_a_text_are_headers(shape, letter, quote):
    """The repr of rows of pairs, of texts or of bytes, shows no value of a telling key, wherever it stands."""
    key, value, other, mask = (f"{letter}{quote}{text}{quote}" for text in ("X-Api-Key", SECRET, "a", MASK))
    text = shape.format(key=key, value=value, other=other)
    assert REDACTOR.redact_text(text) == shape.format(key=key, value=mask, other=other)


def test_pairs_in_compact_json_are_headers():
    """JSON without blanks has them, too."""
    text = f'[["a","b"],["X-Api-Key","{SECRET}"],["c","d"]]'
    assert REDACTOR.redact_text(text) == f'[["a","b"],["X-Api-Key","{MASK}"],["c","d"]]'
