"""Decisions in; what came of them, and what there is to decide next, out: environments to learn in, many at a time.

    batched      the form that all of them have
    stepping     what compiled ones share: buffers, and the actions that they refuse
    dag_sim      graphs                → DagSim: which ready job on which device, or wait
    dag_arrays   graphs                → the arrays that dag_engine, compiled by numba, works on
    dag_policy   a network and graphs  → the makespans of what it decides
    rule_search  graphs                → the arrays of a linear rule that decides well
    periodic_sim periods               → PeriodicSim: what runs where, and how many kernels at once
    periodic_arrays, periodic_engine   the same as those of graphs

``docs/dags.md`` says what the two observe, may do and are rewarded for.
"""
