// Triton's generate extension over HTTP: as one answer and as a stream of events, and all that infer promises held by it too.
import { request } from 'node:http';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { oipCaller, SMALL_LIMITS } from '../../../support/oip-caller.js';
import { startOipServer, type OipServer } from '../../../support/oip-server.js';

let server: OipServer;
beforeAll(async () => {
  server = await startOipServer(SMALL_LIMITS);
});
afterAll(() => server.close());
const { call, refused } = oipCaller(() => server);

const GENERATE = '/v2/models/echo-bytes/generate';
const STREAM = '/v2/models/echo-bytes/generate_stream';

test('text in, text out, with the id and where it came from', async () => {
  const { status, headers, json } = await call(GENERATE, '{"id":"42","INPUT0":"hello","temperature":0}');
  expect(status).toBe(200);
  expect(headers.get('content-type')).toBe('application/json');
  expect(headers.get('tidegate-placement')).toBe('edge');
  expect(json).toMatchObject({
    id: '42',
    model_name: 'echo-bytes',
    model_version: '1',
    parameters: { placement: 'edge', compute_us: 34 },
    OUTPUT0: 'hello',
  });
  expect(server.service.requests.at(-1)).toMatchObject({ outputs: [], parameters: { temperature: 0 } });
  const { json: ofVersion } = await call('/v2/models/echo-bytes/versions/2/generate', '{"INPUT0":["a","b"]}');
  expect(ofVersion).toMatchObject({ model_version: '2', OUTPUT0: ['a', 'b'] });
  expect(ofVersion).not.toHaveProperty('id');
});

test('as a stream it is one event, which any reader of server-sent events takes', async () => {
  const response = await fetch(server.url + STREAM, { method: 'POST', body: '{"INPUT0":"two\\nlines"}' });
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
  expect(response.headers.get('cache-control')).toBe('no-cache');
  expect(response.headers.get('tidegate-placement')).toBe('edge');
  const [event = '', ...rest] = (await response.text()).split('\n\n');
  expect(rest).toEqual(['']);
  expect(event.startsWith('data: ')).toBe(true);
  expect(JSON.parse(event.slice('data: '.length))).toMatchObject({ OUTPUT0: 'two\nlines' });
});

test('what a request may say holds: as a field, as a parameter, as a header', async () => {
  const before = performance.now();
  await call(GENERATE, '{"INPUT0":"x","timeout":2000000,"parameters":{"cache":"bypass"}}', {
    'tidegate-priority': '1',
  });
  const asked = server.service.requests.at(-1);
  expect(asked).toMatchObject({ priority: 1, cache: 'bypass', parameters: {} });
  expect(asked?.deadlineMs).toBeGreaterThanOrEqual(before + 2000);
  expect(asked?.deadlineMs).toBeLessThan(before + 3000);
});

describe.each([
  ['generate', GENERATE],
  ['generate_stream', STREAM],
])('%s refuses', (word, path) => {
  test('with a status and JSON, whatever is wrong', async () => {
    await refused(call(path, '{"INPUT0":1}'), 400, 'INPUT0', /expected a string, got 1/);
    await refused(call(path, '{}'), 400, 'INPUT0', /missing; the model takes "INPUT0"/);
    await refused(call(path, ''), 400, 'INPUT0', /missing/);
    await refused(call(path, '{"INPUT0":'), 400, 'body', /not valid JSON/);
    await refused(call(`/v2/models/nosuch/${word}`, '{"INPUT0":"x"}'), 404, 'model', /no model "nosuch"/);
    await refused(call(`/v2/models/matrix/versions/x/${word}`, '{}'), 400, 'version', /expected digits/);
    await refused(call(path), 405, '', /GET is not allowed here, POST is/);
    await refused(call(`/v2/models/broken/${word}`, '{"X":1}'), 500, '', /internal error/);
    const stated = { 'inference-header-content-length': '5' };
    await refused(call(path, '{"INPUT0":"x"}', stated), 400, 'Inference-Header-Content-Length', /all JSON/);
    const large = JSON.stringify({ INPUT0: 'x'.repeat(1 << 18) });
    await refused(call(path, large), 413, 'body', /larger than the 262144 bytes/);
    await refused(call(path, gzipSync(large), { 'content-encoding': 'gzip' }), 413, 'body', /larger than the 262144/);
  });

  test('before its deadline, with the time to come again, and says so to the metrics', async () => {
    server.service.nextError = new ServingError('queue-full', 'too many', { retryAfterMs: 1500 });
    const { status, headers, json } = await call(path, '{"INPUT0":"x"}');
    expect([status, json]).toEqual([503, { error: 'too many' }]);
    expect(headers.get('retry-after')).toBe('2');
    expect(server.refused.at(-1)).toBe('queue-full');
  });

  test('what its client no longer waits for', async () => {
    const waiting = server.service.waiting();
    const asked = request(`${server.url}/v2/models/slow/${word}`, { method: 'POST' });
    asked.on('error', () => undefined);
    asked.end('{"X":1}');
    await waiting;
    const signal = server.service.signals.at(-1) as AbortSignal;
    const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    asked.destroy();
    await aborted;
    expect(signal.reason).toMatchObject({ code: 'cancelled' });
  });
});

test('it is among the extensions, and counted with the model’s statistics', async () => {
  expect((await call('/v2')).json['extensions']).toContain('generate');
  const counted = async (): Promise<number> => {
    const { json } = await call('/v2/models/matrix/stats');
    return (json['model_stats'] as { inference_stats: { success: { count: number } } }[])[0]?.inference_stats.success
      .count as number;
  };
  const before = await counted();
  await call('/v2/models/matrix/generate', '{"X":[1,2,3,4]}');
  expect(await counted()).toBe(before + 1);
});

test('every body is answered in the protocol’s form, and never by a 500', async () => {
  const model = fc.constantFrom('echo-fp32', 'echo-int64', 'echo-bytes', 'echo-bool', 'echo-two', 'matrix');
  const fields = fc.dictionary(
    fc.oneof(
      fc.constantFrom('INPUT0', 'TEXT', 'NUMBERS', 'X', 'id', 'timeout', 'sequence_id', 'parameters'),
      fc.string(),
    ),
    fc.oneof(
      fc.jsonValue({ maxDepth: 3 }),
      fc.array(fc.integer(), { maxLength: 8 }),
      fc.constantFrom(2 ** 53, -0, 1e40),
    ),
    { maxKeys: 5 },
  );
  const body = fc.oneof({ weight: 5, arbitrary: fields.map((value) => JSON.stringify(value)) }, fc.json(), fc.string());
  await fc.assert(
    fc.asyncProperty(model, body, fc.boolean(), async (name, text, streamed) => {
      const url = `${server.url}/v2/models/${name}/${streamed ? 'generate_stream' : 'generate'}`;
      const answer = await fetch(url, { method: 'POST', body: text, signal: AbortSignal.timeout(5000) });
      const whole = await answer.text();
      expect([200, 400]).toContain(answer.status);
      if (answer.status === 400) expect(JSON.parse(whole)).toEqual({ error: expect.stringMatching(/./) });
      else expect(JSON.parse(streamed ? whole.slice('data: '.length) : whole)).toHaveProperty('model_name', name);
    }),
    { numRuns: 150 },
  );
});
