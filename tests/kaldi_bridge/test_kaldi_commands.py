"""`sedsdk kaldi info` and `sedsdk kaldi embed`, as a user calls them."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import kaldiio
import numpy as np
import pytest
from kaldi_golden import GOLDEN, needs_golden
from made_networks import cnn_tdnnf
from made_recipe import COLUMNS, NODE_DIM, SAMPLE_RATE, make_recipe, plain_embedding, sound
from typer.testing import CliRunner

from kaldi_bridge import plugin
from kaldi_bridge.nnet3.describe import table
from kaldi_bridge.nnet3.reading import read_nnet
from kaldi_bridge.nnet3.writing import write_model
from kaldi_bridge.plugin.layers import layers
from kaldi_bridge.plugin.outputs import recording_keys
from sedsdk import host as host_module
from sedsdk.audio import write_audio

TOLERANCE = 2e-4


@pytest.fixture
def run(monkeypatch):
    """Runs the command line in this process, with this plugin alone."""
    from sedsdk.cli.application import application

    host = host_module.Host([("kaldi", plugin)], discover=False, strict=True)
    monkeypatch.setattr(host_module, "default_host", lambda: host)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(application.info.cls, "_plugins_are_asked", False, raising=False)

    def invoke(*arguments):
        return CliRunner().invoke(application, ["kaldi", *map(str, arguments)])

    return invoke


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    return make_recipe(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Three recordings: longer than a block, one of another rate and two channels, a tiny one."""
    folder = tmp_path_factory.mktemp("audio")
    write_audio(folder / "long.wav", sound(12.3, 1), SAMPLE_RATE, subtype="FLOAT")
    write_audio(folder / "other.wav", sound(1.5, 2), 44100, subtype="FLOAT")
    write_audio(folder / "tiny.wav", sound(0.004, 3), SAMPLE_RATE, subtype="FLOAT")
    return folder


def error(got, want):
    assert got.shape == want.shape
    return np.abs(got - want).max() / np.sqrt(np.mean(np.square(want)))


class TestInfo:
    def test_a_layer_is_a_line(self, run, model_dir):
        result = run("info", model_dir)
        assert result.exit_code == 0, result.stderr
        lines = {
            line.split()[0]: " ".join(line.split()) for line in result.stdout.split("\n") if line
        }
        assert lines["tdnnf2"].startswith(
            "tdnnf2 linear, affine, relu, batchnorm, dropout, noop 24 → 6 → 24 -1 0; 0 +1 −2 +2"
        )
        assert lines["tdnnf4"].endswith("-3 0; 0 +3 −5 +5 600")  # 2·24·6 + 2·6·24 + 24
        assert lines["prefinal-l"] == "prefinal-l Linear 24 → 8 −5 +5 192"
        assert lines["context"] == "context 5 frames before, 5 after; one row per 3 frames"
        assert lines["inputs"] == f"inputs ivector of 6 and input of {COLUMNS}; features: 16 mfcc"
        assert (
            lines["extractor"].endswith("(exp/nnet3 goes with exp/chain)")
            or "nnet3" in lines["extractor"]
        )

    def test_every_node(self, run, model_dir):
        text = run("info", model_dir, "--all").stdout
        network = read_nnet(model_dir / "final.raw")
        shown = {line.split()[0] for line in text.split("\n") if line.strip()}
        assert set(network.nodes) <= shown
        assert "Sum(Scale(0.66, tdnn1.dropout), tdnnf2.dropout)" in text

    def test_json_has_all_that_is_known(self, run, model_dir):
        values = json.loads(run("info", model_dir, "--json").stdout)
        nodes = {node["name"]: node for node in values["nodes"]}
        assert nodes["prefinal-l"]["output_dim"] == NODE_DIM
        assert nodes["tdnnf4.linear"]["time_offsets"] == [-3, 0]
        assert values["parameters"] == sum(node["parameters"] for node in nodes.values())
        assert values["inputs"] == {"ivector": 6, "input": COLUMNS}
        assert values["frame_subsampling_factor"] == 3
        assert values["files"]["model"] == str(model_dir / "final.raw")
        assert values["files"]["extractor"] == str(model_dir.parents[1] / "nnet3" / "extractor")
        assert set(values["readable"]) == set(nodes) - {"ivector", "input"}

    def test_says_what_is_missing(self, run, model_dir, tmp_path):
        (tmp_path / "final.raw").write_bytes((model_dir / "final.raw").read_bytes())
        result = run("info", tmp_path)
        assert result.exit_code == 0
        (line,) = [line for line in result.stdout.split("\n") if line.startswith("extractor")]
        assert "not found; looked at" in line

    def test_layers_of_a_convolutional_network(self):
        network = cnn_tdnnf(
            height=8, ivector=4, convolutions=((4, 8), (6, 4)), dim=16, bottleneck=4,
            first_bottleneck=6, strides=(0, 3), prefinal=5, pdfs=7,
        )  # fmt: skip
        found = {layer.name: layer for layer in layers(table(network).rows)}
        assert found["cnn2"].parts == ("conv", "relu", "batchnorm")
        assert found["cnn2"].dims == (32, 24)
        assert found["cnn2"].frames == ((-1, 0, 1),)
        assert found["tdnnf4"].parts[-1] == "noop"
        rows = table(network).rows
        assert sum(len(layer.parts) for layer in layers(rows)) == len(rows)
        assert sum(layer.parameters for layer in layers(rows)) == table(network).parameters

    @needs_golden
    @pytest.mark.parametrize("name", ["a_tdnnf_lda_ivec", "c_cnn_tdnnf_ivec", "g_component_zoo"])
    def test_parameters_and_context_are_what_kaldi_prints(self, run, name):
        folder = GOLDEN / "models" / name
        values = json.loads(run("info", folder / "final.raw", "--json").stdout)
        said = dict(
            line.split(": ")
            for line in (folder / "info.txt").read_text().split("\n")
            if ": " in line
        )
        assert values["left_context"] == int(said["left-context"])
        assert values["right_context"] == int(said["right-context"])
        assert values["parameters"] == int(said["num-parameters"])
        assert values["modulus"] == int(said["modulus"])

    @pytest.mark.parametrize("content", [b"", b"\0BNnet3> ", b"RIFF", b"<Nnet3> \nnonsense\n\n"])
    def test_what_is_no_model_is_one_line(self, run, tmp_path, content):
        (tmp_path / "final.mdl").write_bytes(content)
        result = run("info", tmp_path)
        assert result.exit_code == 1
        assert result.stdout == ""
        assert result.stderr.startswith(f"error: {tmp_path / 'final.mdl'}")
        assert "Traceback" not in result.stderr

    def test_nothing_there(self, run, tmp_path):
        assert "a model was expected there" in run("info", tmp_path / "nowhere").stderr

    def test_needs_no_torch(self, model_dir):
        code = (
            "import sys; from kaldi_bridge.plugin.commands import app;"
            f"app(['info', {str(model_dir)!r}], standalone_mode=False);"
            "sys.exit('torch' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


class TestEmbed:
    def expected(self, model_dir, path, **options):
        from sedsdk.audio import read_audio

        samples = read_audio(path, SAMPLE_RATE)[0]
        if len(samples) < 400:
            samples = np.pad(samples, (0, 400 - len(samples)), mode="symmetric")
        return plain_embedding(model_dir, samples, **options)

    def test_a_folder_gets_a_file_per_recording(self, run, model_dir, recordings, tmp_path):
        out = tmp_path / "out"
        result = run("embed", model_dir, recordings, "--out", out)
        assert result.exit_code == 0, result.stderr
        for name in ("long", "other", "tiny"):
            with np.load(out / f"{name}.npz") as npz:
                rows, times = npz["embedding"], npz["times"]
                made_from = json.loads(str(npz["made_from"]))
            assert rows.dtype == np.float32
            assert error(rows, self.expected(model_dir, recordings / f"{name}.wav")) < TOLERANCE
            np.testing.assert_allclose(times, 0.0125 + 0.03 * np.arange(len(rows)))
            assert made_from["node"] == "prefinal-l"
            assert len(made_from["model"]) == len(made_from["audio"]) == 64
        assert sorted(path.name for path in out.iterdir()) == ["long.npz", "other.npz", "tiny.npz"]
        assert "3 recordings" in result.stdout

    def test_options(self, run, model_dir, recordings, tmp_path):
        options = {"node": "prefinal-chain.batchnorm2", "subsampling": 2, "frames_per_chunk": 50}
        given = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
        result = run("embed", model_dir, recordings / "long.wav", "--out", tmp_path / "x", *given)
        assert result.exit_code == 0, result.stderr
        with np.load(tmp_path / "x" / "long.npz") as npz:
            want = self.expected(model_dir, recordings / "long.wav", **options)
            assert error(npz["embedding"], want) < TOLERANCE
            np.testing.assert_allclose(npz["times"][:2], [0.0125, 0.0325])

    def test_one_npz(self, run, model_dir, recordings, tmp_path):
        out = tmp_path / "all.npz"
        assert run("embed", model_dir, recordings, "--out", out).exit_code == 0
        run("embed", model_dir, recordings, "--out", tmp_path / "each")
        with np.load(out) as npz:
            assert sorted(npz) == sorted(
                [*("long", "other", "tiny"), *(f"times/{key}" for key in ("long", "other", "tiny"))]
            )
            for key in ("long", "other", "tiny"):
                with np.load(tmp_path / "each" / f"{key}.npz") as each:
                    np.testing.assert_array_equal(npz[key], each["embedding"])
                    np.testing.assert_array_equal(npz[f"times/{key}"], each["times"])

    @pytest.mark.parametrize("in_folder", [True, False])
    def test_a_kaldi_archive_with_its_script(self, run, model_dir, recordings, tmp_path, in_folder):
        out = tmp_path / "embeddings.ark"
        given = ["--out", tmp_path, "--format", "ark"] if in_folder else ["--out", out]
        assert run("embed", model_dir, recordings, *given).exit_code == 0
        run("embed", model_dir, recordings, "--out", tmp_path / "all.npz")
        found = dict(kaldiio.load_ark(str(out)))
        script = kaldiio.load_scp(str(out.with_suffix(".scp")))
        with np.load(tmp_path / "all.npz") as npz:
            assert list(found) == list(script) == ["long", "other", "tiny"]
            for key, rows in found.items():
                np.testing.assert_array_equal(rows, npz[key])
                np.testing.assert_array_equal(script[key], npz[key])

    def test_a_bad_recording_is_named_and_the_rest_is_written(
        self, run, model_dir, recordings, tmp_path
    ):
        bad = tmp_path / "bad.wav"
        bad.write_bytes((recordings / "long.wav").read_bytes()[:5000])
        nowhere = tmp_path / "nowhere.wav"
        for out in (tmp_path / "out", tmp_path / "out.npz", tmp_path / "out.ark"):
            result = run(
                "embed", model_dir, recordings / "other.wav", bad, nowhere,
                recordings / "tiny.wav", "--out", out,
            )  # fmt: skip
            assert result.exit_code == 3
            assert result.stderr.count("error: ") == 2
            assert str(bad) in result.stderr
            assert f"{nowhere}: no such file" in result.stderr
            assert "2 of 4 inputs failed" in result.stderr
            assert "2 recordings" in result.stdout
        assert len(list((tmp_path / "out").iterdir())) == 2
        assert list(dict(kaldiio.load_ark(str(tmp_path / "out.ark")))) == ["other", "tiny"]

    @pytest.mark.parametrize("name", ["out", "out.npz", "out.ark"])
    def test_if_all_fail_nothing_is_left(self, run, model_dir, tmp_path, name):
        bad = tmp_path / "bad.wav"
        bad.write_bytes(b"RIFF")
        result = run("embed", model_dir, bad, "--out", tmp_path / name)
        assert result.exit_code == 1
        assert "none of 1 recordings could be embedded" in result.stderr
        assert {path.name for path in tmp_path.rglob("*")} <= {"bad.wav", "out"}

    def test_an_interrupted_run_goes_on(self, run, model_dir, recordings, tmp_path):
        run("embed", model_dir, recordings / "other.wav", "--out", tmp_path)
        before = (tmp_path / "other.npz").stat().st_mtime_ns
        result = run("embed", model_dir, recordings, "--out", tmp_path)
        assert "2 recordings" in result.stdout
        assert "1 already there" in result.stdout
        assert (tmp_path / "other.npz").stat().st_mtime_ns == before

    def test_other_options_or_audio_replace_what_is_there(
        self, run, model_dir, recordings, tmp_path
    ):
        audio = tmp_path / "a.wav"
        shapes = []
        for seconds, more in ((0.5, []), (0.5, ["--subsampling=1"]), (0.7, ["--subsampling=1"])):
            write_audio(audio, sound(seconds), SAMPLE_RATE)
            result = run("embed", model_dir, audio, "--out", tmp_path / "out", *more)
            assert "1 recording, " in result.stdout
            with np.load(tmp_path / "out" / "a.npz") as npz:
                shapes.append(npz["embedding"].shape)
        assert shapes == [(16, NODE_DIM), (48, NODE_DIM), (68, NODE_DIM)]

    def test_files_of_others_are_left_alone(self, run, model_dir, recordings, tmp_path):
        for name in ("long.npz", "all.npz", "all.ark", "b.scp"):
            (tmp_path / name).write_bytes(b"precious")
        long = recordings / "long.wav"
        result = run("embed", model_dir, long, "--out", tmp_path)
        assert "holds no embedding that this command wrote" in result.stderr
        assert result.exit_code == 1
        for name in ("all.npz", "all.ark", "b.ark"):
            result = run("embed", model_dir, long, "--out", tmp_path / name)
            assert result.exit_code == 1
            assert "already there. Give --overwrite" in result.stderr
        assert all(path.read_bytes() == b"precious" for path in tmp_path.iterdir())
        for out in (tmp_path, tmp_path / "all.npz", tmp_path / "b.ark"):
            assert run("embed", model_dir, long, "--out", out, "--overwrite").exit_code == 0
        assert (tmp_path / "all.ark").read_bytes() == b"precious"
        assert (tmp_path / "long.npz").read_bytes()[:2] == b"PK"

    def test_the_cache_is_filled_and_used(self, run, model_dir, recordings, tmp_path, monkeypatch):
        given = ["embed", model_dir, recordings, "--cache", tmp_path / "cache", "--out"]
        plain = run(*given[:3], "--out", tmp_path / "plain.npz")
        first = run(*given, tmp_path / "a.npz")
        assert plain.exit_code == first.exit_code == 0, first.stderr
        assert "3 embeddings" in first.stdout
        from kaldi_bridge.acoustic_model import AcousticModel

        monkeypatch.setattr(AcousticModel, "stream", None)
        assert run(*given, tmp_path / "b.npz").exit_code == 0
        contents = [np.load(tmp_path / f"{name}.npz") for name in ("plain", "a", "b")]
        for key in contents[0]:
            for npz in contents[1:]:
                np.testing.assert_array_equal(npz[key], contents[0][key])

    def test_the_frontend_finds_what_the_command_has_kept(
        self, run, model_dir, recordings, tmp_path
    ):
        from sedsdk.audio import read_audio

        audio = recordings / "tiny.wav"
        run("embed", model_dir, audio, "--cache", tmp_path / "c", "--out", tmp_path / "o")
        host = host_module.default_host()
        from sedsdk import part

        ref = part("tdnnf_embedding", model=str(model_dir), cache=str(tmp_path / "c"))
        kind, config = ref.resolve("frontend", host)
        frontend = kind(config)
        import torch

        samples = torch.from_numpy(read_audio(audio, SAMPLE_RATE)[0]).unsqueeze(0)
        frontend(samples, torch.tensor([samples.shape[1]]))
        assert len(list((tmp_path / "c").rglob("*.safetensors"))) == 1

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (["--node", "prefinal"], 1, '"prefinal"'),
            (["--format", "hdf5"], 2, "npz or ark"),
            (["--out", "x.ark", "--format", "npz"], 2, "contradicts"),
            (["--subsampling", "0"], 2, "subsampling"),
            (["--extractor", "nowhere"], 1, "nowhere"),
        ],
    )
    def test_mistakes(
        self, run, model_dir, recordings, tmp_path, monkeypatch, arguments, code, message
    ):
        monkeypatch.chdir(tmp_path)
        out = [] if "--out" in arguments else ["--out", "out"]
        result = run("embed", model_dir, recordings / "tiny.wav", *arguments, *out)
        assert result.exit_code == code
        assert message in result.stderr
        assert "Traceback" not in result.stderr

    def test_a_model_that_is_cut_off(self, run, recordings, tmp_path):
        cut = make_recipe(tmp_path / "recipe") / "final.raw"
        cut.write_bytes(cut.read_bytes()[:-2000])
        result = run("embed", cut, recordings, "--out", tmp_path / "out")
        assert result.exit_code == 1
        assert result.stderr.startswith("error: ")
        assert "byte" in result.stderr

    def test_a_rate_below_the_models_is_warned_of(self, run, model_dir, tmp_path):
        write_audio(tmp_path / "low.wav", sound(0.5), 8000)
        result = run("embed", model_dir, tmp_path / "low.wav", "--out", tmp_path / "o")
        assert result.exit_code == 0
        assert "low.wav has 8000 Hz, the model hears 16000 Hz" in result.stderr

    def test_a_file_name_with_blanks_makes_a_kaldi_key(self, run, model_dir, tmp_path):
        write_audio(tmp_path / "a b.wav", sound(0.1), SAMPLE_RATE)
        assert (
            run("embed", model_dir, tmp_path / "a b.wav", "--out", tmp_path / "x.ark").exit_code
            == 0
        )
        assert list(dict(kaldiio.load_ark(str(tmp_path / "x.ark")))) == ["a_b"]


class TestKeys:
    def test_are_names_and_folders_where_names_are_shared(self, tmp_path):
        files = [
            tmp_path / name for name in ("x/a.wav", "y/a.wav", "y/b.wav", "y/b.flac", "c d.wav")
        ]
        keys = list(recording_keys([*files, files[0]]))
        assert keys[:2] == ["x-a", "y-a"]
        assert keys[2].endswith("y-b.wav")
        assert keys[3].endswith("y-b.flac")
        assert keys[4:] == ["c_d"]
        assert list(recording_keys(files).values()) == files

    def test_are_different_whatever_the_names(self, tmp_path):
        names = [
            "a b.wav",
            "a_b.wav",
            "a  b.wav",
            "x/a-b.wav",
            "x-a/b.wav",
            "a/b.wav",
            ".wav",
            " .wav",
        ]
        files = [tmp_path / name for name in names]
        keys = recording_keys(files)
        assert list(keys.values()) == files
        assert all(key and not any(c.isspace() or c == "/" for c in key) for key in keys)


def test_a_network_alone_is_described(run, tmp_path):
    from made_networks import tdnnf

    network = tdnnf(features=40, ivector=0, dim=8, bottleneck=4, strides=(1,), prefinal=4, pdfs=5)
    write_model(network, tmp_path / "final.raw")
    result = run("info", tmp_path)
    assert "pdfs" not in result.stdout
    assert "note: no feature conf found" in result.stdout
    assert re.search("^extractor +not needed", result.stdout, re.M)
