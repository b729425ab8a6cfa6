"""Keys come from files that nobody else may read, and what is wrong with one is said without showing it."""

from pathlib import Path

import pytest

from doctor.kit.key_file import new_key, read_key, read_keys, write_key


def test_a_key_is_written_for_its_owner_alone(tmp_path: Path) -> None:
    file, key = tmp_path / "a.key", new_key()
    write_key(file, key)

    assert file.stat().st_mode & 0o777 == 0o600
    assert read_key(file, "key_file") == key
    with pytest.raises(FileExistsError):
        write_key(file, new_key())


def keys_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    file = folder / "keys"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_a_file_has_a_line_for_each_host(tmp_path: Path) -> None:
    file = keys_file(tmp_path, f"# ours\n\ncompute-1 {'ab' * 32}\ncompute-2   {'cd' * 32}\n")
    assert read_keys(file, "keys_file") == {"compute-1": b"\xab" * 32, "compute-2": b"\xcd" * 32}


@pytest.mark.parametrize(
    ("text", "mode", "message"),
    [
        pytest.param("compute-1 secret", 0o600, "line 1: a key is 64 hexadecimal digits", id="no key"),
        pytest.param("compute-1 abcd", 0o600, "line 1: a key is 64", id="short"),
        pytest.param("\ncompute-1", 0o600, "line 2: write a host and its key", id="one word"),
        pytest.param(f"a {'ab' * 32}\na {'ab' * 32}", 0o600, "line 2: a is there twice", id="twice"),
        pytest.param(f"a {'ab' * 32}", 0o640, "chmod 600", id="open to others"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, mode: int, message: str) -> None:
    file = keys_file(tmp_path, text, mode)
    with pytest.raises(ValueError, match=message) as refusal:
        read_keys(file, "keys_file")
    assert str(refusal.value).startswith("keys_file: ")
    assert "secret" not in str(refusal.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        read_keys(tmp_path / "none", "keys_file")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "bytes").chmod(0o600)
    with pytest.raises(ValueError, match="is no text"):
        read_keys(tmp_path / "bytes", "keys_file")
