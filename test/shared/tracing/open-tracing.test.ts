import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { SERVER_SETTINGS } from '@tidegate/shared/system/server-settings.js';
import { readSettings } from '@tidegate/shared/system/settings.js';
import { openTracing } from '@tidegate/shared/tracing/open-tracing.js';
import { expect, test } from 'vitest';
import { OtlpReceiver } from '../../support/otlp-receiver.js';

const PARTS = { service: 'tidegate-test', version: '1', clock: systemClock, log: silentLog };
const settings = (flags: Readonly<Record<string, string>>) =>
  readSettings(SERVER_SETTINGS, { flags, environment: { TIDEGATE_OTLP_HEADERS: 'x-key=secret' } });

test('without an endpoint there is none', async () => {
  expect(await openTracing(settings({ traceSample: '1' }), PARTS)).toBeUndefined();
});

test('what waits is sent when it is closed, by the settings', async () => {
  const receiver = await OtlpReceiver.start();
  const tracing = await openTracing(settings({ otlpEndpoint: receiver.url, traceSample: '0' }), PARTS);
  expect(tracing?.tracer.begin(undefined, 'unsampled', {}).span).toBeUndefined();
  const parent = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), sampled: true, state: undefined };
  tracing?.tracer.begin(parent, 'asked for', {}).span?.end();
  await tracing?.close();
  expect(tracing?.counts).toEqual({ exported: 1, dropped: 0, failed: 0 });
  expect(receiver.spans).toMatchObject([{ service: 'tidegate-test', name: 'asked for' }]);
  expect(receiver.requests[0]?.headers['x-key']).toBe('secret');
  await receiver.close();
});

test('a wrong setting is named', () => {
  expect(() => settings({ otlpEndpoint: 'collector:4318' })).toThrow(/--otlp-endpoint: "collector:4318"/);
  expect(() => settings({ traceSample: '2' })).toThrow(/--trace-sample: "2" is not allowed; allowed: a number from 0/);
  expect(() => settings({ otlpHeaders: 'secret' })).toThrow(/--otlp-headers: \(hidden\)/);
});
