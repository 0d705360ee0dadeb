"""`EMFOutput`: makes of a tracker's line a document that Amazon CloudWatch extracts metrics from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import IO, Any

from time_execution.backends.emf import EMFBackend
from time_execution.exceptions import BackendRejected
from time_execution.tracker.field import beside_core
from time_execution.types import NAME, VALUE, Metric, Reject

_OWN = ("latencies", "metrics", "repeats")


class EMFOutput:
    """An output for `ProcessTracker` that writes documents of the embedded metric format, one for each line.

    Latencies become metrics in milliseconds, numbers among the tracker's metrics become metrics without a unit, True
    counting as 1. Identifiers, texts among the metrics, and ``repeats`` are members of the document, beside which
    CloudWatch Logs finds the metrics; those named in `dimensions` are also what CloudWatch tells series apart by.
    ``null`` makes no metric. A line of more than 100 metrics becomes several documents, and so does one in which a
    latency and a number have one name.

    The document is written before the entry point returns, so on AWS Lambda nothing has to be flushed. Thread-safe and
    fork-safe; blocks as long as the stream, the disk or the agent does: as with any output, the entry point waits.

    Args:
        stream: ``"stdout"`` or ``"stderr"``, or an open text stream, which stays the caller's to close; by default
            ``"stdout"``.
        path: A file instead, to append to.
        agent: The CloudWatch agent instead, such as ``tcp://127.0.0.1:25888``.
        namespace: Of all metrics in CloudWatch.
        dimensions: The identifiers that become dimensions, where a line has them, 29 at most. Each combination of their
            values is a series of its own, with its own price: not for what identifies a single call.
        log_group: With an agent, the log group that it writes to.
        timeout: With an agent, the longest wait, in seconds; by default 10.

    Raises:
        ConfigurationError: When an argument is wrong, or does not go with another one.

    Example:
        >>> from time_execution.tracker import ProcessTracker
        >>> tracker = ProcessTracker(EMFOutput(namespace="Shop", dimensions=["region"]))
        >>> @tracker
        ... def handler(event, context):
        ...     tracker.set_identifier("region", "eu-1")
        >>> handler({}, None)  # doctest: +ELLIPSIS
        {"_aws":{...,"Dimensions":[["region"]],"Metrics":[{"Name":"handler","Unit":"Milliseconds"}]}]},...}
    """

    def __init__(
        self,
        stream: IO[str] | str | None = None,
        *,
        path: str | os.PathLike[str] | None = None,
        agent: str | None = None,
        namespace: str = "timeexecution",
        dimensions: Sequence[str] = (),
        log_group: str | None = None,
        timeout: float | None = None,
    ) -> None:
        self._backend = EMFBackend(
            stream,
            path=path,
            agent=agent,
            namespace=namespace,
            dimensions=dimensions,
            log_group=log_group,
            timeout=timeout,
        )

    def __call__(self, line: str) -> None:
        """Write the document of a line.

        Raises:
            BackendError: When it cannot be written, or CloudWatch would not take one of the numbers.
        """
        results = self._backend.write_many(_metrics_of(json.loads(line)))
        refused = [result for result in results or () if isinstance(result, Reject)]
        if refused:
            raise BackendRejected(f"{len(refused)} numbers of a line were left out: {refused[0].detail}")

    def close(self) -> None:
        """Close the connection to an agent; idempotent. A later line opens another one."""
        self._backend.close()

    def __repr__(self) -> str:
        """Show where it writes."""
        return f"{type(self).__name__}({self._backend.target!r}, namespace={self._backend.namespace!r})"


def _metrics_of(line: Mapping[str, Any]) -> list[Metric]:
    """Return a metric for each number of a line, all with the same other fields, so that they share a document."""
    texts = {name: value for name, value in line["metrics"].items() if isinstance(value, str)}
    others = {name: value for name, value in line.items() if name not in _OWN}
    repeats = {"repeats": line["repeats"]} if "repeats" in line else {}
    fields = beside_core(texts | others | repeats)
    found = [Metric({NAME: name, VALUE: value, **fields}) for name, value in line["latencies"].items()]
    numbers = {name: value for name, value in line["metrics"].items() if isinstance(value, (int, float))}
    return found + [Metric({NAME: name, VALUE: value, **fields}, kind="value") for name, value in numbers.items()]
