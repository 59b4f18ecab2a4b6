"""nnet3 files: read, written, read again; Kaldi's own, old forms, and what does not fit."""

from __future__ import annotations

import gzip
import io
import re
import struct
from dataclasses import replace

import numpy as np
import pytest
from kaldi_golden import MODEL_DIRS, MODEL_FILES, needs_golden, short_name
from made_models import (
    HEAD,
    as_bytes,
    assert_same,
    every_component,
    every_model,
    every_network,
    read_bytes,
)

from kaldi_bridge.errors import KaldiFileError, MissingFile, NotSupported, ShapeError
from kaldi_bridge.nnet3 import building as make
from kaldi_bridge.nnet3.components import FIELDS, SUPPORTED, input_dim, output_dim
from kaldi_bridge.nnet3.network import Component, Field, Network
from kaldi_bridge.nnet3.parsing import ParsingError
from kaldi_bridge.nnet3.reading import read_model, read_nnet
from kaldi_bridge.nnet3.writing import write_model
from kaldi_bridge.sink import Sink

ONE_LAYER = """input-node name=input dim=2
component-node name=a component=a input=input
output-node name=output input=a objective=linear

"""


def file_of(component: bytes, head: str = ONE_LAYER) -> bytes:
    """Returns a binary file with one component, given from its type to its end."""
    start = b"\0B<Nnet3> \n" + head.encode() + b"<NumComponents> \x04\x01\0\0\0<ComponentName> a "
    return start + component + b"</Nnet3> "


def token(name: str, *values: bytes) -> bytes:
    """Returns a token with what follows it."""
    return f"<{name}> ".encode() + b"".join(values)


def real(value: float) -> bytes:
    """Returns a float32 as Kaldi stores it."""
    return b"\x04" + struct.pack("<f", value)


def double(value: float) -> bytes:
    """Returns a float64 as Kaldi stores it."""
    return b"\x08" + struct.pack("<d", value)


def integer(value: int) -> bytes:
    """Returns an integer as Kaldi stores it."""
    return b"\x04" + struct.pack("<i", value)


def vector(*values: float) -> bytes:
    """Returns a vector as Kaldi stores it."""
    return b"FV " + integer(len(values)) + struct.pack(f"<{len(values)}f", *values)


def matrix(rows: list[list[float]], kind: str = "f") -> bytes:
    """Returns a matrix as Kaldi stores it."""
    flat = [value for row in rows for value in row]
    mark = b"FM " if kind == "f" else b"DM "
    sizes = integer(len(rows)) + integer(len(rows[0]))
    return mark + sizes + struct.pack(f"<{len(flat)}{kind}", *flat)


def only_component(data: bytes) -> Component:
    """Returns the component of a file of one."""
    return read_bytes(data).network.components["a"]


@needs_golden
class TestKaldisOwn:
    @pytest.mark.parametrize("path", MODEL_FILES, ids=short_name)
    def test_written_back_byte_for_byte(self, path, tmp_path):
        text = path.suffix == ".gz"
        write_model(read_model(path), tmp_path / "again", binary=not text)
        original = gzip.decompress(path.read_bytes()) if text else path.read_bytes()
        assert (tmp_path / "again").read_bytes() == original

    @pytest.mark.parametrize("path", MODEL_FILES, ids=short_name)
    def test_equal_after_the_other_form(self, path, tmp_path):
        model = read_model(path)
        other = tmp_path / "other.gz"
        write_model(model, other, binary=path.suffix == ".gz")
        assert_same(model, read_model(other))

    @pytest.mark.parametrize("folder", MODEL_DIRS, ids=lambda path: path.name)
    def test_text_says_what_binary_says(self, folder):
        # Kaldi's own text lost more than its digits: batch norms went through sums of squares.
        binary, text = read_nnet(folder / "final.raw"), read_nnet(folder / "final.raw.txt.gz")
        assert list(binary.nodes.items()) == list(text.nodes.items())
        for name, component in binary.components.items():
            tolerance = 2e-5 if component.kind == "BatchNormComponent" else 1e-6
            for field in component.fields:
                other = text.components[name].get(field.token)
                if isinstance(field.value, np.ndarray):
                    assert np.allclose(field.value, other, rtol=tolerance, atol=1e-7), field.token
                elif isinstance(field.value, float):
                    assert other == pytest.approx(field.value, rel=1e-6), field.token

    def test_the_mdl_holds_the_same_network_and_more(self):
        folder = next(folder for folder in MODEL_DIRS if folder.name.startswith("a_"))
        model = read_model(folder / "final.mdl")
        assert (model.left_context, model.right_context) == (13, 13)
        assert len(model.priors) == 0
        assert model.transitions is not None
        raw = read_model(folder / "final.raw")
        assert raw.transitions is None
        assert list(raw.network.nodes) == list(model.network.nodes)

    @pytest.mark.parametrize("folder", MODEL_DIRS, ids=lambda path: path.name)
    @pytest.mark.parametrize("prepared", ["", "_prepared"])
    def test_dimensions_as_kaldi_says(self, folder, prepared):
        network = read_nnet(folder / f"final{prepared}.raw")
        said = re.findall(
            r"^component name=(\S+) type=(\w+),.*? input-dim=(\d+), output-dim=(\d+)",
            (folder / f"info{prepared}.txt").read_text(),
            re.MULTILINE,
        )
        assert len(said) > 3
        for name, kind, taken, given in said:
            component = network.components[name]
            dims = (input_dim(component), output_dim(component))
            assert (component.kind, *dims) == (kind, int(taken), int(given))

    def test_components_are_built_in_the_order_of_kaldis_files(self):
        folder = next(folder for folder in MODEL_DIRS if folder.name.startswith("g_"))
        original = read_nnet(folder / "final.raw").components
        built = {component.kind: component for component in every_component()}
        compared = 0
        for component in original.values():
            for field in built[component.kind].fields if component.kind in built else ():
                if field.token in ("MaxChange", "L2Regularize", "OrthonormalConstraint"):
                    continue
                assert (field.token, field.kind) in [(f.token, f.kind) for f in component.fields]
            common = [
                field.token for field in built[component.kind].fields if component.has(field.token)
            ]
            order = [field.token for field in component.fields if field.token in common]
            assert order == common
            compared += 1
        assert compared == 25


class TestRoundTrip:
    @pytest.mark.parametrize("binary", [True, False])
    @pytest.mark.parametrize("name", ["model.mdl", "model.gz"])
    def test_every_component_and_descriptor(self, tmp_path, binary, name):
        model = every_model()
        write_model(model, tmp_path / name, binary)
        again = read_model(tmp_path / name)
        assert_same(model, again)
        assert as_bytes(again, binary) == as_bytes(model, binary)
        assert again.transitions is not None
        assert again.transitions.tuples.tolist() == [[1, 0, 0, 1], [2, 0, 2, 3]]
        assert (again.left_context, again.right_context) == (4, 6)

    def test_every_supported_type_is_in_the_made_model(self):
        made = {component.kind for component in every_component()}
        assert set(SUPPORTED) - made == {"PerElementScaleComponent"}  # an older spelling

    def test_kaldi_text_layout(self):
        network = make.network(ONE_LAYER, [make.fixed_affine("a", [[1, 2], [3, 0.1]], [0, -1e-5])])
        assert as_bytes(network, binary=False).decode() == (
            "<Nnet3> \n" + ONE_LAYER + "<NumComponents> 1 \n<ComponentName> a "
            "<FixedAffineComponent> <LinearParams>  [\n  1 2 \n  3 0.1 ]\n"
            "<BiasParams>  [ 0 -1e-05 ]\n</FixedAffineComponent> \n</Nnet3> "
        )

    def test_blank_and_carriage_return_after_the_nodes(self):
        text = as_bytes(every_network(), binary=False)
        assert_same(read_bytes(text.replace(b"\n", b"\r\n")), read_bytes(text))
        assert_same(read_bytes(text.replace(b"<Nnet3> \n", b"<Nnet3>\n", 1)), read_bytes(text))

    def test_nothing_is_written_if_it_does_not_fit_together(self, tmp_path):
        network = every_network()
        short = replace(network.components["affine"], fields=network.components["lda"].fields[:1])
        broken = Network(network.nodes, {**network.components, "affine": short})
        with pytest.raises(ShapeError, match="BiasParams"):
            write_model(broken, tmp_path / "model")
        assert not list(tmp_path.iterdir())


class TestOldFiles:
    """Forms that older versions of Kaldi wrote; bytes laid out by hand."""

    def test_no_learning_rate_and_an_end_token_without_slash(self):
        data = file_of(
            token("NaturalGradientAffineComponent")
            + token("LinearParams", matrix([[1, 2], [3, 4]], "d"))
            + token("BiasParams", vector(5, 6))
            + token("RankIn", integer(20))
            + token("RankOut", integer(80))
            + token("UpdatePeriod", integer(4))
            + token("NumSamplesHistory", double(2000))
            + token("Alpha", real(4))
            + token("MaxChangePerSample", real(0.075))
            + token("IsGradient", b"F")
            + token("UpdateCount", real(3))
            + token("ActiveScalingCount", real(2))
            + token("MaxChangeScaleStats", real(1))
            + token("NaturalGradientAffineComponent")
        )
        component = only_component(data)
        assert component.array("LinearParams").tolist() == [[1, 2], [3, 4]]
        assert component.get("LinearParams").dtype == np.float64
        kinds = {field.token: field.kind for field in component.fields}
        assert kinds["NumSamplesHistory"] == "double"
        end = token("NaturalGradientAffineComponent") + b"</Nnet3> "
        assert as_bytes(read_bytes(data), True) == data.replace(end, b"</" + end[1:])

    def test_an_old_normalize_component_with_statistics_that_are_none(self):
        data = file_of(
            token("NormalizeComponent", token("Dim", integer(2)))
            + token("ValueAvg", vector(float("nan"), 0))
            + token("DerivAvg", vector())
            + token("Count", real(0))
            + token("/NormalizeComponent")
        )
        component = only_component(data)
        assert (input_dim(component), output_dim(component)) == (2, 2)
        assert as_bytes(read_bytes(data), True) == data

    def test_a_permutation_stored_as_floats(self):
        data = file_of(
            token("PermuteComponent", token("ColumnMap", vector(1, 0))) + token("/PermuteComponent")
        )
        component = only_component(data)
        assert component.integers("ColumnMap").tolist() == [1, 0]
        assert as_bytes(read_bytes(data), True) == data

    def test_a_noop_with_statistics(self):
        data = file_of(
            token("NoOpComponent", token("Dim", integer(2)))
            + token("ValueAvg", vector())
            + token("DerivAvg", vector())
            + token("Count", double(0))
            + token("/NoOpComponent")
        )
        assert as_bytes(read_bytes(data), True) == data

    def test_newer_bare_tokens_of_dropout(self):
        data = file_of(
            token("GeneralDropoutComponent", token("Dim", integer(2)))
            + token("BlockDim", integer(2))
            + token("TimePeriod", integer(0))
            + token("DropoutProportion", real(0.1))
            + token("SpecAugmentMaxProportion", real(0.5))
            + token("SpecAugmentMaxRegions", integer(2))
            + token("TestMode")
            + token("Continuous")
            + token("/GeneralDropoutComponent")
        )
        component = only_component(data)
        assert component.has("TestMode")
        assert component.number("SpecAugmentMaxRegions") == 2
        assert as_bytes(read_bytes(data), True) == data

    def test_a_batch_norm_that_has_seen_nothing_is_kept(self):
        network = make.network(ONE_LAYER, [make.batchnorm("a", [0, 0], [0, 0], count=0)])
        again = read_bytes(as_bytes(network, True)).network.components["a"]
        assert again.number("Count") == 0

    def test_doubles_beyond_float32_are_refused(self):
        data = file_of(
            token("LinearComponent", token("Params", matrix([[1, 2], [3, 1e300]], "d")))
            + token("/LinearComponent")
        )
        with pytest.raises(KaldiFileError, match="<Params> holds a number that is not finite"):
            read_bytes(data)


class TestOtherComponents:
    @pytest.mark.parametrize(
        "kind", ["LstmNonlinearityComponent", "RestrictedAttentionComponent", "PnormComponent"]
    )
    def test_are_named_with_type_place_and_what_is_supported(self, kind):
        data = file_of(token(kind, token("Dim", integer(2))) + token(f"/{kind}"))
        with pytest.raises(NotSupported) as caught:
            read_bytes(data)
        said = str(caught.value)
        assert said.startswith(f'made, byte {data.index(f"<{kind}>".encode())}: component "a"')
        assert kind in said
        assert all(name in said for name in FIELDS)

    def test_what_is_no_component_at_all(self):
        with pytest.raises(KaldiFileError, match='"Oops" is no type of component'):
            read_bytes(file_of(token("Oops")))


def text_of(*changes: tuple[str, str]) -> bytes:
    """Returns the made model as text, with replacements that must each be found once or more."""
    text = as_bytes(every_network(), binary=False).decode()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text.encode()


class TestWhatDoesNotFit:
    @pytest.mark.parametrize(
        ("old", "new", "line", "said"),
        [
            ("dim=4", "dim=5", "line 4", 'node "lda": its input has 13 columns, its component t'),
            ("dim=3", "dim=x", "line 2", "dim=x; it must lie between"),
            ("input=noop", "input=nope", "line 11", 'it reads "nope", and there is no such node'),
            ("component=noop", "component=n", "line 10", 'there is no component "n"'),
            ("input=affine", "input=noop", "line 6", "needs itself at the same frame"),
            ("Sum(Scale(0.66, relu), linear)", "Sum(input, linear)", "line 10", "4, 6 columns in"),
            ("dim-offset=1 dim=6", "dim-offset=4 dim=6", "line 14", "columns 4 to 10 of 9"),
            ("Switch(part, Offset(part, 1))", "Switch(part, conv, input)", "line 17", "6, 6, 4"),
            ("input=plain", "input=output", "line 29", 'reads "output", which is an output'),
            ("name=affine", "name=lda", "line 5", 'a second node "lda"'),
            ("input-node name=ivector", "inputnode name=ivector", "line 2", "starts with"),
            ("Const(0.5, 1)", "Const(0.5, 2)", "line 13", "10 columns, its component takes 9"),
        ],
    )
    def test_nodes_with_their_line(self, old, new, line, said):
        with pytest.raises(KaldiFileError) as caught:
            read_bytes(text_of((old, new)))
        assert said in str(caught.value)
        assert str(caught.value).startswith(f"made, {line}")

    @pytest.mark.parametrize(
        ("old", "new", "component", "said"),
        [
            ("<TimeOffsets> [ -1 2 ]", "<TimeOffsets> [ ]", "factor", "<TimeOffsets> is empty"),
            ("<TimeOffsets> [ -1 2 ]", "<TimeOffsets> [ 2 2 ]", "factor", "the same offset twice"),
            ("<TimeOffsets> [ -1 2 ]", "<TimeOffsets> [ 1 2 3 4 5 ]", "factor", "do not divide"),
            ("<TimeOffsets> [ -1 2 ]", "<TimeOffsets> [ 1 99999 ]", "factor", "reaches further"),
            ("<ColumnMap> [ 5 0", "<ColumnMap> [ 5 5", "order", "not an order"),
            ("<NumBlocks> 2", "<NumBlocks> 4", "blocks", "do not divide into 4 blocks"),
            ("<NumBlocks> 2", "<NumBlocks> 0", "blocks", "must lie between"),
            ("<HeightIn> 2", "<HeightIn> 0", "conv", "<HeightIn> 0"),
            ("<NumFiltersIn> 3", "<NumFiltersIn> 2", "conv", "its model says (3, 8)"),
            (
                "<RequiredTimeOffsets> [ 0 ]",
                "<RequiredTimeOffsets> [ 7 ]",
                "conv",
                "<Offsets> lack",
            ),
            ("<HeightOut> 2", "<HeightOut> 9", "conv", "read nothing of the input"),
            ("-1,0 0,-1", "-1,0 -1,0", "conv", "same pair twice"),
            ("<Epsilon> 0.001", "<Epsilon> 0", "batchnorm", "<Epsilon> 0.0; it must be positive"),
            ("<Epsilon> 0.001", "<Epsilon> nan", "batchnorm", "not finite"),
            ("<BlockDim> 3 <Epsilon>", "<BlockDim> 4 <Epsilon>", "batchnorm", "<StatsMean> has 3"),
            ("<InputDim> 6 <BlockDim> 3", "<InputDim> 6 <BlockDim> 4", "normalize", "multiple"),
            ("<InputDim> 12", "<InputDim> 13", "product", "not a multiple"),
            ("<Dim> 6 <BlockDim> 6", "<Dim> 7 <BlockDim> 6", "dropout", "not a multiple"),
            ("<Dim> 9", "<Dim> 10", "scale", "not a multiple"),
            ("<Dim> 6 <BackpropScale>", "<Dim> 2000000000 <BackpropScale>", "noop", "must lie"),
            ("<DropoutProportion> 0.5", "<DropoutProportion> 1.5", "halved", "outside 0 to 1"),
            ("<TargetRms> 0.5 ", "", "batchnorm", "<TargetRms> is missing"),
            ("<TestMode> F <Count>", "<Tset> F <Count>", "batchnorm", 'got "<Tset>"'),
            ("<Dim> 9", "<Dim> 9 <Dim> 9", "scale", 'got a second "<Dim>"'),
        ],
    )
    def test_components_with_their_name_and_line(self, old, new, component, said):
        data = text_of((old, new))
        with pytest.raises(KaldiFileError) as caught:
            read_bytes(data)
        assert said in str(caught.value)
        assert caught.value.component == component
        start = data.decode().index(f"<ComponentName> {component} ")
        first = data[:start].count(b"\n") + 1
        last = first + data[start:].decode().split("<ComponentName>")[1].count("\n")
        found = int(caught.value.where.removeprefix("line "))
        assert first <= found <= last

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    def test_weights_that_are_not_finite(self, value):
        network = every_network()
        for name in ("lda", "affine", "linear", "factor", "conv", "blocks", "scale", "fixed.bias"):
            field = next(
                field
                for field in network.components[name].fields
                if field.kind in ("matrix", "vector")
            )
            bad = np.array(field.value)
            bad.flat[-1] = value
            fields = tuple(
                replace(old, value=bad) if old is field else old
                for old in network.components[name].fields
            )
            broken = replace(network.components[name], fields=fields)
            data = as_bytes(Network(network.nodes, {**network.components, name: broken}), True)
            with pytest.raises(KaldiFileError, match="not finite") as caught:
                read_bytes(data)
            assert caught.value.component == name

    def test_priors_and_pdfs_that_the_output_does_not_have(self):
        model = every_model()
        priors = replace(model, priors=np.array([0.5, 0.5], np.float32))
        with pytest.raises(KaldiFileError, match="2 priors, but the output has 4"):
            read_bytes(as_bytes(priors, True))
        nan = replace(model, priors=np.full(4, np.nan, np.float32))
        with pytest.raises(KaldiFileError, match="no probability"):
            read_bytes(as_bytes(nan, True))
        head = HEAD.replace("output-node name=output input=log-softmax", "") + (
            "dim-range-node name=few input-node=plain dim-offset=0 dim=3\n"
            "output-node name=output input=few\n"
        )
        head = head.replace(" objective=linear\n", "\n", 1)
        few = replace(model, network=make.network(head, every_component()))
        with pytest.raises(KaldiFileError, match="4 pdfs, but the output has 3"):
            read_bytes(as_bytes(replace(few, priors=few.priors[:0]), True))


class TestOtherFiles:
    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"", "made, line 1: expected <Nnet3> or <TransitionModel>"),
            (b"\0B", "made, byte 2: expected <Nnet3>"),
            (b"\0B<Nnet> <NumComponents> ", "a model of an older kind (<Nnet>)"),
            (b"\0B<DiagGMM> ", 'got "<DiagGMM>": not an nnet3 model'),
            (b"\x89PNG\r\n\x1a\n" + bytes(64), "not an nnet3 model"),
            (b"<Nnet3> x\n", "nodes on lines of their own"),
            (b"<Nnet3> \ninput-node name=a dim=1\n", "the file ends among the nodes"),
            (b"<Nnet3> \n\n<NumComponents> 1000000 ", "1000000 components announced, but only"),
            (b"<Nnet3> \n\n<NumComponents> -1 ", "-1 components announced"),
            (b"<Nnet3> \n\n<NumComponents> 0 ", "expected </Nnet3>, got the end of the file"),
            (b"<Nnet3> \ninput-node name=\xc3\xa9 dim=1\n\n", "not ASCII"),
        ],
    )
    def test_are_refused_in_one_sentence(self, data, said):
        with pytest.raises(KaldiFileError) as caught:
            read_bytes(data)
        assert said in str(caught.value)

    def test_a_missing_one(self, tmp_path):
        with pytest.raises(MissingFile, match=r"final\.mdl: no such file"):
            read_model(tmp_path / "final.mdl")


class TestBuilding:
    def test_sizes_that_contradict_one_another(self):
        with pytest.raises(ShapeError, match='component "a": 3 biases for 2 rows'):
            make.affine("a", np.zeros((2, 2)), np.zeros(3))
        with pytest.raises(ShapeError, match="1 dimensions where 2 are expected"):
            make.linear("a", np.zeros(2))
        with pytest.raises(ShapeError, match="its input has 2 columns"):
            make.network(ONE_LAYER, [make.noop("a", 3)])
        with pytest.raises(ShapeError, match="there twice"):
            make.network(ONE_LAYER, [make.noop("a", 2), make.noop("a", 2)])
        with pytest.raises(ShapeError, match="a name has letters"):
            make.noop("a b", 2)
        with pytest.raises(ParsingError, match="starts with"):
            make.network("oops name=a", [])

    def test_comments_and_blank_lines(self):
        text = "# features\n\n" + ONE_LAYER.replace("dim=2", "dim=2  # two of them")
        assert list(make.network(text, [make.relu("a", 2)]).nodes) == ["input", "a", "output"]

    def test_arrays_are_copied(self):
        weights = np.ones((2, 2), np.float32)
        component = make.linear("a", weights)
        weights[0, 0] = 7
        assert component.array("Params")[0, 0] == 1


def test_a_field_of_the_other_size_is_written_as_it_was():
    component = Component("FixedBiasComponent", "a", (Field("Bias", "vector", np.ones(2)),))
    network = make.network(ONE_LAYER, [component])
    file = io.BytesIO()
    Sink(file, True).vector(np.ones(2))
    assert file.getvalue()[2:] in as_bytes(network, True)
