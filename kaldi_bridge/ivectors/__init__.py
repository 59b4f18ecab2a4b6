"""Online i-vectors from Kaldi's extractors."""

from kaldi_bridge.ivectors.extractor import IvectorExtractor
from kaldi_bridge.ivectors.files import ExtractorFiles
from kaldi_bridge.ivectors.state import SpeakerState
from kaldi_bridge.ivectors.stream import IvectorStream

__all__ = ["ExtractorFiles", "IvectorExtractor", "IvectorStream", "SpeakerState"]
