"""Writes operators/onnx.json: graphs of few operators, and the numbers that ONNX Runtime gives for states, where tract's operators
gave others or another engine might.

    pip install onnx onnxruntime && python make_operators.py
"""

import base64
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent / "operators"
DIM = 6
cases = []


def case(name, nodes, constants=None, opset=18, shape=None, scales=((1,), (3,), (8,)), exact=None):
    """Adds a graph from `x`, the state or its reshaped form, to `y`, which becomes the action. `exact` computes it in double precision, and
    otherwise ONNX Runtime does."""
    constants = {"flat": np.array([1, -1]), "shape": np.array([1, *(shape or [DIM])]), **(constants or {})}
    nodes = [
        helper.make_node("Reshape", ["state", "shape"], ["x"]),
        *nodes,
        helper.make_node("Cast", ["y"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["floats", "flat"], ["action"]),
    ]
    state = helper.make_tensor_value_info("state", TensorProto.FLOAT, [1, DIM])
    action = helper.make_tensor_value_info("action", TensorProto.FLOAT, [1, None])
    initializers = [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()]
    graph = helper.make_graph(nodes, name, [state], [action], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    draw = np.random.default_rng(1).normal(size=(3, DIM)) * scales
    states = [np.round(row * 2) / 2 if index == 1 else row for index, row in enumerate(draw)]
    states = [row.astype(np.float32) for row in states]
    run = exact or (lambda row: session.run(None, {"state": row[None]})[0])
    actions = [run(row).reshape(-1).tolist() for row in states]
    graph = base64.b64encode(model.SerializeToString()).decode()
    cases.append({"name": name, "graph": graph, "states": [row.tolist() for row in states], "actions": actions})


def unary(op, opset=18, **attributes):
    name = " ".join([op, *(f"{key}={value}" for key, value in attributes.items())])
    case(name, [helper.make_node(op, ["x"], ["y"], **attributes)], opset=opset)


for alpha in (0.3, 1.0, 2.5):
    for op in ("Celu", "Elu", "LeakyRelu", "ThresholdedRelu"):
        unary(op, alpha=alpha)
for op in ("Mish", "Softplus", "Softsign", "HardSwish", "Selu", "Erf", "Sigmoid", "Tanh"):
    unary(op)
unary("Swish", opset=24)
unary("Swish", opset=24, alpha=0.5)
case("Swish of large numbers", [helper.make_node("Swish", ["x"], ["y"])], opset=24, scales=((30,), (100,), (1000,)))
unary("Gelu", opset=20)
unary("Gelu", opset=20, approximate="tanh")
unary("HardSigmoid", alpha=0.7, beta=0.1)
unary("Shrink", bias=0.2, lambd=0.6)
case("Softplus of large numbers", [helper.make_node("Softplus", ["x"], ["y"])], scales=((30,), (100,), (300,)))
# ONNX Runtime's own sigmoid is approximate there, and that of PyTorch is not.
case("log of sigmoid", [helper.make_node("Sigmoid", ["x"], ["s"]), helper.make_node("Log", ["s"], ["y"])], scales=((1,), (4,), (30,)),
     exact=lambda x: -np.logaddexp(0, -x.astype(np.float64)))
case("x times sigmoid of large numbers", [helper.make_node("Sigmoid", ["x"], ["s"]), helper.make_node("Mul", ["x", "s"], ["y"])],
     scales=((30,), (100,), (1000,)))
for kind in (TensorProto.INT32, TensorProto.INT64):
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    for fmod in (0, 1):
        for modulus in ([2], [-3], [2, -3, 5, 3, -2, 7]):
            name = f"{dtype} Mod {modulus} fmod={fmod}"
            cast, mod = helper.make_node("Cast", ["x"], ["i"], to=kind), helper.make_node("Mod", ["i", "m"], ["y"], fmod=fmod)
            case(name, [cast, mod], {"m": np.array(modulus, dtype)})
case("float Mod", [helper.make_node("Mod", ["x", "m"], ["y"], fmod=1)], {"m": np.full(DIM, 1.25, np.float32)})
case("Gather with an index from the end", [helper.make_node("Gather", ["x", "i"], ["y"], axis=1)], {"i": np.array([-1, 2])})

HERE.mkdir(exist_ok=True)
(HERE / "onnx.json").write_text(json.dumps(cases, indent=0) + "\n")
print(len(cases), "graphs")
