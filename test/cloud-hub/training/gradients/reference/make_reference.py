"""Gradients of cases.json by PyTorch's autograd, in double precision: writes gradients.json beside it.

Every case is written here again with PyTorch's own functions; nothing of Tidegate's graphs is run. The values are those of
gradient-cases.ts, rounded to single precision as the engine gets them. How to run it: README.md.
"""

import json
import math
import pathlib

import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).parent


def grid(count, low, high, seed):
    """Distinct values: a shuffled grid over the range; the same as gridValues of gradient-cases.ts."""
    values = [low + ((i + 0.5) * (high - low)) / count for i in range(count)]
    state = seed * 7919 + 1
    for i in range(count - 1, 0, -1):
        state = (state * 48271) % 2147483647
        j = state % (i + 1)
        values[i], values[j] = values[j], values[i]
    return torch.tensor(values, dtype=torch.float32)


def constant(rest):
    if rest is None:
        return None
    if isinstance(rest, list):
        return torch.tensor(rest, dtype=torch.int64)
    return torch.tensor(rest["data"], dtype=torch.float32).reshape(rest["dims"]).double()


def padding(a, size, kernel):
    """Pads before and after each spatial axis, and the ceil mode's or SAME's rest."""
    rank = len(kernel)
    strides = a.get("strides", [1] * rank)
    dilations = a.get("dilations", [1] * rank)
    pads = a.get("pads", [0] * 2 * rank)
    before, after = list(pads[:rank]), list(pads[rank:])
    same = a.get("auto_pad", "NOTSET")
    if same.startswith("SAME"):
        for i in range(rank):
            out = -(-size[i] // strides[i])
            total = max((out - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 - size[i], 0)
            small, large = total // 2, total - total // 2
            before[i], after[i] = (small, large) if same == "SAME_UPPER" else (large, small)
    return before, after, strides, dilations


def padded(x, before, after, value):
    flat = []
    for b, e in zip(reversed(before), reversed(after)):
        flat += [b, e]
    return F.pad(x, flat, value=value)


def conv(a, x, w, bias=None):
    before, after, strides, dilations = padding(a, x.shape[2:], w.shape[2:])
    image = padded(x, before, after, 0.0)
    function = {1: F.conv1d, 2: F.conv2d}[x.dim() - 2]
    return function(image, w, bias, stride=strides, dilation=dilations, groups=a.get("group", 1))


def max_pool(a, x):
    kernel = a["kernel_shape"]
    before, after, strides, dilations = padding(a, x.shape[2:], kernel)
    image = padded(x, before, after, -math.inf)
    function = {1: F.max_pool1d, 2: F.max_pool2d}[x.dim() - 2]
    return function(image, kernel, strides, 0, dilations, bool(a.get("ceil_mode", 0)))


def average_pool(a, x):
    """Sums of unfolded windows over the number of elements that count: PyTorch's own pool knows no dilation and even pads only."""
    kernel = a["kernel_shape"]
    before, after, strides, dilations = padding(a, x.shape[2:], kernel)
    counted = padded(torch.ones_like(x), before, after, 1.0 if a.get("count_include_pad") else 0.0)
    image = padded(x, before, after, 0.0)
    if a.get("ceil_mode"):
        rest = [s - 1 for s in strides]
        none = [0] * len(rest)
        image, counted = padded(image, none, rest, 0.0), padded(counted, none, rest, 0.0)
    one = torch.ones([x.shape[1], 1, *kernel], dtype=x.dtype)
    sums = lambda value: F.conv2d(value, one, None, strides, 0, dilations, x.shape[1])
    return sums(image) / sums(counted)


def batch_norm(a, x, scale, shift, mean, var):
    training = a.get("training_mode", 0) == 1
    return F.batch_norm(x, mean.clone(), var.clone(), scale, shift, training, 0.1, a.get("epsilon", 1e-5))


def layer_norm(a, x, scale, shift=None):
    return F.layer_norm(x, x.shape[a.get("axis", -1) :], scale, shift, a.get("epsilon", 1e-5))


def gemm(a, A, B, C=None):
    product = (A.T if a.get("transA") else A) @ (B.T if a.get("transB") else B)
    result = a.get("alpha", 1.0) * product
    return result if C is None else result + a.get("beta", 1.0) * C


def onnx_slice(_, x, starts, ends, axes, steps):
    for start, end, axis, step in zip(*(t.tolist() for t in (starts, ends, axes, steps))):
        index = range(x.shape[axis])[slice(start, end if end >= -x.shape[axis] else None, step)]
        x = x.index_select(axis, torch.tensor(list(index)))
    return x


def gather(a, x, indices):
    axis = a.get("axis", 0)
    return x.index_select(axis, indices % x.shape[axis])


def reduce(function, a, x, axes=None):
    listed = list(range(x.dim())) if axes is None else axes.tolist()
    return function(x, dim=listed, keepdim=a.get("keepdims", 1) == 1)


def cross_entropy(a, scores, labels, weights=None):
    ignore = a.get("ignore_index", -100)
    return F.cross_entropy(scores, labels, weights, ignore_index=ignore, reduction=a.get("reduction", "mean"))


def transpose(a, x):
    return x.permute(a.get("perm", list(reversed(range(x.dim())))))


FUNCTIONS = {
    "Add": lambda _, a, b: torch.add(a, b),
    "Sum": lambda _, *xs: sum(xs),
    "Sub": lambda _, a, b: torch.sub(a, b),
    "Mul": lambda _, a, b: torch.mul(a, b),
    "Div": lambda _, a, b: torch.div(a, b),
    "MatMul": lambda _, a, b: torch.matmul(a, b),
    "Gemm": gemm,
    "Relu": lambda _, x: F.relu(x),
    "Sigmoid": lambda _, x: torch.sigmoid(x),
    "Tanh": lambda _, x: torch.tanh(x),
    "Gelu": lambda a, x: F.gelu(x, approximate=a.get("approximate", "none")),
    "Clip": lambda _, x, low, high: torch.clamp(x, low, high),
    "Erf": lambda _, x: torch.erf(x),
    "Exp": lambda _, x: torch.exp(x),
    "Log": lambda _, x: torch.log(x),
    "Sqrt": lambda _, x: torch.sqrt(x),
    "Neg": lambda _, x: torch.neg(x),
    "Pow": lambda _, x, p: torch.pow(x, p.double()),
    "LeakyRelu": lambda a, x: F.leaky_relu(x, a["alpha"]),
    "HardSigmoid": lambda a, x: torch.clamp(a.get("alpha", 0.2) * x + a.get("beta", 0.5), 0, 1),
    "HardSwish": lambda _, x: F.hardswish(x),
    "Conv": conv,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": lambda _, x: F.adaptive_avg_pool2d(x, 1),
    "BatchNormalization": batch_norm,
    "LayerNormalization": layer_norm,
    "Reshape": lambda _, x, shape: x.reshape(shape.tolist()),
    "Flatten": lambda a, x: x.flatten(a.get("axis", 1)),
    "Squeeze": lambda _, x, axes: x.squeeze(axes.tolist()),
    "Unsqueeze": lambda _, x, axes: x.unsqueeze(axes.item()),
    "Identity": lambda _, x: x.clone(),
    "Transpose": transpose,
    "Concat": lambda a, *xs: torch.cat(xs, dim=a["axis"]),
    "Slice": onnx_slice,
    "Gather": gather,
    "ReduceMean": lambda a, x, axes=None: reduce(torch.mean, a, x, axes),
    "ReduceSum": lambda a, x, axes=None: reduce(torch.sum, a, x, axes),
    "Softmax": lambda a, x: F.softmax(x, dim=a.get("axis", -1)),
    "LogSoftmax": lambda a, x: F.log_softmax(x, dim=a.get("axis", -1)),
    "SoftmaxCrossEntropyLoss": cross_entropy,
    "MeanSquaredError": lambda _, x, target: F.mse_loss(x, target),
}


def gradients(k, case):
    low, high = case.get("range", [-1, 1])
    xs = [
        grid(math.prod(dims), low, high, k * 10 + i).reshape(dims).double().requires_grad_()
        for i, dims in enumerate(case["x"])
    ]
    rest = [constant(r) for r in case.get("rest", [])]
    y = FUNCTIONS[case["op"]](case.get("attributes", {}), *xs, *rest)
    assert list(y.shape) == case["y"], (case["title"], y.shape)
    weight = grid(math.prod(case["y"]), -1, 1.3, k + 500).reshape(case["y"]).double()
    (y * weight).sum().backward()
    return [[float(f"{v:.9g}") for v in x.grad.flatten().tolist()] for x in xs]


def main():
    cases = json.loads((HERE / "cases.json").read_text())
    made = {case["title"]: gradients(k, case) for k, case in enumerate(cases)}
    assert len(made) == len(cases), "two cases of one title"
    lines = ",\n".join(f"    {json.dumps(title)}: {json.dumps(values)}" for title, values in made.items())
    text = f'{{\n  "torch": {json.dumps(torch.__version__)},\n  "gradients": {{\n{lines}\n  }}\n}}\n'
    (HERE / "gradients.json").write_text(text)


if __name__ == "__main__":
    main()
