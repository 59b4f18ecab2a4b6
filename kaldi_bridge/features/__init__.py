"""Kaldi's MFCC and filter-bank features: options from a conf file, whole recordings, streams."""

from kaldi_bridge.features.extraction import FeatureStream, compute_features
from kaldi_bridge.features.options import FeatureOptions

__all__ = ["FeatureOptions", "FeatureStream", "compute_features"]
