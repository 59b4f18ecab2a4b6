"""What phones an acoustic model hears in a sound: the most likely one per frame, as runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from kaldi_bridge import AcousticModel, KaldiError, ShapeError
from kaldi_bridge.phones import (
    POSITIONS,
    PhoneMap,
    log_probabilities,
    phone_posteriors,
    read_phone_table,
    viterbi_phones,
)
from sedsdk import DataError

PhoneTable = Path | str | Mapping[int, str]

OUTPUT = "output"
IVECTOR_CHUNK = 150
"""Frames that share an i-vector, as in Kaldi's online decoding."""


@dataclass(frozen=True)
class PhoneRun:
    """Consecutive frames with the same most likely phone.

    Attributes:
        phone: as people read it, as in "EH1 S".
        frames: how many, at least one.
    """

    phone: str
    frames: int


@dataclass(frozen=True, eq=False)
class Phones:
    """The phones of a model, and the forms of each that its outputs tell apart.

    Trees of Kaldi's recipes hang all stresses and word positions of a phone below one root, so many
    pdfs are shared by several of them. The phone is therefore decided first, as a whole, and its
    form afterwards: no phone loses because it has many forms. Forms that share all their pdfs are
    one: "AH0 B/E", or "AH" if that is all of them.

    Attributes:
        whole: pdf → phone, without stress and position.
        forms: pdf → form.
        forms_of: columns of `forms` for each column of `whole`.
    """

    whole: PhoneMap
    forms: PhoneMap
    forms_of: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, each: PhoneMap, known: Sequence[str], *, forms: bool = True) -> Phones:
        """Groups the phones of a map.

        Args:
            each: one column per phone of the transition model, nothing merged.
            known: all names of the phone table: a mark of position counts where all four exist.
            forms: False makes each phone its only form.
        """
        parts = [_parts(name, known) for name in each.names]
        plain = [re.sub(r"(?<=\D)\d+$", "", stem) for stem, _ in parts]
        whole = tuple(dict.fromkeys(plain))
        used = each.weights > 0
        members = [[at for at, name in enumerate(plain) if name == phone] for phone in whole]
        shares = np.stack([used[:, columns].any(1) for columns in members], 1).astype(np.float32)
        shares /= np.maximum(shares.sum(1, keepdims=True), 1)
        if not forms:
            alone = PhoneMap(whole, shares)
            return cls(alone, alone, tuple((column,) for column in range(len(whole))))
        names: list[str] = []
        weights: list[npt.NDArray[np.float32]] = []
        forms_of = []
        for phone, columns in zip(whole, members, strict=True):
            same: dict[bytes, list[int]] = {}
            for column in columns:
                same.setdefault(used[:, column].tobytes(), []).append(column)
            stems = {parts[column][0] for column in columns}
            forms_of.append(tuple(range(len(names), len(names) + len(same))))
            for group in same.values():
                names.append(_form_name(phone, [parts[column] for column in group], stems))
                weights.append(each.weights[:, group].sum(1))
        return cls(
            PhoneMap(whole, shares), PhoneMap(tuple(names), np.stack(weights, 1)), tuple(forms_of)
        )

    def runs(self, scores: npt.NDArray[Any], min_frames: int = 1) -> list[PhoneRun]:
        """Outputs of the network [T, pdfs] → runs in order, whose frames add up to T.

        With a minimum of one frame the phone of a frame is its most likely one; with more it is
        that of the best path on which each lasts so long. Each run has the form that is most
        likely over it.

        Raises:
            KaldiError: scores of another width, or that are not finite.
        """
        log_whole = log_probabilities(phone_posteriors(scores, self.whole))
        log_forms = log_probabilities(phone_posteriors(scores, self.forms))
        found = []
        for segment in viterbi_phones(log_whole, self.whole.names, min_duration=min_frames):
            columns = list(self.forms_of[segment.index])
            best = log_forms[segment.start : segment.end, columns].sum(0).argmax()
            name = self.forms.names[columns[int(best)]]
            found.append(PhoneRun(name, segment.end - segment.start))
        return found


class PhoneHearing:
    """An acoustic model that says which phones it hears.

    Attributes:
        model: the network with its features.
        phones: what its outputs stand for.
        hop_seconds: between frames of its output.
    """

    def __init__(
        self, model: AcousticModel, table: PhoneTable | None = None, *, forms: bool = True
    ) -> None:
        """Args:
        model: with a transition model; on any device.
        table: number → name of the phones, or the file; None for that of the model's folder.
        forms: whether stresses and word positions are kept apart, where the model has them.

        Raises:
            DataError: the model lacks its transition model, phone table, feature conf or
                extractor, or they do not belong together.
        """
        self.model = model
        try:
            self.phones = _phones(model, table, forms)
            self.sample_rate = model.sample_rate
            self.hop_seconds = model.frame_shift_seconds * model.frame_subsampling_factor
            if model.needs_ivectors(OUTPUT):
                model.extractor  # noqa: B018  (looks for it now, not at every recording)
        except KaldiError as error:
            raise DataError(str(error)) from error

    def runs(self, samples: npt.NDArray[np.float32], min_seconds: float = 0.0) -> list[PhoneRun]:
        """Samples float32 [N] at `sample_rate` → runs in order; none if N is below one frame.

        Raises:
            KaldiError: the model cannot compute them.
        """
        with torch.inference_mode():
            rows = self.model.embed(samples, node=OUTPUT, frames_per_chunk=IVECTOR_CHUNK)
        min_frames = max(1, int(np.ceil(min_seconds / self.hop_seconds - 1e-6)))
        return self.phones.runs(rows.float().cpu().numpy(), min_frames)


def _phones(model: AcousticModel, table: PhoneTable | None, forms: bool) -> Phones:
    if model.transitions is None:
        raise KaldiError(
            f"{_name(model)} has no transition model, so nothing says which phones its outputs "
            "stand for. Give a final.mdl, not a .raw file."
        )
    width = model.node_dim(OUTPUT)
    if width != model.transitions.num_pdfs:
        raise ShapeError(
            f"{_name(model)}: the network has {width} outputs and its transition model "
            f"{model.transitions.num_pdfs} pdfs. They do not belong together."
        )
    if table is None:
        table = _own_table(model)
    names = table if isinstance(table, Mapping) else read_phone_table(table)
    if unnamed := [number for number in model.transitions.phones if number not in names]:
        raise KaldiError(
            f"{_name(model)}: the table of phones lacks number {unnamed[0]}. Give the phones.txt "
            "that the model was trained with."
        )
    each = PhoneMap.of(model.transitions, names, merge_positions=False)
    return Phones.of(each, list(names.values()), forms=forms)


def _own_table(model: AcousticModel) -> Path:
    if model.files is not None and model.files.phones is not None:
        return model.files.phones
    what = "a model made in Python" if model.files is None else str(model.files.lacks("phones"))
    raise KaldiError(f'{what}\nGive the table that it was trained with: phones="…/phones.txt".')


def _name(model: AcousticModel) -> str:
    return str(model.files.model) if model.files else "the model"


def _parts(name: str, known: Sequence[str]) -> tuple[str, str]:
    """Returns a phone with its stress, and its position in a word: B, E, I, S, or "" if none."""
    stem = name[:-2]
    if name.endswith(POSITIONS) and {stem + mark for mark in POSITIONS} <= set(known):
        return stem, name[-1]
    return name, ""


def _form_name(phone: str, members: Sequence[tuple[str, str]], stems: set[str]) -> str:
    """Names phones that cannot be told apart, as shortly as they allow."""
    marks: dict[str, list[str]] = {}
    for stem, mark in members:
        marks.setdefault(stem, []).append(mark)
    positions = {}
    for stem, found in marks.items():
        some = sorted(filter(None, found))
        positions[stem] = "" if len(some) == len(POSITIONS) else "/".join(some)
    if len(set(positions.values())) > 1:
        return "/".join(f"{stem} {position}".strip() for stem, position in positions.items())
    named = phone if len(stems) > 1 and set(marks) == stems else "/".join(marks)
    return f"{named} {next(iter(positions.values()))}".strip()
