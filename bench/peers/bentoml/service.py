"""BentoML with a mounted ASGI route, the way its documentation gives for bodies that are no JSON: raw float32 in, raw float32 out.
The run goes to a thread, one at a time, so that the event loop reads and writes meanwhile."""

import asyncio
import json
import os

import bentoml
import numpy as np
import onnxruntime
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

shape = json.loads(os.environ["BENCH_SHAPE"])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.add_session_config_entry("session.intra_op.allow_spinning", "0")
session = None
one_run = asyncio.Lock()


def run(body: bytes) -> bytes:
    values = np.frombuffer(body, dtype=np.float32).reshape(shape)
    (result,) = session.run(None, {session.get_inputs()[0].name: values})
    return result.tobytes()


async def infer(request: Request) -> Response:
    body = await request.body()
    async with one_run:
        result = await asyncio.to_thread(run, body)
    return Response(result, media_type="application/octet-stream")


@bentoml.asgi_app(Starlette(routes=[Route("/infer", infer, methods=["POST"])]), path="/raw")
@bentoml.service(workers=1, metrics={"enabled": False}, traffic={"timeout": 60})
class Peer:
    def __init__(self) -> None:
        global session
        session = onnxruntime.InferenceSession(
            os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"]
        )
