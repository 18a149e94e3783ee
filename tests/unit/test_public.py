"""The public interface: exactly these names, and an import that imports nothing heavy."""

import subprocess
import sys

import pytest

import schedtel
from schedtel import errors
from schedtel.windows import schema, source

PUBLIC = {
    "CapabilityError",
    "CollectorError",
    "Distribution",
    "EventBatch",
    "EventRecording",
    "Fairness",
    "FeatureVector",
    "Filter",
    "ImportedTrace",
    "LiveEvents",
    "LiveSource",
    "Metrics",
    "Recorder",
    "Recording",
    "RecordingError",
    "SchedtelError",
    "Source",
    "StreamError",
    "Subscription",
    "UsageError",
    "Window",
    "WorkloadError",
    "__version__",
    "events",
    "import_trace",
    "live",
    "read",
    "serve",
    "subscribe",
}


def python(program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def test_the_public_names_are_exactly_these():
    assert set(schedtel.__all__) == PUBLIC
    assert schedtel.__all__ == sorted(schedtel.__all__)


@pytest.mark.parametrize("name", sorted(PUBLIC - {"__version__"}))
def test_every_public_name_says_what_it_is(name):
    assert getattr(schedtel, name).__doc__


def test_all_of_them_are_listed_and_no_others_are_there():
    assert set(dir(schedtel)) >= PUBLIC
    with pytest.raises(AttributeError, match="module 'schedtel' has no attribute 'Windows'"):
        _ = schedtel.Windows


def test_all_errors_are_of_one_tree():
    ours = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert all(issubclass(error, schedtel.SchedtelError) for error in ours)
    assert issubclass(schedtel.UsageError, ValueError)


#: _hashlib loads OpenSSL, 3.6 MB.
HEAVY = "sorted({'pandas', 'polars', 'duckdb', 'psutil', 'rich', 'click', '_hashlib', 'numba'} & set(sys.modules))"


def test_importing_the_library_imports_nothing_heavy():
    assert python(f"import schedtel, sys; print({HEAVY})") == "[]"


@pytest.mark.parametrize("later", ["numpy", "arrow", "psutil", "numba"])
@pytest.mark.parametrize("module", ["schedtel", "schedtel.cli.commands.live"])
def test_tracing_begins_without(module, later):
    """schedtel imports them while the kernel verifies the programs; an earlier import would delay the start."""
    assert python(f"import {module}, sys; print([name for name in sys.modules if {later!r} in name])") == "[]"


def test_the_tables_of_a_stream_are_those_of_the_schema():
    assert tuple(schema.TABLES) == source.TABLE_NAMES


#: Any compute function of Arrow costs 12 MB.
COMPUTE = "[name for name in sys.modules if name == 'pyarrow.compute']"


def test_reading_windows_imports_neither_pandas_nor_compute_functions(windows, tmp_path):
    recorder = schedtel.Recorder(tmp_path / "recording")
    recorder.write(windows[0])
    program = (
        "import schedtel, sys\n"
        "for window in schedtel.read(sys.argv[1]):\n"
        "    window.metrics, window.to_ndjson(), window.groups('comm'), window.losses, window.features()\n"
        f"print({HEAVY} + {COMPUTE})"
    )
    assert python(program, str(tmp_path / "recording")) == "[]"


def test_who_draws_no_page_does_not_import_rich():
    program = "import schedtel.cli.commands.live, schedtel.cli.commands.show, schedtel.cli.commands.subscribe, sys"
    assert python(program + "; print('rich' in sys.modules)") == "False"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"window": "1ms"}, "must be from"),
        ({"window": "25h"}, "must be from"),
        ({"window": "soon"}, "cannot read duration"),
        ({"count": 0}, "count must be at least 1"),
        ({"duration": "-1s"}, "cannot read duration"),
        ({"ring_bytes": 5_000}, "power of two"),
        ({"ring_bytes": 0}, "power of two"),
        ({"kernel_threads": "some"}, "include, exclude or only"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_loaded(wrong, says):
    with pytest.raises(schedtel.UsageError, match=says) as caught:
        schedtel.live(**wrong)
    assert "\n" not in str(caught.value)
