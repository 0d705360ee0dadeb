"""Delivery: from a queue in this process to a store elsewhere, with every metric accounted for.

`channel` holds the queue, what is in flight and the counters, under one lock and without a thread; `worker` is the
thread that drives it; `retry` says what an error means and how long to wait; `spool` and `deadletter` keep on disk
what cannot leave now, or ever; `lifecycle` is about forks and the end of the process. `backends.threaded` puts them
together.
"""
