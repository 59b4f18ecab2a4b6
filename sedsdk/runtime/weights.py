"""Weights as safetensors: written, and read only after everything about them has been checked.

Nothing here unpickles. A file that is a pickle, whatever its name, is told by its first bytes and
refused.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from sedsdk.errors import BundleError

PICKLE_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")
LARGEST_HEADER = 100_000_000
"""Bytes of a safetensors header, by its format."""
DIGEST_BLOCK = 1 << 20
NAMES_SHOWN = 5

_ZIP_MAGIC = b"PK\x03\x04"
_PICKLE_MAGIC = b"\x80"


def write_weights(module: nn.Module, path: Path) -> str:
    """Writes all parameters and buffers that belong to a module's state; returns the SHA-256.

    Raises:
        BundleError: a parameter is NaN or infinite, or a buffer NaN.
        OSError, safetensors.SafetensorError: the file cannot be written.
    """
    tensors = {name: value.detach().cpu() for name, value in module.state_dict().items()}
    _check_finite(tensors, {name for name, _ in module.named_parameters()}, "this pipeline")
    whole = {name: value.clone().contiguous() for name, value in tensors.items()}
    safetensors.torch.save_file(whole, str(path), metadata={"format": "pt"})
    return file_digest(path)


def read_weights(module: nn.Module, path: Path, digest: str) -> None:
    """Reads weights into a module that has their names and shapes.

    Floating types may differ: values are cast to the module's.

    Args:
        module: gets the weights.
        path: the safetensors file.
        digest: SHA-256 it must have.

    Raises:
        BundleError: a pickle; no safetensors file; truncated; tensors that are missing, not
            expected, or of another shape or type; NaN; another digest.
    """
    _check_magic(path)
    expected = module.state_dict()
    try:
        with safetensors.safe_open(str(path), framework="pt", device="cpu") as file:
            _check_names(path, set(file.keys()), set(expected))
            for name, wanted in expected.items():
                _check_shape(path, name, tuple(file.get_slice(name).get_shape()), wanted)
            tensors = {name: file.get_tensor(name) for name in expected}
    except safetensors.SafetensorError as error:
        raise BundleError(
            f"{path} is truncated or damaged ({error}). Copy or download it again."
        ) from error
    for name, wanted in expected.items():
        if tensors[name].is_floating_point() != wanted.is_floating_point():
            raise BundleError(
                f"{path}: tensor {name} is {_kind(tensors[name])}, this pipeline expects "
                f"{_kind(wanted)}. The weights belong to another pipeline."
            )
    _check_finite(tensors, {name for name, _ in module.named_parameters()}, str(path))
    if file_digest(path) != digest:
        raise BundleError(
            f"{path} is not the file that config.json was saved with: their SHA-256 differ. "
            "Copy or download the whole folder again; to change weights, save the pipeline anew."
        )
    module.load_state_dict(tensors)


def refuse_pickle(path: Path) -> None:
    """Refuses a path whose name says that it is a pickle.

    Raises:
        BundleError: it does.
    """
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise BundleError(
            f"{path} is a pickle by its name, and loading one can run any code: it is never read. "
            "Save the model with sedsdk.runtime.bundle.save_bundle, which writes model.safetensors."
        )


def file_digest(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes, in hexadecimal."""
    state = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(DIGEST_BLOCK):
            state.update(block)
    return state.hexdigest()


def _check_magic(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(9)
    if start.startswith((_ZIP_MAGIC, _PICKLE_MAGIC)) and start[8:9] != b"{":
        raise BundleError(
            f"{path} is a pickle (as torch.save writes), and loading one can run any code: it is "
            "never read. Save the model with sedsdk.runtime.bundle.save_bundle."
        )
    header = int.from_bytes(start[:8], "little")
    if len(start) < 9 or start[8:9] != b"{" or header > LARGEST_HEADER:
        raise BundleError(
            f"{path} is no safetensors file, or its start is cut off. Copy or download it again."
        )


def _check_names(path: Path, found: set[str], expected: set[str]) -> None:
    if missing := sorted(expected - found):
        raise BundleError(
            f"{path}: {_count(missing)} missing: {_some(missing)}. "
            "The weights belong to another pipeline than config.json describes."
        )
    if unexpected := sorted(found - expected):
        raise BundleError(
            f"{path}: {_count(unexpected)} not expected: {_some(unexpected)}. "
            "The weights belong to another pipeline than config.json describes."
        )


def _check_shape(path: Path, name: str, found: tuple[int, ...], wanted: Tensor) -> None:
    if found != tuple(wanted.shape):
        raise BundleError(
            f"{path}: tensor {name} has shape {list(found)}, this pipeline expects "
            f"{list(wanted.shape)}. The weights belong to another pipeline than config.json "
            "describes."
        )


def _check_finite(tensors: dict[str, Tensor], parameters: set[str], where: str) -> None:
    for name, value in tensors.items():
        if not value.is_floating_point():
            continue
        bad = ~torch.isfinite(value) if name in parameters else torch.isnan(value)
        if bad.any():
            raise BundleError(
                f"{where}: tensor {name} holds {int(bad.sum())} values that are not finite. The "
                "training diverged; use an earlier checkpoint."
            )


def _count(names: list[str]) -> str:
    return "1 tensor is" if len(names) == 1 else f"{len(names)} tensors are"


def _some(names: list[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _kind(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")
