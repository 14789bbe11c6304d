// Spans as OTLP's JSON (opentelemetry-proto, ExportTraceServiceRequest; OTLP 1.x, "JSON Protobuf Encoding"): identifiers as
// hexadecimal text, enumerations as numbers, 64-bit numbers as text. Pure.
import type { Attributes, FinishedSpan, SpanKind } from './span.js';
import type { TraceContext } from './trace-context.js';

/** Who tells: `service.name` and the like. */
export interface Teller {
  readonly version: string;
  readonly attributes: Attributes;
}

/** Of a name or a value; what is longer is cut. */
const LIMIT_TEXT_LENGTH = 1024;

const KIND: Readonly<Record<SpanKind, number>> = { internal: 1, server: 2, client: 3 };
const STATUS_ERROR = 2;

export function otlpJson(spans: readonly FinishedSpan[], { version, attributes }: Teller): string {
  const scopeSpans = [{ scope: { name: 'tidegate', version }, spans: spans.map(spanJson) }];
  return JSON.stringify({ resourceSpans: [{ resource: { attributes: pairs(attributes) }, scopeSpans }] });
}

function spanJson(span: FinishedSpan): object {
  const { context, parentSpanId, name, kind, startMs, endMs, attributes, events, links, error } = span;
  const { traceId, spanId, state } = context;
  return {
    traceId,
    spanId,
    ...(state === undefined ? {} : { traceState: state }),
    ...(parentSpanId === undefined ? {} : { parentSpanId }),
    flags: 1,
    name: cut(name),
    kind: KIND[kind],
    startTimeUnixNano: nanoseconds(startMs),
    endTimeUnixNano: nanoseconds(endMs),
    attributes: pairs(attributes),
    events: events.map((event) => ({ timeUnixNano: nanoseconds(event.atMs), name: cut(event.name) })),
    ...(links.length === 0 ? {} : { links: links.map(linkJson) }),
    ...(error === undefined ? {} : { status: { code: STATUS_ERROR, message: cut(error) } }),
  };
}

function linkJson({ traceId, spanId, state }: TraceContext): object {
  return { traceId, spanId, ...(state === undefined ? {} : { traceState: state }), flags: 1 };
}

function pairs(attributes: Attributes): object[] {
  return Object.entries(attributes).flatMap(([key, value]) =>
    value === undefined ? [] : [{ key, value: valueJson(value) }],
  );
}

function valueJson(value: string | number | boolean): object {
  if (typeof value === 'string') return { stringValue: cut(value) };
  if (typeof value === 'boolean') return { boolValue: value };
  return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}

/** In two parts, since a double holds no nanoseconds of this century. */
function nanoseconds(ms: number): string {
  const whole = Math.floor(ms);
  return String(BigInt(whole) * 1_000_000n + BigInt(Math.round((ms - whole) * 1e6)));
}

function cut(text: string): string {
  const short = text.length <= LIMIT_TEXT_LENGTH ? text : `${text.slice(0, LIMIT_TEXT_LENGTH)}…`;
  return short.replaceAll(/\p{Surrogate}/gu, '\ufffd'); // half a character, which no UTF-8 carries
}
