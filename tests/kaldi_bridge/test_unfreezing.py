"""The frontend `tdnnf_embedding` with `unfreeze_last`: layers that learn with the detector."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_networks import tdnnf_with_skips
from made_recipe import COLUMNS, make_recipe, plain_embedding, sound

import sedsdk
from kaldi_bridge.acoustic_model import AcousticModel
from kaldi_bridge.nnet3.writing import write_model
from sedsdk.errors import ConfigError
from sedsdk.testing import Setting, check_part
from sedsdk.training.streams import StreamReader

LAYERS = {1: {"prefinal-l"}, 2: {"prefinal-l", "tdnnf4"}, 3: {"prefinal-l", "tdnnf4", "tdnnf3"}}
"""Of the made network, whose factored layers are tdnnf2 to tdnnf4."""
HOPS = [None, 0.02, 0.1]
TOLERANCE = 1e-4


def batch(*clips):
    lengths = torch.tensor([len(clip) for clip in clips])
    padded = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(clip) for clip in clips])
    return padded.T.contiguous(), lengths


def layers_of(names):
    """Layers that parameters belong to, by names such as weights.tdnnf4:affine/LinearParams."""
    return {name.split("weights.")[-1].split("/")[0].split(":")[0] for name in names}


class TestBeforeAnythingIsLearnt:
    @pytest.mark.parametrize("hop_seconds", HOPS)
    @pytest.mark.parametrize("options", [{"unfreeze_last": 1}, {"unfreeze_last": 2}])
    def test_the_stream_is_that_of_the_frozen_network(self, make, model_dir, options, hop_seconds):
        """With i-vectors that change within a clip, edges, padding, and a clip below one window."""
        clips = batch(sound(2.0, 1), sound(0.7, 2), sound(0.02, 3))
        common = {"hop_seconds": hop_seconds, "frames_per_chunk": 50}
        want = make(model_dir, **common)(*clips)
        frontend = make(model_dir, **common, **options)
        got = frontend(*clips)
        assert frontend.spec == make(model_dir, **common).spec
        assert torch.equal(got.lengths, want.lengths)
        torch.testing.assert_close(got.values.detach(), want.values, rtol=0, atol=TOLERANCE)
        finished = frontend.finish(frontend.store(*clips))
        torch.testing.assert_close(finished.values, got.values, rtol=0, atol=1e-6)

    @pytest.mark.parametrize("n", [1, 3])
    @pytest.mark.parametrize("options", [{"subsampling": 1}, {"frames_per_chunk": None}])
    def test_it_is_that_of_the_plain_twin(self, make, model_dir, n, options):
        clip = sound(1.0)
        got = make(model_dir, unfreeze_last=n, **options)(*batch(clip)).values[0].detach().numpy()
        want = plain_embedding(model_dir, clip, **options)
        assert np.abs(got - want).max() < 2e-4 * np.sqrt(np.mean(np.square(want)))

    def test_what_is_frozen_may_compute_in_bfloat16(self, make, model_dir):
        frontend = make(model_dir, unfreeze_last=1, precision="bfloat16")
        assert all(value.dtype == torch.float32 for value in frontend.parameters())
        whole = make(model_dir)(*batch(sound(1.0))).values
        got = frontend(*batch(sound(1.0))).values.detach()
        assert 0 < (got - whole).norm() / whole.norm() < 0.05


class TestWhatLearns:
    @pytest.mark.parametrize("n", [1, 2, 3])
    def test_are_the_last_layers(self, make, model_dir, n):
        frontend = make(model_dir, unfreeze_last=n)
        assert frontend.learns
        learning = {name for name, value in frontend.named_parameters() if value.requires_grad}
        assert layers_of(learning) == LAYERS[n]
        assert not any(value.requires_grad for value in frontend.acoustic_model.parameters())

    def test_of_another_node_those_up_to_it(self, make, model_dir):
        frontend = make(model_dir, node="tdnnf3.noop", unfreeze_last=2)
        learning = {name for name, value in frontend.named_parameters() if value.requires_grad}
        assert layers_of(learning) == {"tdnnf2", "tdnnf3"}

    def test_gradients_reach_all_of_it_and_nothing_else(self, make, model_dir):
        frontend = make(model_dir, unfreeze_last=2, hop_seconds=0.05).train()
        waveforms, lengths = batch(sound(0.6, 1), sound(0.3, 2))
        features = frontend(waveforms.requires_grad_(), lengths)
        (features.values * torch.randn_like(features.values)).sum().backward()
        assert waveforms.grad is None
        assert all(p.grad.any() for p in frontend.parameters() if p.requires_grad)
        assert all(p.grad is None for p in frontend.acoustic_model.parameters())

    def test_a_change_of_it_changes_the_stream_and_not_what_is_stored(self, make, model_dir):
        frontend, clip = make(model_dir, unfreeze_last=1), batch(sound(0.5))
        stored, before = frontend.store(*clip), frontend(*clip).values
        with torch.no_grad():
            for parameter in frontend.parameters():
                parameter.mul_(2)
        assert torch.equal(frontend.store(*clip).values, stored.values)
        torch.testing.assert_close(frontend(*clip).values, 2 * before)  # prefinal-l is linear
        with torch.inference_mode():
            torch.testing.assert_close(frontend(*clip).values, 2 * before.detach())

    def test_0_is_the_frozen_frontend(self, make, model_dir):
        frontend = make(model_dir)
        assert not frontend.learns
        assert frontend.stored_spec == frontend.spec
        stored = frontend.store(*batch(sound(0.3)))
        assert frontend.finish(stored) is stored


class TestLaws:
    @pytest.mark.parametrize(
        "options",
        [
            {"unfreeze_last": 1},
            {"unfreeze_last": 2, "hop_seconds": 0.02},
            {"unfreeze_last": 2, "hop_seconds": 0.1},
        ],
    )
    def test_of_the_kit(self, host, plain_model_dir, options):
        check_part(
            "frontend",
            "kaldi/tdnnf_embedding",
            {"model": str(plain_model_dir), **options},
            host=host,
            setting=Setting(grid_hops=3),  # the network looks 60 ms ahead and back
        )

    def test_a_piece_of_what_is_stored_is_finished_as_in_its_clip(self, host, make, model_dir):
        """So that chunks of a clip learn from what the whole clip has."""
        for hop, row in ((0.02, 0.02), (None, 0.03)):
            options = {"model": str(model_dir), "hop_seconds": hop, "unfreeze_last": 2}
            pipeline = sedsdk.compose(
                ["a"],
                sedsdk.part("tdnnf_embedding", **options),
                sedsdk.part("crnn", channels=[4], frequency_pooling=[2], rnn_units=4),
                "frame_bce",
                host=host,
            )
            reader = StreamReader(pipeline, None)
            frontend = pipeline.frontends["main"]
            stored = {"main": frontend.store(*batch(sound(1.5))).values[0].numpy()}
            whole = frontend(*batch(sound(1.5))).values[0]
            piece = reader.inputs([reader.cut(stored, 0.42, 0.9)], "cpu").main.values[0]
            first, last = round(0.42 / row), round(0.9 / row)
            torch.testing.assert_close(piece, whole[first:last], rtol=0, atol=1e-5)


class TestMistakes:
    def test_more_layers_than_there_are(self, make, model_dir):
        with pytest.raises(ConfigError, match=r"tdnnf_embedding: 6 last layers of prefinal-l"):
            make(model_dir, unfreeze_last=6)
        with pytest.raises(ConfigError, match="unfreeze_last"):
            make(model_dir, unfreeze_last=-1)

    def test_layers_that_cannot_be_cut_off(self, make, tmp_path):
        recipe = make_recipe(tmp_path, ivector_dim=0)
        network = tdnnf_with_skips(features=COLUMNS, ivector=0, dim=24, bottleneck=6, pdfs=10)
        write_model(network, recipe / "final.raw")
        assert make(recipe, unfreeze_last=1).learns
        with pytest.raises(ConfigError, match=r"one node alone.*Possible numbers of layers: 1, 10"):
            make(recipe, unfreeze_last=2)

    def test_kaldi_itself_does_not_learn(self, make, model_dir):
        with pytest.raises(ConfigError, match="unfreeze_last = 1 needs backend = native"):
            make(model_dir, backend="pykaldi", unfreeze_last=1)


class TestCache:
    def test_keeps_what_the_layers_read(self, make, model_dir, tmp_path, monkeypatch):
        options = {"unfreeze_last": 2, "cache": str(tmp_path)}
        clip = batch(sound(0.5))
        before = make(model_dir, **options)(*clip).values
        monkeypatch.setattr(AcousticModel, "embed", None)
        assert torch.equal(make(model_dir, hop_seconds=None, **options)(*clip).values, before)

    def test_does_not_take_one_for_the_other(self, make, model_dir, tmp_path):
        clip = batch(sound(0.5))
        for count, n in enumerate((0, 1, 2), 1):
            frontend = make(model_dir, unfreeze_last=n, cache=str(tmp_path))
            kept, fresh = frontend(*clip), make(model_dir, unfreeze_last=n)(*clip)
            assert torch.equal(kept.values, fresh.values)
            assert len(list(tmp_path.rglob("*.safetensors"))) == count
