import type { InferRequest } from '@tidegate/shared/serving/inference-service.js';
import { inferTraced, inTrace, OVER_HTTP, requestTrace, traceRun } from '@tidegate/shared/serving/request-trace.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { seededRandom } from '@tidegate/shared/system/random.js';
import { tensor } from '@tidegate/shared/tensor/tensor.js';
import { Tracer, type FinishedSpan } from '@tidegate/shared/tracing/span.js';
import { beforeEach, expect, test } from 'vitest';
import { EchoService } from '../../support/echo-service.js';
import { ManualClock } from '../../support/manual-clock.js';

const TRACEPARENT = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
let clock: ManualClock;
let told: FinishedSpan[];
let tracer: Tracer;

beforeEach(() => {
  clock = new ManualClock(0);
  told = [];
  tracer = new Tracer(1, { clock, random: seededRandom(3), take: (span) => void told.push(span) });
});

test('a request is a span under its caller, with what was asked and answered', async () => {
  const trace = requestTrace(tracer, { traceparent: TRACEPARENT }, OVER_HTTP.infer, 0);
  const request: InferRequest = {
    model: 'echo-uint8',
    version: undefined,
    id: 'order-4711',
    inputs: [tensor('INPUT0', 'UINT8', [1], Uint8Array.of(1))],
    outputs: [],
    deadlineMs: 100,
    priority: 0,
    placement: 'auto',
    cache: 'use',
    maxStalenessMs: undefined,
    parameters: {},
    ...(trace && { trace }),
  };
  clock.advance(4);
  const { signal } = new AbortController();
  const answer = await inTrace(trace, OVER_HTTP.infer, () => inferTraced(new EchoService(), request, signal));
  expect(answer.model).toBe('echo-uint8');
  expect(told).toMatchObject([
    {
      name: 'POST /v2/models/{model}/infer',
      kind: 'server',
      parentSpanId: 'b'.repeat(16),
      startMs: 0,
      endMs: 4,
      error: undefined,
      attributes: {
        'http.response.status_code': 200,
        'tidegate.request.id': 'order-4711',
        'tidegate.model.name': 'echo-uint8',
        'tidegate.model.version': '1',
        'tidegate.placement': 'edge',
        'tidegate.queue_us': 12,
      },
    },
  ]);
});

test('a refusal is an error only where the server failed', async () => {
  const end = async (error: Error): Promise<void> => {
    const trace = requestTrace(tracer, {}, OVER_HTTP.infer, 0);
    const work = async (): Promise<never> => {
      throw error;
    };
    await expect(inTrace(trace, OVER_HTTP.infer, work)).rejects.toBe(error);
  };
  await end(new ServingError('invalid-argument', 'inputs[0]: no'));
  await end(new ServingError('queue-full', 'too many'));
  await end(new TypeError('a path of ours'));
  expect(told.map(({ attributes, error }) => [attributes['http.response.status_code'], error])).toEqual([
    [400, undefined],
    [503, 'too many'],
    [500, 'internal error'],
  ]);
  expect(told.map(({ attributes }) => attributes['error.type'])).toEqual(['invalid-argument', 'queue-full', 'failed']);
});

test('without a tracer nothing is recorded, and what the caller brought is passed on', () => {
  expect(requestTrace(undefined, {}, OVER_HTTP.infer, 0)).toBeUndefined();
  expect(requestTrace(undefined, { traceparent: TRACEPARENT }, OVER_HTTP.infer, 0)).toEqual({
    context: { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), sampled: true, state: undefined },
    span: undefined,
  });
});

test('a run is its wait and its batch, one after the other', () => {
  const trace = requestTrace(tracer, {}, OVER_HTTP.infer, 0);
  clock.advance(10);
  if (trace?.span !== undefined)
    traceRun(trace.span, { graph: 'm.onnx', queueUs: 2000, computeUs: 3000, rows: 1, batchRows: 8, traces: [] });
  expect(told).toMatchObject([
    { name: 'queue', startMs: 5, endMs: 7, attributes: { 'tidegate.graph': 'm.onnx' } },
    { name: 'run', startMs: 7, endMs: 10, attributes: { 'tidegate.rows': 1, 'tidegate.batch.rows': 8 } },
  ]);
});

test('a run that others shared has a link to the request of each of them, once, and none to its own', () => {
  const traces = [1, 2, 3].map(() => requestTrace(tracer, {}, OVER_HTTP.infer, 0));
  const [own, second, third] = traces.flatMap((trace) => trace?.context ?? []);
  const span = traces[0]?.span;
  if (!own || !second || !third || !span) throw new Error('all are recorded');
  const run = { graph: 'm.onnx', queueUs: 0, computeUs: 0, rows: 2, batchRows: 4 };
  traceRun(span, { ...run, traces: [own, second, own, third, second] });
  traceRun(span, { ...run, traces: [own] });
  const links = told.filter(({ name }) => name === 'run').map((each) => each.links);
  expect(links).toEqual([[second, third], []]);
  expect(told.filter(({ name }) => name === 'queue').every((each) => each.links.length === 0)).toBe(true);
});
