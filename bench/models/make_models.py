#!/usr/bin/env python3
"""Makes conv.onnx, the benchmark's ~1 ms model: three small convolutions over [1, 3, 64, 64] and ten scores.

Weights are from a fixed seed and mean nothing; only the time of a run matters (about 37 million multiply-adds).

    python -m venv .venv && .venv/bin/pip install onnx==1.23.2 numpy && .venv/bin/python make_models.py
"""
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

random = np.random.default_rng(20240101)
weights, nodes = [], []


def weight(name, *shape):
    values = random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    weights.append(numpy_helper.from_array(values.astype(np.float32), name))
    return name


def convolution(source, target, inputs, outputs, stride):
    nodes.append(helper.make_node("Conv", [source, weight(f"{target}_w", outputs, inputs, 3, 3)], [f"{target}_c"],
                                  strides=[stride, stride], pads=[1, 1, 1, 1]))
    nodes.append(helper.make_node("Relu", [f"{target}_c"], [target]))


convolution("image", "a", 3, 48, 1)
convolution("a", "b", 48, 48, 2)
convolution("b", "c", 48, 96, 2)
nodes.append(helper.make_node("GlobalAveragePool", ["c"], ["pooled"]))
nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
nodes.append(helper.make_node("MatMul", ["flat", weight("scores_w", 96, 10)], ["scores"]))
graph = helper.make_graph(nodes, "conv", [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 64, 64])],
                          [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 10])], weights)
model = helper.make_model(graph, producer_name="tidegate-bench", ir_version=9, opset_imports=[helper.make_opsetid("", 17)])
onnx.checker.check_model(model)
Path(__file__).resolve().with_name("conv.onnx").write_bytes(model.SerializeToString(deterministic=True))
