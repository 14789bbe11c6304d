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


run(asyncio.new_event_loop(), sys.argv[1])
