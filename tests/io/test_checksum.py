"""The checksum of files is that of their contents in a row."""

import hashlib

from cmrseg.io.checksum import sha256_of


def test_files_count_one_after_the_other(tmp_path):
    contents = [b"a" * 3_000_000, b"", b"b"]
    paths = [tmp_path / str(n) for n in range(3)]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    assert sha256_of(paths) == hashlib.sha256(b"".join(contents)).hexdigest()
    assert sha256_of(paths[::-1]) != sha256_of(paths)
