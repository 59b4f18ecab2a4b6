"""The streams that a conditioner names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sedsdk import ConfigError, StreamSpec


def check_streams(part: str, named: Sequence[str], streams: Mapping[str, StreamSpec]) -> None:
    """Raises `ConfigError` if a conditioner names a stream that the pipeline does not have.

    Args:
        part: the conditioner's name.
        named: its option `streams`.
        streams: what the pipeline has.
    """
    for name in named:
        if name not in streams:
            raise ConfigError(
                f'{part}: streams names "{name}", the pipeline has: {", ".join(streams)}.'
            )
