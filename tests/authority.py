"""A certificate authority for the servers of tests."""

from __future__ import annotations

import ssl

import pytest


def made_authority(folder, host):
    """Return a server's TLS context for a host, and the path of the certificate that clients trust it by."""
    made = pytest.importorskip("trustme").CA()
    path = folder / "ca.pem"
    made.cert_pem.write_to_path(str(path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.issue_cert(host).configure_cert(context)
    return context, str(path)
