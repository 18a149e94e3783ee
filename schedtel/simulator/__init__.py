"""A planned workload and a simulated machine in; the windows that schedtel would have recorded there out.

    machine    CPUs, costs and a scheduler        → what is simulated, checked
    programs   a plan                             → tasks, and what each does, instruction by instruction
    state      both                               → the arrays that the engine works on
    engine     the state and a moment             → the state at that moment, event by event; compiled by numba
    swapping   the state, and another scheduler   → the same moment under that
    collect    the state at a window's end        → a raw window of the records that the kernel side writes
    simulation a plan and a machine               → windows, as a source, and what became of each job

``compiling`` is the only module that imports numba. ``queues``, ``accounts``, ``fair``, ``shared``, ``policies`` and
``instructions`` are the parts of the engine. ``docs/architecture/simulator.md`` says how they work together.
"""
