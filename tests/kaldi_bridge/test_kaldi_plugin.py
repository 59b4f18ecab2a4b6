"""The frontend `tdnnf_embedding`: its numbers, times, laws, cache and saved detectors."""

from __future__ import annotations

import json
import logging
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from kaldi_golden import GOLDEN, needs_golden
from made_recipe import NODE_DIM, SAMPLE_RATE, make_recipe, plain_embedding, sound

import kaldi_bridge.bundled
import sedsdk
from kaldi_bridge.plugin import location
from kaldi_bridge.plugin.location import MODELS_VARIABLE
from sedsdk.errors import AudioError, BundleError, ConfigError
from sedsdk.runtime.bundle import load_bundle, save_bundle
from sedsdk.testing import Setting, check_import_cost, check_part

FROZEN = {"gradients": "frozen: the network is Kaldi's"}
TOLERANCE = 2e-4
"""Largest difference over the root mean square of the reference, as for the golden files."""


def embedded(frontend, *clips):
    """Rows of each clip, padded to one batch."""
    lengths = torch.tensor([len(clip) for clip in clips])
    batch = torch.zeros(len(clips), int(lengths.max()))
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    features = frontend(batch, lengths)
    return [features.clip(index).values[0].numpy() for index in range(len(clips))]


def error(got, want):
    assert got.shape == want.shape
    return np.abs(got - want).max() / np.sqrt(np.mean(np.square(want)))


class TestNumbers:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"subsampling": 1},
            {"node": "prefinal-chain.batchnorm2", "subsampling": 2},
            {"frames_per_chunk": 50},
            {"frames_per_chunk": None},
        ],
    )
    def test_are_those_of_the_plain_twin(self, make, model_dir, options):
        clips = [sound(2.0, 1), sound(0.7, 2), sound(0.03, 3)]
        for got, clip in zip(embedded(make(model_dir, **options), *clips), clips, strict=True):
            assert error(got, plain_embedding(model_dir, clip, **options)) < TOLERANCE

    def test_without_snip_edges(self, make, tmp_path):
        recipe = make_recipe(tmp_path, ivector_dim=0, snip_edges=False)
        frontend, clip = make(recipe, subsampling=1), sound(0.5)
        (got,) = embedded(frontend, clip)
        assert (
            error(got, plain_embedding(recipe, clip, subsampling=1, snip_edges=False)) < TOLERANCE
        )
        assert frontend.spec.grid.first_seconds == pytest.approx(0.005)

    def test_bfloat16_is_near(self, make, model_dir):
        clip = sound(1.0)
        (whole,) = embedded(make(model_dir), clip)
        (half,) = embedded(make(model_dir, precision="bfloat16"), clip)
        assert half.dtype == np.float32
        assert 0 < np.linalg.norm(half - whole) / np.linalg.norm(whole) < 0.05

    @needs_golden
    @pytest.mark.parametrize(
        ("options", "stored"),
        [
            ({"frames_per_chunk": 50}, "prefinal-l.fsf3"),
            ({"frames_per_chunk": None}, "prefinal-l.fsf3_whole"),
            ({"frames_per_chunk": 50, "node": "prefinal-chain.batchnorm2"}, None),
        ],
    )
    def test_are_kaldis(self, make, options, stored):
        from sedsdk.audio import read_audio

        model = GOLDEN / "models" / "a_tdnnf_lda_ivec"
        name = stored or "prefinal-chain.batchnorm2.fsf3"
        reference = np.load(model / "out" / f"{name}.npz")
        frontend = make(
            model,
            extractor=str(GOLDEN / "conf" / "ivector_extractor.conf"),
            feature_conf=str(GOLDEN / "conf" / "mfcc_hires.conf"),
            subsampling=3,
            **options,
        )
        keys = ["utt2", "utt3", "utt4"]  # utt1 has digital silence, where Kaldi's FFT noise shows
        clips = [read_audio(GOLDEN / "wav" / f"{key}.wav", 16000)[0] for key in keys]
        for key, got in zip(keys, embedded(frontend, *clips), strict=True):
            assert error(got, reference[key]) < TOLERANCE


class TestFrames:
    def test_a_row_lies_at_the_middle_of_its_window(self, make, model_dir):
        grid = make(model_dir).spec.grid
        np.testing.assert_allclose(grid.times(3), [0.0125, 0.0425, 0.0725])
        np.testing.assert_allclose(
            make(model_dir, subsampling=1).spec.grid.times(2), [0.0125, 0.0225]
        )

    def test_their_number_follows_from_kaldis(self, make, model_dir):
        frontend = make(model_dir)
        for n, frames in ((1, 1), (399, 1), (400, 1), (560, 2), (720, 3), (880, 4), (16000, 98)):
            assert frontend.frame_count(n) == -(-frames // 3)
        assert make(model_dir, subsampling=1).frame_count(16000) == 98

    def test_pooled_rows_begin_with_the_clip_and_cover_it(self, make, model_dir):
        frontend = make(model_dir, hop_seconds=0.02)
        np.testing.assert_allclose(frontend.spec.grid.times(2), [0.01, 0.03])
        for n, frames in ((1, 1), (320, 1), (321, 2), (16000, 50)):
            assert frontend.frame_count(n) == frames

    def test_pooling_is_the_mean_of_a_cell(self, make, model_dir):
        """At 40 ms and full rate: centres 12.5, 22.5, 32.5 | 42.5, 52.5, 62.5, 72.5 | ..."""
        clip = sound(0.5)
        (rows,) = embedded(make(model_dir, subsampling=1), clip)
        (cells,) = embedded(make(model_dir, subsampling=1, hop_seconds=0.04), clip)
        assert len(cells) == 13
        np.testing.assert_allclose(cells[0], rows[:3].mean(0), atol=1e-5)
        np.testing.assert_allclose(cells[1], rows[3:7].mean(0), atol=1e-5)
        np.testing.assert_allclose(cells[12], rows[47:].mean(0), atol=1e-5)

    def test_finer_cells_take_the_nearest_row(self, make, model_dir):
        """At 20 ms and rows of 30 ms: cell 1, around 30 ms, is nearer to 42.5 than to 12.5."""
        clip = sound(0.5)
        (rows,) = embedded(make(model_dir), clip)
        (cells,) = embedded(make(model_dir, hop_seconds=0.02), clip)
        assert len(cells) == 25
        np.testing.assert_array_equal(cells[[0, 1, 2, 3]], rows[[0, 1, 1, 2]])
        np.testing.assert_array_equal(cells[-1], rows[-1])

    def test_a_clip_below_one_window_is_mirrored(self, make, model_dir):
        clip = sound(0.02)
        mirrored = np.concatenate([clip, clip[::-1]])[:400]
        (got,) = embedded(make(model_dir), clip)
        assert error(got, plain_embedding(model_dir, mirrored)) < TOLERANCE
        (single,) = embedded(make(model_dir), clip[:1])
        assert single.shape == (1, NODE_DIM)
        assert np.isfinite(single).all()


class TestLaws:
    def test_of_the_kit(self, host, plain_model_dir):
        for options in ({}, {"hop_seconds": 0.02}):
            check_part(
                "frontend",
                "kaldi/tdnnf_embedding",
                {"model": str(plain_model_dir), **options},
                host=host,
                setting=Setting(grid_hops=3),  # the network looks 60 ms ahead and back
                exempt=FROZEN,
            )

    def test_of_the_kit_with_ivectors(self, host, model_dir):
        """A click changes every later i-vector, hence every later row: not the law of clicks."""
        check_part(
            "frontend",
            "kaldi/tdnnf_embedding",
            {"model": str(model_dir)},
            host=host,
            exempt={**FROZEN, "shapes and grids": "i-vectors spread a click over all that follows"},
        )

    def test_neighbours_change_not_one_bit(self, make, model_dir):
        frontend = make(model_dir, hop_seconds=0.02)
        clips = [sound(1.0, 1), sound(0.4, 2), sound(0.01, 3)]
        together = embedded(frontend, *clips)
        for clip, got in zip(clips, together, strict=True):
            np.testing.assert_array_equal(embedded(frontend, clip)[0], got)

    def test_threads_may_share_it(self, make, model_dir):
        frontend = make(model_dir)
        clips = [sound(0.2 + 0.05 * seed, seed) for seed in range(12)]
        alone = [embedded(make(model_dir), clip)[0] for clip in clips]
        with ThreadPoolExecutor(4) as threads:
            shared = list(threads.map(lambda clip: embedded(frontend, clip)[0], clips))
        for one, other in zip(alone, shared, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_listing_imports_nothing_heavy(self):
        check_import_cost("kaldi_bridge.plugin")

    def test_the_network_is_frozen(self, make, model_dir):
        frontend = make(model_dir).train()
        assert list(frontend.parameters()) == []
        assert not frontend.acoustic_model.training
        assert not any(p.requires_grad for p in frontend.acoustic_model.parameters())
        waveform = torch.from_numpy(sound(0.2)).unsqueeze(0).requires_grad_()
        assert not frontend(waveform, torch.tensor([waveform.shape[1]])).values.requires_grad

    def test_its_state_is_a_digest(self, make, model_dir):
        state = make(model_dir).state_dict()
        assert {name: tuple(value.shape) for name, value in state.items()} == {
            "model_digest": (32,)
        }


class TestMistakes:
    def test_samples(self, make, model_dir):
        frontend = make(model_dir)
        with pytest.raises(AudioError, match="3 samples, in waveforms of 2"):
            frontend(torch.zeros(1, 2), torch.tensor([3]))
        with pytest.raises(AudioError, match="waveforms"):
            frontend(torch.zeros(5), torch.tensor([5]))
        with pytest.raises(AudioError, match="NaN"):
            frontend(torch.full((1, 800), torch.nan), torch.tensor([800]))

    def test_a_model_that_is_not_there(self, make, tmp_path):
        with pytest.raises(ConfigError, match=f'"tdnn_1d".*{MODELS_VARIABLE}'):
            make(tmp_path / "tdnn_1d")
        with pytest.raises(ConfigError, match="no model in this folder"):
            make(tmp_path)

    def test_an_extractor_that_is_not_there(self, make, tmp_path):
        recipe = make_recipe(tmp_path)
        shutil.rmtree(tmp_path / "exp" / "nnet3")
        with pytest.raises(ConfigError, match="no extractor found"):
            make(recipe)
        with pytest.raises(ConfigError, match='extractor "elsewhere" is not at'):
            make(recipe, extractor=str(tmp_path / "elsewhere"))

    def test_a_node_that_is_not_there(self, make, model_dir):
        with pytest.raises(ConfigError, match='"prefinal"'):
            make(model_dir, node="prefinal")

    @pytest.mark.parametrize(
        "options",
        [{"hop_seconds": 0}, {"subsampling": 0}, {"precision": "int4"}, {"digest": "abc"}],
    )
    def test_options(self, make, model_dir, options):
        with pytest.raises(ConfigError, match=next(iter(options))):
            make(model_dir, **options)

    def test_kaldi_itself_has_no_bfloat16(self, make, model_dir):
        with pytest.raises(ConfigError, match="bfloat16 needs backend = native"):
            make(model_dir, backend="pykaldi", precision="bfloat16")

    @pytest.mark.parametrize("name", ["extractor", "feature_conf"])
    def test_files_of_a_model_without_the_model(self, host, model_dir, name):
        part = sedsdk.part("tdnnf_embedding", **{name: str(model_dir)})
        with pytest.raises(ConfigError, match=f"{name} belongs to a model of your own: set model"):
            part.resolve("frontend", host)


class TestBundled:
    """`model: null`, with a made model in the place of the package's own."""

    @pytest.fixture
    def installed(self, tmp_path, monkeypatch):
        """Installs a model as that of the package, and returns its folder."""

        def install(name, seed):
            folder = make_recipe(tmp_path / name, ivector_dim=0, seed=seed)
            monkeypatch.setattr(location, "bundled_model", lambda: folder)
            return folder

        return install

    @pytest.fixture
    def bundled(self, host):
        def made(**options):
            part, config = sedsdk.part("tdnnf_embedding", **options).resolve("frontend", host)
            return part(config)

        return made

    def pipeline(self, host):
        encoder = sedsdk.part("crnn", channels=[4], frequency_pooling=[2], rnn_units=4)
        return sedsdk.compose(["alarm"], "tdnnf_embedding", encoder, "frame_bce", host=host, seed=0)

    def test_no_model_named_is_the_one_that_comes_along(self, make, bundled, installed):
        folder, clip = installed("here", 0), sound(0.5)
        frontend = bundled()
        assert frontend.config.model is None
        np.testing.assert_array_equal(embedded(frontend, clip)[0], embedded(make(folder), clip)[0])

    def test_a_saved_detector_finds_that_of_another_installation(
        self, host, installed, tmp_path, monkeypatch
    ):
        first = installed("here", 0)
        pipeline = self.pipeline(host)
        before = pipeline.predict([sound(0.5)], SAMPLE_RATE)[0].frames
        saved = save_bundle(pipeline, tmp_path / "detector")
        text = (saved / "config.json").read_text()
        assert json.loads(text)["pipeline"]["frontends"]["main"]["model"] is None
        assert str(tmp_path) not in text
        installed("there", 0)
        shutil.rmtree(first)
        monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "nothing"))
        after = load_bundle(saved, host).predict([sound(0.5)], SAMPLE_RATE)[0].frames
        np.testing.assert_array_equal(after, before)

    def test_a_saved_detector_refuses_that_of_another_version(self, host, installed, tmp_path):
        installed("here", 0)
        saved = save_bundle(self.pipeline(host), tmp_path / "detector")
        installed("there", 1)
        with pytest.raises(BundleError, match=r"comes with this sedsdk is another.*Install"):
            load_bundle(saved, host)

    def test_a_copy_of_it_will_do(self, make, bundled, installed, tmp_path):
        installed("here", 0)
        digest = bytes(bundled().model_digest.tolist()).hex()
        installed("there", 1)
        copy = make_recipe(tmp_path / "copy", ivector_dim=0)
        assert make(copy, digest=digest).spec.size == NODE_DIM

    def test_an_installation_without_it(self, bundled, tmp_path, monkeypatch):
        monkeypatch.setattr(kaldi_bridge.bundled, "BUNDLED", tmp_path)
        with pytest.raises(ConfigError, match=r"tdnnf_embedding: .*no final\.mdl.*training"):
            bundled()


class TestCache:
    def test_a_second_time_nothing_is_computed(self, make, model_dir, tmp_path, monkeypatch):
        clips = [sound(0.5, 1), sound(0.3, 2)]
        folder = str(tmp_path / "cache")
        first = embedded(make(model_dir, cache=folder), *clips)
        again = make(model_dir, cache=folder)

        def never(*_, **__):
            raise AssertionError("computed although it is kept")

        monkeypatch.setattr(again.acoustic_model, "embed", never)
        for one, other in zip(first, embedded(again, *clips), strict=True):
            np.testing.assert_array_equal(one, other)
        for one, other in zip(embedded(make(model_dir), *clips), first, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_what_is_kept_depends_on_model_options_and_audio(self, make, tmp_path):
        recipe, other = make_recipe(tmp_path / "a"), make_recipe(tmp_path / "b", seed=1)
        folder = tmp_path / "cache"
        cases = (
            (recipe, {}, 0),
            (recipe, {}, 1),
            (recipe, {"subsampling": 1}, 0),
            (recipe, {"node": "tdnn1.relu"}, 0),
            (recipe, {"frames_per_chunk": None}, 0),
            (recipe, {"precision": "bfloat16"}, 0),
            (other, {}, 0),
        )
        for count, (model, options, seed) in enumerate(cases, 1):
            frontend = make(model, cache=str(folder), **options)
            plain = make(model, **options)
            (kept,), (computed,) = (
                embedded(frontend, sound(0.2, seed)),
                embedded(plain, sound(0.2, seed)),
            )
            np.testing.assert_array_equal(kept, computed)
            assert len(list(folder.rglob("*.safetensors"))) == count

    def test_other_hops_share_what_is_kept(self, make, model_dir, tmp_path):
        for hop in (None, 0.02, 0.05):
            embedded(make(model_dir, cache=str(tmp_path), hop_seconds=hop), sound(0.2))
        assert len(list(tmp_path.rglob("*.safetensors"))) == 1

    def test_a_damaged_entry_is_computed_again(self, make, model_dir, tmp_path, caplog):
        frontend, clip = make(model_dir, cache=str(tmp_path)), sound(0.3)
        (first,) = embedded(frontend, clip)
        (entry,) = tmp_path.rglob("*.safetensors")
        entry.write_bytes(entry.read_bytes()[:-1])
        with caplog.at_level(logging.WARNING):
            (again,) = embedded(frontend, clip)
        np.testing.assert_array_equal(first, again)
        assert [str(entry) in record.getMessage() for record in caplog.records] == [True]


class TestDigest:
    def test_is_of_the_content_and_not_of_the_place(self, make, tmp_path):
        first = make(make_recipe(tmp_path / "a"))
        moved = make(make_recipe(tmp_path / "b"))
        assert torch.equal(first.model_digest, moved.model_digest)

    @pytest.mark.parametrize(
        "change",
        [
            "exp/chain/tdnn/final.raw",
            "exp/nnet3/extractor/final.ie",
            "exp/nnet3/extractor/splice_opts",
            "conf/mfcc_hires.conf",
            "exp/chain/tdnn/frame_subsampling_factor",
        ],
    )
    def test_changes_with_everything_that_changes_numbers(self, make, tmp_path, change):
        one = make(make_recipe(tmp_path / "a"))
        other_dir = make_recipe(tmp_path / "b")
        changed, donor = tmp_path / "b" / change, tmp_path / "c"
        make_recipe(donor, seed=1)
        if change.endswith("final.ie"):
            from made_extractor import make_extractor

            sizes = {"feature_dim": 16, "lda_dim": 10, "gaussians": 8, "ivector_dim": 6}
            changed.write_bytes(
                (make_extractor(donor / "ie", seed=1, **sizes) / "final.ie").read_bytes()
            )
        elif change.endswith("final.raw"):
            changed.write_bytes((donor / change).read_bytes())
        elif change.endswith("mfcc_hires.conf"):
            changed.write_text(changed.read_text() + "--low-freq=30\n")
        elif change.endswith("splice_opts"):
            changed.write_text("--left-context=4 --right-context=2\n")
        else:
            changed.write_text("1\n")
        assert not torch.equal(one.model_digest, make(other_dir).model_digest)

    def test_changes_with_the_options_of_online_normalisation(self, make, tmp_path):
        digests = []
        for name, options in (("a", ""), ("b", "--cmn-window=600"), ("c", "--cmn-window=300")):
            folder = make_recipe(tmp_path / name)
            statistics = tmp_path / name / "exp/nnet3/extractor/global_cmvn.stats"
            (folder / "global_cmvn.stats").write_bytes(statistics.read_bytes())
            (folder / "online_cmvn").touch()
            (folder / "cmvn_opts").write_text(options)
            digests.append(make(folder).model_digest)
        assert torch.equal(digests[0], digests[1]), "600 is Kaldi's default"
        assert not torch.equal(digests[0], digests[2])

    def test_comments_and_order_change_nothing(self, make, tmp_path):
        one = make(make_recipe(tmp_path / "a"))
        other_dir = make_recipe(tmp_path / "b")
        conf = tmp_path / "b" / "conf" / "mfcc_hires.conf"
        conf.write_text("# as trained\n" + "\n".join(reversed(conf.read_text().split())) + "\n")
        assert torch.equal(one.model_digest, make(other_dir).model_digest)

    def test_one_that_is_asked_for_is_held_to(self, make, model_dir):
        digest = bytes(make(model_dir).model_digest.tolist()).hex()
        assert make(model_dir, digest=digest).spec.size == NODE_DIM
        with pytest.raises(ConfigError, match="another model than the one asked for"):
            make(model_dir, digest="0" * 64)


class TestSavedDetector:
    @pytest.fixture
    def recipe(self, tmp_path):
        return make_recipe(tmp_path / "recipe")

    @pytest.fixture
    def saved(self, host, recipe, tmp_path):
        pipeline = self.pipeline(host, recipe)
        return pipeline, save_bundle(pipeline, tmp_path / "detector")

    def pipeline(self, host, recipe):
        return sedsdk.compose(
            ["alarm", "bell"],
            {
                "main": sedsdk.part("tdnnf_embedding", model=str(recipe), hop_seconds=0.02),
                "asr": sedsdk.part("tdnnf_embedding", model=str(recipe), subsampling=1),
            },
            sedsdk.part("crnn", channels=[4], frequency_pooling=[2], rnn_units=4),
            "frame_bce",
            host=host,
            seed=0,
        )

    def frames(self, pipeline):
        return pipeline.predict([sound(1.3)], SAMPLE_RATE)[0].frames

    def test_holds_no_weights_of_the_network_and_names_it(self, saved, recipe):
        pipeline, folder = saved
        names = {name for name in pipeline.state_dict() if name.startswith("frontends.")}
        assert names == {"frontends.main.model_digest", "frontends.asr.model_digest"}
        options = json.loads((folder / "config.json").read_text())["pipeline"]["frontends"]["asr"]
        digest = pipeline.frontends["asr"].model_digest
        assert options["model"] == str(recipe)
        assert bytes.fromhex(options["digest"]) == bytes(digest.tolist())

    def test_gives_the_same_when_loaded(self, saved, host):
        pipeline, folder = saved
        np.testing.assert_array_equal(self.frames(load_bundle(folder, host)), self.frames(pipeline))

    def test_finds_a_model_that_moved_where_the_variable_says(
        self, saved, host, recipe, tmp_path, monkeypatch
    ):
        pipeline, folder = saved
        before = self.frames(pipeline)
        shutil.move(tmp_path / "recipe" / "exp", tmp_path / "models" / "exp")
        shutil.move(tmp_path / "recipe" / "conf", tmp_path / "models" / "conf")
        with pytest.raises(BundleError, match=f'"tdnn" .SHA-256.*{MODELS_VARIABLE}'):
            load_bundle(folder, host)
        monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
        np.testing.assert_array_equal(self.frames(load_bundle(folder, host)), before)

    def test_refuses_another_model_in_its_place(self, saved, host, tmp_path):
        _, folder = saved
        shutil.rmtree(tmp_path / "recipe")
        make_recipe(tmp_path / "recipe", seed=5)
        with pytest.raises(BundleError, match="another model than the one asked for"):
            load_bundle(folder, host)

    def test_weights_know_which_model_they_were_trained_on(self, saved, host, tmp_path):
        """Also where the digest was taken out of the config."""
        pipeline, _ = saved
        other = self.pipeline(host, make_recipe(tmp_path / "other", seed=5))
        with pytest.raises(ConfigError, match="trained on the embeddings of another model"):
            other.load_state_dict(pipeline.state_dict())

    def test_a_path_is_kept_so_that_it_holds_from_any_folder(self, host, recipe, monkeypatch):
        monkeypatch.chdir(recipe.parent)
        _, config = sedsdk.part("tdnnf_embedding", model="tdnn").resolve("frontend", host)
        assert config.model == str(recipe)
