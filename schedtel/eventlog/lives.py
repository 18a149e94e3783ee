"""Life events in; rows of the table ``tasks`` out."""

import numpy as np
import pyarrow as pa

from schedtel.eventlog.schema import ARROW, LIFE_KINDS, names
from schedtel.foreign_text import text_of
from schedtel.records import event_layout as raw
from schedtel.windows.arrow import from_numpy


def task_batch(lives: np.ndarray) -> pa.RecordBatch:
    """The rows of life events, shape (n,) of LIFE_EVENT, in their order."""
    kinds = lives["kind"]
    comms, places = np.unique(lives["comm"], return_inverse=True)
    # What is behind the end of a name in its 16 bytes may be of an earlier one.
    texts = [text_of(bytes(comm).partition(b"\0")[0]) for comm in comms.tolist()]
    other = lives["other"].astype(np.int32)
    moved = (kinds == raw.EXEC) & (other != lives["tid"].astype(np.int32))
    return pa.RecordBatch.from_arrays(
        [
            from_numpy(lives["time_ns"].astype(np.int64)),
            names(kinds - np.uint8(raw.ALIVE), LIFE_KINDS),
            from_numpy(lives["tid"].astype(np.int32)),
            from_numpy(lives["tgid"].astype(np.int32)),
            from_numpy(lives["start_boottime_ns"].astype(np.int64)),
            names(places.reshape(-1), texts),
            from_numpy(lives["cpu"].astype(np.uint16), kinds != raw.ALIVE),
            from_numpy(other, kinds == raw.NEWTASK),
            from_numpy(other, moved),
            from_numpy(lives["exit_code"].astype(np.int32), kinds == raw.EXIT),
            from_numpy(lives["prio"].astype(np.int16)),
            from_numpy(lives["kernel_thread"].astype(bool)),
        ],
        schema=ARROW["tasks"],
    )
