"""Delivery: from a queue in this process to a store elsewhere, with every metric accounted for.

`channel` holds the queue, what is in flight and the counters, under one lock and without a thread; `worker` is the
thread that drives it; `entry` has the shapes of what waits and what is on its way, `scale` weighs it, `portion` sizes
the batches; `answer` and `retry` say what came of one and how long to wait; `accounting` and `statement` count; `spool`
and `deadletter` keep on disk what cannot leave now, or ever; `lifecycle` is about forks and the end of the process.
`backends.threaded` puts them together.
"""
