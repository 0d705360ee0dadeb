"""Which servers the installed client of Elasticsearch speaks to, and what mends it where it does not."""

from __future__ import annotations

import pytest

elasticsearch = pytest.importorskip("elasticsearch", reason="its client is not installed")

CLIENT = elasticsearch.__version__[0]
SERVERS = tuple(f"elasticsearch-{major}" for major in (5, 6, 7, 8, 9))

_SPEAKS = {6: (5, 6, 7, 8, 9), 7: (6, 7), 8: (7, 8, 9), 9: (7, 9)}
_OWN = {6: (5, 6), 7: (7,), 8: (8,), 9: (9,)}

SPOKEN = tuple(f"elasticsearch-{major}" for major in _SPEAKS[CLIENT])
"""Those it speaks to."""
OWN = tuple(f"elasticsearch-{major}" for major in _OWN[CLIENT])
"""Those it is made for."""
MENDED_BY = {
    "elasticsearch-5": "pip install 'elasticsearch>=6.8,<7'",
    "elasticsearch-6": "pip install 'elasticsearch>=7.17,<8'",
    "elasticsearch-8": "pip install 'elasticsearch>=8,<9'",
}
"""What the log line says of each of the others."""
