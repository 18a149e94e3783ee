"""What the kernel's refusal means, by its errno."""

from schedtel.kernel import privileges as refusals


def test_lockdown_is_named(tmp_path, monkeypatch):
    lockdown = tmp_path / "lockdown"
    lockdown.write_text("none integrity [confidentiality]\n")
    monkeypatch.setattr(refusals, "_LOCKDOWN", lockdown)
    assert "locked down (confidentiality)" in refusals.advice(1)
    lockdown.write_text("[none] integrity confidentiality\n")
    assert "security module" in refusals.advice(1)
