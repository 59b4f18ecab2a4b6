"""A package `kaldi` with PyKaldi's signatures and no Kaldi inside.

Names, argument order and types are those of the .clif and .py files of github.com/pykaldi/pykaldi
that kaldi_bridge/backends lists. Like the real wrappers, it refuses arguments of another type. What
it computes is made up: row t of the output is input row t · factor summed, then what was asked for.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np


def need(value, kind) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"expecting {kind}, got {type(value)}")


# ---- kaldi.matrix (kaldi/matrix/_matrix.py)


class VectorBase:
    def numpy(self):
        return self._data

    @property
    def dim(self):
        return len(self._data)


class Vector(VectorBase):
    def __init__(self, *args):
        assert len(args) <= 1
        obj = args[0] if args else np.zeros(0, np.float32)
        obj = np.zeros(obj, np.float32) if isinstance(obj, int) else obj
        # the real one asks NumPy not to copy, which NumPy 2 refuses when it would have to
        self._data = np.array(obj, dtype=np.float32, copy=False, order="C").copy()
        assert self._data.ndim == 1


class SubVector(VectorBase):
    def __init__(self, data):
        self._data = data


class MatrixBase:
    def numpy(self):
        return self._data

    num_rows = property(lambda self: self._data.shape[0])
    num_cols = property(lambda self: self._data.shape[1])

    def __len__(self):
        return self.num_rows

    def __getitem__(self, index):
        need(index, int)
        return SubVector(self._data[index])


class Matrix(MatrixBase):
    def __init__(self, *args):
        if len(args) == 2:
            if not (args[0] > 0 and args[1] > 0) and args != (0, 0):
                raise IndexError("num_rows and num_cols should both be positive or both be 0.")
            self._data = np.zeros(args, np.float32)
            return
        self._data = np.array(args[0], dtype=np.float32, copy=False, order="C").copy()
        assert self._data.ndim == 2


# ---- kaldi.util.io, kaldi.base.io


class istream:  # noqa: N801
    def __init__(self, data: bytes) -> None:
        self.data = data


class istringstream(istream):  # noqa: N801
    @classmethod
    def from_str(cls, text):
        need(text, str)
        return cls(text.encode())


class Input:
    def __init__(self, name, binary):
        need(name, str)
        data = Path(name).read_bytes()
        self.binary = binary and data[:2] == b"\0B"
        self._stream = istream(data[2:] if self.binary else data)
        self.opened = True

    def stream(self):
        assert self.opened
        return self._stream

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.opened = False


def xopen(xfilename, mode="r", write_header=True):
    need(xfilename, str)
    assert mode == "r"
    return Input(xfilename, True)


# ---- kaldi.hmm


class TransitionModel:
    def read(self, stream, binary):
        need(stream, istream)
        if b"<TransitionModel>" not in stream.data[:20]:
            raise RuntimeError("Expected token <TransitionModel>")
        end = b"</TransitionModel> "
        stream.data = stream.data.partition(end)[2]
        return self


# ---- kaldi.nnet3


class Nnet:
    def __init__(self):
        self.lines, self.test_modes, self.collapsed = {}, set(), False

    @classmethod
    def from_other(cls, other):
        need(other, Nnet)
        copy = cls()
        copy.lines = dict(other.lines)
        return copy

    def read(self, stream, binary):
        need(stream, istream)
        if not stream.data.startswith(b"<Nnet3>"):
            raise RuntimeError(f"Expected token <Nnet3>, got {stream.data[:9]!r}")
        head, _, rest = stream.data.partition(b"<NumComponents>")
        self.read_config(istream(head.removeprefix(b"<Nnet3>")))
        stream.data = rest
        return self

    def read_config(self, config_file):
        need(config_file, istream)
        for line in config_file.data.decode().split("\n"):
            if line.strip():
                match = re.fullmatch(r"(\S+) name=(\S+) (.*)", line.strip())
                name = match[2]
                if match[1] == "output-node":
                    source = re.match(r"input=(\S+)", match[3])[1]
                    if f"output-node {source}" in self.lines:
                        raise RuntimeError(f"output node {source} as an input")
                    if f"component-node {source}" not in self.lines:
                        raise RuntimeError(f"no node {source}")
                self.lines[f"{match[1]} {name}"] = line.strip()
        return self

    def _kinds(self):
        """Component nodes have a node for their input before them, as in Kaldi."""
        kinds = []
        for key in self.lines:
            kind, name = key.split()
            if kind == "component-node":
                kinds.append((f"{name}_input", "descriptor"))
            kinds.append((name, kind))
        return kinds

    def get_node_names(self):
        return [name for name, _ in self._kinds()]

    def is_component_node(self, node):
        return self._kinds()[node][1] == "component-node"

    def is_dim_range_node(self, node):
        return self._kinds()[node][1] == "dim-range-node"

    def is_output_node(self, node):
        return self._kinds()[node][1] == "output-node"

    def get_config_lines(self, include_dim):
        need(include_dim, bool)
        return list(self.lines.values())

    def input_dim(self, input_name):
        line = self.lines.get(f"input-node {input_name}")
        return int(re.search(r"dim=(\d+)", line)[1]) if line else -1

    def source(self, output_name):
        return re.search(r"input=(\S+)", self.lines[f"output-node {output_name}"])[1]

    def output_dim(self, output_name):
        line = self.lines[f"component-node {self.source(output_name)}"]
        return int(re.search(r"dim(\d+)", line)[1])


class AmNnetSimple:
    def read(self, stream, binary):
        self._nnet = Nnet().read(stream, binary)
        return self

    def get_nnet(self):
        return self._nnet


class CollapseModelConfig:
    pass


def set_batchnorm_test_mode(test_mode, nnet):
    need(nnet, Nnet)
    nnet.test_modes.add(("batchnorm", test_mode))


def set_dropout_test_mode(test_mode, nnet):
    need(nnet, Nnet)
    nnet.test_modes.add(("dropout", test_mode))


def collapse_model(config, nnet):
    need(config, CollapseModelConfig)
    need(nnet, Nnet)
    nnet.collapsed = True


class NnetOptimizeOptions:
    pass


class NnetSimpleComputationOptions:
    def __init__(self):
        self.frame_subsampling_factor, self.frames_per_chunk = 1, 50
        self.acoustic_scale = 0.1
        self.optimize_config = NnetOptimizeOptions()


class CachingOptimizingCompiler:
    @classmethod
    def new_with_optimize_opts(cls, nnet, opt_config):
        need(nnet, Nnet)
        need(opt_config, NnetOptimizeOptions)
        compiler = cls()
        compiler.nnet = nnet
        return compiler


class DecodableNnetSimple:
    def __init__(
        self,
        opts,
        nnet,
        priors,
        feats,
        compiler,
        ivector=None,
        online_ivectors=None,
        online_ivector_period=1,
    ):
        need(opts, NnetSimpleComputationOptions)
        need(nnet, Nnet)
        need(priors, VectorBase)
        need(feats, MatrixBase)
        need(compiler, CachingOptimizingCompiler)
        need(ivector, VectorBase | None)
        need(online_ivectors, MatrixBase | None)
        need(online_ivector_period, int)
        assert compiler.nnet is nnet
        assert nnet.test_modes == {("batchnorm", True), ("dropout", True)}
        assert nnet.collapsed
        assert opts.acoustic_scale == 1.0
        assert priors.dim == 0
        self.opts, self.nnet, self.feats = opts, nnet, feats
        self.ivector, self.online, self.period = ivector, online_ivectors, online_ivector_period
        reads_ivectors = any(
            "ivector" in line for key, line in nnet.lines.items() if "input-" not in key
        )
        if reads_ivectors and ivector is None and online_ivectors is None:
            raise RuntimeError("Not all outputs were computable: the computation is not computable")
        if online_ivectors is not None:
            last = feats.num_rows // online_ivector_period - online_ivectors.num_rows
            if last * online_ivector_period > 50:
                raise RuntimeError("Could not get iVector for frame")

    def num_frames(self):
        return -(-self.feats.num_rows // self.opts.frame_subsampling_factor)

    def output_dim(self):
        return self.nnet.output_dim("output")

    def get_output_for_frame(self, frame, output):
        need(frame, int)
        need(output, VectorBase)
        assert output.dim == self.output_dim()
        given = [self.feats.numpy()[frame * self.opts.frame_subsampling_factor].sum()]
        given += [self.opts.frames_per_chunk, self.period, len(self.nnet.source("output"))]
        if self.ivector is not None:
            given += [self.ivector.numpy().sum()]
        if self.online is not None:
            given += [self.online.num_rows, self.online.numpy().sum()]
        output.numpy()[: len(given)] = given


# ---- kaldi.util.options, kaldi.feat, kaldi.online2


class ParseOptions:
    def __init__(self, usage):
        need(usage, str)
        self.registered = []

    def read_config_file(self, filename):
        """Kaldi reads one option per line and refuses what nobody has registered."""
        need(filename, str)
        for line in Path(filename).read_text().splitlines():
            match = re.fullmatch(r"--([a-z0-9-]+)=(\S+)", line)
            if not match:
                raise RuntimeError(f"Reading config file {filename}: bad line {line}")
            owner = next((o for o in self.registered if match[1] in o.known), None)
            if owner is None:
                raise RuntimeError(f"Invalid option --{match[1]}={match[2]} in config file")
            owner.values[match[1]] = match[2]


class Options:
    known: frozenset[str] = frozenset()

    def __init__(self):
        self.values = {}

    def register(self, opts):
        need(opts, ParseOptions)
        opts.registered.append(self)


FRAME_OPTIONS = {
    "sample-frequency",
    "frame-length",
    "frame-shift",
    "preemphasis-coefficient",
    "remove-dc-offset",
    "dither",
    "window-type",
    "blackman-coeff",
    "round-to-power-of-two",
    "snip-edges",
    "num-mel-bins",
    "low-freq",
    "high-freq",
    "use-energy",
    "energy-floor",
    "raw-energy",
    "htk-compat",
}


class MfccOptions(Options):
    known = frozenset(FRAME_OPTIONS | {"num-ceps", "cepstral-lifter"})


class FbankOptions(Options):
    known = frozenset(FRAME_OPTIONS | {"use-log-fbank", "use-power"})


class Mfcc:
    options = MfccOptions
    dim_option = "num-ceps"

    def __init__(self, opts):
        need(opts, self.options)
        self.opts = opts

    def compute_features(self, wave, sample_freq, vtln_warp):
        need(wave, VectorBase)
        need(sample_freq, float)
        assert vtln_warp == 1.0
        rows = wave.numpy()[: wave.dim // 160 * 160].reshape(-1, 160).sum(1)
        return Matrix(np.repeat(rows[:, None], int(self.opts.values[self.dim_option]), 1))


class Fbank(Mfcc):
    options = FbankOptions
    dim_option = "num-mel-bins"


class OnlineMatrixFeature:
    def __init__(self, mat):
        need(mat, MatrixBase)
        self.mat = mat


class OnlineIvectorExtractionConfig(Options):
    known = frozenset(
        {
            "lda-matrix",
            "global-cmvn-stats",
            "cmvn-config",
            "splice-config",
            "diag-ubm",
            "ivector-extractor",
            "ivector-period",
            "num-gselect",
            "min-post",
            "posterior-scale",
            "max-count",
            "num-cg-iters",
            "use-most-recent-ivector",
            "greedy-ivector-extractor",
            "max-remembered-frames",
        }
    )


class OnlineIvectorExtractionInfo:
    @classmethod
    def from_config(cls, config):
        need(config, OnlineIvectorExtractionConfig)
        info = cls()
        info.values = dict(config.values)
        for key in ("lda-matrix", "global-cmvn-stats", "cmvn-config", "diag-ubm"):
            assert Path(info.values[key]).is_file()
        splice = Path(info.values["splice-config"]).read_text().splitlines()
        assert all(re.fullmatch(r"--(left|right)-context=\d+", line) for line in splice)
        return info


class OnlineIvectorExtractorAdaptationState:
    @classmethod
    def from_info(cls, info):
        need(info, OnlineIvectorExtractionInfo)
        state = cls()
        state.frames = 0
        return state

    @classmethod
    def from_other(cls, other):
        need(other, OnlineIvectorExtractorAdaptationState)
        state = cls()
        state.frames = other.frames
        return state


class OnlineIvectorFeature:
    """An i-vector is: frames heard before, the frame asked for, the sum of that frame's row."""

    def __init__(self, info, base_feature):
        need(info, OnlineIvectorExtractionInfo)
        need(base_feature, OnlineMatrixFeature)
        self.mat, self.before = base_feature.mat, 0

    def dim(self):
        return 3

    def set_adaptation_state(self, adaptation_state):
        need(adaptation_state, OnlineIvectorExtractorAdaptationState)
        self.before = adaptation_state.frames

    def get_frame(self, frame, feat):
        need(frame, int)
        need(feat, VectorBase)
        feat.numpy()[:] = [self.before, frame, self.mat.numpy()[frame].sum()]

    def get_adaptation_state(self, adaptation_state):
        need(adaptation_state, OnlineIvectorExtractorAdaptationState)
        adaptation_state.frames = self.before + self.mat.num_rows


def install(monkeypatch) -> None:
    """Puts the package where `import kaldi.nnet3` finds it, for one test."""
    here = sys.modules[__name__]
    names = {
        "base.io": (istringstream,),
        "util.io": (xopen, Input),
        "util.options": (ParseOptions,),
        "matrix": (Matrix, Vector, SubVector),
        "hmm": (TransitionModel,),
        "nnet3": (
            Nnet,
            AmNnetSimple,
            CollapseModelConfig,
            set_batchnorm_test_mode,
            set_dropout_test_mode,
            collapse_model,
            NnetSimpleComputationOptions,
            CachingOptimizingCompiler,
            DecodableNnetSimple,
        ),
        "feat.mfcc": (Mfcc, MfccOptions),
        "feat.fbank": (Fbank, FbankOptions),
        "feat.online": (OnlineMatrixFeature,),
        "online2": (
            OnlineIvectorExtractionConfig,
            OnlineIvectorExtractionInfo,
            OnlineIvectorExtractorAdaptationState,
            OnlineIvectorFeature,
        ),
    }
    for package in ("", "base", "util", "feat"):
        name = f"kaldi.{package}".rstrip(".")
        module = ModuleType(name)
        module.__path__ = []
        monkeypatch.setitem(sys.modules, name, module)
    for name, members in names.items():
        module = ModuleType(f"kaldi.{name}")
        for member in members:
            setattr(module, member.__name__, getattr(here, member.__name__))
        monkeypatch.setitem(sys.modules, f"kaldi.{name}", module)
