"""Actions of an agent in; what it then sees, and its reward, out: machines that are only computed, to learn on.

    batched       many environments of one kind, a step of all of them at a time: what a learner is given
    layout        how its observations and actions are grouped
    single        one of them, as Gymnasium has it
    registry      the name of an environment     → how it is made
    migrate       actions                        → MigrateSim: threads of a simulated machine are kept on CPUs
    migrate_load  a seed                         → the threads of an episode of it: work, pauses, working sets
    migrate_step  machines and actions           → the machines a step later, compiled by numba
    migrate_rules the same                       → what stealing, pinning and "steal only small" would do

``docs/environments.md`` says what each observes, may do and is rewarded for.
"""
