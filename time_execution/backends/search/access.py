"""How a client is to reach its cluster: the arguments that all clients share, checked."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, NamedTuple

from time_execution.argument_check import check_timeouts, check_use
from time_execution.backends.search.hosts import Cluster, Hosts, cluster_of
from time_execution.exceptions import ConfigurationError

_TIMEOUT = 10.0


class Login(NamedTuple):
    """The arguments of a backend by which it logs in; secrets."""

    username: str | None
    password: str | None
    api_key: str | tuple[str, str] | None = None


class Encryption(NamedTuple):
    """The arguments of a backend that are about TLS."""

    tls: bool | None
    ca_certs: str | os.PathLike[str] | None
    verify_certs: bool


class Access(NamedTuple):
    """Arguments of a client. Holds secrets: keep it inside of functions, where no `repr` shows it.

    Attributes:
        cluster: Nodes and login.
        api_key: In base64; None for none.
        ca_certs: The file or folder with the certificates to trust; None for the system's.
        verify_certs: Whether to check certificates at all.
        timeout: Of each request, in seconds.
        compress: Whether to send bodies with gzip.
        options: What else the client is to be given.
    """

    cluster: Cluster
    api_key: str | None
    ca_certs: str | None
    verify_certs: bool
    timeout: float
    compress: bool
    options: Mapping[str, Any]

    @property
    def tls(self) -> dict[str, Any]:
        """The client's options for TLS; none where no node is spoken to by it."""
        if all(node.scheme == "http" for node in self.cluster.nodes):
            return {}
        certificates = {} if self.ca_certs is None else {"ca_certs": self.ca_certs}
        quiet = {} if self.verify_certs else {"ssl_show_warn": False}
        return {"verify_certs": self.verify_certs, **certificates, **quiet}


def access_of(
    hosts: Hosts,
    host: Hosts,
    login: Login,
    encryption: Encryption,
    *,
    timeout: float | None,
    compress: bool,
    options: Mapping[str, Any],
    client: Any,
) -> Access:
    """Return the arguments, checked.

    Raises:
        ConfigurationError: When one is wrong, or given beside a client, which has its own; no message shows its value.
    """
    if client is not None:
        tls, certificates, verified = encryption
        given = {"hosts": hosts, "host": host, **login._asdict(), "tls": tls, "ca_certs": certificates}
        switched = {"verify_certs": None if verified else False, "compress": compress or None}
        check_use("beside client, which has its own", **given, **switched, timeout=timeout, **options)
    timeout = _TIMEOUT if timeout is None else timeout
    check_timeouts(timeout=timeout)
    certificates = None if encryption.ca_certs is None else _readable(encryption.ca_certs)
    cluster = _cluster(hosts, host, login, encryption)
    if login.api_key is not None and cluster.login is not None:
        raise ConfigurationError("username and api_key are two ways to log in; give one of them")
    key = None if login.api_key is None else _key(login.api_key)
    return Access(cluster, key, certificates, encryption.verify_certs, float(timeout), compress, options)


def _cluster(hosts: Hosts, host: Hosts, login: Login, encryption: Encryption) -> Cluster:
    """Return the nodes, once what is said of TLS fits them."""
    is_tls = encryption.ca_certs is not None if encryption.tls is None else encryption.tls
    cluster = cluster_of(hosts, host, login=(login.username, login.password), tls=is_tls)
    if encryption.tls is not None and not any((node.scheme == "https") is is_tls for node in cluster.nodes):
        check_use(f"with hosts that all say {cluster.nodes[0].scheme}://", tls=encryption.tls)
    if all(node.scheme == "http" for node in cluster.nodes):
        unverified = None if encryption.verify_certs else False
        why = "without TLS, which no host is spoken to by; say tls=True or https://"
        check_use(why, ca_certs=encryption.ca_certs, verify_certs=unverified)
    if not encryption.verify_certs:
        check_use("with verify_certs=False", ca_certs=encryption.ca_certs)
    return cluster


def _readable(path: Any) -> str:
    if not isinstance(path, (str, os.PathLike)) or not os.access(path, os.R_OK):
        raise ConfigurationError("ca_certs must be the path of a file or folder that can be read")
    return os.fspath(path)


def _key(given: str | tuple[str, str]) -> str:
    """Return an API key as it is sent: base64 of ``id:key``, as a server shows it under ``encoded``."""
    text = given if isinstance(given, str) else ":".join(given) if _is_pair(given) else ""
    if not text or not text.isascii():
        raise ConfigurationError("api_key must be a text, encoded or id:key, or a pair of id and key")
    return b64encode(text.encode()).decode() if ":" in text else text


def _is_pair(given: object) -> bool:
    return isinstance(given, (tuple, list)) and len(given) == 2 and all(isinstance(part, str) for part in given)  # noqa: PLR2004
