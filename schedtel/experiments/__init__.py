"""A specification in TOML in; runs of workloads under schedulers, and what they show, out.

The modules, in the order in which an experiment passes through them:

    spec        a file of TOML                       → workloads, schedulers, repeats
    design      these                                → cells in random order, with paired seeds
    at_birth    a workload and an arm                → a workload whose tasks are scheduled so from birth
    outcomes    the jobs and windows of one run      → the figures of the run
    store       figures and provenance of runs       ⇄ a directory, whole after each run
    running     cells that have not been run         → runs in the store, with progress
    statistics  figures of paired runs               → differences with intervals, and the repeats that 5 % needs
    findings    all runs of a store                  → variability, comparisons, winners, what a placebo does
    tables      findings                             → text, CSV and Parquet
    page        findings                             → one HTML page
    simulated   a run                                → the figures of its plan on a simulated machine
    nearness    all runs                             → how far simulated figures are from measured ones
    calibration runs of some workloads               → what was beside the jobs, for a simulated machine
"""
