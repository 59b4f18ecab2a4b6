"""An acoustic model's node as an ONNX file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import torch

from kaldi_bridge.errors import KaldiFileError, MissingFile, MissingLibrary, ShapeError
from kaldi_bridge.export.exportable import Exportable
from kaldi_bridge.export.onnx_graph import write_plan
from kaldi_bridge.export.onnx_nodes import Nodes
from kaldi_bridge.export.onnx_rows import ACTIVATIONS, FEATURES
from kaldi_bridge.graph.folding import fold
from kaldi_bridge.graph.lowering import lower
from kaldi_bridge.graph.planning import make_plan
from kaldi_bridge.nnet3.network import IVECTOR
from kaldi_bridge.sink import opened_atomically

if TYPE_CHECKING:
    import onnx

FIRST_OPSET = 13
LARGEST_BYTES = 2**31 - 1
"""What one protobuf message, and so an ONNX file without files beside it, can hold."""


@dataclass(frozen=True)
class OnnxDescription:
    """What a written file holds; all of it but the path and the size stands in its metadata.

    Attributes:
        path: the file.
        model: the file that the weights come from, with its folder's name.
        node: what is computed.
        subsampling: frames of features per row of activations.
        feature_dim: columns of the input "features".
        ivector_dim: of the input "ivector"; 0 if there is none.
        node_dim: columns of the output "activations".
        context: frames that a row depends on before and behind its own.
        batched: whether inputs and output have an axis of clips in front.
        sample_rate: of the audio that the features are made of; None if no conf is known.
        frame_shift_seconds: from one frame of features to the next; None if no conf is known.
        weights_sha256: of all weights of the model: names, types, shapes and bytes.
        opset: version of the operators.
        n_bytes: size of the file.
    """

    path: Path
    model: str
    node: str
    subsampling: int
    feature_dim: int
    ivector_dim: int
    node_dim: int
    context: tuple[int, int]
    batched: bool
    sample_rate: int | None
    frame_shift_seconds: float | None
    weights_sha256: str
    opset: int
    n_bytes: int

    def metadata(self) -> dict[str, str]:
        """Returns what the file says about itself."""
        known = {
            "model": self.model,
            "node": self.node,
            "subsampling": self.subsampling,
            "left_context": self.context[0],
            "right_context": self.context[1],
            "sample_rate": self.sample_rate,
            "frame_shift_seconds": self.frame_shift_seconds,
            "weights_sha256": self.weights_sha256,
        }
        return {key: str(value) for key, value in known.items() if value is not None}


def export_onnx(
    model: Exportable,
    path: Path | str,
    *,
    node: str = "prefinal-l",
    subsampling: int | None = None,
    opset: int = 17,
    batched: bool = False,
) -> OnnxDescription:
    """Writes a node's computation, with the weights that the model has now, as an ONNX file.

    It computes what `model(features, ivectors=ivector, node=node, frames_per_chunk=None)` does, in
    float32 whatever the type of the model's weights: inputs "features" float32 [T, F], T at least
    1, and "ivector" [K] where the node depends on it; output "activations" [ceil(T / subsampling),
    D]. The first and last frame are repeated inside the graph. Batched: [B, T, F], [B, K] and
    [B, …, D], all clips of one length.

    Args:
        model: of either backend, on any device; may be learning.
        path: the file; its folder exists. What has that name is replaced when all is written.
        node: name of a node.
        subsampling: every how many frames; None: as the model was trained.
        opset: version of the operators, 13 or later.
        batched: whether there is an axis of clips.

    Raises:
        MissingLibrary: onnx is not installed.
        ShapeError: no such node; an impossible subsampling or opset.
        NotSupported: a component, descriptor or input on the way that cannot be exported.
        KaldiFileError: the file cannot be written, or would be 2 GiB or larger.
        KaldiError: weights that are not finite.
    """
    library = _library()
    path = Path(path)
    node_dim = model.node_dim(node)
    factor = model.frame_subsampling_factor if subsampling is None else subsampling
    if factor < 1:
        raise ShapeError(f"subsampling is {factor}; give 1 or more, or None.")
    latest = library.defs.onnx_opset_version()
    if not FIRST_OPSET <= opset <= latest:
        raise ShapeError(f"opset is {opset}; the installed onnx writes {FIRST_OPSET} to {latest}.")
    if not path.parent.is_dir():
        raise KaldiFileError(path, "byte 0", f'there is no folder "{path.parent}": make it first.')
    with torch.no_grad():
        graph = fold(lower(model.network, (node,), factor, model.weights))
        plan = make_plan(graph, torch.float32, torch.device("cpu"))
    nodes = write_plan(plan, node, batched)
    n_bytes = sum(array.nbytes for array in nodes.constants.values())
    _check_size(path, n_bytes)
    rate, shift = _audio(model)
    description = OnnxDescription(
        path,
        "/".join(model.files.model.parts[-2:]) if model.files else "made in Python",
        node,
        factor,
        model.feature_dim,
        model.ivector_dim if model.needs_ivectors(node) else 0,
        node_dim,
        model.context(node),
        batched,
        rate,
        shift,
        weights_sha256(model),
        opset,
        n_bytes,
    )
    content = _message(library, nodes, description).SerializeToString()
    _check_size(path, len(content))
    with opened_atomically(path) as file:
        file.write(content)
    return replace(description, n_bytes=len(content))


def weights_sha256(model: Exportable) -> str:
    """Returns the SHA-256 of all weights: names, types, shapes and bytes, in the order of names."""
    digest = hashlib.sha256()
    for name, values in sorted(model.weights.state_dict().items()):
        digest.update(f"{name} {values.dtype} {list(values.shape)} ".encode())
        wide = values.float() if values.dtype == torch.bfloat16 else values  # NumPy has none
        digest.update(wide.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def _message(library: ModuleType, nodes: Nodes, said: OnnxDescription) -> onnx.ModelProto:
    helper, numpy_helper = library.helper, library.numpy_helper
    clips = ["clips"] if said.batched else []
    shapes: dict[str, list[str | int]] = {FEATURES: [*clips, "frames", said.feature_dim]}
    if said.ivector_dim:
        shapes[IVECTOR] = [*clips, said.ivector_dim]
    inputs = [_declared(library, name, shape) for name, shape in shapes.items()]
    output = _declared(library, ACTIVATIONS, [*clips, "rows", said.node_dim])
    graph = helper.make_graph(
        [
            helper.make_node(each.operator, each.inputs, [each.output], each.output, **each.given())
            for each in nodes.nodes
        ],
        said.node,
        inputs,
        [output],
        [numpy_helper.from_array(array, name) for name, array in nodes.constants.items()],
    )
    opset = helper.make_opsetid("", said.opset)
    message: onnx.ModelProto = helper.make_model(
        graph,
        opset_imports=[opset],
        ir_version=helper.find_min_ir_version_for([opset]),
        producer_name="kaldi_bridge",
    )
    helper.set_model_props(message, said.metadata())
    return message


def _declared(library: ModuleType, name: str, shape: list[str | int]) -> onnx.ValueInfoProto:
    declared: onnx.ValueInfoProto = library.helper.make_tensor_value_info(
        name, library.TensorProto.FLOAT, shape
    )
    return declared


def _check_size(path: Path, n_bytes: int) -> None:
    if n_bytes > LARGEST_BYTES:
        raise KaldiFileError(
            path,
            "byte 0",
            f"would have {n_bytes} bytes; an ONNX file holds {LARGEST_BYTES}, and weights in files "
            "beside it are not written. Export a node nearer to the input.",
        )


def _audio(model: Exportable) -> tuple[int | None, float | None]:
    """Sample rate and frame shift, where a conf says them."""
    try:
        return model.sample_rate, model.frame_shift_seconds
    except (MissingFile, ShapeError):
        return None, None


def _library() -> ModuleType:
    try:
        import onnx
    except ImportError:
        raise MissingLibrary('ONNX files need onnx: pip install "sedsdk[export]"') from None
    return onnx
