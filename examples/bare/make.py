"""Writes scale-and-add.onnx: y = x * scale + offset over rows of 4, the smallest model that is served without a model.yaml.

    pip install onnx==1.23.2 && python3 make.py
"""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

graph = helper.make_graph(
    [
        helper.make_node("Mul", ["x", "scale"], ["scaled"], "scale"),
        helper.make_node("Add", ["scaled", "offset"], ["y"], "add"),
    ],
    "scale-and-add",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
    [
        helper.make_tensor("scale", TensorProto.FLOAT, [4], [1, 2, 3, 4]),
        helper.make_tensor("offset", TensorProto.FLOAT, [4], [0.5, 0.5, 0.5, 0.5]),
    ],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="tidegate-example-bare")
model.ir_version = 8
onnx.checker.check_model(model, full_check=True)
onnx.save(model, Path(__file__).parent / "scale-and-add.onnx")
