"""The command that compares this package with Kaldi's files: what it finds, what it fails."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kaldi_golden import GOLDEN, needs_golden
from made_golden import RECORDINGS, make_golden, put_arrays

from kaldi_bridge.archives import read_archive, write_archive
from kaldi_bridge.errors import KaldiError
from kaldi_bridge.golden.__main__ import all_checks, main
from kaldi_bridge.golden.layout import Golden
from kaldi_bridge.golden.rows import Check, Row, compared, largest, over_rms, relative_frobenius


@pytest.fixture(scope="module")
def untouched(tmp_path_factory) -> Path:
    return make_golden(tmp_path_factory.mktemp("golden") / "kaldi")


@pytest.fixture
def folder(untouched, tmp_path) -> Path:
    return Path(shutil.copytree(untouched, tmp_path / "kaldi"))


def rows(folder: Path, *only: str) -> dict[str, Row]:
    """Each row by file and what was computed; those that contain one of `only`, if given."""
    checks = {f"{c.file.relative_to(folder)}: {c.what}": c for c in all_checks(Golden(folder))}
    wanted = {name: c for name, c in checks.items() if not only or any(o in name for o in only)}
    return {name: check.row(folder) for name, check in wanted.items()}


def short(folder: Path, *only: str) -> list[str]:
    """The rows that fall short, with their notes."""
    return [f"{name}: {row.note}" for name, row in rows(folder, *only).items() if not row.ok]


class TestMeasures:
    def test_closed_forms(self):
        expected = {"a": np.array([[3.0, -4.0], [0.0, 5.0]])}
        found = {"a": expected["a"] + [[0.1, 0.0], [0.0, 0.0]]}
        root_mean_square = np.sqrt((9 + 16 + 25) / 4)
        outcome = compared(found, expected, 1.0, over_rms)
        assert outcome.difference == pytest.approx(0.1 / root_mean_square)
        outcome = compared(found, expected, 1.0, relative_frobenius)
        assert outcome.difference == pytest.approx(0.1 / np.sqrt(50))
        assert compared(found, expected, 1.0, largest).difference == pytest.approx(0.1)

    def test_the_worst_array_counts(self):
        expected = {"good": np.ones((3, 2)), "bad": np.ones((2, 2)), "fine": np.ones((1, 2))}
        found = {"good": np.ones((3, 2)), "bad": np.full((2, 2), 1.5), "fine": np.ones((1, 2))}
        outcome = compared(found, expected, 0.1)
        assert (outcome.ok, outcome.difference, outcome.shape) == (False, 0.5, "6×2")
        assert "worst: bad" in outcome.note

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_what_is_no_number_is_never_ok(self, bad):
        found = {"a": np.array([[bad, 1.0]]), "b": np.ones((1, 2))}
        expected = {"a": np.ones((1, 2)), "b": np.ones((1, 2))}
        for measure in (over_rms, relative_frobenius, largest):
            assert not compared(found, expected, 1e9, measure).ok

    def test_zeros_are_only_like_zeros(self):
        zeros = {"a": np.zeros((2, 2))}
        assert compared(zeros, zeros, 1e-6).ok
        assert not compared({"a": np.full((2, 2), 1e-9)}, zeros, 1e-6).ok

    def test_other_names_and_shapes(self):
        one = {"a": np.ones((2, 2))}
        with pytest.raises(KaldiError, match="one of the two only: b"):
            compared({**one, "b": one["a"]}, one, 1.0)
        with pytest.raises(KaldiError, match="a: 2×3 computed, 2×2 expected"):
            compared({"a": np.ones((2, 3))}, one, 1.0)
        with pytest.raises(KaldiError, match="nothing to compare"):
            compared({}, {}, 1.0)

    def test_whatever_goes_wrong_is_a_row(self, tmp_path):
        def explode():
            raise MemoryError("too\nlarge")

        row = Check(tmp_path / "x.ark", "nothing", explode).row(tmp_path)
        assert (row.ok, row.file, row.note) == (False, "x.ark", "MemoryError: too large")


class TestMadeFolder:
    def test_everything_in_it_is_checked_and_within_bounds(self, untouched, capsys):
        assert main([str(untouched)]) == 0
        printed = capsys.readouterr().out
        names = set(rows(untouched))
        assert names == {
            "feats/fbank23.ark: from wav; scp",
            "feats/mfcc_hires.ark: from wav; scp",
            "ivectors/ivector_online.ark: i-vectors of recordings",
            "models/q_small/out/output.fsf3.ark: final.raw output",
            "models/q_small/out/prefinal-l.fsf1_whole.ark: final.raw prefinal-l",
            "models/q_small/final.raw: read, write binary, read",
            "models/q_small/final.raw: read, write text, read",
        }
        assert "7 rows, 7 ok, 0 fall short" in printed
        assert printed.count(" ok") >= 7

    @pytest.mark.parametrize(
        ("name", "bound"),
        [
            ("feats/mfcc_hires.ark", 6e-4),
            ("feats/fbank23.ark", 6e-4),
            ("ivectors/ivector_online.ark", 2e-4),
            ("models/q_small/out/output.fsf3.ark", 2e-4),
            ("models/q_small/out/prefinal-l.fsf1_whole.ark", 2e-4),
        ],
    )
    def test_one_value_a_little_off_falls_short(self, folder, name, bound, capsys):
        arrays = dict(read_archive(folder / name))
        array = arrays[next(iter(RECORDINGS))]
        scale = 1.0 if name.startswith("feats") else np.sqrt(np.mean(np.square(array)))
        array[-1, -1] += 1.5 * bound * scale
        put_arrays(folder / name, arrays)
        assert main([str(folder), "--only", name]) == 1
        assert "FALLS SHORT" in capsys.readouterr().out
        array[-1, -1] -= 1.5 * bound * scale
        put_arrays(folder / name, arrays)
        assert main([str(folder), "--only", name]) == 0

    def test_archive_and_npz_must_agree(self, folder):
        name = folder / "models/q_small/out/output.fsf3.npz"
        with np.load(name) as arrays:
            values = {key: arrays[key] for key in arrays.files}
        values["x"][0, 0] += 1
        np.savez(name, **values)
        (problem,) = short(folder, "output.fsf3")
        assert "output.fsf3.ark and output.fsf3.npz hold different numbers" in problem

    def test_the_script_must_agree_too(self, folder):
        script = folder / "feats/fbank23.scp"
        script.write_text(script.read_text().replace("fbank23.ark", "mfcc_hires.ark"))
        assert short(folder, "fbank23")

    def test_npz_alone_is_enough(self, folder):
        for suffix in (".ark", ".scp"):
            (folder / "feats/fbank23").with_suffix(suffix).unlink()
        assert rows(folder)["feats/fbank23.npz: from wav; scp"].ok

    def test_every_form_of_the_model_gets_its_rows(self, folder):
        model = folder / "models/q_small"
        packed = gzip.compress((model / "final.raw").read_bytes())
        (model / "final.raw.txt.gz").write_bytes(packed)
        shutil.copy(model / "final.raw", model / "final_prepared.raw")
        found = rows(folder, "q_small/out")
        assert len(found) == 6
        assert all(row.ok for row in found.values())

    def test_variants_are_read_from_names(self, folder):
        model = folder / "models/q_small/out"
        shutil.copy(model / "output.fsf3.ark", model / "output.fsf3_c50_ectx.ark")
        assert not short(folder)
        (model / "output.fsf3_c50_ectx.ark").rename(model / "output.fsf2.ark")
        (problem,) = short(folder)
        assert "expected" in problem

    def test_commands_win_over_names(self, folder):
        model = folder / "models/q_small/out"
        (model / "output.fsf3.npz").unlink()
        (model / "output.fsf3.ark").rename(model / "output.fsf1.ark")
        assert short(folder)
        (folder / "COMMANDS.txt").write_text(
            "nnet3-compute --online-ivectors=scp:ivectors/ivector_online.scp "
            "--frame-subsampling-factor=3 models/q_small/final.raw scp:feats/mfcc_hires.scp "
            "ark:models/q_small/out/output.fsf1.ark\n"
        )
        assert not short(folder)

    def test_the_manifest_says_how_features_were_made(self, folder):
        for suffix in (".ark", ".npz", ".scp"):
            (folder / "feats/fbank23").with_suffix(suffix).rename(folder / f"feats/mine{suffix}")
        script = folder / "feats/mine.scp"
        script.write_text(script.read_text().replace("fbank23.ark", "mine.ark"))
        (problem,) = short(folder)
        assert "neither MANIFEST.md nor its name says" in problem
        line = (
            "- mine: `compute-fbank-feats --num-mel-bins=23 --dither=0 scp:wav.scp ...`; shapes\n"
        )
        (folder / "MANIFEST.md").write_text(line)
        assert not short(folder)

    def test_text_archives_and_compressed_ones(self, folder):
        arrays = dict(read_archive(folder / "feats/mfcc_hires.ark"))
        write_archive(folder / "feats/plain.ark", arrays, binary=False)
        packed = gzip.compress((folder / "feats/plain.ark").read_bytes())
        (folder / "feats/plain.ark").unlink()
        (folder / "feats/mfcc_hires.txt.ark.gz").write_bytes(packed)
        name = folder / "feats/mfcc_hires_compressed.ark"
        write_archive(name, arrays, compress=True)
        np.savez(name.with_suffix(".npz"), **dict(read_archive(name)))
        found = rows(folder, "mfcc_hires")
        assert found["feats/mfcc_hires.txt.ark.gz: text archive"].ok
        assert found["feats/mfcc_hires_compressed.ark: decoded; scp"].ok

    def test_what_nobody_understands_falls_short(self, folder):
        (folder / "models/q_small/out/output.fsf3_mystery.ark").write_bytes(b"x \0BFM ")
        (folder / "notes.bin").write_bytes(b"?")
        assert [line.split(":")[0] for line in short(folder)] == [
            "models/q_small/out/output.fsf3_mystery.ark",
            "notes.bin",
        ]

    @pytest.mark.parametrize(
        "name",
        [
            "feats/mfcc_hires.ark",
            "wav/x.wav",
            "wav.scp",
            "extractor/final.ie",
            "models/q_small/final.raw",
            "models/q_small/out/output.fsf3.ark",
        ],
    )
    def test_a_damaged_file_is_a_row_and_no_crash(self, folder, name):
        path = folder / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        problems = short(folder)
        assert problems
        assert all(": " in problem and len(problem) > 40 for problem in problems)
        if "out/" not in name:  # without its file, an output is simply not there
            path.unlink()
            assert short(folder)

    def test_a_node_that_the_network_lacks(self, folder):
        out = folder / "models/q_small/out"
        for suffix in (".ark", ".npz"):
            (out / f"output.fsf3{suffix}").rename(out / f"prefinal-x.fsf3{suffix}")
        (problem,) = short(folder)
        assert "prefinal-x" in problem


class TestCommand:
    def test_nothing_to_check_is_a_failure(self, tmp_path, untouched, capsys):
        assert main([str(tmp_path)]) == 1
        assert "found nothing to check" in capsys.readouterr().err
        assert main([str(untouched), "--only", "no-such-row"]) == 1
        assert 'matches "no-such-row"' in capsys.readouterr().err
        assert main([str(tmp_path / "nowhere")]) == 1
        assert "no such folder" in capsys.readouterr().err

    def test_only_takes_part_of_a_row_or_a_pattern(self, untouched, capsys):
        assert main([str(untouched), "--only", "from wav"]) == 0
        assert "2 rows" in capsys.readouterr().out
        assert main([str(untouched), "--only", "models/*prefinal*"]) == 0
        assert "1 rows" in capsys.readouterr().out

    def test_as_a_module(self, untouched):
        command = [sys.executable, "-m", "kaldi_bridge.golden", str(untouched), "--only", "fbank23"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "feats/fbank23.ark" in done.stdout
        assert "1 rows, 1 ok" in done.stdout


@needs_golden
class TestGolden:
    def test_inputs_and_long_recordings(self):
        found = rows(GOLDEN, "feats/", "ivectors/", "extractor/", "long/")
        assert [name for name, row in found.items() if not row.ok] == []
        arrays = {p.with_suffix("") for p in GOLDEN.rglob("*.npz") if "models" not in p.parts}
        assert arrays <= {(GOLDEN / row.file).with_suffix("") for row in found.values()}

    @pytest.mark.parametrize("form", ["final.raw output", "final.mdl prefinal", "gz: read, write"])
    def test_models(self, form):
        assert short(GOLDEN, form) == []

    @pytest.mark.slow
    def test_every_array_has_a_row_and_every_row_is_within_its_bound(self):
        found = rows(GOLDEN)
        assert [name for name, row in found.items() if not row.ok] == []
        arrays = {path.with_suffix("") for path in GOLDEN.rglob("*.npz")}
        assert arrays <= {(GOLDEN / row.file).with_suffix("") for row in found.values()}
        models = [path for path in GOLDEN.glob("models/*/final*") if path.suffix != ".config"]
        round_trips = [row for row in found.values() if row.what.startswith("read, write")]
        assert len(round_trips) == 2 * len(models)
