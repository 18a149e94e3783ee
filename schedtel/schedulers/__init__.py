"""Which threads, and how they are to be scheduled, in; threads and a kernel that do so, and their way back, out.

The modules, in the order in which an arm passes through them:

    names        text such as ``policy:hogs:idle``            → an arm
    settings     a word of an arm, such as ``slice=0.1ms``    → what it asks for
    threads      /proc                                        → processes and threads, told apart from their successors
    selection    a process tree, a name, a cgroup, a unit     → threads
    attributes   sched_getattr(2), sched_setattr(2)           ⇄ a thread's policy, nice, priority and slice
    knobs        cgroupfs and /proc/PID/autogroup             ⇄ weights and limits of groups
    trial        a setting                                    → whether this user may apply and undo it
    changes      what is to be changed                        → it changed, and put back
    journal      changes                                      ⇄ a private file, written before each change
    guard        the journal of a process that has died       → what it changed put back
    policy       an arm and threads                           → threads changed, and those born meanwhile
    in_kernel    the name of a sched_ext scheduler            → whether the kernel has it, and why it no longer does
    object_loader (a program) an object of sched_ext          → its scheduler attached, when it is told to
    sched_ext    a loader's command                           → its scheduler running, and ejections noticed
    system_bus   a method of a service on D-Bus               → its answer
    loader_service  what org.scx.Loader is to run             → asked for, and what it runs
    serviced     an arm of that service                       → its scheduler running, and what ran before
    choices      this kernel and this user                    → the arms that work here
    switching    arms                                         → one of them in effect: the interface to all of it
    holders      journals                                     → the processes that hold changes, asked to end
    watching     what the kernel says of sched_ext            → each change of it
"""
