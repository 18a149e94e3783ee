"""Our heuristics beside those of SAGA (anrg-saga, https://github.com/ANRGUSC/saga), on related machines.

SAGA's machines have a speed each, so a machine that is twice as fast is so for every job. It is installed apart, since
it needs much that schedtel does not:

    python3 -m venv build/saga && build/saga/bin/pip install anrg-saga==2.0.2
    PYTHONHASHSEED=0 build/saga/bin/python -m scripts.saga > datasets/dags/saga.csv

instances   a family and a seed  → jobs, machines and who waits for whom, and the same as a graph of schedtel
makespans   an instance          → SAGA's makespans of it; needs SAGA
comparison  the file             → our makespans beside: ``python -m scripts.saga.comparison``
"""
