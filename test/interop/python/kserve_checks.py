"""KServe's InferenceRESTClient, unmodified: `kserve_checks.py HOST:PORT PICTURES_FOLDER`."""

import asyncio
import json
import pathlib
import sys

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

from checks import check, equal, holds, run
from values import IN_JSON, any_bits, finite


class Client:
    """Awaits each call; `many` awaits them together. One loop for all, since the client keeps its connections."""

    def __init__(self, url):
        self.url = f"http://{url}"
        self.loop = asyncio.new_event_loop()
        self.rest = InferenceRESTClient(RESTConfig(protocol="v2", timeout=30))

    def __getattr__(self, name):
        method = getattr(self.rest, name)
        return lambda *arguments, **named: self.loop.run_until_complete(method(self.url, *arguments, **named))

    def many(self, requests):
        async def together():
            return await asyncio.gather(*[self.rest.infer(self.url, r, model_name=r.model_name) for r in requests])

        return self.loop.run_until_complete(together())


def tensor(name, array, datatype, binary):
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def identity(client, datatype, array, binary_in, binary_out, request_id=None):
    model = f"identity-{datatype.lower()}"
    asked = [RequestedOutput("y", parameters={"binary_data": binary_out})]
    given = [tensor("x", array, datatype, binary_in)]
    request = InferRequest(model, given, request_id=request_id, request_outputs=asked)
    response = client.infer(request, model_name=model)
    (output,) = response.outputs
    actual = output.as_numpy()
    if datatype == "BYTES":
        text = [v.encode() if isinstance(v, str) else v for v in actual.reshape(-1)]
        equal(text, [v if isinstance(v, bytes) else v.encode() for v in array.reshape(-1)], datatype)
    else:
        equal(actual.astype(array.dtype).tobytes(), array.tobytes(), datatype)
    equal(actual.shape, array.shape)
    return response


def refused(client, status, text, call):
    try:
        call()
    except httpx.HTTPStatusError as error:
        equal(error.response.status_code, status, str(error))
        holds(text in str(error), f"{error!s} lacks {text!r}")
    else:
        raise AssertionError("was answered")
    identity(client, "FP32", np.arange(3, dtype=np.float32), True, True)


@check("server live and ready")
def _(client, _):
    equal(client.is_server_live(), True)
    equal(client.is_server_ready(), True)


@check("model ready")
def _(client, _):
    equal(client.is_model_ready("digits"), True)
    equal(client.is_model_ready("nosuch"), False)


@check("metadata, with the client's own connection")
def _(client, _):
    get = lambda path: client.loop.run_until_complete(client.rest._client.get(client.url + path)).json()
    equal(get("/v2/models/digits")["name"], "digits")
    holds("binary_tensor_data" in get("/v2")["extensions"], "extensions")


for datatype in IN_JSON:

    @check(f"{datatype} JSON in, JSON out")
    def _(client, _, datatype=datatype):
        identity(client, datatype, finite(datatype), False, False)

    @check(f"{datatype} binary in, binary out, and mixed")
    def _(client, _, datatype=datatype):
        # This client turns binary BYTES answers into text, whatever they are.
        identity(client, datatype, finite(datatype) if datatype == "BYTES" else any_bits(datatype), True, True)
        identity(client, datatype, finite(datatype), True, False)
        identity(client, datatype, finite(datatype), False, True)


@check("FP16 in binary")
def _(client, _):
    identity(client, "FP16", any_bits("FP16"), True, True)


@check("without elements, JSON and binary")
def _(client, _):
    identity(client, "FP32", np.zeros(0, np.float32), False, False)
    identity(client, "FP32", np.zeros(0, np.float32), True, True)
    identity(client, "BYTES", np.zeros(0, np.object_), True, True)


@check("request id and model name")
def _(client, _):
    response = identity(client, "FP32", np.zeros(1, np.float32), True, True, request_id="r-1")
    equal((response.id, response.model_name), ("r-1", "identity-fp32"))


@check("a plain dict as the request")
def _(client, _):
    data = {"inputs": [{"name": "x", "shape": [2], "datatype": "INT64", "data": [2**53 + 1, -5]}]}
    response = client.infer(data, model_name="identity-int64")
    equal(response.outputs[0].data, [2**53 + 1, -5])


@check("nested data")
def _(client, _):
    data = {"inputs": [{"name": "x", "shape": [1, 2, 2], "datatype": "FP32", "data": [[[1, 2], [3, 4]]]}]}
    equal(client.infer(data, model_name="identity-fp32-3d").outputs[0].data, [1, 2, 3, 4])


@check("errors show our text")
def _(client, _):
    good = lambda **extra: {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1], **extra}]}
    refused(client, 404, "nosuch", lambda: client.infer(good(), model_name="nosuch"))
    refused(client, 400, "inputs[0].shape", lambda: client.infer(good(shape=[1, 1]), model_name="identity-fp32"))
    refused(client, 400, "inputs[0].datatype", lambda: client.infer(good(datatype="INT8"), model_name="identity-fp32"))
    refused(client, 400, "inputs[0].data[0]", lambda: client.infer(good(data=["x"]), model_name="identity-fp32"))
    refused(client, 400, "inputs[0].name", lambda: client.infer(good(name="z"), model_name="identity-fp32"))


@check("100 distinct inputs, 16 in flight, each with its own answer")
def _(client, _):
    arrays = [np.full(1 + i % 3, i, np.float64) for i in range(100)]
    for start in range(0, 100, 16):
        batch = arrays[start : start + 16]
        requests = [InferRequest("identity-fp64", [tensor("x", a, "FP64", i % 2 == 0)]) for i, a in enumerate(batch)]
        for array, response in zip(batch, client.many(requests)):
            equal(response.outputs[0].as_numpy().tolist(), array.tolist())


@check("600 KB of FP32, JSON and binary; the client asks for gzip by itself")
def _(client, _):
    array = np.random.default_rng(1).standard_normal(150_000).astype(np.float32)
    identity(client, "FP32", array, True, True)
    identity(client, "FP32", array, False, False)


@check("ocr-line: encoded pictures as BYTES [N]")
def _(client, folder):
    lines = json.loads((folder / "expected.json").read_text())
    pictures = np.array([(folder / name).read_bytes() for name in lines], np.object_)
    request = InferRequest("ocr-line", [tensor("picture", pictures, "BYTES", True)])
    outputs = {output.name: output for output in client.infer(request, model_name="ocr-line").outputs}
    texts = [text.replace(" ", "") for text in outputs["text"].data]
    equal(texts, [line.replace(" ", "") for line in lines.values()])


url, pictures = sys.argv[1:3]
run(Client(url), pathlib.Path(pictures))
