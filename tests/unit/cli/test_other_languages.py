"""`--format arrow` in another language: Node reads the stream on its stdin, as a user would pipe it."""

import json
import shutil
import subprocess
import sys

import pytest

import schedtel
from schedtel.windows import tables

#: Prints the sum of one column, the values of another, and the number of batches.
PROGRAM = """
import { RecordBatchReader } from "apache-arrow";
const [, , summed, listed] = process.argv;
let total = 0n, values = [], batches = 0;
const reader = await RecordBatchReader.from(process.stdin);
for await (const batch of reader) {
    batches += 1;
    const sums = batch.getChild(summed), names = batch.getChild(listed);
    for (let i = 0; i < batch.numRows; i++) { total += BigInt(sums.get(i)); values.push(String(names.get(i))); }
}
console.log(JSON.stringify({ total: total.toString(), values, batches }));
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A folder with PROGRAM and apache-arrow of the npm registry."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("needs node and npm to read Arrow in another language (apt install nodejs npm)")
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    (folder / "sum.js").write_text(PROGRAM)
    command = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "apache-arrow"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    if result.returncode:
        pytest.skip(f"npm cannot install apache-arrow: {result.stderr.strip().splitlines()[-1:]}")
    return folder


@pytest.mark.parametrize(
    ("table", "summed", "listed"),
    [("tasks", "cpu_ns", "comm"), ("cpus", "busy_ns", "cpu"), ("summary", "wakeups", "host")],
)
def test_node_reads_what_the_command_writes(node, windows, tmp_path, table, summed, listed):
    recorder = schedtel.Recorder(tmp_path / "recording")
    for window in windows:
        recorder.write(window)
    command = [sys.executable, "-m", "schedtel.cli", "show", recorder.directory, "--format", "arrow", "--table", table]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as show:
        reading = ["node", "sum.js", summed, listed]
        result = subprocess.run(
            reading, cwd=node, stdin=show.stdout, capture_output=True, text=True, timeout=60, check=False
        )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    batches = [getattr(window, table) for window in windows]
    assert int(found["total"]) == sum(int(tables.column(batch, summed).sum()) for batch in batches)
    assert found["values"] == [str(value) for batch in batches for value in batch[listed].to_pylist()]
    assert found["batches"] == len(batches)
