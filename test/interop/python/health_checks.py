"""gRPC's own health client, grpcio-health-checking: `health_checks.py HOST:HTTP_PORT HOST:GRPC_PORT`. The agent serves `digits` and `add`."""

import asyncio
import itertools
import json
import sys
import urllib.request

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from checks import check, equal, holds, run

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
UNKNOWN = HealthCheckResponse.SERVICE_UNKNOWN
SERVICES = ["", "inference.GRPCInferenceService", "digits", "add"]


def change(http, model, call):
    with urllib.request.urlopen(f"http://{http}/v2/repository/models/{model}/{call}", data=b"{}", timeout=60) as answer:
        equal(answer.status, 200, call)


@check("Check: the server, its service, models")
def _(_, address):
    with grpc.insecure_channel(address) as channel:
        for service in SERVICES:
            equal(HealthStub(channel).Check(HealthCheckRequest(service=service), timeout=10).status, SERVING, service)


@check("Check: what is not there is NOT_FOUND")
def _(_, address):
    with grpc.insecure_channel(address) as channel:
        try:
            HealthStub(channel).Check(HealthCheckRequest(service="nosuch"), timeout=10)
        except grpc.RpcError as error:
            equal(error.code(), grpc.StatusCode.NOT_FOUND)
            holds("nosuch" in error.details(), error.details())
        else:
            raise AssertionError("was answered")


@check("Watch: each change is told once, also of a model that comes and goes")
def _(http, address):
    with grpc.insecure_channel(address) as channel:
        watch = HealthStub(channel).Watch(HealthCheckRequest(service="add"), timeout=60)
        equal(next(watch).status, SERVING, "at first")
        change(http, "add", "unload")
        holds(next(watch).status in (NOT_SERVING, UNKNOWN), "after unload")
        change(http, "add", "load")
        equal(next(watch).status, SERVING, "after load")
        watch.cancel()


@check("Watch: what is not there is SERVICE_UNKNOWN, and the stream stays")
def _(_, address):
    with grpc.insecure_channel(address) as channel:
        watch = HealthStub(channel).Watch(HealthCheckRequest(service="nosuch"), timeout=2)
        equal(next(watch).status, UNKNOWN)
        try:
            next(watch)
        except grpc.RpcError as error:
            equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED, "nothing more until its deadline")
        else:
            raise AssertionError("told twice")


@check("grpc.aio: Check, and many watchers at once")
def _(http, address):
    async def main():
        async with grpc.aio.insecure_channel(address) as channel:
            stub = HealthStub(channel)
            equal((await stub.Check(HealthCheckRequest(service="digits"))).status, SERVING)
            watches = [stub.Watch(HealthCheckRequest(service="add"), timeout=60) for _ in range(50)]
            first = await asyncio.gather(*[watch.read() for watch in watches])
            equal({one.status for one in first}, {SERVING})
            await asyncio.to_thread(change, http, "add", "unload")
            second = await asyncio.gather(*[watch.read() for watch in watches])
            equal(len({one.status for one in second} & {SERVING}), 0, "after unload")
            for watch in watches:
                watch.cancel()
            await asyncio.to_thread(change, http, "add", "load")

    asyncio.run(main())


@check("a channel that minds health by itself calls only while it serves")
def _(http, address):
    config = {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": "add"}}
    with grpc.insecure_channel(address, [("grpc.service_config", json.dumps(config))]) as channel:
        live = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
        equal(live(b"", timeout=10, wait_for_ready=True), b"\x08\x01", "live")
        change(http, "add", "unload")
        for _ in itertools.count():
            try:
                live(b"", timeout=10)
            except grpc.RpcError as error:
                equal(error.code(), grpc.StatusCode.UNAVAILABLE)
                break
        change(http, "add", "load")
        equal(live(b"", timeout=20, wait_for_ready=True), b"\x08\x01", "live again")


run(*sys.argv[1:])
