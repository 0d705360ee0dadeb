"""Lines of files of any size: torn ends, endless lines and compressed files that were cut short are counted."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase, StringIO

_BLOCK = 1 << 20
# Metrics are cut at 64 KiB before they are written.
_MAX_LINE = 1 << 23
_MARK = b"\xef\xbb\xbf"


@dataclass(slots=True)
class Tally:
    """What was passed over in one file.

    Attributes:
        skipped: Lines or rows that tell of no metric: torn, wrong, or of something else.
        is_cut: Whether the file, which is compressed, ends early or is damaged: what follows could not be read.
    """

    skipped: int = 0
    is_cut: bool = False


def lines(stream: BufferedIOBase, tally: Tally) -> Iterator[str]:
    r"""Give lines with their ``\n``, which the last one may lack; letters that are no UTF-8 are replaced.

    Takes memory for a mebibyte, and for one line of at most eight; longer ones are passed over.

    Args:
        stream: The file.
        tally: Where lines that cannot be given are counted.

    Raises:
        OSError: When the file cannot be read.
    """
    rest = b""
    is_endless = False
    block = _next(stream, tally).removeprefix(_MARK)
    while block:
        head, end, tail = block.rpartition(b"\n")
        if end:
            found = StringIO((rest + head + end).decode("utf-8", "replace"), newline="\n").readlines()
            if is_endless:
                tally.skipped += 1
                del found[0]
            yield from found
            rest, is_endless = tail, False
        else:
            is_endless = is_endless or len(rest) > _MAX_LINE
            rest = b"" if is_endless else rest + tail
        block = _next(stream, tally)
    if is_endless:
        tally.skipped += 1
    elif rest:
        yield rest.decode("utf-8", "replace")


def _next(stream: BufferedIOBase, tally: Tally) -> bytes:
    """Return the next block; none at the end, which in a damaged compressed file comes early."""
    try:
        # Not `read`, which would give up what it has at the damage.
        return stream.read1(_BLOCK)
    except (EOFError, zlib.error, OSError) as exc:
        # What `gzip` says of damage has no number of the system's.
        if getattr(exc, "errno", None) is not None:
            raise
    tally.is_cut = True
    return b""
