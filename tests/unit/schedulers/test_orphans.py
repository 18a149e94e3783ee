"""Orphans: they become children of this process, and are waited for when they are over."""

import os
import subprocess

from waiting import eventually

from schedtel.schedulers.orphans import adopt_orphans, bury_orphans
from schedtel.schedulers.threads import read_thread


def test_an_orphan_is_adopted_and_buried_and_nothing_else_is():
    adopt_orphans()
    try:
        with subprocess.Popen(["sh", "-c", "exit 3"]) as own:
            with subprocess.Popen(["sh", "-c", "sleep 0.2 & echo $!"], stdout=subprocess.PIPE, text=True) as parent:
                orphan = int(parent.stdout.readline())
            assert read_thread(orphan, orphan).parent == os.getpid()
            eventually(lambda: read_thread(orphan, orphan).is_over)
            eventually(lambda: read_thread(own.pid, own.pid).is_over)
            bury_orphans({own.pid})
            assert read_thread(orphan, orphan) is None
            assert own.wait() == 3
    finally:
        adopt_orphans(adopt=False)
