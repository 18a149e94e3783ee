"""A command or an experiment in; what it did in a guest whose time follows its instructions, out.

The modules, in the order in which a run passes through them:

    apt         names of Debian packages             → what is in them, fetched without touching the host's apt
    packages    qemu, kernels, busybox               → their places in this user's cache
    copying     files of this host                   → a tree for a guest, with the shared objects that they need
    cpio        trees and bytes                      → archives that are the same for the same input
    initramfs   Python, schedtel and its libraries   → the archive that every guest starts from
    schedulers  names and programs of sched_ext      → files that put them on a guest's path
    frames      output of several kinds              ⇄ one stream of bytes
    machine     a kernel, an archive, CPUs           → qemu, run to its end
    kvm         this host                            → whether its CPUs can execute guests
    monitor     commands for qemu                    → its answers and events
    snapshot    a machine, with files                → its guest where it waits for a job, kept
    waiting_room (inside the guest) nothing          → a job's files, once the guest goes on from a snapshot
    guest       (inside the guest) a job             → its output and its results, sent back
    guest_terminal (inside the guest) typed keys     → a command on a terminal of its own
    jobs        a command, or a module               → a job, and its results
    guests      jobs                                 → what each did in a guest of this host, side by side
    cluster     jobs                                 → what each did in a guest of a Ray cluster
    cell        (inside the guest) a cell            → a run in a store
    experiment  an experiment's cells                → runs in a store of the host, a guest each
    shell       the user's terminal                  ⇄ a shell in a guest
    validity    runs on this machine and in guests   → how far both rank arms alike
    validity_report  that                            → text and JSON
    doctor      this host                            → what the lab has and lacks here
"""
