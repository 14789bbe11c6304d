"""Unmodified tritonclient, both gRPC clients: `tritonclient_grpc_checks.py grpc|aio HOST:PORT PICTURES_FOLDER`.

The checks are written once and are those of tritonclient_checks.py wherever gRPC has the same thing. `aio` wraps the
asynchronous client so that each call is awaited; what is awaited together is its own check.
"""

import json
import pathlib
import queue
import sys
import threading

import ml_dtypes
import numpy as np
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.utils.shared_memory as shm
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from checks import check, equal, holds, run
from tritonclient_shared import Synchronous, counting, same, shared_checks
from values import ALL, any_bits

InferInput = tritonclient.grpc.InferInput
InferRequestedOutput = tritonclient.grpc.InferRequestedOutput


class Awaited(Synchronous):
    """tritonclient.grpc.aio behind the calls of tritonclient.grpc."""

    def __init__(self, url):
        super().__init__(lambda: tritonclient.grpc.aio.InferenceServerClient(url))

    def stream(self, requests):
        """(result, error) of each request, in the order in which they come."""

        async def all_of_them():
            async def given():
                for request in requests:
                    yield request

            return [answer async for answer in self.client.stream_infer(given())]

        return self.loop.run_until_complete(all_of_them())


class Callbacks:
    """tritonclient.grpc with its own way of asking for many at once."""

    def __init__(self, url):
        self.client = tritonclient.grpc.InferenceServerClient(url)

    def __getattr__(self, name):
        return getattr(self.client, name)

    def many(self, calls):
        results = [None] * len(calls)
        done = threading.Semaphore(0)

        def keep(i):
            def callback(result, error):
                results[i] = error if result is None else result
                done.release()

            return callback

        for i, (arguments, named) in enumerate(calls):
            self.client.async_infer(*arguments, callback=keep(i), **named)
        for _ in calls:
            holds(done.acquire(timeout=30), "answered in time")
        return results

    def stream(self, requests):
        answers = queue.Queue()
        self.client.start_stream(callback=lambda result, error: answers.put((result, error)))
        for request in requests:
            self.client.async_stream_infer(**request)
        got = [answers.get(timeout=30) for _ in requests]
        self.client.stop_stream()
        return got


def tensor(name, array, datatype):
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


def identity(client, datatype, array, **named):
    model = f"identity-{datatype.lower()}"
    outputs = [InferRequestedOutput("y")]
    result = client.infer(model, [tensor("x", array, datatype)], outputs=outputs, **named)
    same(result.as_numpy("y"), array, datatype, datatype)
    return result


def refused(client, status, text, call):
    """An error of the protocol, and a good request after it."""
    try:
        call()
    except InferenceServerException as error:
        equal(error.status(), f"StatusCode.{status}", str(error))
        holds(text in error.message(), f"{error.message()!r} lacks {text!r}")
    else:
        raise AssertionError("was answered")
    identity(client, "FP32", np.arange(3, dtype=np.float32))


def placement(result):
    return result.get_response().parameters["placement"].string_param


@check("server live, ready, metadata")
def _(client, _):
    holds(client.is_server_live(), "live")
    holds(client.is_server_ready(), "ready")
    metadata = client.get_server_metadata()
    holds("binary_tensor_data" in metadata.extensions, metadata)
    holds(metadata.name and metadata.version, metadata)


@check("model ready, metadata, versions, index")
def _(client, _):
    holds(client.is_model_ready("digits"), "digits is ready")
    holds(client.is_model_ready("digits", "1"), "version 1 is ready")
    holds(not client.is_model_ready("nosuch"), "nosuch is not ready")
    holds(not client.is_model_ready("digits", "99"), "version 99 is not ready")
    metadata = client.get_model_metadata("digits", as_json=True)
    equal(metadata["name"], "digits")
    equal(metadata["inputs"], [{"name": "image", "datatype": "FP32", "shape": ["-1", "1", "28", "28"]}])
    equal(list(client.get_model_metadata("digits", "1").versions), ["1"])
    index = client.get_model_repository_index()
    names = [model.name for model in index.models]
    holds("digits" in names and "identity-fp32" in names, names)
    equal({model.state for model in index.models}, {"READY"})


for datatype in ALL:

    @check(f"{datatype} in, {datatype} out")
    def _(client, _, datatype=datatype):
        identity(client, datatype, any_bits(datatype, ml_dtypes.bfloat16))

    @check(f"{datatype} without elements")
    def _(client, _, datatype=datatype):
        identity(client, datatype, any_bits(datatype, ml_dtypes.bfloat16)[:0])


@check("scalar and three dimensions")
def _(client, _):
    cube = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    same(client.infer("identity-fp32-3d", [tensor("x", cube, "FP32")]).as_numpy("y"), cube, "FP32", "3d")
    scalar = np.array(2.5, np.float32)
    same(client.infer("identity-fp32-scalar", [tensor("x", scalar, "FP32")]).as_numpy("y"), scalar, "FP32", "0d")


@check("6 MB of FP32")
def _(client, _):
    array = np.random.default_rng(1).standard_normal((1, 1000, 1500)).astype(np.float32)
    # After requests of a few bytes the agent expects a large one to take long; time enough makes that no matter.
    result = client.infer("identity-fp32-3d", [tensor("x", array, "FP32")], timeout=3_600_000_000)
    same(result.as_numpy("y"), array, "FP32", "large")


@check("request id")
def _(client, _):
    array = np.zeros(1, np.float32)
    equal(identity(client, "FP32", array, request_id="ü-1").get_response().id, "ü-1")
    equal(identity(client, "FP32", array).get_response().id, "")


def add_inputs():
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    b = np.full((2, 3), 2, np.float32)
    return a, b, [tensor("a", a, "FP32"), tensor("b", b, "FP32")]


@check("no outputs named: all of them; one of two; in the asked order")
def _(client, _):
    a, b, inputs = add_inputs()
    result = client.infer("add", inputs)
    same(result.as_numpy("sum"), a + b, "FP32", "sum")
    same(result.as_numpy("difference"), a - b, "FP32", "difference")
    one = client.infer("add", inputs, outputs=[InferRequestedOutput("difference")])
    same(one.as_numpy("difference"), a - b, "FP32", "difference")
    holds(one.as_numpy("sum") is None, "sum was not asked for")
    for names in (["sum", "difference"], ["difference", "sum"]):
        both = client.infer("add", inputs, outputs=[InferRequestedOutput(name) for name in names])
        equal([o.name for o in both.get_response().outputs], names)
        same(both.as_numpy("sum"), a + b, "FP32", "sum")


for coding in ("gzip", "deflate"):

    @check(f"{coding} requests")
    def _(client, _, coding=coding):
        identity(client, "FP32", np.tile(np.arange(50, dtype=np.float32), 100), compression_algorithm=coding)
        refused(
            client,
            "NOT_FOUND",
            "nosuch",
            lambda: client.infer("nosuch", [tensor("x", np.zeros(1, np.float32), "FP32")], compression_algorithm=coding),
        )


@check("sizes that don't fit")
def _(client, _):
    given = tensor("x", np.zeros(4, np.float32), "FP32")
    given.set_shape([5])
    refused(client, "INVALID_ARGUMENT", "raw_input_contents[0]", lambda: client.infer("identity-fp32", [given]))
    given = tensor("x", np.zeros(4, np.float32), "FP32")
    given.set_shape([2**62])
    refused(client, "INVALID_ARGUMENT", "2^53", lambda: client.infer("identity-fp32", [given]))


@check("configuration, statistics, classes")
def _(client, _):
    config = client.get_model_config("digits", as_json=True)["config"]
    equal([config["name"], config["input"][0]["data_type"]], ["digits", "TYPE_FP32"])
    before = client.get_inference_statistics("digits").model_stats[0].inference_count
    image = np.random.default_rng().random((1, 1, 28, 28), np.float32)
    ask = [InferRequestedOutput("logits", class_count=3)]
    classes = client.infer("digits", [tensor("image", image, "FP32")], outputs=ask).as_numpy("logits")
    plain = client.infer("digits", [tensor("image", image, "FP32")]).as_numpy("logits")
    equal([int(c.split(b":")[1]) for c in classes.reshape(-1)], np.argsort(-plain[0])[:3].tolist())
    after = client.get_inference_statistics("digits").model_stats[0].inference_count
    holds(after > before, f"{before} -> {after}")
    holds(len(client.get_inference_statistics().model_stats) > 10, "all models")


@check("the model repository: unload and load")
def _(client, _):
    client.unload_model("add")
    holds(not client.is_model_ready("add"), "unloaded")
    client.load_model("add")
    holds(client.is_model_ready("add"), "loaded")
    refused(client, "INVALID_ARGUMENT", "config", lambda: client.load_model("add", config="{}"))


@check("extensions that are not offered are refused by name")
def _(client, _):
    name = "CudaSharedMemory"
    refused(client, "UNIMPLEMENTED", name, lambda: client.get_cuda_shared_memory_status())
    refused(client, "UNIMPLEMENTED", name, lambda: client.register_cuda_shared_memory("r", b"aGFuZGxl", 0, 16))
    client.unregister_cuda_shared_memory()  # as Triton's examples begin


def region(client, name, size):
    """A region of Triton's own utility, registered under its name."""
    handle = shm.create_shared_memory_region(name, f"/tidegate-interop-grpc-{name}", size)
    client.register_system_shared_memory(name, f"/tidegate-interop-grpc-{name}", size)
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
        equal((list(result.get_output("sum").shape), result.get_output("sum").datatype), ([2, 3], "FP32"))
        equal(result.get_output("difference").parameters["shared_memory_offset"].int64_param, 32)
        same(shm.get_contents_as_numpy(taken, np.float32, [2, 3]), a + b, "FP32", "sum")
        same(shm.get_contents_as_numpy(taken, np.float32, [2, 3], 32), a - b, "FP32", "difference")
        mixed = InferInput("b", [2, 3], "FP32")
        mixed.set_data_from_numpy(b)
        plain = client.infer("add", [inputs[0], mixed], outputs=[ask[0], InferRequestedOutput("difference")])
        same(plain.as_numpy("difference"), a - b, "FP32", "one of each in memory, the other in the message")
    finally:
        unregion(client, "in", given)
        unregion(client, "out", taken)


@check("system shared memory: status, and what is refused")
def _(client, _):
    handle = region(client, "one", 16)
    key = "/tidegate-interop-grpc-one"
    try:
        row = client.get_system_shared_memory_status("one").regions["one"]
        equal((row.name, row.key, row.offset, row.byte_size), ("one", key, 0, 16))
        again = lambda: client.register_system_shared_memory("one", key, 16)
        refused(client, "INVALID_ARGUMENT", "registered already", again)
        large = lambda: client.register_system_shared_memory("two", key, 17)
        refused(client, "INVALID_ARGUMENT", "byte_size", large)
        given = InferInput("x", [5], "FP32")
        given.set_shared_memory("one", 20)
        refused(client, "INVALID_ARGUMENT", "shared_memory_byte_size", lambda: client.infer("identity-fp32", [given]))
    finally:
        client.unregister_system_shared_memory()
        shm.destroy_shared_memory_region(handle)
    equal(dict(client.get_system_shared_memory_status().regions), {})
    refused(client, "NOT_FOUND", "one", lambda: client.get_system_shared_memory_status("one"))


@check("trace and log settings")
def _(client, _):
    equal(list(client.get_trace_settings("digits").settings["trace_level"].value), ["OFF"])
    on = lambda: client.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]})
    refused(client, "INVALID_ARGUMENT", "trace_level", on)
    before = client.get_log_settings().settings["log_verbose_level"].uint32_param
    after = client.update_log_settings({"log_info": True, "log_verbose_level": 1})
    equal(after.settings["log_verbose_level"].uint32_param, 1)
    client.update_log_settings({"log_info": False, "log_verbose_level": before})
    refused(client, "INVALID_ARGUMENT", "log_file", lambda: client.update_log_settings({"log_file": "/tmp/x"}))


@check("timeout, priority, placement, cache; where the answer came from")
def _(client, _):
    array = np.array([float(np.random.default_rng().integers(2**40))], np.float64)
    first = identity(client, "FP64", array, timeout=5_000_000, priority=1)
    equal(placement(first), "edge")
    parameters = first.get_response().parameters
    holds(parameters["variant_digest"].string_param.startswith("sha256:"), "digest")
    equal(placement(identity(client, "FP64", array)), "cache")
    equal(placement(identity(client, "FP64", array, headers={"tidegate-cache": "bypass"})), "edge")
    equal(placement(identity(client, "FP64", array, parameters={"cache": "bypass", "placement": "local"})), "edge")
    wrong = lambda: identity(client, "FP64", array, parameters={"placement": "moon"})
    refused(client, "INVALID_ARGUMENT", "parameters.placement", wrong)


@check("a deadline of the client's that can't be kept")
def _(client, _):
    array = np.zeros(2**19, np.float32)  # a small one may come back before the client's timer, which counts milliseconds
    try:
        identity(client, "FP32", array, client_timeout=0.000001, headers={"tidegate-cache": "bypass"})
    except InferenceServerException as error:
        # Refused before it began, or over while it ran: whichever side saw it first says so.
        known = error.status() in ("StatusCode.DEADLINE_EXCEEDED", "StatusCode.UNAVAILABLE")
        equal(known and "eadline" in str(error), True, f"{error.status()} {error}")
    else:
        raise AssertionError("was answered")
    identity(client, "FP32", array, client_timeout=30)


def identity_request(i, model="identity-fp32"):
    array = np.full(1 + i % 7, i, np.float32)
    return dict(model_name=model, inputs=[tensor("x", array, "FP32")], request_id=str(i))


@check("a stream: 100 requests, answers in their order")
def _(client, _):
    answers = client.stream([identity_request(i) for i in range(100)])
    for i, (result, error) in enumerate(answers):
        holds(error is None, error)
        equal(result.get_response().id, str(i))
        same(result.as_numpy("y"), np.full(1 + i % 7, i, np.float32), "FP32", str(i))


@check("a stream goes on after a bad request")
def _(client, _):
    requests = [identity_request(0), identity_request(1, "nosuch"), identity_request(2)]
    (first, no_error), (_, error), (last, no_other) = client.stream(requests)
    holds(no_error is None and no_other is None, "the good ones")
    holds("nosuch" in error.message(), error)
    equal([first.get_response().id, last.get_response().id], ["0", "2"])


@check("a stream with two sequences, sent without waiting")
def _(client, _):
    requests = [
        dict(model_name="counter", inputs=counting(tensor, number), sequence_id=name, sequence_start=step == 0, sequence_end=step == 9)
        for step in range(10)
        for name, number in (("left", 1), ("right", 2))
    ]
    answers = client.stream(requests)
    holds(not any(error for _, error in answers), answers)
    sums = [float(result.as_numpy("sum")[0]) for result, _ in answers]
    equal(sums, [float(number * (step + 1)) for step in range(10) for number in (1, 2)], "sums")


@check("the configuration tells what sequences carry")
def _(client, _):
    batching = client.get_model_config("counter").config.sequence_batching
    equal(batching.WhichOneof("strategy_choice"), "direct", "strategy")
    equal(batching.max_sequence_idle_microseconds, 60_000_000, "idle")
    (state,) = batching.state
    equal([state.input_name, state.output_name, list(state.dims)], ["total", "total_next", [1]], "state")
    metadata = client.get_model_metadata("counter")
    equal([i.name for i in metadata.inputs], ["x", "rounds"], "inputs")


@check("a stream says which answer is the last of its request")
def _(client, _):
    if isinstance(client, Awaited):
        return  # the asynchronous client can't ask for it
    asked = dict(identity_request(3), enable_empty_final_response=True)
    ((result, error),) = client.stream([asked])
    holds(error is None, error)
    holds(result.get_response().parameters["triton_final_response"].bool_param, "final")


@check("an output whose shape the model decides")
def _(client, _):
    metadata = client.get_model_metadata("nonzero")
    (spec,) = metadata.inputs
    output = metadata.outputs[0].name
    array = np.array([0, 3, 0, 5], np.float32)
    found = client.infer("nonzero", [tensor(spec.name, array, spec.datatype)]).as_numpy(output)
    equal(sorted(found.reshape(-1).tolist()), [1, 3])
    none = client.infer("nonzero", [tensor(spec.name, np.zeros(2, np.float32), spec.datatype)])
    equal(none.as_numpy(output).size, 0)


@check("digits: a batch of pictures as numbers")
def _(client, _):
    images = np.random.default_rng(2).random((5, 1, 28, 28), np.float32)
    result = client.infer("digits", [tensor("image", images, "FP32")])
    logits = result.as_numpy("logits")
    equal(logits.shape, (5, 10))
    equal([int(label) for label in result.as_numpy("label")], logits.argmax(1).tolist())


@check("ocr-line: encoded pictures as BYTES [N]")
def _(client, folder):
    lines = json.loads((folder / "expected.json").read_text())
    given = np.array([(folder / name).read_bytes() for name in lines], np.object_)
    result = client.infer("ocr-line", [tensor("picture", given, "BYTES")])
    texts = [text.decode() for text in result.as_numpy("text")]
    equal([t.replace(" ", "") for t in texts], [line.replace(" ", "") for line in lines.values()])
    bad = np.array([given[0], b"no picture"], np.object_)
    refused(
        client, "INVALID_ARGUMENT", "picture", lambda: client.infer("ocr-line", [tensor("picture", bad, "BYTES")])
    )


@check("the protocol's own messages: typed contents")
def _(client, _):
    request = service_pb2.ModelInferRequest(model_name="identity-int64")
    given = request.inputs.add(name="x", datatype="INT64", shape=[2])
    given.contents.int64_contents.extend([-(2**63), 2**63 - 1])
    answer = stub(client, "ModelInfer", request)
    equal(np.frombuffer(answer.raw_output_contents[0], np.int64).tolist(), [-(2**63), 2**63 - 1])


def stub(client, method, request):
    """The generated stub under the client, whose answers are awaited where it is asynchronous."""
    answer = getattr(client.client._client_stub, method)(request)
    return client.loop.run_until_complete(_awaited(answer)) if isinstance(client, Awaited) else answer


async def _awaited(call):
    return await call


shared_checks(tensor, InferRequestedOutput, refused, ("INVALID_ARGUMENT", "NOT_FOUND"))

kind, url, pictures = sys.argv[1:4]
run(Callbacks(url) if kind == "grpc" else Awaited(url), pathlib.Path(pictures))
