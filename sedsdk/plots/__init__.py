"""Pictures of recordings, detectors and training runs. Needs the extra "plots".

Every function builds a `matplotlib.figure.Figure` without pyplot, so pictures can be drawn in any
thread and leave no global state; given a path it also writes the file (PNG, SVG or PDF, after the
file's ending). Colours are Okabe and Ito's, which people with any colour vision can tell apart.
"""

from sedsdk.plots.attention import plot_attention
from sedsdk.plots.curves import plot_curves, read_curves
from sedsdk.plots.detection import plot_detection
from sedsdk.plots.spectrogram import Spectrogram, log_mel_spectrogram
from sedsdk.plots.thresholds import plot_thresholds
from sedsdk.plots.tsne import plot_tsne, separability, tsne_map

__all__ = [
    "Spectrogram",
    "log_mel_spectrogram",
    "plot_attention",
    "plot_curves",
    "plot_detection",
    "plot_thresholds",
    "plot_tsne",
    "read_curves",
    "separability",
    "tsne_map",
]
