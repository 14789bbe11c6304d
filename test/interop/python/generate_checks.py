"""Triton's generate extension from Python: `generate_checks.py HOST:PORT`. There is no client of its own for it; Triton's tests read it
with requests and sseclient-py, and so do these.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import requests
import sseclient

from checks import check, equal, holds, run


def post(url, model, call, inputs, **named):
    return requests.post(f"http://{url}/v2/models/{model}/{call}", data=json.dumps(inputs), timeout=30, **named)


def events(url, model, inputs):
    """The events as they come, each parsed."""
    response = post(url, model, "generate_stream", inputs, headers={"Accept": "text/event-stream"}, stream=True)
    response.raise_for_status()
    equal(response.headers["Content-Type"], "text/event-stream; charset=utf-8")
    return [json.loads(event.data) for event in sseclient.SSEClient(response).events()]


PICTURE = [((i * 7) % 11) / 10 for i in range(28 * 28)]


@check("text")
def _(url):
    response = post(url, "identity-bytes", "generate", {"x": "grüße", "id": "42", "parameters": {"stream": False}})
    response.raise_for_status()
    equal(response.headers["Content-Type"], "application/json")
    answer = response.json()
    equal((answer["id"], answer["model_name"], answer["model_version"], answer["y"]), ("42", "identity-bytes", "1", "grüße"))
    equal(answer["parameters"]["placement"], response.headers["tidegate-placement"])
    holds("id" not in post(url, "identity-bytes", "generate", {"x": "a", "id": ""}).json(), "an empty id is none")


@check("a stream of events")
def _(url):
    (answer,) = events(url, "identity-bytes", {"x": ["a\nb", "data: c", ""], "id": "s"})
    equal((answer["id"], answer["y"]), ("s", ["a\nb", "data: c", ""]))


@check("numbers and truth values, each in the datatype of the model")
def _(url):
    for datatype, value in [("int64", 2**63 - 1), ("uint8", 255), ("fp64", 0.1), ("bool", True), ("fp32-scalar", -1.5)]:
        equal(post(url, f"identity-{datatype}", "generate", {"x": value}).json()["y"], value, datatype)
    equal(post(url, "identity-int32", "generate", {"x": [3, -4]}).json()["y"], [3, -4])


@check("a picture as a flat array, and nested")
def _(url):
    flat = post(url, "digits", "generate", {"image": PICTURE}).json()
    rows = [PICTURE[i : i + 28] for i in range(0, len(PICTURE), 28)]
    (nested,) = events(url, "digits", {"image": [[rows]]})
    for name in ("label", "confidence", "logits"):
        equal(nested[name], flat[name], name)
    equal(len(flat["logits"]), 10)
    two = post(url, "digits", "generate", {"image": PICTURE + PICTURE}).json()
    equal(two["label"], [flat["label"]] * 2)


@check("what is wrong has a status and a name, also of a stream")
def _(url):
    for call in ("generate", "generate_stream"):
        cases = [
            ("identity-bytes", {"x": 123}, 400, "x: expected a string, got 123"),
            ("identity-bytes", {}, 400, 'x: missing; the model takes "x"'),
            ("digits", {"image": [1, 2]}, 400, "image: takes FP32 of shape [-1,1,28,28]"),
            ("identity-fp16", {"x": 1}, 400, "x: FP16 has no JSON form"),
            ("identity-bytes", {"x": "a", "placement": "moon"}, 400, "parameters.placement"),
            ("identity-bytes", {"x": "a", "placement": "hub"}, 503, "hub"),
            ("nosuch", {"x": "a"}, 404, "nosuch"),
        ]
        for model, inputs, status, text in cases:
            response = post(url, model, call, inputs)
            equal(response.headers["Content-Type"], "application/json")
            equal(response.status_code, status, f"{model} {inputs}: {response.text}")
            holds(text in response.json()["error"], f"{response.text} lacks {text}")


@check("many at once, each its own")
def _(url):
    def both(i):
        (streamed,) = events(url, "identity-bytes", {"x": f"stream {i}"})
        return streamed["y"], post(url, "identity-bytes", "generate", {"x": f"one {i}"}).json()["y"]

    with ThreadPoolExecutor(8) as pool:
        equal(list(pool.map(both, range(40))), [(f"stream {i}", f"one {i}") for i in range(40)])


@check("explained afterwards, as infer is")
def _(url):
    post(url, "identity-bytes", "generate", {"x": "why", "id": "explained"}).raise_for_status()
    explained = requests.get(f"http://{url}/agent/v1/explain/explained", timeout=30).json()
    equal(explained["model"], "identity-bytes")


run(sys.argv[1])
