"""schedtel beside its peers: the same load under each in turn goes in, medians and ratios come out.

    python -m benchmarks [PART…] [--repeats N] [--large] [--minutes N]
    python -m benchmarks.plots          pictures of the results
    python -m benchmarks.model          docs/scale.md from the results

The modules, in the order in which data flows through them:

    failures      what can go wrong with a measurement
    builds        sources                      → BPF objects (bpf/), the load generator (load/)
    workloads     what the machine does        → the time a fixed amount of work takes; tasks that wake on demand
    limits        pid_max and threads-max      → raised for a while
    headers       kernel headers               → a tree for the peers that compile at run time
    kernel        the kernel's books of BPF    → run times, sizes, maps, who else is tracing
    process       the kernel's other books     → CPU time, memory, files, slab
    recorders     perf sched record, ftrace    → writing down every event, and shown to have done so
    peers         everybody                    → watching and proved to watch, or why not
    rungs         the ladder                   → one thing more on each rung, as peers
    rounds        subjects, a way to sample one    → samples of all, taken in turns
    watched       schedtel's backend in here    → windows that end when told to, and what each took
    programs, slowdown, startup, collector, flush, footprint, growth, pressure, soak, control
                                               → rows, one module for each part
    measures      samples                      → medians, spreads, ratios, targets, points of curves
    report        rows                         → Parquet for each part, one Markdown document
    plots, model  Parquet                      → pictures; what a larger machine would take

A target that is missed is printed as missed; nothing here fails because the machine was slow. A peer that is missing,
or cannot run here, is listed with the reason.
"""
