"""The documents that the benchmarks write, and the output of other programs that they parse."""

from dataclasses import replace

import pytest

from benchmarks import report
from benchmarks.measures import Target, point, row
from benchmarks.peers import Peer
from benchmarks.process import slab_objects
from benchmarks.recorders import count_entries

FACTS = {"kernel": "6.18", "peer runqlat": "not measured: not installed"}


def parts(tmp_path):
    rows = [
        row("switch", "schedtel", "ns/run", [170.0, 171.0, 190.0], Target(180)),
        row("RSS", "runqlat", "MB", [14.02]),
        point("flush", "schedtel", "ms", [3.0], "threads", 1000.0),
        point("flush", "schedtel", "ms", [7.5], "threads", 3000.0),
    ]
    rows = [replace(line, part="programs") for line in rows]
    report.write_part(tmp_path, "programs", rows, FACTS, ["cpudist is missing"])
    return report.read_part(tmp_path, "programs")


def test_a_part_comes_back_from_parquet_as_it_was_written(tmp_path):
    result = parts(tmp_path)
    assert (result.part, result.facts, result.notes) == ("programs", FACTS, ["cpudist is missing"])
    assert [line["value"] for line in result.rows] == [171.0, 14.02, 3.0, 7.5]
    assert result.rows[0]["samples"] == [170.0, 171.0, 190.0]
    assert (result.rows[0]["target"], result.rows[0]["reached"], result.rows[1]["reached"]) == ("≤ 180", True, None)


def test_a_part_that_was_never_measured_is_none(tmp_path):
    assert report.read_part(tmp_path, "soak") is None


def test_the_document_shows_targets_first_then_spread_notes_missing_peers_and_curves(tmp_path):
    text = report.markdown([parts(tmp_path)], {"programs": "What it is."})
    assert "| programs | switch | schedtel | 171 | 170 … 190 | 3 | ns/run | ≤ 180 | yes |" in text
    assert text.index("## Targets") < text.index("## programs") < text.index("What it is.")
    assert "- note: cpudist is missing" in text
    assert "- peer runqlat: not measured: not installed" in text
    assert "| measure, by threads | unit | 1,000 | 3,000 |" in text
    assert "| flush | ms | 3 | 7.5 |" in text


def test_a_peer_says_whether_it_is_measured_and_why_not():
    peer = Peer("cpudist", watching=None, note="old headers")
    assert peer.state == "measured; old headers"
    assert replace(peer, missing="not installed").state == "not measured: not installed"


def test_a_peer_has_a_version_only_where_it_tells_one():
    ours = Peer("schedtel, bcc", watching=None, missing="no bcc")
    facts = report.peer_facts([ours, Peer("no-such-tool", watching=None)])
    assert facts == {"peer schedtel, bcc": "not measured: no bcc", "peer no-such-tool": "missing, measured"}


def test_entries_of_ftrace_count_the_overwritten_ones():
    stats = "entries: 120\noverrun: 30\ncommit overrun: 0\nbytes: 5000\noldest event ts:  12.3\nread events: 4\n"
    assert count_entries(stats) == 150


def test_slab_objects_are_read_by_cache():
    head = "slabinfo - version: 2.1\n# name <active_objs> <num_objs> <objsize>\n"
    text = head + "kmalloc-cg-2k 812 832 2048 16 8 : tunables\n"
    assert slab_objects(text) == {"kmalloc-cg-2k": (812, 2048)}


@pytest.mark.parametrize(("value", "text"), [(171.4, "171"), (12345.6, "12,346"), (0.354, "0.354"), (0.0, "0")])
def test_numbers_keep_three_figures(value, text, tmp_path):
    report.write_part(tmp_path, "p", [replace(row("m", "s", "u", [value]), part="p")], FACTS, [])
    assert f"| m | s | {text} |" in report.markdown([report.read_part(tmp_path, "p")], {})
