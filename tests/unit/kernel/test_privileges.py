"""What the kernel's refusal means, by its errno."""

from schedtel.kernel import privileges


def test_lockdown_is_named(tmp_path, monkeypatch):
    lockdown = tmp_path / "lockdown"
    lockdown.write_text("none integrity [confidentiality]\n")
    monkeypatch.setattr(privileges, "_LOCKDOWN", lockdown)
    assert "locked down (confidentiality)" in privileges.advice(1)
    lockdown.write_text("[none] integrity confidentiality\n")
    assert "security module" in privileges.advice(1)
