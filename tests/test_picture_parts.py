"""What pictures share: colour limits, steps, and cutting a prediction to a span."""

from __future__ import annotations

import numpy as np
import pytest

from sedsdk.plots.pictures import prediction_between, steps, value_limits
from sedsdk.types import ClipPrediction, FrameGrid


class TestLimits:
    def test_they_are_the_lowest_and_the_highest_of_all(self):
        pictures = [np.array([[1.0, np.nan], [5.0, 2.0]]), np.array([-3.0, np.inf])]
        assert value_limits(pictures) == (-3.0, 5.0)

    def test_a_share_may_lie_outside(self):
        low, high = value_limits([np.arange(1001.0)], outside=1.0)
        assert (low, high) == pytest.approx((10.0, 990.0))

    @pytest.mark.parametrize("pictures", [[], [np.full(3, np.nan)], [np.zeros((0, 4))]])
    def test_nothing_to_see_gives_a_scale_all_the_same(self, pictures):
        assert value_limits(pictures) == (0.0, 1.0)

    def test_a_constant_is_no_scale(self):
        assert value_limits([np.full(4, 7.0)]) == (7.0, 8.0)


class TestSteps:
    def test_each_frame_lasts_its_hop(self):
        heights, borders = steps(np.array([3.0, 1.0, 2.0]), FrameGrid(0.5, 0.25))
        assert heights.tolist() == [3.0, 1.0, 2.0]
        assert borders.tolist() == [0.0, 0.5, 1.0, 1.5]

    def test_neighbours_are_joined_to_their_highest(self):
        heights, borders = steps(np.array([3.0, 1.0, 2.0, 5.0, 4.0]), FrameGrid(0.5, 0.25), most=3)
        assert heights.tolist() == [3.0, 5.0, 4.0]
        assert borders.tolist() == [0.0, 1.0, 2.0, 2.5]

    def test_no_frame_gives_no_step(self):
        heights, borders = steps(np.zeros(0), FrameGrid(0.5))
        assert (len(heights), len(borders)) == (0, 1)


def test_a_prediction_is_cut_to_the_frames_that_reach_into_a_span():
    frames = np.arange(10.0)[:, np.newaxis] / 10
    whole = ClipPrediction(("bell",), np.array([0.9]), frames, FrameGrid(0.1, 0.05))
    cut = prediction_between(whole, 0.25, 0.6)
    assert cut.frames[:, 0].tolist() == [0.2, 0.3, 0.4, 0.5]
    assert cut.grid.first_seconds == pytest.approx(0.25)
    assert cut.clip is whole.clip
