"""What all readers of files share (floor 6)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from logpx.errors import UserError


@contextmanager
def reading(path: Any, what: str) -> Iterator[None]:
    """Turn any failure of a reader into one sentence that names the file.

    Readers of foreign files raise whatever their authors thought of (zlib.error, BadZipFile, ArrowInvalid,
    OSError, MemoryError for a header that lies about its size), so everything is caught here.
    """
    try:
        yield
    except UserError:
        raise
    except ImportError as error:
        raise UserError(f"Reading {path} needs a package that is missing; run pip install logpx[files].") from error
    except Exception as error:
        raise UserError(f"{path} cannot be read as {what} ({reason(error)}); check the file.") from error


def reason(error: Exception) -> str:
    """The first line of an exception, without its full stop."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(" .:;")[:200]


def size_on_disk(path: str | os.PathLike[str]) -> int:
    """Bytes."""
    return os.stat(path).st_size
