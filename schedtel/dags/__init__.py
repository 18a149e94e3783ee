"""A graph of jobs for devices of several kinds in; schedules of it, and how far each is from the optimum, out.

    dag          jobs, times by kind of device, transfers   → the model, checked: no cycle, no impossible job
    spec         a file of TOML or JSON, or a preset's name → a graph
    families     a family of tiled linear algebra, tiles    → a graph
    recipes      a workflow of WfCommons, width, seed       → a graph in its shape, with times that are drawn
    wfformat     a workflow in WfCommons' format, a seed    → a graph, with device times that are drawn
    drawn        kinds of jobs and a seed                   → device times that nobody has measured
    schedule     devices and starts                         → a schedule, and whatever breaks a rule in it
    heuristics   a graph                                    → schedules by HEFT, CPOP, PEFT, ETF and MinMin
    optimum      a graph and a limit of time                → the best schedule, and a bound, by CP-SAT
    noise        a schedule and how far times vary          → makespans when its order is kept
    fingerprint  a graph                                    → what it is like, in numbers, and how near two are
    pipelines    periods and a factor of times              → periodic jobs with deadlines, and EDF's schedule
    deadlines    periodic jobs                              → as many met deadlines as can be, by CP-SAT

``optimum`` and ``deadlines`` need OR-Tools, which ``solver`` imports. The checker in ``schedule`` shares nothing with
what makes schedules.
"""
