"""schedtel beside its peers: the same load under each in turn goes in, medians and ratios come out.

    python -m benchmarks [programs] [pipe] [startup] [memory] [flush]

The modules, in the order in which data flows through them:

    workloads   what the machine does meanwhile   → seconds of a fixed amount of work; threads that wake on demand
    peers       schedtel, runqlat, perf sched     → running and truly attached, or said to be missing
    kernel      the kernel's books                → BPF run times, resident memory, who else is tracing
    programs, pipe, startup, memory, flush        → rows, one module for each part
    measures    samples                           → medians, spreads, ratios, targets
    report      rows                              → Markdown and Parquet, with the machine they were taken on

A target that is missed is printed as missed; nothing here fails because the machine was slow.
"""
