"""The agent's WebSocket stream from Python: `stream_checks.py HOST:PORT`. aiohttp speaks WebSocket; what the frames carry is made
and read by unmodified tritonclient, whose HTTP bodies they are.
"""

import asyncio
import struct
import sys

import aiohttp
import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from checks import check, equal, holds, run
from tritonclient_shared import counting
from values import ALL, any_bits
import ml_dtypes


class Stream:
    """One connection; frames go out, answers are kept by id."""

    def __init__(self, loop, url, query=""):
        self.loop = loop
        self.url = f"ws://{url}/v2/stream{query}"

    async def __aenter__(self):
        self.session = aiohttp.ClientSession()
        self.socket = await self.session.ws_connect(self.url)
        return self

    async def __aexit__(self, *_):
        await self.socket.close()
        await self.session.close()

    async def ask(self, inputs, **named):
        body, json_size = InferenceServerClient.generate_request_body(inputs, **named)
        if json_size is None:
            await self.socket.send_str(body.decode())
        else:
            await self.socket.send_bytes(struct.pack("<I", json_size) + body)

    async def answer(self):
        message = await self.socket.receive(timeout=30)
        if message.type == aiohttp.WSMsgType.TEXT:
            return message.json()
        (size,) = struct.unpack_from("<I", message.data)
        return InferenceServerClient.parse_response_body(message.data[4:], header_length=size)


def tensor(name, array, datatype, binary=True):
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def streamed(query=""):
    """A check that gets an open stream."""

    def wrap(function):
        def called(loop, url):
            async def main():
                async with Stream(loop, url, query) as stream:
                    await asyncio.wait_for(function(stream), 60)

            loop.run_until_complete(main())

        return called

    return wrap


for datatype in ALL:

    @check(f"{datatype}, binary both ways")
    @streamed(f"?model=identity-{datatype.lower()}")
    async def _(stream, datatype=datatype):
        array = any_bits(datatype, ml_dtypes.bfloat16)
        await stream.ask([tensor("x", array, datatype)], request_id="a")
        result = await stream.answer()
        equal(result.get_response()["id"], "a")
        got = result.as_numpy("y")
        equal(got.shape, array.shape)
        if datatype == "BYTES":
            equal(list(got.reshape(-1)), list(array.reshape(-1)))
        else:
            equal(got.tobytes(), array.tobytes())


@check("JSON both ways, as text frames")
@streamed("?model=add")
async def _(stream):
    a, b = np.ones((2, 3), np.float32), np.full((2, 3), 2, np.float32)
    ask = [InferRequestedOutput("sum", binary_data=False)]
    await stream.ask([tensor("a", a, "FP32", False), tensor("b", b, "FP32", False)], outputs=ask)
    answer = await stream.answer()
    equal(answer["outputs"][0]["data"], [3.0] * 6)


@check("300 in flight, each answer under its own id")
@streamed("?model=identity-fp32")
async def _(stream):
    async def send():
        for n in range(300):
            array = np.full(1 + n % 7, n, np.float32)
            await stream.ask([tensor("x", array, "FP32")], request_id=str(n))

    sending = asyncio.ensure_future(send())
    seen = set()
    for _ in range(300):
        result = await stream.answer()
        n = int(result.get_response()["id"])
        seen.add(n)
        equal(result.as_numpy("y").tolist(), [float(n)] * (1 + n % 7))
    await sending
    equal(len(seen), 300)


@check("errors name the field, and the stream goes on")
@streamed("?model=identity-fp32")
async def _(stream):
    await stream.ask([tensor("nosuch", np.zeros(1, np.float32), "FP32")], request_id="bad")
    error = await stream.answer()
    equal((error["id"], error["code"], error["field"]), ("bad", "invalid-argument", "inputs[0].name"))
    holds("nosuch" in error["error"], error)
    await stream.ask([tensor("x", np.zeros(1, np.float32), "FP32")], request_id="good")
    equal((await stream.answer()).get_response()["id"], "good")


async def added(stream, number, **sequence):
    await stream.ask(counting(tensor, number), **sequence)
    answer = await stream.answer()
    return answer if isinstance(answer, dict) else float(answer.as_numpy("sum")[0])


@check("many sequences over one connection")
@streamed("?model=counter")
async def _(stream):
    for step in range(5):
        for name in range(1, 9):
            flags = dict(sequence_id=name, sequence_start=step == 0, sequence_end=step == 4)
            equal(await added(stream, name, **flags), float(name * (step + 1)))


@check("sequences are the connection's own, and end with it")
@streamed("?model=counter")
async def _(stream):
    equal(await added(stream, 1, sequence_id=7, sequence_start=True), 1.0)
    async with Stream(stream.loop, sys.argv[1], "?model=counter") as other:
        error = await added(other, 1, sequence_id=7)
        equal((error["code"], error["field"]), ("invalid-argument", "parameters.sequence_id"))
        equal(await added(other, 10, sequence_id=7, sequence_start=True), 10.0)
    equal(await added(stream, 1, sequence_id=7), 2.0)
    url = f"http://{sys.argv[1]}/agent/v1/models"
    for _ in range(100):
        models = (await (await stream.session.get(url)).json())["models"]
        (live,) = [model["sequences"]["live"] for model in models if model["name"] == "counter"]
        if live == 1:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{live} sequences live, expected 1")


run(asyncio.new_event_loop(), sys.argv[1])
