"""Where a token comes from."""

from refusals import refused
from serving import TOKEN

from schedtel.access.tokens import read_token
from schedtel.errors import UsageError


def test_a_token_comes_from_a_private_file_or_the_environment(tmp_path, monkeypatch):
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    assert read_token(str(path)) == TOKEN
    assert read_token(None) is None
    monkeypatch.setenv("SCHEDTEL_TOKEN", TOKEN)
    assert read_token(None) == TOKEN
    path.chmod(0o644)
    assert "every user can read it" in refused(UsageError, read_token, str(path))
    assert "No such file" in refused(UsageError, read_token, str(tmp_path / "missing"))
