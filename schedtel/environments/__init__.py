"""Actions in; what came of them, and what is observed next, out: environments to learn in, many of one kind at a time.

    batched         the form that all of them have: a step of all of them at a time
    layout          how observations and actions are grouped, where they are of things that are alike
    stepping        what compiled ones share: buffers, and the actions that they refuse
    single          one of them, as Gymnasium has it
    options         what is chosen of one          → the same, checked, as JSON can hold it
    registry        the name of an environment     → how it is made
    judging         policies and an environment    → what each of them costs in the same episodes
    migrate         actions                        → MigrateSim: threads of a simulated machine are kept on CPUs
    migrate_load    a seed                         → the threads of an episode of it: work, pauses, working sets
    migrate_step    machines and actions           → the machines a step later, compiled by numba
    migrate_rules   the same                       → what stealing, pinning and "steal only small" would do
    dag_sim         graphs                         → DagSim: which ready job on which device, or wait
    dag_arrays      graphs                         → the arrays that dag_engine, compiled by numba, works on
    dag_policy      a network and graphs           → the makespans of what it decides
    dag_rules       graphs, and how times vary     → what plans cost that are kept
    rule_search     graphs                         → the arrays of a linear rule that decides well
    periodic_sim    periods                        → PeriodicSim: what runs where, and how many kernels at once
    periodic_arrays, periodic_engine               the same as those of graphs
    periodic_rules  a factor of times              → the deadlines that EDF misses

``docs/environments.md`` and ``docs/dags.md`` say what each observes, may do and is rewarded for.
"""
