"""The archive is plain tar, the same for the same files; everything else is refused."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.bundling import archive
from localprompt.bundling.rules import MANIFEST, is_safe_path
from localprompt.errors import ChecksumError, InputError, LocalPromptError, MachineError
from tests.bundling.archives import GOOD, manifest_of, packed, read, with_member


def test_a_good_archive_is_read_whole(tmp_path: Path) -> None:
    manifest = read(tmp_path, packed((MANIFEST, manifest_of(GOOD)), *GOOD.items()))
    assert [file.path for file in manifest.files] == list(GOOD)


def test_the_system_s_tar_unpacks_it(tmp_path: Path) -> None:
    (tmp_path / "kit.tar").write_bytes(packed(*GOOD.items()))
    done = subprocess.run(
        ["tar", "xf", "kit.tar"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert (tmp_path / "kit" / "home" / "prompts" / "a.txt").read_bytes() == b"one"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a character device"),
        (tarfile.BLKTYPE, "a block device"),
        (tarfile.FIFOTYPE, "a pipe"),
        (tarfile.DIRTYPE, "a folder"),
        (tarfile.GNUTYPE_SPARSE, "a sparse file"),
        (tarfile.XHDTYPE, "an extension header"),
        (tarfile.GNUTYPE_LONGNAME, "an extension header"),
    ],
)
def test_what_is_no_ordinary_file_is_refused(tmp_path: Path, kind: bytes, words: str) -> None:
    info = tarfile.TarInfo("kit/home/prompts/x")
    info.type, info.linkname = kind, "/etc/passwd"
    with pytest.raises(MachineError, match="not an ordinary file") as caught:
        read(tmp_path, with_member(info))
    assert words in str(caught.value.found)


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "kit/../../up", "kit/home/../../up", "kit//double", "kit/./dot", "../up"],
)
def test_absolute_and_escaping_paths_are_refused(tmp_path: Path, path: str) -> None:
    info = tarfile.TarInfo(path)
    with pytest.raises(MachineError, match=r"not safe|one folder"):
        read(tmp_path, with_member(info, b"x"))


@pytest.mark.parametrize("path", ["home/history.db", "home/cache/x", "home/models/sub/x.gguf"])
def test_a_bundle_writes_only_models_prompts_and_benchmarks(tmp_path: Path, path: str) -> None:
    files = {**GOOD, path: b"x"}
    with pytest.raises(MachineError, match="outside the folders"):
        read(tmp_path, packed((MANIFEST, manifest_of(files)), *files.items()))


def test_a_file_that_comes_twice_is_refused(tmp_path: Path) -> None:
    twice = [*GOOD.items(), next(iter(GOOD.items()))]
    with pytest.raises(MachineError, match="does not list, or contains it twice"):
        read(tmp_path, packed((MANIFEST, manifest_of(GOOD)), *twice))


def test_names_that_some_disks_take_for_the_same_are_refused(tmp_path: Path) -> None:
    files = {"a/x": b"1", "A/X": b"2"}
    with pytest.raises(MachineError, match="names a file twice"):
        read(tmp_path, packed((MANIFEST, manifest_of(files)), *files.items()))


def test_a_file_that_the_manifest_does_not_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"does not list") as caught:
        read(tmp_path, packed((MANIFEST, manifest_of(GOOD)), *GOOD.items(), ("more", b"x")))
    assert str(caught.value.where).endswith("more")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    parts = list(GOOD.items())[:1]
    with pytest.raises(MachineError, match="missing") as caught:
        read(tmp_path, packed((MANIFEST, manifest_of(GOOD)), *parts))
    assert str(caught.value.where).endswith("sbom.cdx.json")


def test_more_bytes_than_declared_are_refused_before_they_are_read(tmp_path: Path) -> None:
    larger = {**GOOD, "sbom.cdx.json": b"{}" + bytes(10_000)}
    with pytest.raises(MachineError, match="different size") as caught:
        read(tmp_path, packed((MANIFEST, manifest_of(GOOD)), *larger.items()))
    assert (caught.value.expected, caught.value.found) == (
        f"{len(GOOD['sbom.cdx.json'])} bytes",
        "10002 bytes",
    )


def test_an_archive_without_a_manifest_at_its_beginning_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="not a localprompt bundle"):
        read(tmp_path, packed(*GOOD.items(), (MANIFEST, manifest_of(GOOD))))


@pytest.mark.parametrize(
    "manifest", [b"", b"[]", b"{}", b'{"format": "other", "version": 1}', b"\xff", b"[" * 100_000]
)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, manifest: bytes) -> None:
    with pytest.raises(MachineError, match="manifest cannot be read"):
        read(tmp_path, packed((MANIFEST, manifest)))


@given(at=st.integers(min_value=0), bit=st.integers(0, 7))
def test_no_flipped_bit_is_overlooked(
    tmp_path_factory: pytest.TempPathFactory, at: int, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("flip", numbered=True)
    data = bytearray(packed((MANIFEST, manifest_of(GOOD)), *GOOD.items()))
    at %= len(data)
    data[at] ^= 1 << bit
    with pytest.raises(LocalPromptError):
        read(folder, bytes(data))


@given(st.binary(max_size=2000))
def test_no_bytes_make_the_reader_fail_otherwise(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    with pytest.raises(LocalPromptError):
        read(tmp_path_factory.mktemp("any", numbered=True), data)


@pytest.mark.slow
@given(st.text(max_size=40))
def test_a_safe_path_stays_below_its_folder(path: str) -> None:
    root = Path("/somewhere/deep")
    if is_safe_path(path):
        assert (root / path).resolve().is_relative_to(root)


def test_weights_of_eight_gibibytes_and_more_have_a_header(tmp_path: Path) -> None:
    size = 9 * 1024**3
    head = archive.header("kit/large.gguf", size, executable=False)
    assert archive._parse(head, tmp_path) == ("kit/large.gguf", size)


def test_a_name_that_no_header_holds_is_an_error_of_the_user() -> None:
    with pytest.raises(InputError, match="too long"):
        archive.header("kit/" + "x" * 150, 1, executable=False)


@pytest.mark.parametrize(
    ("field", "value"),
    [("mode", 0o4755), ("uid", 1000), ("gname", "root"), ("mtime", 1), ("uname", "root")],
)
def test_a_header_is_as_a_bundle_has_it(tmp_path: Path, field: str, value: object) -> None:
    info = tarfile.TarInfo("kit/home/prompts/x")
    setattr(info, field, value)
    with pytest.raises(MachineError, match="unexpected owner, mode or time"):
        read(tmp_path, with_member(info))


def test_a_program_that_the_manifest_does_not_name_as_one_is_refused(tmp_path: Path) -> None:
    whole = packed((MANIFEST, manifest_of(GOOD)), *GOOD.items())
    path, content = next(iter(GOOD.items()))
    plain = archive.header(f"kit/{path}", len(content), executable=False)
    program = archive.header(f"kit/{path}", len(content), executable=True)
    with pytest.raises(ChecksumError, match="different mode"):
        read(tmp_path, whole.replace(plain, program))
