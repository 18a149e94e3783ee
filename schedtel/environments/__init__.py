"""Decisions in; what came of them, and what there is to decide next, out: environments to learn in, many at a time.

batched        the form that all of them have
dag_arrays     graphs                    → the arrays that the engine works on
dag_engine     arrays and decisions      → the next decisions; compiled by numba
dag_sim        graphs                    → an environment: which ready job on which device, or wait
periodic_engine, periodic_sim            the same for periodic pipelines
"""
