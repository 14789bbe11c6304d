// Against a real receiver; time is the test's, and moves only when it says so.
import { seededRandom } from '@tidegate/shared/system/random.js';
import {
  BATCH_SPANS,
  EXPORT_EVERY_MS,
  LIMIT_WAITING_SPANS,
  OtlpExporter,
} from '@tidegate/shared/tracing/otlp-exporter.js';
import { Tracer } from '@tidegate/shared/tracing/span.js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../support/manual-clock.js';
import { OtlpReceiver } from '../../support/otlp-receiver.js';
import { recordedLog } from '../../support/recorded-log.js';

let receiver: OtlpReceiver;
let clock: ManualClock;
let log: ReturnType<typeof recordedLog>;
let exporter: OtlpExporter;

beforeEach(async () => {
  receiver = await OtlpReceiver.start();
  clock = new ManualClock();
  log = recordedLog();
  exporter = open(receiver.url);
});
afterEach(async () => {
  await exporter.close(1000);
  await receiver.close();
});

function open(endpoint: string): OtlpExporter {
  const teller = { version: '1', attributes: { 'service.name': 'test' } };
  const headers = { authorization: 'Bearer secret' };
  return new OtlpExporter({ endpoint, headers, teller }, { clock, random: seededRandom(1), log });
}

function add(count: number): void {
  const tracer = new Tracer(1, { clock, random: seededRandom(2), take: (span) => exporter.add(span) });
  for (let i = 0; i < count; i++) tracer.begin(undefined, `span ${i}`, {}).span?.end();
}

/** Lets the clock go on, and waits for the request that this makes go out. */
async function answeredAfter(ms: number): Promise<void> {
  const answered = receiver.nextRequest();
  clock.advance(ms);
  await answered;
}

/** Resolves when an attempt has failed and the next one is set. */
async function attempted(times: number): Promise<void> {
  await expect.poll(() => log.lines.length).toBe(times);
  await expect.poll(() => clock.timerCount).toBe(1);
}

test('sends what came within some seconds in one request, with its headers', async () => {
  add(2);
  clock.advance(EXPORT_EVERY_MS - 1);
  add(1);
  expect(receiver.requests).toHaveLength(0);
  await answeredAfter(1);
  expect(receiver.requests).toMatchObject([
    { url: '/v1/traces', headers: { authorization: 'Bearer secret', 'content-type': 'application/json' } },
  ]);
  expect(receiver.spans.map(({ name, service }) => `${service} ${name}`)).toEqual([
    'test span 0',
    'test span 1',
    'test span 0',
  ]);
  await expect.poll(() => exporter.counts).toEqual({ exported: 3, dropped: 0, failed: 0 });
});

test('takes the whole address too', async () => {
  exporter = open(`${receiver.url}/v1/traces/`);
  add(1);
  await answeredAfter(EXPORT_EVERY_MS);
  expect(receiver.requests[0]?.url).toBe('/v1/traces');
});

test('a full batch goes at once, and what waits is bounded: more is dropped and counted', async () => {
  add(LIMIT_WAITING_SPANS + 10);
  expect(exporter.counts.dropped).toBe(10);
  await answeredAfter(0);
  expect(receiver.spans).toHaveLength(BATCH_SPANS);
  await exporter.close(1000);
  expect(exporter.counts).toEqual({ exported: LIMIT_WAITING_SPANS, dropped: 10, failed: 0 });
  expect(receiver.spans).toHaveLength(LIMIT_WAITING_SPANS);
});

test('tries again, with growing waits, while the receiver has no time', async () => {
  receiver.answers.push({ status: 503, body: 'busy' }, { status: 429, body: 'slower' });
  add(1);
  await answeredAfter(EXPORT_EVERY_MS);
  await attempted(1);
  await answeredAfter(1000);
  await attempted(2);
  await answeredAfter(2000);
  await expect.poll(() => exporter.counts).toEqual({ exported: 1, dropped: 0, failed: 0 });
  expect(log.lines.map(({ fields }) => fields['why'])).toEqual(['it answered 503: busy', 'it answered 429: slower']);
});

test('gives up what is refused, and counts what the receiver did not take', async () => {
  receiver.answers.push({ status: 400, body: 'no' }, { status: 200, body: '{"partialSuccess":{"rejectedSpans":"2"}}' });
  add(3);
  await answeredAfter(EXPORT_EVERY_MS);
  await expect.poll(() => exporter.counts).toEqual({ exported: 0, dropped: 0, failed: 3 });
  add(3);
  await answeredAfter(EXPORT_EVERY_MS);
  await expect.poll(() => exporter.counts).toEqual({ exported: 1, dropped: 0, failed: 5 });
});

test('a receiver that is gone is given up in the end, and is no reason to wait at the end', async () => {
  await receiver.close();
  add(1);
  clock.advance(EXPORT_EVERY_MS);
  for (let tries = 1; tries < 6; tries++) {
    await attempted(tries);
    clock.advance(30_000);
  }
  await expect.poll(() => exporter.counts).toEqual({ exported: 0, dropped: 0, failed: 1 });
  add(2);
  await exporter.close(1000);
  expect(exporter.counts).toEqual({ exported: 0, dropped: 2, failed: 1 });
  add(1);
  expect(exporter.counts.dropped).toBe(3);
});
