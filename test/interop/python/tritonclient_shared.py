"""What the checks of tritonclient's four clients have in common: calls that are awaited, tensors compared, and the checks that
read the same over HTTP and gRPC.
"""

import asyncio

import numpy as np

from checks import check, equal


class Synchronous:
    """An asynchronous client, which `make` makes, behind the calls of the synchronous one."""

    def __init__(self, make):
        self.loop = asyncio.new_event_loop()
        self.client = self.loop.run_until_complete(self._made(make))

    async def _made(self, make):
        return make()

    def __getattr__(self, name):
        method = getattr(self.client, name)
        return lambda *arguments, **named: self.loop.run_until_complete(method(*arguments, **named))

    def many(self, calls):
        async def together():
            return await asyncio.gather(*[self.client.infer(*a, **n) for a, n in calls])

        return self.loop.run_until_complete(together())


def same(actual, expected, datatype, text):
    """Bit for bit; BYTES that came as JSON are strings."""
    if datatype == "BYTES":
        wanted = [v if isinstance(v, bytes) else v.encode() for v in expected.reshape(-1)]
        got = [v.encode() if isinstance(v, str) else v for v in actual.reshape(-1)]
        equal(got, wanted, text)
    else:
        equal(actual.dtype, expected.dtype, f"{text} dtype")
        equal(actual.tobytes(), expected.tobytes(), text)
    equal(actual.shape, expected.shape, f"{text} shape")


def counting(tensor, number):
    """Inputs of the model `counter`, which adds up what a sequence sends."""
    return [tensor("x", np.array([number], np.float32), "FP32"), tensor("rounds", np.array(1, np.int64), "INT64")]


def shared_checks(tensor, requested_output, refused, statuses):
    """`refused(client, status, text, call)`; `statuses` are those of a wrong request and of an unknown model."""
    wrong, unknown = statuses

    @check("unknown model, unknown version")
    def _(client, _):
        given = [tensor("x", np.zeros(1, np.float32), "FP32")]
        refused(client, unknown, "nosuch", lambda: client.infer("nosuch", given))
        refused(client, unknown, "nosuch", lambda: client.get_model_metadata("nosuch"))
        refused(client, unknown, "99", lambda: client.infer("identity-fp32", given, model_version="99"))

    @check("wrong name, shape, datatype, missing and unknown tensors")
    def _(client, _):
        ok = np.zeros((2, 3), np.float32)
        a, b = tensor("a", ok, "FP32"), tensor("b", ok, "FP32")
        wrong_shape = tensor("b", np.zeros((2, 4), np.float32), "FP32")
        wrong_rank = tensor("b", np.zeros(6, np.float32), "FP32")
        wrong_type = tensor("b", ok.astype(np.int32), "INT32")
        refused(client, wrong, "inputs[1].shape", lambda: client.infer("add", [a, wrong_shape]))
        refused(client, wrong, "inputs[1].shape", lambda: client.infer("add", [a, wrong_rank]))
        refused(client, wrong, "inputs[1].datatype", lambda: client.infer("add", [a, wrong_type]))
        refused(client, wrong, "inputs[1].name", lambda: client.infer("add", [a, tensor("c", ok, "FP32")]))
        refused(client, wrong, '"b" is missing', lambda: client.infer("add", [a]))
        refused(client, wrong, "given twice", lambda: client.infer("add", [a, a, b]))
        ask = [requested_output("nosuch")]
        refused(client, wrong, "outputs[0].name", lambda: client.infer("add", [a, b], outputs=ask))

    def add(client, number, **sequence):
        return float(client.infer("counter", counting(tensor, number), **sequence).as_numpy("sum")[0])

    @check("sequences with state: numbers and texts, mixed, each its own")
    def _(client, _):
        ids = [7, "7", 2**53 + 1, 2**53 + 2, "front door"]
        for step in range(4):
            for i, each in enumerate(ids):
                flags = dict(sequence_id=each, sequence_start=step == 0, sequence_end=step == 3)
                equal(add(client, i + 1, **flags), float((i + 1) * (step + 1)), f"{each!r} after {step + 1}")

    @check("a sequence that has not begun, one that is over, one that begins again; a model without state")
    def _(client, _):
        refused(client, wrong, "sequence_start", lambda: add(client, 1, sequence_id=99))
        refused(client, wrong, "sequence_id", lambda: add(client, 1))
        equal(add(client, 1, sequence_id=99, sequence_start=True), 1.0, "start")
        equal(add(client, 5, sequence_id=99, sequence_start=True), 5.0, "start again")
        equal(add(client, 5, sequence_id=99, sequence_end=True), 10.0, "end")
        refused(client, wrong, "sequence_start", lambda: add(client, 1, sequence_id=99))
        x = np.arange(3, dtype=np.float32)
        result = client.infer("identity-fp32", [tensor("x", x, "FP32")], sequence_id=3, sequence_start=True)
        same(result.as_numpy("y"), x, "FP32", "without state")

    @check("200 distinct inputs, 16 in flight, each with its own answer")
    def _(client, _):
        arrays = [np.full((1 + i % 3, 3), i, np.float32) for i in range(200)]
        twos = [np.full(a.shape, 2, np.float32) for a in arrays]
        for start in range(0, 200, 16):
            batch = list(zip(arrays, twos))[start : start + 16]
            calls = [(("add", [tensor("a", a, "FP32"), tensor("b", b, "FP32")]), {}) for a, b in batch]
            for (a, b), result in zip(batch, client.many(calls)):
                same(result.as_numpy("sum"), a + b, "FP32", "sum")
                same(result.as_numpy("difference"), a - b, "FP32", "difference")
