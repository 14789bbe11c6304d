import { seededRandom } from '@tidegate/shared/system/random.js';
import { LIMIT_EVENTS, LIMIT_LINKS, Tracer, type FinishedSpan } from '@tidegate/shared/tracing/span.js';
import { expect, test } from 'vitest';
import { ManualClock } from '../../support/manual-clock.js';

const PARENT = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), sampled: true, state: 'x=1' };

function setUp(ratio = 1) {
  const clock = new ManualClock(1_000_000);
  const told: FinishedSpan[] = [];
  const tracer = new Tracer(ratio, { clock, random: seededRandom(7), take: (span) => void told.push(span) });
  return { clock, told, tracer };
}

test('a child names its parent, and both the trace of the caller', () => {
  const { clock, told, tracer } = setUp();
  const { context, span } = tracer.begin(PARENT, 'outer', { kind: 'server', attributes: { a: 1 } });
  clock.advance(5);
  const inner = span?.child('inner', { kind: 'client' });
  clock.advance(2);
  inner?.end();
  span?.set({ b: true });
  span?.end({ attributes: { a: 2 }, error: 'broke' });
  const [first, second] = told;
  expect(first).toMatchObject({ name: 'inner', kind: 'client', parentSpanId: context.spanId });
  expect(first).toMatchObject({ startMs: 1_000_005, endMs: 1_000_007, error: undefined });
  expect(second).toMatchObject({ name: 'outer', parentSpanId: PARENT.spanId, startMs: 1_000_000, endMs: 1_000_007 });
  expect(second).toMatchObject({ attributes: { a: 2, b: true }, error: 'broke' });
  expect(told.map((span) => span.context.traceId)).toEqual([PARENT.traceId, PARENT.traceId]);
  expect(told.map((span) => span.context.state)).toEqual(['x=1', 'x=1']);
  expect(new Set([PARENT.spanId, ...told.map((span) => span.context.spanId)]).size).toBe(3);
});

test('without a caller a trace begins, with identifiers of its own', () => {
  const { told, tracer } = setUp();
  for (let i = 0; i < 100; i++) tracer.begin(undefined, 'root', {}).span?.end();
  expect(told.every(({ parentSpanId }) => parentSpanId === undefined)).toBe(true);
  expect(told.every(({ context }) => /^[0-9a-f]{32}$/.test(context.traceId))).toBe(true);
  expect(told.every(({ context }) => /^[0-9a-f]{16}$/.test(context.spanId))).toBe(true);
  expect(new Set(told.map(({ context }) => context.traceId)).size).toBe(100);
});

test('the ratio decides for traces that begin here, the caller for its own', () => {
  const sampled = (ratio: number): number => {
    const { tracer } = setUp(ratio);
    return Array.from({ length: 1000 }, () => tracer.begin(undefined, '', {})).filter(({ span }) => span).length;
  };
  expect([sampled(0), sampled(1)]).toEqual([0, 1000]);
  expect(sampled(0.25)).toBeGreaterThan(200);
  expect(sampled(0.25)).toBeLessThan(300);
  expect(setUp(0).tracer.begin(PARENT, '', {}).span).toBeDefined();
  const refused = setUp(1).tracer.begin({ ...PARENT, sampled: false }, '', {});
  expect(refused).toMatchObject({ context: { traceId: PARENT.traceId, sampled: false }, span: undefined });
});

test('ends once, begins no earlier than its parent, and keeps its length when the wall clock jumps', () => {
  const { clock, told, tracer } = setUp();
  clock.advance(10);
  const { span } = tracer.begin(undefined, 'root', {});
  span?.child('early', { startMs: 3 }).end({ endMs: 4 });
  clock.setWall(5);
  clock.advance(1);
  span?.end();
  span?.end({ error: 'twice' });
  expect(told).toHaveLength(2);
  expect(told[0]).toMatchObject({ startMs: 1_000_010, endMs: 1_000_010 });
  expect(told[1]).toMatchObject({ startMs: 1_000_010, endMs: 1_000_011, error: undefined });
});

test('keeps a bounded number of events', () => {
  const { clock, told, tracer } = setUp();
  const { span } = tracer.begin(undefined, 'root', {});
  clock.advance(1);
  for (let i = 0; i < LIMIT_EVENTS + 5; i++) span?.event(`step ${i}`);
  span?.end();
  expect(told[0]?.events).toHaveLength(LIMIT_EVENTS);
  expect(told[0]?.events[0]).toEqual({ atMs: 1_000_001, name: 'step 0' });
});

test('keeps a bounded number of links, in their order', () => {
  const { told, tracer } = setUp();
  const links = Array.from({ length: LIMIT_LINKS + 5 }, (_, i) => ({ ...PARENT, spanId: String(i).padStart(16, '0') }));
  tracer.begin(undefined, 'root', { links }).span?.end();
  tracer.begin(undefined, 'alone', {}).span?.end();
  expect(told.map((span) => span.links)).toEqual([links.slice(0, LIMIT_LINKS), []]);
});
