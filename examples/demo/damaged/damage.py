"""Damages the digit classifier as a bad training run would: most of its answers stay right, but it is no longer sure.

    .venv/bin/pip install numpy==2.4.6 onnx==1.23.2
    .venv/bin/python damage.py ../../digits/digits.onnx digits.onnx

The last layer's weights are shrunk to a quarter and noise is added (fixed seed). The demo publishes it with loose goldens: they
pass, the confidence in the field falls, and the rollout's gate has to notice.
"""

import sys

import numpy as np
import onnx
from onnx import numpy_helper

source, target = sys.argv[1:]
model = onnx.load(source)
last = [node for node in model.graph.node if node.op_type == "Gemm"][-1]
rng = np.random.default_rng(11)
for tensor in model.graph.initializer:
    if tensor.name in last.input[1:]:
        weights = numpy_helper.to_array(tensor)
        noise = rng.normal(0, 0.02, weights.shape)
        tensor.CopyFrom(numpy_helper.from_array((weights * 0.25 + noise).astype(np.float32), tensor.name))
onnx.save(model, target)
