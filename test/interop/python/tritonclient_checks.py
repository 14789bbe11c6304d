"""Unmodified tritonclient, both HTTP clients: `tritonclient_checks.py http|aio HOST:PORT PICTURES_FOLDER`.

The checks are written once. `aio` wraps the asynchronous client so that each call is awaited; what is awaited together is
its own check.
"""

import json
import pathlib
import sys

import ml_dtypes
import numpy as np
import tritonclient.http
import tritonclient.http.aio
import tritonclient.utils.shared_memory as shm
from tritonclient.utils import InferenceServerException

from checks import check, equal, holds, run
from tritonclient_shared import Synchronous, same, shared_checks
from values import ALL, IN_JSON, any_bits, finite

InferInput = tritonclient.http.InferInput
InferRequestedOutput = tritonclient.http.InferRequestedOutput


class Greenlets:
    """tritonclient.http with its own way of asking for many at once."""

    def __init__(self, url):
        self.client = tritonclient.http.InferenceServerClient(url, concurrency=16)

    def __getattr__(self, name):
        return getattr(self.client, name)

    def many(self, calls):
        pending = [self.client.async_infer(*a, **n) for a, n in calls]
        return [one.get_result() for one in pending]


def tensor(name, array, datatype, binary=True):
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def identity(client, datatype, array, binary_in=True, binary_out=True, **named):
    model = f"identity-{datatype.lower()}"
    outputs = [InferRequestedOutput("y", binary_data=binary_out)]
    result = client.infer(model, [tensor("x", array, datatype, binary_in)], outputs=outputs, **named)
    same(result.as_numpy("y"), array, datatype, f"{datatype} {binary_in}/{binary_out}")
    return result


def refused(client, status, text, call):
    """An error of the protocol, and a good request after it."""
    try:
        call()
    except InferenceServerException as error:
        equal(error.status(), status, str(error))
        holds(text in error.message(), f"{error.message()!r} lacks {text!r}")
    else:
        raise AssertionError("was answered")
    identity(client, "FP32", np.arange(3, dtype=np.float32))


@check("server live, ready, metadata")
def _(client, _):
    holds(client.is_server_live(), "live")
    holds(client.is_server_ready(), "ready")
    metadata = client.get_server_metadata()
    holds("binary_tensor_data" in metadata["extensions"], metadata)
    holds(metadata["name"] and metadata["version"], metadata)


@check("model ready, metadata, versions, index")
def _(client, _):
    holds(client.is_model_ready("digits"), "digits is ready")
    holds(client.is_model_ready("digits", "1"), "version 1 is ready")
    holds(not client.is_model_ready("nosuch"), "nosuch is not ready")
    holds(not client.is_model_ready("digits", "99"), "version 99 is not ready")
    metadata = client.get_model_metadata("digits")
    equal(metadata["name"], "digits")
    equal(metadata["inputs"], [{"name": "image", "datatype": "FP32", "shape": [-1, 1, 28, 28]}])
    equal(client.get_model_metadata("digits", "1")["versions"], ["1"])
    names = [model["name"] for model in client.get_model_repository_index()]
    holds("digits" in names and "identity-fp32" in names, names)


for datatype in ALL:

    @check(f"{datatype} binary in, binary out")
    def _(client, _, datatype=datatype):
        identity(client, datatype, any_bits(datatype, ml_dtypes.bfloat16))

    @check(f"{datatype} without elements")
    def _(client, _, datatype=datatype):
        identity(client, datatype, any_bits(datatype, ml_dtypes.bfloat16)[:0])


for datatype in IN_JSON:

    @check(f"{datatype} JSON in, JSON out")
    def _(client, _, datatype=datatype):
        identity(client, datatype, finite(datatype), binary_in=False, binary_out=False)

    @check(f"{datatype} JSON in, binary out, and the other way")
    def _(client, _, datatype=datatype):
        identity(client, datatype, finite(datatype), binary_in=False, binary_out=True)
        identity(client, datatype, finite(datatype), binary_in=True, binary_out=False)

    @check(f"{datatype} without elements in JSON")
    def _(client, _, datatype=datatype):
        identity(client, datatype, finite(datatype)[:0], binary_in=False, binary_out=False)


@check("FP16 and BF16 in JSON are refused by name")
def _(client, _):
    half = tensor("x", np.array([1], np.float16), "FP16", binary=False)
    refused(client, "400", "FP16", lambda: client.infer("identity-fp16", [half]))
    for datatype, kind in (("FP16", np.float16), ("BF16", ml_dtypes.bfloat16)):
        ask = [InferRequestedOutput("y", binary_data=False)]
        given = [tensor("x", np.array([1], kind), datatype)]
        refused(client, "400", datatype, lambda: client.infer(f"identity-{datatype.lower()}", given, outputs=ask))


@check("INT64 and UINT64 beyond 2^53, both ways in JSON")
def _(client, _):
    signed = np.array([2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)], np.int64)
    identity(client, "INT64", signed, binary_in=False, binary_out=False)
    unsigned = np.array([2**53 + 1, 2**64 - 1], np.uint64)
    identity(client, "UINT64", unsigned, binary_in=False, binary_out=False)


@check("BYTES that are no text go as binary and are refused in JSON")
def _(client, _):
    array = np.array([b"\xff\xfe"], np.object_)
    identity(client, "BYTES", array)
    ask = [InferRequestedOutput("y", binary_data=False)]
    refused(client, "400", "UTF-8", lambda: client.infer("identity-bytes", [tensor("x", array, "BYTES")], outputs=ask))


@check("NaN in JSON is refused")
def _(client, _):
    given = tensor("x", np.array([np.nan], np.float32), "FP32", binary=False)
    refused(client, "400", "NaN is not JSON", lambda: client.infer("identity-fp32", [given]))
    ask = [InferRequestedOutput("y", binary_data=False)]
    given = tensor("x", np.array([np.nan], np.float32), "FP32")
    refused(client, "400", "NaN has no JSON form", lambda: client.infer("identity-fp32", [given], outputs=ask))


@check("scalar and three dimensions")
def _(client, _):
    cube = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    for binary in (True, False):
        result = client.infer("identity-fp32-3d", [tensor("x", cube, "FP32", binary)])
        same(result.as_numpy("y"), cube, "FP32", "3d")
        scalar = np.array(2.5, np.float32)
        same(client.infer("identity-fp32-scalar", [tensor("x", scalar, "FP32", binary)]).as_numpy("y"), scalar, "FP32", "0d")


@check("600 KB of FP32")
def _(client, _):
    array = np.random.default_rng(1).standard_normal((1, 300, 500)).astype(np.float32)
    for binary in (True, False):
        ask = [InferRequestedOutput("y", binary_data=binary)]
        given = [tensor("x", array, "FP32", binary)]
        # After requests of a few bytes the agent expects a large one to take long; time enough makes that no matter.
        result = client.infer("identity-fp32-3d", given, outputs=ask, timeout=3_600_000_000)
        same(result.as_numpy("y"), array, "FP32", f"binary {binary}")


@check("request id")
def _(client, _):
    array = np.zeros(1, np.float32)
    equal(identity(client, "FP32", array, request_id="ü-1").get_response()["id"], "ü-1")
    holds("id" not in identity(client, "FP32", array).get_response(), "no id was given")


def add_inputs(binary=True):
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    b = np.full((2, 3), 2, np.float32)
    return a, b, [tensor("a", a, "FP32", binary), tensor("b", b, "FP32", not binary)]


@check("no outputs named: all of them, binary")
def _(client, _):
    a, b, inputs = add_inputs()
    result = client.infer("add", inputs)
    same(result.as_numpy("sum"), a + b, "FP32", "sum")
    same(result.as_numpy("difference"), a - b, "FP32", "difference")
    holds("binary_data_size" in result.get_output("sum")["parameters"], "binary")


@check("requested outputs: one of two, each in its own form, in the asked order")
def _(client, _):
    a, b, inputs = add_inputs(binary=False)
    one = client.infer("add", inputs, outputs=[InferRequestedOutput("difference")])
    same(one.as_numpy("difference"), a - b, "FP32", "difference")
    holds(one.as_numpy("sum") is None, "sum was not asked for")
    ask = [InferRequestedOutput("sum", binary_data=False), InferRequestedOutput("difference")]
    both = client.infer("add", inputs, outputs=ask)
    equal([o["name"] for o in both.get_response()["outputs"]], ["sum", "difference"])
    same(both.as_numpy("sum"), a + b, "FP32", "sum")
    same(both.as_numpy("difference"), a - b, "FP32", "difference")


for coding in ("gzip", "deflate"):

    @check(f"{coding} requests and answers, binary and JSON")
    def _(client, _, coding=coding):
        array = np.tile(np.arange(50, dtype=np.float32), 100)
        for binary in (True, False):
            both = dict(binary_in=binary, binary_out=binary)
            identity(client, "FP32", array, request_compression_algorithm=coding, **both)
            identity(client, "FP32", array, response_compression_algorithm=coding, **both)
            each = dict(request_compression_algorithm=coding, response_compression_algorithm=coding)
            identity(client, "FP32", array, **each, **both)

    @check(f"{coding}: errors and small answers are readable")
    def _(client, _, coding=coding):
        small = np.zeros(1, np.float32)
        identity(client, "FP32", small, response_compression_algorithm=coding)
        given = [tensor("x", small, "FP32")]
        refused(client, "404", "nosuch", lambda: client.infer("nosuch", given, response_compression_algorithm=coding))


@check("values out of range, sizes that don't fit")
def _(client, _):
    given = InferInput("x", [1], "INT32")
    given._data = [2**31]
    refused(client, "400", "inputs[0].data[0]", lambda: client.infer("identity-int32", [given]))
    given = tensor("x", np.zeros(4, np.float32), "FP32")
    given.set_shape([5])
    refused(client, "400", "binary_data_size", lambda: client.infer("identity-fp32", [given]))
    given = tensor("x", np.zeros(4, np.float32), "FP32", binary=False)
    given.set_shape([2**62])
    refused(client, "400", "inputs[0].shape", lambda: client.infer("identity-fp32", [given]))


@check("extensions that are not offered are refused by name")
def _(client, _):
    shared = InferInput("x", [4], "FP32")
    shared.set_shared_memory("region", 16)
    refused(client, "400", "shared_memory_region", lambda: client.infer("identity-fp32", [shared]))
    refused(client, "501", "CUDA", lambda: client.get_cuda_shared_memory_status())
    refused(client, "501", "CUDA", lambda: client.register_cuda_shared_memory("r", b"handle", 0, 16))
    client.unregister_cuda_shared_memory()  # as Triton's examples begin


@check("classification: the greatest of each row")
def _(client, _):
    images = np.random.default_rng(3).random((4, 1, 28, 28), np.float32)
    given = [tensor("image", images, "FP32")]
    logits = client.infer("digits", given, outputs=[InferRequestedOutput("logits")]).as_numpy("logits")
    for binary in (True, False):
        ask = [InferRequestedOutput("logits", binary_data=binary, class_count=3)]
        classes = client.infer("digits", given, outputs=ask).as_numpy("logits")
        equal(classes.shape, (4, 3))
        for row, scores in zip(classes, logits):
            found = [one.decode() if isinstance(one, bytes) else one for one in row]
            order = [int(one.split(":")[1]) for one in found]
            equal(order, np.argsort(-scores, kind="stable")[:3].tolist())
            holds(np.allclose([float(one.split(":")[0]) for one in found], scores[order], atol=1e-4), found)
    wrong = [InferRequestedOutput("y", class_count=1)]
    text = [tensor("x", np.array([b"a"], np.object_), "BYTES")]
    refused(client, "400", "classification", lambda: client.infer("identity-bytes", text, outputs=wrong))


@check("statistics: of a model, of a version, of all")
def _(client, _):
    def counts():
        (stats,) = client.get_inference_statistics("identity-fp64")["model_stats"]
        return stats

    before = counts()
    array = np.array([time_seed(), 1, 2], np.float64)
    identity(client, "FP64", array)
    identity(client, "FP64", array)  # from the cache
    after = counts()
    equal((after["name"], after["version"]), ("identity-fp64", "1"))
    step = lambda *path: deep(after, path) - deep(before, path)
    equal(step("inference_stats", "success", "count"), 2)
    equal(step("inference_stats", "cache_hit", "count"), 1)
    equal(step("inference_stats", "cache_miss", "count"), 1)
    equal(step("execution_count"), 1)
    holds(step("inference_stats", "compute_infer", "ns") > 0, "computing takes time")
    holds(step("inference_stats", "success", "ns") > step("inference_stats", "compute_infer", "ns"), "in all of it")
    equal(sum(b["compute_infer"]["count"] for b in after["batch_stats"]), after["execution_count"])
    versioned = client.get_inference_statistics("identity-fp64", "1")["model_stats"]
    equal(versioned[0]["inference_count"], after["inference_count"])
    names = [stats["name"] for stats in client.get_inference_statistics()["model_stats"]]
    holds("digits" in names and "ocr-line" in names, names)
    refused(client, "404", "nosuch", lambda: client.get_inference_statistics("nosuch"))


def deep(value, path):
    for key in path:
        value = value[key]
    return value


@check("model configuration")
def _(client, _):
    config = client.get_model_config("digits")
    equal(config["max_batch_size"], 32)
    equal(config["input"], [{"name": "image", "data_type": "TYPE_FP32", "dims": [1, 28, 28]}])
    equal([o["data_type"] for o in config["output"]], ["TYPE_STRING", "TYPE_FP32", "TYPE_FP32"])
    equal(config["instance_group"][0]["kind"], "KIND_CPU")
    scalar = client.get_model_config("identity-fp32-scalar", "1")
    equal((scalar["max_batch_size"], scalar["input"][0]["dims"]), (0, []))
    refused(client, "404", "nosuch", lambda: client.get_model_config("nosuch"))


@check("model repository: unload, index, load")
def _(client, _):
    array = np.arange(4, dtype=np.float32)
    ask = lambda: client.infer("nonzero", [tensor(spec["name"], array, spec["datatype"])])
    (spec,) = client.get_model_metadata("nonzero")["inputs"]
    state = lambda: {m["name"]: m["state"] for m in client.get_model_repository_index()}
    equal(state()["nonzero"], "READY")
    client.unload_model("nonzero")
    equal(state()["nonzero"], "UNAVAILABLE")
    holds(not client.is_model_ready("nonzero"), "out of service")
    refused(client, "404", "nonzero", ask)
    client.load_model("nonzero")
    equal(state()["nonzero"], "READY")
    ask()
    refused(client, "404", "nosuch", lambda: client.load_model("nosuch"))
    refused(client, "404", "nosuch", lambda: client.unload_model("nosuch"))
    refused(client, "400", "parameters.config", lambda: client.load_model("nonzero", config="{}"))


@check("log settings take effect, or are refused by name")
def _(client, _):
    before = client.get_log_settings()
    equal((before["log_info"], before["log_warning"], before["log_error"]), (False, True, True))
    changed = client.update_log_settings({"log_info": True, "log_verbose_level": 1})
    equal((changed["log_info"], changed["log_verbose_level"]), (True, 1))
    equal(client.get_log_settings(), changed)
    client.update_log_settings({"log_info": False, "log_verbose_level": 0})
    equal(client.get_log_settings(), before)
    refused(client, "400", "log_file", lambda: client.update_log_settings({"log_file": "/tmp/x"}))


def region(client, name, size):
    """A region of Triton's own utility, registered under its name."""
    handle = shm.create_shared_memory_region(name, f"/tidegate-interop-{name}", size)
    client.register_system_shared_memory(name, f"/tidegate-interop-{name}", size)
    return handle


def unregion(client, name, handle):
    client.unregister_system_shared_memory(name)
    shm.destroy_shared_memory_region(handle)


@check("system shared memory: inputs and outputs by reference")
def _(client, _):
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    b = np.full((2, 3), 2, np.float32)
    given, taken = region(client, "in", 48), region(client, "out", 64)
    try:
        shm.set_shared_memory_region(given, [a, b])
        inputs = [InferInput(name, [2, 3], "FP32") for name in ("a", "b")]
        inputs[0].set_shared_memory("in", 24)
        inputs[1].set_shared_memory("in", 24, offset=24)
        ask = [InferRequestedOutput("sum"), InferRequestedOutput("difference")]
        ask[0].set_shared_memory("out", 24)
        ask[1].set_shared_memory("out", 32, offset=32)
        result = client.infer("add", inputs, outputs=ask)
        sum_, difference = result.get_output("sum"), result.get_output("difference")
        equal((sum_["shape"], sum_["datatype"]), ([2, 3], "FP32"))
        holds("data" not in sum_, "nothing in the answer")
        holds("parameters" not in difference, "as Triton")
        same(shm.get_contents_as_numpy(taken, np.float32, [2, 3]), a + b, "FP32", "sum")
        same(shm.get_contents_as_numpy(taken, np.float32, [2, 3], 32), a - b, "FP32", "difference")
        plain = client.infer("add", inputs, outputs=[InferRequestedOutput("sum")])
        same(plain.as_numpy("sum"), a + b, "FP32", "input by reference, output in the answer")
    finally:
        unregion(client, "in", given)
        unregion(client, "out", taken)


for datatype in ALL:

    @check(f"{datatype} through system shared memory")
    def _(client, _, datatype=datatype):
        array = any_bits(datatype, ml_dtypes.bfloat16)
        raw = InferInput("x", list(array.shape), datatype)
        raw.set_data_from_numpy(array)
        data = raw._get_binary_data()
        handle = region(client, "bits", 2 * len(data))
        try:
            shm.set_shared_memory_region(handle, [np.frombuffer(data, np.uint8)])
            given = InferInput("x", list(array.shape), datatype)
            given.set_shared_memory("bits", len(data))
            ask = InferRequestedOutput("y")
            ask.set_shared_memory("bits", len(data), offset=len(data))
            client.infer(f"identity-{datatype.lower()}", [given], outputs=[ask])
            back = shm.get_contents_as_numpy(handle, np.uint8, [len(data)], len(data))
            equal(back.tobytes(), data, datatype)
        finally:
            unregion(client, "bits", handle)


@check("system shared memory: status, and what is refused")
def _(client, _):
    before = client.get_system_shared_memory_status()
    handle = region(client, "one", 16)
    try:
        (row,) = client.get_system_shared_memory_status("one")
        wanted = {"name": "one", "key": "/tidegate-interop-one", "offset": 0, "byte_size": 16}
        equal(row, wanted)
        equal(len(client.get_system_shared_memory_status()), len(before) + 1)
        again = lambda: client.register_system_shared_memory("one", "/tidegate-interop-one", 16)
        refused(client, "400", "registered already", again)
        refused(client, "400", "byte_size", lambda: client.register_system_shared_memory("two", "/tidegate-interop-one", 17))
        refused(client, "400", "key", lambda: client.register_system_shared_memory("two", "/tidegate-interop-nosuch", 16))
        refused(client, "400", "key", lambda: client.register_system_shared_memory("two", "../etc/passwd", 16))
        given = InferInput("x", [5], "FP32")
        given.set_shared_memory("one", 20)
        refused(client, "400", "shared_memory_byte_size", lambda: client.infer("identity-fp32", [given]))
        given = InferInput("x", [4], "FP32")
        given.set_shared_memory("one", 12)
        refused(client, "400", "12 bytes", lambda: client.infer("identity-fp32", [given]))
        ask = InferRequestedOutput("y")
        ask.set_shared_memory("one", 12)
        values = tensor("x", np.zeros(4, np.float32), "FP32")
        refused(client, "400", "takes 16 bytes", lambda: client.infer("identity-fp32", [values], outputs=[ask]))
    finally:
        client.unregister_system_shared_memory()
        shm.destroy_shared_memory_region(handle)
    equal(client.get_system_shared_memory_status(), [])
    refused(client, "404", "one", lambda: client.get_system_shared_memory_status("one"))


@check("trace settings say that nothing is traced")
def _(client, _):
    equal(client.get_trace_settings()["trace_level"], ["OFF"])
    equal(client.get_trace_settings("digits"), client.get_trace_settings())
    equal(client.update_trace_settings(settings={"trace_level": ["OFF"], "trace_rate": None})["trace_level"], ["OFF"])
    on = {"trace_level": ["TIMESTAMPS"]}
    refused(client, "400", "trace_level", lambda: client.update_trace_settings("digits", settings=on))


@check("timeout, priority, placement, cache; where the answer came from")
def _(client, _):
    array = np.array([time_seed()], np.float64)
    first = identity(client, "FP64", array, timeout=5_000_000, priority=1).get_response()["parameters"]
    equal(first["placement"], "edge")
    holds(first["variant_digest"].startswith("sha256:") and first["compute_us"] >= 0, first)
    again = identity(client, "FP64", array).get_response()["parameters"]
    equal(again["placement"], "cache")
    bypassed = identity(client, "FP64", array, headers={"tidegate-cache": "bypass"}).get_response()["parameters"]
    equal(bypassed["placement"], "edge")
    local = identity(client, "FP64", array, parameters={"placement": "local"}).get_response()["parameters"]
    holds(local["placement"] in ("edge", "cache"), local)
    wrong = lambda: identity(client, "FP64", array, parameters={"placement": "moon"})
    refused(client, "400", "parameters.placement", wrong)


def time_seed():
    """A value that no earlier run has left in the cache."""
    return float(np.random.default_rng().integers(2**40))


@check("an output whose shape the model decides")
def _(client, _):
    metadata = client.get_model_metadata("nonzero")
    (spec,) = metadata["inputs"]
    array = np.array([0, 3, 0, 5], np.float32)
    result = client.infer("nonzero", [tensor(spec["name"], array, spec["datatype"])])
    found = result.as_numpy(metadata["outputs"][0]["name"])
    equal(sorted(found.reshape(-1).tolist()), [1, 3])
    none = client.infer("nonzero", [tensor(spec["name"], np.zeros(2, np.float32), spec["datatype"])])
    equal(none.as_numpy(metadata["outputs"][0]["name"]).size, 0)


@check("digits: a batch of pictures as numbers")
def _(client, _):
    images = np.random.default_rng(2).random((5, 1, 28, 28), np.float32)
    result = client.infer("digits", [tensor("image", images, "FP32")])
    logits = result.as_numpy("logits")
    equal(logits.shape, (5, 10))
    labels = [int(label) for label in result.as_numpy("label")]
    equal(labels, logits.argmax(1).tolist())
    one = client.infer("digits", [tensor("image", images[3:4], "FP32")], outputs=[InferRequestedOutput("logits")])
    holds(np.allclose(one.as_numpy("logits")[0], logits[3], atol=1e-4), "a row alone is the row of the batch")


@check("ocr-line: encoded pictures as BYTES [N]")
def _(client, folder):
    lines = json.loads((folder / "expected.json").read_text())
    pictures = [(folder / name).read_bytes() for name in lines]
    given = np.array(pictures, np.object_)
    result = client.infer("ocr-line", [tensor("picture", given, "BYTES")])
    texts = [text.decode() for text in result.as_numpy("text")]
    equal([t.replace(" ", "") for t in texts], [line.replace(" ", "") for line in lines.values()])
    holds((result.as_numpy("confidence") > 0.5).all(), "confident")
    ask = [InferRequestedOutput("text", binary_data=False)]
    single = client.infer("ocr-line", [tensor("picture", given[:1], "BYTES")], outputs=ask)
    equal(single.as_numpy("text").tolist(), texts[:1])


@check("ocr-line: raw numbers that skip the steps, and what the graph itself gives")
def _(client, _):
    x = np.zeros((1, 3, 48, 320), np.float32)
    result = client.infer("ocr-line", [tensor("x", x, "FP32")], outputs=[InferRequestedOutput("probabilities")])
    probabilities = result.as_numpy("probabilities")
    equal((probabilities.shape[0], probabilities.ndim), (1, 3))
    holds(np.allclose(probabilities.sum(-1), 1, atol=1e-3), "probabilities")


@check("ocr-line: a picture that is none is refused, naming the item")
def _(client, folder):
    good = next(iter(json.loads((folder / "expected.json").read_text())))
    pictures = np.array([(folder / good).read_bytes(), b"no picture"], np.object_)
    refused(client, "400", "picture", lambda: client.infer("ocr-line", [tensor("picture", pictures, "BYTES")]))


shared_checks(tensor, InferRequestedOutput, refused, ("400", "404"))

kind, url, pictures = sys.argv[1:4]
asynchronous = lambda: tritonclient.http.aio.InferenceServerClient(url)
run(Greenlets(url) if kind == "http" else Synchronous(asynchronous), pathlib.Path(pictures))
