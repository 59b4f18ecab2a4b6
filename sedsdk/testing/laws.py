"""The laws by name, and the error that says which one a part breaks and on what input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor

LAWS = {
    "config": "a config is documented, refuses unknown keys and survives JSON unchanged",
    "shapes and grids": "shapes, lengths and times are those that the contract and the spec state",
    "stages": "what is stored and finished are the features; what learns changes nothing stored",
    "lengths": "padding and the clips beside it never change a clip's result",
    "determinism": "the same seed gives the same result, and evaluation draws nothing",
    "targets move": "what moves features moves their targets along",
    "gradients": "a finite gradient reaches every trainable parameter and the input",
    "device and dtype": "a part follows its weights and input to another device or dtype",
    "loss": "one finite loss per clip, over known labels only, that training can lower",
    "bundle": "a saved and loaded pipeline gives the same result",
    "import cost": "listing a plugin imports nothing heavy",
    "post-processing": "arrays are left as they were and decisions fit the clip",
}
"""Every law of the kit: its name, and what it asks."""


class LawBroken(AssertionError):
    """A part that does not keep one of the laws.

    Attributes:
        law: a key of `LAWS`.
        part: the part, as in "encoder my-plugin/tiny".
        case: the smallest input on which it happened.
        detail: what was seen there.
    """

    def __init__(self, law: str, part: str, case: str, detail: str) -> None:
        self.law, self.part, self.case, self.detail = law, part, case, detail
        super().__init__(
            f'{part} breaks the law "{law}": {LAWS[law]}.\n'
            f"  smallest input: {case}\n"
            f"  seen: {detail}"
        )


@dataclass(frozen=True)
class Trial:
    """One law, tried on one part with one input.

    Attributes:
        law: a key of `LAWS`.
        part: the part, as in "encoder my-plugin/tiny".
        case: the input in words.
    """

    law: str
    part: str
    case: str

    def require(self, holds: bool, detail: str) -> None:
        """Raises `LawBroken` unless the condition holds."""
        if not holds:
            raise LawBroken(self.law, self.part, self.case, detail)

    def same(self, got: Tensor, want: Tensor, tolerance: float, what: str) -> None:
        """Raises `LawBroken` unless two tensors agree.

        Args:
            got: any shape; float, integer or bool.
            want: the same.
            tolerance: largest difference allowed, relative where values exceed 1.
            what: what is compared, as in "clip 1 of frames, alone and in the batch".
        """
        self.require(
            got.shape == want.shape, f"{what}: shapes {tuple(got.shape)} and {tuple(want.shape)}"
        )
        if got.numel() == 0:
            return
        got, want = got.detach().double(), want.detach().double()
        difference = (got - want).abs()
        self.require(bool(difference.isfinite().all()), f"{what}: values that are not finite")
        scale = max(1.0, float(want.abs().max()))
        worst = int(difference.argmax())
        place = unravel(worst, got.shape)
        self.require(
            float(difference.max()) <= tolerance * scale,
            f"{what}: largest difference {float(difference.max()):.3g} at {place}, "
            f"allowed {tolerance * scale:.3g}",
        )

    def finite(self, values: Tensor, what: str) -> None:
        """Raises `LawBroken` if any value is NaN or infinite."""
        wrong = (~values.isfinite()).flatten().nonzero()
        if len(wrong):
            place = unravel(int(wrong[0]), values.shape)
            raise LawBroken(
                self.law, self.part, self.case, f"{what}: a value that is not finite at {place}"
            )

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Turns any error inside into `LawBroken`, chained to it."""
        try:
            yield
        except LawBroken:
            raise
        except Exception as error:  # a part may raise anything
            seen = f"{type(error).__name__}: {error}"
            raise LawBroken(self.law, self.part, self.case, seen) from error


def unravel(index: int, shape: Sequence[int]) -> tuple[int, ...]:
    """Returns the position of a flat index in an array of that shape."""
    place: list[int] = []
    for size in reversed(shape):
        place.append(index % size)
        index //= size
    return tuple(reversed(place))
