"""The bridge's errors as those that sedsdk's command line prints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kaldi_errors_in_words() -> Iterator[None]:
    """Turns an error of the bridge into one that the command line prints in a line.

    Raises:
        DataError: in the words of the bridge.
    """
    from kaldi_bridge.errors import KaldiError
    from sedsdk.errors import DataError

    try:
        yield
    except KaldiError as error:
        raise DataError(str(error)) from error
