"""Writes the small ONNX files in odd/, each of which is special in the one way that its name says.

    pip install onnx numpy && python make_odd.py
"""

from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

HERE = Path(__file__).parent / "odd"
F32, I64 = TensorProto.FLOAT, TensorProto.INT64


def write(name, nodes, constants, outputs, state=(F32, ["batch", 3]), check=True):
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("state", *state)],
        [helper.make_tensor_value_info(o, F32, ["batch", None]) for o in outputs],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if "mean" in outputs or "log_std" in outputs:
        helper.set_model_props(model, {"action_low": "-1", "action_high": "1"})
    if check:
        checker.check_model(model)
    save(model, HERE / f"{name}.onnx")


def linear(output, weight, bias, of="state"):
    return helper.make_node("Gemm", [of, weight, bias], [output], transB=1)


rng = np.random.default_rng(0)
f32 = lambda *shape: rng.normal(size=shape).astype(np.float32)
heads = [linear("mean", "w1", "b1"), linear("log_std", "w2", "b2")]
both = ["mean", "log_std"]

two = {"w1": f32(2, 3), "b1": f32(2), "w2": f32(2, 3), "b2": f32(2)}
write("two_action_dims", heads, two, both)
write("unequal_heads", heads, {**two, "w2": f32(1, 3), "b2": f32(1)}, both)
write("nan_weights", heads, {**two, "w1": np.full((2, 3), np.nan, np.float32)}, both)
write("fixed_batch", heads, two, both, state=(F32, [1, 3]))
write("only_mean", heads, two, ["mean"])
write("no_state_dim", heads, two, both, state=(F32, ["batch", "features"]))
write("rank_three", [helper.make_node("ReduceSum", ["state", "axes"], ["action"], keepdims=0)],
      {"axes": np.array([1])}, ["action"], state=(F32, ["batch", 4, 3]))
write("whole_number_state", [helper.make_node("Cast", ["state"], ["action"], to=F32)], {}, ["action"],
      state=(I64, ["batch", 3]))

# Deterministic only: one output, the state times ten; and one that overflows at a state of 10.
write("action_only", [helper.make_node("Mul", ["state", "ten"], ["action"])], {"ten": np.float32(10)}, ["action"])
write("overflows", [helper.make_node("Mul", ["state", "huge"], ["action"])], {"huge": np.float32(1e38)}, ["action"])

# An index beyond its table panics in the runtime: at a state of 5 and more, or whenever it is loaded.
write("panics_at_five", [
    helper.make_node("Cast", ["state"], ["index"], to=I64),
    helper.make_node("Gather", ["table", "index"], ["action"]),
], {"table": np.arange(5, dtype=np.float32)}, ["action"])
write("panics_at_load", [helper.make_node("Transpose", ["state"], ["action"], perm=[0, 7])], {}, ["action"], check=False)

# No node computes the output that is declared.
write("missing_output", heads, two, ["mean", "log_std", "action_that_is_not_there"], check=False)

# A sum of large terms that cancel: its value depends on the order of summation.
large = 1e6 * f32(1, 64)
write("cancels", [
    linear("hidden", "w0", "b0"),
    helper.make_node("Relu", ["hidden"], ["active"]),
    linear("mean", "w1", "b1", of="active"),
    linear("log_std", "w2", "b1", of="active"),
], {"w0": np.zeros((64, 3), np.float32), "b0": np.full(64, 1.1, np.float32), "w1": large - large.mean(),
    "w2": 0.01 * f32(1, 64), "b1": np.zeros(1, np.float32)}, both)

# Large terms that cancel in the order in which the kernel adds, and before which others lose small ones.
write("cancels_on_tract", [
    linear("hidden", "w0", "b0"),
    helper.make_node("Relu", ["hidden"], ["active"]),
    linear("mean", "w1", "b1", of="active"),
    linear("log_std", "w2", "b1", of="active"),
], {"w0": np.zeros((4, 3), np.float32), "b0": np.ones(4, np.float32), "w1": np.array([[1, 1, 1e8, -1e8]], np.float32),
    "w2": np.zeros((1, 4), np.float32), "b1": np.zeros(1, np.float32)}, both)
