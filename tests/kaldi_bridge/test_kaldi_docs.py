"""The page of Kaldi models: its code runs, its recipe composes, its commands and options exist."""

from __future__ import annotations

import re
import runpy
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from made_models import chain_transitions
from made_recipe import SAMPLE_RATE, make_recipe, sound

from kaldi_bridge import plugin
from kaldi_bridge.nnet3.reading import Model, read_model, read_nnet
from kaldi_bridge.nnet3.writing import write_model
from kaldi_bridge.plugin.commands import app
from kaldi_bridge.plugin.location import MODELS_VARIABLE
from sedsdk.audio import write_audio
from sedsdk.config import PipelineConfig
from sedsdk.host import Host
from sedsdk.pipeline import Pipeline

PAGE = Path(__file__).resolve().parents[2] / "docs" / "kaldi.md"
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """The folders that the page speaks of, around a small model with two phones."""
    made = make_recipe(tmp_path, strides=(1, 0, 3, 1, 1, 1), pdfs=4)
    folder = made.rename(made.with_name("tdnn_1d_sp"))
    network = read_nnet(folder / "final.raw")
    write_model(Model(chain_transitions(), network), folder / "final.mdl")
    (folder / "final.raw").unlink()
    write_audio(tmp_path / "recordings" / "utt1.wav", sound(2.0), SAMPLE_RATE)
    monkeypatch.chdir(tmp_path)
    return folder


def test_the_code_of_the_page_runs_from_top_to_bottom(recipe, capsys):
    pytest.importorskip("onnxruntime", reason='needs onnxruntime: pip install "sedsdk[export]"')
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.S):
        exec(block, names)
    model = names["model"]
    whole = model.embed(names["samples"], node="prefinal-l", frames_per_chunk=150).detach().numpy()
    assert whole.shape == (66, 8)
    assert sum(len(part) for part in names["parts"]) == 66
    printed = capsys.readouterr().out
    assert "extractor given" in printed
    segments = re.findall(r"\('(\d)', (\d+), (\d+)\)", printed)
    assert segments[0][1] == "0"
    assert segments[-1][2] == "66"
    tuned = read_model("tuned.mdl")
    assert tuned.transitions is not None
    before = read_model(recipe / "final.mdl").network.components
    changed = {
        name
        for name, component in tuned.network.components.items()
        for field in component.fields
        if isinstance(field.value, np.ndarray)
        and not np.array_equal(field.value, before[name].get(field.token))
    }
    assert changed == {"tdnnf7.linear", "tdnnf7.affine", "prefinal-l"}


def test_the_recipe_of_the_page_composes(recipe):
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.S)
    config = PipelineConfig.model_validate(yaml.safe_load(block)["pipeline"])
    pipeline = Pipeline(config, Host([("kaldi", plugin)], discover=False))
    assert pipeline.streams["asr"].size == 8
    assert pipeline.streams["asr"].grid.hop_seconds == pipeline.streams["main"].grid.hop_seconds
    assert len(pipeline.predict([sound(1.0)], SAMPLE_RATE)) == 1


def test_commands_and_options_exist():
    import typer

    commands = typer.main.get_command(app).commands
    used = re.findall(r"sedsdk kaldi (\w+)", TEXT)
    assert {"info", "embed", "export"} == set(used)
    options = {option for each in commands.values() for p in each.params for option in p.opts}
    named = set(re.findall(r"(?<=`)--[a-z-]+(?=`| )", TEXT))
    kaldis = {"--frame-subsampling-factor", "--frames-per-chunk", "--prepare-for-test"}
    trainings = {"--speech"}
    assert named - kaldis - trainings <= options
    assert {"--node", "--subsampling", "--overwrite", "--all", "--json"} <= named


def test_training_commands_are_understood(capsys):
    from kaldi_bridge.training.__main__ import main

    used = re.findall(r"python -m kaldi_bridge.training (.*?)(?: +#.*)?$", TEXT, re.M)
    assert [line.split()[0] for line in used] == ["RUN", "judge", "judge"]
    for line in used:
        command = ["judge", "--help"] if line.startswith("judge") else ["--help"]
        with pytest.raises(SystemExit):
            main(command)
        understood = capsys.readouterr().out
        assert all(option in understood for option in re.findall(r"--\w+", line))


def test_names_of_the_page_exist():
    import kaldi_bridge
    from kaldi_bridge.plugin.frontend import TdnnfEmbeddingConfig

    for name in ("read_archive", "read_scp", "read_matrix", "write_archive", "AcousticModel"):
        assert name in TEXT
        assert hasattr(kaldi_bridge, name)
    assert MODELS_VARIABLE in TEXT
    for option in ("hop_seconds", "cache", "digest", "extractor", "feature_conf"):
        assert f"`{option}" in TEXT
        assert option in TdnnfEmbeddingConfig.model_fields


def test_the_example_prints_the_phones_of_a_recording(recipe, capsys):
    example = runpy.run_path(str(PAGE.parents[1] / "examples" / "kaldi_phones.py"))
    assert (
        example["main"]("exp/chain/tdnn_1d_sp", "recordings/utt1.wav", "exp/nnet3/extractor") == 0
    )
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert float(lines[0][0]) == 0.0
    assert float(lines[-1][1]) == pytest.approx(66 * 0.03)  # as many rows as the page's `embed`
    assert all(before[1] == after[0] for before, after in pairwise(lines))
    assert {line[2] for line in lines} <= {"1", "2"}
    assert example["main"]("exp/chain/tdnn_1d_sp", "recordings/none.wav") == 1
    assert "none.wav" in capsys.readouterr().err
