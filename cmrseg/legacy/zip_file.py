"""Open a ZIP archive that somebody else made: every kind of damage is one short sentence."""

from __future__ import annotations

import errno
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cmrseg.legacy.records import brief
from cmrseg.problems import DataError

_DAMAGE = (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, OverflowError, struct.error)


@contextmanager
def opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive, for reading.

    Parameters
    ----------
    path
        Of the archive.

    Raises
    ------
    DataError
        If it is damaged; also when that is only found while it is read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except DataError:
        raise
    except _DAMAGE as error:
        raise _damaged(path, error) from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # of a full disk or a missing file others tell
            raise
        raise _damaged(path, error) from None  # it points to before its beginning


def _damaged(path: Path, error: Exception) -> DataError:
    """The complaint; the error itself may quote half the archive."""
    return DataError(f"{path} is no whole ZIP archive ({brief(str(error))}); copy it again")
