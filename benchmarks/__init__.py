"""Loads that run under schedtel and under each of its peers in; medians and ratios out.

    python -m benchmarks [PART…] [--repeats N] [--large] [--minutes N]
    python -m benchmarks.plots          pictures of the results
    python -m benchmarks.model          docs/scale.md from the results

The modules, in the order in which data flows through them:

    failures      errors of a measurement
    builds        sources                      → BPF objects (bpf/), the load generator (load/)
    workloads     a fixed amount of work       → the time that it takes; tasks that wake on demand
    limits        pid_max and threads-max      → raised for a while
    headers       kernel headers               → a tree for the peers that compile at run time
    kernel        the kernel's BPF accounting  → run times, sizes, maps, programs of other processes
    process       the kernel's other counters  → CPU time, memory, files, slab
    recorders     perf sched record, ftrace    → peers that write down every event, and the proof that they did
    peers         installed tools              → peers that are proved to watch, or the reason why not
    rungs         the ladder                   → peers, each of which does one thing more than the one before
    rounds        subjects, a sampling function → samples of all, taken in turns
    loads         loads and watchers           → times of each load under each watcher and alone
    watched       schedtel's own backend        → windows that end on demand, and the cost of each
    event_programs, event_rates, event_sizes   → rows of the part events
    programs, pipe, slowdown, startup, collector, flush, footprint, growth, pressure, soak, control, placement,
    generator, agent, events, simulator, training
                                               → rows, one module for each part
    training_peer our environments, another library → its learner at work in them
    measures      samples                      → medians, spreads, ratios, targets, points of curves
    report        rows                         → Parquet for each part, one Markdown document
    plots, model  Parquet                      → pictures; what a larger machine would take

A target that is missed is printed as missed; no benchmark fails because the machine is slow. A peer that is not
installed or cannot run is listed with the reason.
"""
