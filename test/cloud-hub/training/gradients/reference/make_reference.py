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
    if "ints" in rest:
        return torch.tensor(rest["ints"], dtype=torch.int64).reshape(rest["dims"])
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


def conv_transpose(a, x, w, bias=None):
    rank = x.dim() - 2
    ones, zeros = [1] * rank, [0] * rank
    function = {1: F.conv_transpose1d, 2: F.conv_transpose2d}[rank]
    pads = a.get("pads", zeros)[:rank]
    more = a.get("output_padding", zeros)
    return function(x, w, bias, a.get("strides", ones), pads, more, a.get("group", 1), a.get("dilations", ones))


def onnx_pad(a, x, pads):
    flat = pads.tolist()
    rank = len(flat) // 2
    if a.get("mode", "constant") == "constant":
        return padded(x, flat[:rank], flat[rank:], 0.0)
    mode = {"edge": "replicate", "reflect": "reflect"}[a["mode"]]
    sides = [side for i in reversed(range(rank)) for side in (flat[i], flat[rank + i])]
    return F.pad(x[None, None], sides, mode=mode)[0, 0]


def depth_to_space(a, x):
    n, c, h, w = x.shape
    b = a["blocksize"]
    if a.get("mode") == "CRD":
        return F.pixel_shuffle(x, b)
    blocks = x.reshape(n, b, b, c // b**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return blocks.reshape(n, c // b**2, h * b, w * b)


def space_to_depth(a, x):
    n, c, h, w = x.shape
    b = a["blocksize"]
    blocks = x.reshape(n, c, h // b, b, w // b, b).permute(0, 3, 5, 1, 2, 4)
    return blocks.reshape(n, c * b**2, h // b, w // b)


def cum_sum(a, x, axis):
    axis = axis.item()
    turned = x.flip(axis) if a.get("reverse") else x
    sums = turned.cumsum(axis)
    sums = sums - turned if a.get("exclusive") else sums
    return sums.flip(axis) if a.get("reverse") else sums


def resize(a, x, _, scales=None, sizes=None):
    modes = {"nearest": "nearest", "cubic": "bicubic", "linear": "linear" if x.dim() == 3 else "bilinear"}
    corners = None if a["mode"] == "nearest" else a["coordinate_transformation_mode"] == "align_corners"
    to = sizes.tolist()[2:] if sizes is not None else [int(n * s) for n, s in zip(x.shape[2:], scales.tolist()[2:])]
    return F.interpolate(x, to, mode=modes[a["mode"]], align_corners=corners)


def smallest(*xs):
    result = xs[0]
    for x in xs[1:]:
        result = torch.minimum(result, x)
    return result


FUNCTIONS = {
    "Abs": lambda _, x: torch.abs(x),
    "Elu": lambda a, x: F.elu(x, a["alpha"]),
    "Selu": lambda _, x: F.selu(x),
    "Celu": lambda a, x: F.celu(x, a["alpha"]),
    "Softplus": lambda _, x: F.softplus(x),
    "Softsign": lambda _, x: F.softsign(x),
    "Mish": lambda _, x: F.mish(x),
    "PRelu": lambda _, x, slope: torch.where(x > 0, x, slope * x),
    "Reciprocal": lambda _, x: torch.reciprocal(x),
    "Sin": lambda _, x: torch.sin(x),
    "Cos": lambda _, x: torch.cos(x),
    "Max": lambda _, a, b: torch.maximum(a, b),
    "Min": lambda _, *xs: smallest(*xs),
    "ReduceMax": lambda a, x, axes=None: reduce(torch.amax, a, x, axes),
    "ReduceMin": lambda a, x, axes=None: reduce(torch.amin, a, x, axes),
    "ReduceSumSquare": lambda a, x, axes=None: reduce(torch.sum, a, x * x, axes),
    "ReduceL1": lambda a, x, axes=None: reduce(torch.sum, a, x.abs(), axes),
    "ReduceL2": lambda a, x, axes=None: reduce(torch.linalg.vector_norm, a, x, axes),
    "ReduceLogSumExp": lambda a, x, axes=None: reduce(torch.logsumexp, a, x, axes),
    "GlobalMaxPool": lambda _, x: F.adaptive_max_pool2d(x, 1),
    "Cast": lambda _, x: x.clone(),
    "Dropout": lambda _, x: F.dropout(x, 0.5, training=False),
    "Split": lambda a, x, sizes: x.split(sizes.tolist(), a["axis"])[0],
    "Expand": lambda _, x, shape: x.expand(shape.tolist()),
    "Pad": onnx_pad,
    "Tile": lambda _, x, times: x.repeat(times.tolist()),
    "GatherElements": lambda a, x, at: x.gather(a["axis"], at),
    "GatherND": lambda _, x, at: x[tuple(at.T)],
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "Trilu": lambda a, x: torch.triu(x) if a.get("upper", 1) else torch.tril(x),
    "CumSum": cum_sum,
    "Einsum": lambda a, *xs: torch.einsum(a["equation"], *xs),
    "InstanceNormalization": lambda a, x, scale, shift: F.instance_norm(
        x, None, None, scale, shift, eps=a.get("epsilon", 1e-5)
    ),
    "ConvTranspose": conv_transpose,
    "Resize": resize,
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
    if case["op"] == "Where":
        y = torch.where(torch.tensor(case["condition"]) == 1, *xs)
    else:
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
