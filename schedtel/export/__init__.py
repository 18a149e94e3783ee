"""Windows in, metrics of other systems out: cumulative sums with bounded cardinality, for Prometheus or OpenTelemetry.

    definitions  the columns of the schema     → metrics: name, unit, kind, help; docs/metrics.md
    buckets      schedtel's histograms         → fewer buckets, exactly
    places       keys                          → one of so many places for each
    cgroups      rows of tasks                 → sums for each cgroup, so many and no more
    preemptions  rows of who preempted whom    → sums for each pair, likewise
    totals       windows of one host           → one reading of all metrics
    hosts        windows                       → a reading for each host, or one with the label `host`
    prometheus   a reading                     → what a scrape gets
    http         scrapes                       → an HTTP server, on this machine or with TLS and a token
    otlp         readings                      → OTLP, pushed to a collector

Only ``prometheus`` and ``otlp`` import the libraries of those systems, which are extras of the package.
"""
