// Against the JSON mapping of opentelemetry-proto; test/interop reads the same with the protocol's own messages.
import { otlpJson } from '@tidegate/shared/tracing/otlp-json.js';
import type { FinishedSpan } from '@tidegate/shared/tracing/span.js';
import { expect, test } from 'vitest';

const SPAN: FinishedSpan = {
  context: { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), sampled: true, state: 'v=1' },
  parentSpanId: 'c'.repeat(16),
  name: 'run',
  kind: 'server',
  startMs: 1_790_000_000_000.25,
  endMs: 1_790_000_000_001.5,
  attributes: { text: 'é', whole: 2, part: 0.5, yes: true, nothing: undefined },
  events: [{ atMs: 1_790_000_000_001, name: 'step' }],
  links: [
    { traceId: 'd'.repeat(32), spanId: 'e'.repeat(16), sampled: true, state: undefined },
    { traceId: 'f'.repeat(32), spanId: '1'.repeat(16), sampled: true, state: 'v=2' },
  ],
  error: 'it broke',
};
const TELLER = { version: '1.2.3', attributes: { 'service.name': 'tidegate-agent' } };

const spanOf = (span: FinishedSpan): unknown => {
  const { resourceSpans } = JSON.parse(otlpJson([span], TELLER)) as {
    resourceSpans: { scopeSpans: { spans: unknown[] }[] }[];
  };
  return resourceSpans[0]?.scopeSpans[0]?.spans[0];
};

test('a span as ExportTraceServiceRequest has it', () => {
  expect(JSON.parse(otlpJson([SPAN], TELLER))).toEqual({
    resourceSpans: [
      {
        resource: { attributes: [{ key: 'service.name', value: { stringValue: 'tidegate-agent' } }] },
        scopeSpans: [{ scope: { name: 'tidegate', version: '1.2.3' }, spans: [spanOf(SPAN)] }],
      },
    ],
  });
  expect(spanOf(SPAN)).toEqual({
    traceId: 'a'.repeat(32),
    spanId: 'b'.repeat(16),
    traceState: 'v=1',
    parentSpanId: 'c'.repeat(16),
    flags: 1,
    name: 'run',
    kind: 2,
    startTimeUnixNano: '1790000000000250000',
    endTimeUnixNano: '1790000000001500000',
    attributes: [
      { key: 'text', value: { stringValue: 'é' } },
      { key: 'whole', value: { intValue: '2' } },
      { key: 'part', value: { doubleValue: 0.5 } },
      { key: 'yes', value: { boolValue: true } },
    ],
    events: [{ timeUnixNano: '1790000000001000000', name: 'step' }],
    links: [
      { traceId: 'd'.repeat(32), spanId: 'e'.repeat(16), flags: 1 },
      { traceId: 'f'.repeat(32), spanId: '1'.repeat(16), traceState: 'v=2', flags: 1 },
    ],
    status: { code: 2, message: 'it broke' },
  });
});

test('a root that did well says neither parent nor status, nor links where it has none', () => {
  const { context } = SPAN;
  const root = {
    ...SPAN,
    context: { ...context, state: undefined },
    parentSpanId: undefined,
    links: [],
    error: undefined,
  };
  const told = spanOf(root) as object;
  for (const absent of ['parentSpanId', 'status', 'traceState', 'links']) expect(told).not.toHaveProperty(absent);
});

test('long text is cut, and half a character replaced', () => {
  const told = spanOf({ ...SPAN, name: 'x'.repeat(5000), attributes: { broken: '\ud800' } });
  expect(told).toMatchObject({ name: `${'x'.repeat(1024)}…`, attributes: [{ value: { stringValue: '\ufffd' } }] });
});
