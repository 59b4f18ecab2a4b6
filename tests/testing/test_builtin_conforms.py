"""Every built-in part keeps every law, with its defaults and with its other options."""

from __future__ import annotations

import pytest

from sedsdk.host import Host
from sedsdk.testing import assert_conforms, check_import_cost, check_part, parts_of

HOST = Host(discover=False)

VARIANTS = [
    ("frontend", "log_mel", {"center": False, "normalise": "band", "power": 1}),
    ("frontend", "log_mel", {"normalise": "min_max", "compression": "db", "sample_rate": 16000}),
    ("frontend", "log_mel", {"average_frames": 3, "context_frames": 2, "compression": "log1p"}),
    ("frontend", "log_mel", {"compression": "none", "mel_scale": "slaney", "area_norm": True}),
    ("conditioner", "spec_augment", {"time_warp_frames": 4, "time_masks": 0, "fill": "zero"}),
    ("conditioner", "spec_augment", {"frequency_masks": 0, "mode": "append"}),
    ("conditioner", "mixup", {"alpha": 5.0, "draw": "batch"}),
    ("encoder", "crnn", {"self_attention": True, "batch_norm": False, "pooling": "average"}),
    ("encoder", "crnn", {"rnn_layers": 0, "channels": (8,), "frequency_pooling": (4,)}),
    ("encoder", "crnn", {"rnn_layers": 2, "bidirectional": False, "kernel_size": (5, 1)}),
    ("head", "frame_bce", {"hidden": 5, "clip_weight": 0.5, "positive_weight": 3.0}),
    ("head", "clip_bce", {"pooling": "max"}),
    ("head", "clip_bce", {"pooling": "average", "dropout": 0.3}),
    ("head", "clip_bce", {"pooling": "attention", "hidden": 5}),
]


@pytest.mark.parametrize("part", parts_of("builtin", HOST))
def test_a_builtin_part_keeps_every_law(part):
    assert_conforms(part, host=HOST)


@pytest.mark.parametrize(("kind", "name", "options"), VARIANTS)
def test_a_builtin_part_keeps_every_law_with_other_options(kind, name, options):
    check_part(kind, name, options, HOST)


@pytest.mark.parametrize("name", HOST.datasets())
def test_a_builtin_data_set_reader_is_there(name):
    assert callable(HOST.load_dataset(name))


@pytest.mark.parametrize("name", HOST.recipes())
def test_a_builtin_recipe_is_there(name):
    assert HOST.recipe_text(name).strip()


def test_the_builtin_entry_module_is_light():
    check_import_cost("builtin")
