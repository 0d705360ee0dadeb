"""A handler for AWS Lambda whose latencies and numbers CloudWatch finds by itself, without any client.

Run it as ``python examples/tracker_lambda.py``, which calls the handler as Lambda would.
"""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any

from time_execution.tracker import EMFOutput, ProcessTracker

tracker = ProcessTracker(EMFOutput(namespace="Orders", dimensions=["region"]))


@tracker
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    tracker.set_identifier("region", event["region"])
    tracker.set_identifier("request_id", context.aws_request_id)
    orders = load(event["customer"])
    with tracker.timer("render"):
        body = json.dumps(orders)
    tracker.set_metric("orders", len(orders))
    return {"statusCode": 200, "body": body}


@tracker.track
def load(customer: int) -> list[int]:
    time.sleep(0.002)
    return [customer + 1, customer + 2]


if __name__ == "__main__":
    handler({"region": "eu-1", "customer": 17}, SimpleNamespace(aws_request_id="r-1"))
