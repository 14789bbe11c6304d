"""What the agent sent to an OTLP receiver, read with the protocol's own messages: `opentelemetry_checks.py FILE`, one body a line.

OTLP's JSON differs from protobuf's in one thing: identifiers are hexadecimal, not base64. That is undone here; all else has to parse as it is.
"""

import base64
import json
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from checks import check, equal, holds, run


def base64_identifiers(value):
    if isinstance(value, list):
        return [base64_identifiers(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64encode(bytes.fromhex(item)).decode() if key in ("traceId", "spanId", "parentSpanId") else base64_identifiers(item)
        for key, item in value.items()
    }


def spans_of(path):
    spans = []
    for line in open(path, encoding="utf-8"):
        message = json_format.ParseDict(base64_identifiers(json.loads(line)), ExportTraceServiceRequest(), ignore_unknown_fields=False)
        for resource in message.resource_spans:
            for scope in resource.scope_spans:
                spans += [(resource.resource, span) for span in scope.spans]
    return spans


def attributes(holder):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in holder.attributes}


@check("every body is an ExportTraceServiceRequest, with no field that it doesn't know")
def parses(path):
    spans = spans_of(path)
    holds(len(spans) >= 6, f"{len(spans)} spans")
    for resource, span in spans:
        equal(attributes(resource)["service.name"], "tidegate-agent", "service")
        equal((len(span.trace_id), len(span.span_id)), (16, 8), "lengths of identifiers")
        holds(span.start_time_unix_nano <= span.end_time_unix_nano, "a span ends after it began")


@check("over HTTP and gRPC, the root is the server's, a child of the caller, in the caller's state")
def roots(path):
    servers = [span for _, span in spans_of(path) if span.kind == span.SPAN_KIND_SERVER]
    equal(len(servers), 2, "server spans")
    for span in servers:
        equal((span.trace_id.hex(), span.parent_span_id.hex()), ("a1" * 16, "b2" * 8), "trace and parent")
        equal(span.trace_state, "shop=4711", "trace state")
        equal(attributes(span)["tidegate.model.name"], "digits", "model")
    http, grpc = sorted(servers, key=lambda span: "rpc.system" in attributes(span))
    equal(attributes(http)["http.response.status_code"], 200, "status over HTTP")
    equal(attributes(grpc)["rpc.grpc.status_code"], 0, "status over gRPC")


@check("queue and run lie under a root, and in its time")
def children(path):
    spans = [span for _, span in spans_of(path)]
    by_id = {span.span_id: span for span in spans}
    for name in ("queue", "run"):
        found = [span for span in spans if span.name == name]
        equal(len(found), 2, name)
        for span in found:
            root = by_id[span.parent_span_id]
            holds(root.start_time_unix_nano <= span.start_time_unix_nano, "begins with its root")
            holds(span.end_time_unix_nano <= root.end_time_unix_nano, "ends with its root")


run(sys.argv[1])
