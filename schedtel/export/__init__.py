"""Windows in; cumulative metrics with bounded cardinality out, for Prometheus and OpenTelemetry.

    definitions   columns of the schema         → metrics: name, unit, kind, help; docs/exported-metrics.md
    buckets       schedtel's histograms         → histograms of fewer buckets, exactly
    series_slots  keys                          → one of a fixed number of slots for each
    cgroups       rows of `tasks`               → sums for each cgroup, up to a maximum
    preemptions   rows of `preemptions`         → sums for each pair, up to a maximum
    totals        windows of one host           → one reading of all metrics
    hosts         windows of any hosts          → one reading for each host
    prometheus    readings                      → the answer to a scrape
    http          a WSGI application            → an HTTP server, on this machine or with TLS and a token
    otlp          readings                      → OTLP, pushed to an OpenTelemetry collector
    otlp_answers  its answers                   → why a push was not kept

Only ``prometheus``, ``otlp`` and ``otlp_answers`` import the client libraries of those systems, which are extras of the
package.
"""
