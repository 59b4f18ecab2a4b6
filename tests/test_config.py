from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sedsdk.builtin.crnn import Crnn, CrnnConfig
from sedsdk.config import PartRef, PipelineConfig, digest, part, read_model
from sedsdk.contract import PartConfig
from sedsdk.errors import ConfigError, PluginError, UnknownPart
from sedsdk.hooks import PartSpec, hookimpl
from sedsdk.host import Host

BUILTIN = Host(discover=False)


class AwkwardConfig(PartConfig):
    """Options named like what `PartRef` itself has."""

    options: int = 1
    resolve: int = 2
    completed: int = 3
    name: str = "n"
    kind: str = "k"


class Awkward(Crnn):
    Config = AwkwardConfig  # type: ignore[assignment]


class ClaimsPartConfig(PartConfig):
    part: str = "mine"


class ClaimsPart(Crnn):
    Config = ClaimsPartConfig  # type: ignore[assignment]


def host_with(**targets: type) -> Host:
    def offers() -> list[PartSpec]:
        return [
            PartSpec(name, f"{target.__module__}:{target.__name__}", "a toy", "test")
            for name, target in targets.items()
        ]

    plugin = SimpleNamespace(SEDSDK_API=(1, 1), sedsdk_encoders=hookimpl(offers))
    host = Host(plugins=[("toys", plugin)], discover=False, strict=True)
    return host


def values(**changes: Any) -> dict[str, Any]:
    return {
        "labels": ["dog", "siren"],
        "frontends": {"main": "log_mel"},
        "encoder": "crnn",
        "head": "frame_bce",
        **changes,
    }


def config(**changes: Any) -> PipelineConfig:
    return read_model(PipelineConfig, values(**changes), "pipeline")


class TestPartRef:
    def test_a_name_a_mapping_and_a_call_say_the_same(self) -> None:
        assert PartRef.model_validate("crnn") == PartRef.model_validate({"part": "crnn"})
        assert PartRef.model_validate({"part": "log_mel", "n_mels": 40}) == part(
            "log_mel", n_mels=40
        )

    @given(
        st.dictionaries(
            st.text(min_size=1).filter(lambda key: key != "part"),
            st.one_of(st.integers(), st.text(), st.booleans(), st.lists(st.integers())),
            max_size=4,
        )
    )
    def test_json_keeps_every_option_whatever_its_name(self, options: dict[str, Any]) -> None:
        ref = PartRef.model_validate({"part": "crnn", **options})
        assert ref.options == options
        assert PartRef.model_validate_json(ref.model_dump_json()) == ref

    @pytest.mark.parametrize(
        "name", ["sedsdk.builtin.crnn:Crnn", "a/b/c", "", "../crnn", "Crnn ", "a/", "/a"]
    )
    def test_what_could_name_code_or_a_file_is_refused(self, name: str) -> None:
        with pytest.raises(ConfigError, match="no part name"):
            part(name)

    def test_a_dotted_path_is_refused(self) -> None:
        with pytest.raises(ConfigError, match=r'"os\.path" is no part name'):
            part("os.path")

    def test_what_is_no_mapping_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="encoder"):
            config(encoder=5)

    def test_an_unknown_option_names_the_nearest_and_all(self) -> None:
        with pytest.raises(ConfigError) as raised:
            part("crnn", rnn_unit=32).resolve("encoder", BUILTIN)
        assert 'unknown field "rnn_unit". Did you mean "rnn_units"?' in str(raised.value)
        assert "encoder crnn" in str(raised.value)
        assert "kernel_size" in str(raised.value)

    def test_a_wrong_value_names_field_value_and_what_is_allowed(self) -> None:
        with pytest.raises(ConfigError, match=r"dropout = 1\.5: .*less than 1"):
            part("crnn", dropout=1.5).resolve("encoder", BUILTIN)
        with pytest.raises(ConfigError, match=r"pooling = 'mean': .*'max' or 'average'"):
            part("crnn", pooling="mean").resolve("encoder", BUILTIN)
        with pytest.raises(ConfigError, match=r"channels\.1 = 'x'"):
            part("crnn", channels=[4, "x"]).resolve("encoder", BUILTIN)

    def test_all_problems_are_named_at_once(self) -> None:
        with pytest.raises(ConfigError, match=r"dropout = .*; rnn_layers = "):
            part("crnn", dropout=2, rnn_layers=-1).resolve("encoder", BUILTIN)

    def test_a_part_of_another_kind_is_not_found(self) -> None:
        with pytest.raises(UnknownPart, match="is a frontend"):
            part("log_mel").resolve("encoder", BUILTIN)

    def test_options_may_be_named_like_attributes(self) -> None:
        host = host_with(awkward=Awkward)
        ref = part("awkward", options=7, resolve=8, completed=9, name="x", kind="y")
        _, read = ref.resolve("encoder", host)
        assert read == AwkwardConfig(options=7, resolve=8, completed=9, name="x", kind="y")
        complete = ref.completed("encoder", host)
        assert complete.part == "toys/awkward"
        again = PartRef.model_validate_json(complete.model_dump_json())
        assert again == complete
        assert again.resolve("encoder", host)[1] == read

    def test_no_option_can_be_called_part(self) -> None:
        with pytest.raises(ConfigError, match='"part" is the key'):
            part("crnn", **{"part": "log_mel"})
        with pytest.raises(PluginError, match=r'option named "part".*rename'):
            part("claims").resolve("encoder", host_with(claims=ClaimsPart))


class TestPipelineConfig:
    def test_one_frontend_becomes_main(self) -> None:
        wanted = config(frontends={"main": {"part": "log_mel", "n_mels": 40}})
        assert config(frontends={"part": "log_mel", "n_mels": 40}) == wanted
        assert config(frontends="log_mel") == config()

    def test_main_has_to_be_there(self) -> None:
        with pytest.raises(ConfigError, match=r'no stream is named "main"; streams: fast'):
            config(frontends={"fast": "log_mel"})
        with pytest.raises(ConfigError, match='no stream is named "main"'):
            config(frontends={})

    @pytest.mark.parametrize("name", ["two words", "a.b", "", "1st"])
    def test_stream_names_are_identifiers(self, name: str) -> None:
        with pytest.raises(ConfigError, match="is no stream name"):
            config(frontends={"main": "log_mel", name: "log_mel"})

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            ([], "at least one label"),
            (["dog", " "], "no empty one"),
            (["dog", "cat", "dog"], '"dog" is there twice'),
            ("dog", "labels = 'dog'"),
        ],
    )
    def test_labels_are_a_set_of_names(self, labels: Any, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            config(labels=labels)

    def test_an_unknown_field_names_the_nearest(self) -> None:
        with pytest.raises(ConfigError, match=r'"encodr"\. Did you mean "encoder"'):
            config(encodr="crnn")
        with pytest.raises(ConfigError, match='the field "head" is missing'):
            read_model(PipelineConfig, {k: v for k, v in values().items() if k != "head"}, "x")

    def test_completed_writes_every_default_and_survives_json(self) -> None:
        short = config(
            conditioners=["mixup"],
            encoder={"part": "crnn", "rnn_units": 8},
            postprocessors=["median", {"part": "to_events"}],
        )
        complete = short.completed(BUILTIN)
        assert [ref.part for _, ref in complete.parts()] == [
            f"builtin/{name}"
            for name in ("log_mel", "mixup", "crnn", "frame_bce", "median", "to_events")
        ]
        assert set(complete.encoder.options) == set(CrnnConfig.model_fields)
        assert complete.encoder.options["rnn_units"] == 8
        again = PipelineConfig.model_validate(json.loads(complete.model_dump_json()))
        assert again == complete
        assert again.completed(BUILTIN) == complete
        for (kind, first), (_, second) in zip(short.parts(), again.parts(), strict=True):
            assert first.resolve(kind, BUILTIN) == second.resolve(kind, BUILTIN)

    def test_completed_refuses_what_is_not_installed(self) -> None:
        with pytest.raises(UnknownPart, match='Did you mean "crnn"'):
            config(encoder="crn").completed(BUILTIN)

    def test_plugins_are_those_of_the_parts(self) -> None:
        host = host_with(awkward=Awkward)
        assert config().plugins(host) == ["builtin"]
        assert config(encoder="awkward").plugins(host) == ["builtin", "toys"]

    def test_the_labels_digest_depends_on_their_order(self) -> None:
        first, second = config(labels=["a", "b"]), config(labels=["b", "a"])
        assert first.labels_digest != second.labels_digest
        assert first.labels_digest == config(labels=("a", "b"), encoder="other").labels_digest


class TestDigest:
    @given(st.dictionaries(st.text(), st.one_of(st.integers(), st.text(), st.none())))
    def test_the_order_of_keys_is_nothing(self, value: dict[str, Any]) -> None:
        assert digest(value) == digest(dict(reversed(list(value.items()))))

    def test_it_is_the_sha256_of_compact_json(self) -> None:
        # printf '{"a":[1,"é"],"b":null}' | sha256sum
        import hashlib

        text = '{"a":[1,"é"],"b":null}'.encode()
        assert digest({"b": None, "a": [1, "é"]}) == hashlib.sha256(text).hexdigest()


def test_a_config_can_name_no_file(tmp_path: Path) -> None:
    script = tmp_path / "evil.py"
    script.write_text("raise SystemExit\n")
    with pytest.raises(ConfigError, match="no part name"):
        config(encoder=str(script))
