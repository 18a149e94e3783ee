"""A command or an experiment in; what it did in a guest whose time follows its instructions, out.

The modules, in the order in which a run passes through them:

    apt         names of Debian packages             → what is in them, fetched without touching the host's apt
    packages    qemu, kernels, busybox               → their places in this user's cache
    copying     files of this host                   → a tree for a guest, with the shared objects that they need
    cpio        trees and bytes                      → archives that are the same for the same input
    initramfs   Python, schedtel and its libraries   → the archive that every guest starts from
    schedulers  names and programs of sched_ext      → files that put them on a guest's path
    scx_loader  (inside the guest) an object         → its scheduler, attached
    frames      output of several kinds              ⇄ one stream of bytes
    machine     a kernel, an archive, CPUs           → qemu, run to its end
    kvm         this host                            → whether its CPUs can execute guests
    guest       (inside the guest) a job             → its output and its results, sent back
    guest_terminal  (inside the guest) typed keys    → a command on a terminal of its own
    jobs        a command, with files                → its status, output and results
    cell        (inside the guest) a cell            → a run in a store
    experiment  an experiment's cells                → runs in a store of the host, a boot each
    shell       the user's terminal                  ⇄ a shell in a guest
    validity    runs on this machine and in guests   → how far both rank arms alike
    validity_report  that                            → text and JSON
    doctor      this host                            → what the lab has and lacks here
"""
