"""The kit tells a head that asks for it how often each class occurs, and sees that it is kept."""

from __future__ import annotations

import pytest
import torch

from sedsdk.errors import TrainingError
from sedsdk.testing import LawBroken, check_bundle_round_trip, check_loss, check_part
from sedsdk.testing.plain import PlainHead
from sedsdk.testing.subject import Subject


class Informed(PlainHead):
    """A plain head whose loss is divided by the mean share of the classes."""

    def __init__(self, config, encoded, n_classes):
        super().__init__(config, encoded, n_classes)
        self.register_buffer("share", torch.zeros(n_classes))

    @property
    def needs_fit(self):
        return not bool(self.share.any())

    def fit(self, positive_share):
        self.share.copy_(positive_share)

    def loss(self, prediction, targets):
        if self.needs_fit:
            raise TrainingError("call fit first")
        return super().loss(prediction, targets) / self.share.mean()


class NeverFitted(Informed):
    def fit(self, positive_share):
        pass

    def loss(self, prediction, targets):
        return PlainHead.loss(self, prediction, targets)


class ForgetsTheShare(Informed):
    """Keeps the share where no saved model has it."""

    def __init__(self, config, encoded, n_classes):
        super().__init__(config, encoded, n_classes)
        self.register_buffer("share", torch.zeros(n_classes), persistent=False)


def test_a_head_that_needs_a_fit_runs_the_kit(sed_host):
    check_part("head", Informed, host=sed_host)


def test_a_built_head_has_been_told_one_share_per_class(sed_host):
    made = Subject("head", Informed, host=sed_host).build()
    share = made.share.tolist()
    assert len(set(share)) == made.n_classes
    assert all(0 < each < 1 for each in share)


def test_a_head_that_fitting_does_not_satisfy_breaks_the_law_of_losses(sed_host):
    with pytest.raises(LawBroken, match="still needs to be fitted") as caught:
        check_loss("head", NeverFitted, host=sed_host)
    assert caught.value.law == "loss"


def test_a_head_that_is_loaded_without_what_it_was_told_breaks_the_law_of_bundles(sed_host):
    with pytest.raises(LawBroken, match="fitted again") as caught:
        check_bundle_round_trip("head", ForgetsTheShare, host=sed_host)
    assert caught.value.law == "bundle"
