// Requests that are wrong: refused by the field, and a good one works after each.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ServingError, type ServingErrorCode } from '@tidegate/shared/serving/serving-error.js';
import { fp32, GOOD, oipCaller, SMALL_LIMITS, withBinary, type Json } from '../../../support/oip-caller.js';
import { startOipServer, type OipServer } from '../../../support/oip-server.js';

let server: OipServer;
beforeAll(async () => {
  server = await startOipServer(SMALL_LIMITS);
});
afterAll(() => server.close());
const { call, inferFp32, refused } = oipCaller(() => server);

describe('refusals', () => {
  const input = { name: 'INPUT0', datatype: 'FP32', shape: [2], data: [1, 2] };
  const one = (extra: Json): string => JSON.stringify({ inputs: [{ ...input, ...extra }] });

  test.each<[string, string, string, RegExp]>([
    ['no JSON', '{', 'body', /^body: not valid JSON/],
    ['NaN', '{"inputs":[{"data":[1,NaN]}]}', 'body', /NaN is not JSON: send such values as binary data/],
    ['an array', '[]', 'body', /expected an object, got an array/],
    ['no inputs', '{}', 'inputs', /expected an array, got nothing/],
    ['empty inputs', '{"inputs":[]}', 'inputs', /at least one/],
    ['null input', '{"inputs":[null]}', 'inputs[0]', /expected an object, got null/],
    ['no name', one({ name: 5 }), 'inputs[0].name', /expected a string, got 5/],
    ['wrong name', one({ name: 'X' }), 'inputs[0].name', /no input "X"; it has "INPUT0"/],
    ['no datatype', one({ datatype: 'FLOAT' }), 'inputs[0].datatype', /"FLOAT" is no datatype/],
    ['wrong datatype', one({ datatype: 'FP64' }), 'inputs[0].datatype', /takes FP32, got FP64/],
    ['FP16 in JSON', one({ datatype: 'FP16' }), 'inputs[0].data', /FP16 has no JSON form/],
    ['no shape', one({ shape: 'x' }), 'inputs[0].shape', /expected an array/],
    ['negative shape', one({ shape: [-1] }), 'inputs[0].shape[0]', /expected a whole number >= 0, got -1/],
    [
      'overflow',
      one({ shape: [2 ** 31, 2 ** 31] }),
      'inputs[0].shape',
      /product of \[2147483648,2147483648\] overflows/,
    ],
    ['2^62', one({ shape: [4611686018427387904] }), 'inputs[0].shape[0]', /expected a whole number/],
    ['wrong rank', one({ shape: [2, 1] }), 'inputs[0].shape', /takes \[-1\] \(-1 = any\), got \[2,1\]/],
    ['few data', one({ data: [1] }), 'inputs[0].data', /1 elements, the shape \[2\] takes 2/],
    ['wrong element', one({ data: [1, 'x'] }), 'inputs[0].data[1]', /expected a number, got "x"/],
    ['no data', one({ data: undefined }), 'inputs[0].data', /neither data nor binary_data_size/],
    [
      'binary without a header',
      one({ data: undefined, parameters: { binary_data_size: 8 } }),
      'inputs[0].parameters.binary_data_size',
      /says 8 bytes of binary data, but 0 are left/,
    ],
    ['both', one({ parameters: { binary_data_size: 0 } }), 'inputs[0].data', /one of them only/],
    [
      'shared memory',
      one({ parameters: { shared_memory_region: 'r' } }),
      'inputs[0].parameters.shared_memory_byte_size',
      /expected a number of bytes/,
    ],
    ['twice', JSON.stringify({ inputs: [input, input] }), 'inputs[1].name', /given twice/],
    [
      'unknown output',
      fp32([1, 2], { outputs: [{ name: 'X' }] }),
      'outputs[0].name',
      /no output "X"; it has "OUTPUT0"/,
    ],
    [
      'classes',
      fp32([1, 2], { outputs: [{ name: 'OUTPUT0', parameters: { classification: -3 } }] }),
      'outputs[0].parameters.classification',
      /expected a number of classes, got -3/,
    ],
    ['id', fp32([1, 2], { id: 5 }), 'id', /expected a string, got 5/],
    [
      'timeout',
      fp32([1, 2], { parameters: { timeout: -1 } }),
      'parameters.timeout',
      /expected a whole number >= 0, got -1/,
    ],
    [
      'placement',
      fp32([1, 2], { parameters: { placement: 'moon' } }),
      'parameters.placement',
      /expected auto, local, hub, split; got "moon"/,
    ],
    [
      'a nested parameter',
      fp32([1, 2], { parameters: { a: {} } }),
      'parameters.a',
      /expected a string, number or boolean/,
    ],
  ])('%s', async (_, body, field, text) => {
    await refused(inferFp32(body), 400, field, text);
  });

  test('a missing input', async () => {
    const body = JSON.stringify({ inputs: [{ name: 'NUMBERS', datatype: 'INT64', shape: [0], data: [] }] });
    await refused(call('/v2/models/echo-two/infer', body), 400, 'inputs', /the input "TEXT" is missing/);
  });

  test('binary sections that are truncated, surplus, or of the wrong size', async () => {
    const declared = (size: number): Json => ({
      inputs: [{ ...input, data: undefined, parameters: { binary_data_size: size } }],
    });
    const field = 'inputs[0].parameters.binary_data_size';
    const truncated = withBinary(declared(8), new Uint8Array(7));
    await refused(
      inferFp32(truncated.body, truncated.headers),
      400,
      field,
      /says 8 bytes of binary data, but 7 are left/,
    );
    const surplus = withBinary(declared(8), new Uint8Array(9));
    await refused(inferFp32(surplus.body, surplus.headers), 400, 'body', /1 bytes of binary data are left over/);
    const wrong = withBinary(declared(9), new Uint8Array(9));
    await refused(inferFp32(wrong.body, wrong.headers), 400, field, /9 bytes, FP32 of shape \[2\] takes 8/);
    const header = 'Inference-Header-Content-Length';
    await refused(inferFp32(GOOD, { [header]: '99999' }), 400, header, /says 99999 bytes of JSON, but the body has/);
    await refused(inferFp32(GOOD, { [header]: '-1' }), 400, header, /expected a number of bytes/);
    const bytes = withBinary(
      { inputs: [{ name: 'INPUT0', datatype: 'BYTES', shape: [1], parameters: { binary_data_size: 5 } }] },
      new Uint8Array([9, 0, 0, 0, 1]),
    );
    await refused(call('/v2/models/echo-bytes/infer', bytes.body, bytes.headers), 400, field, /runs past the end/);
    await refused(inferFp32(Buffer.from([0x7b, 0xff])), 400, 'body', /not UTF-8/);
  });

  test('bodies beyond the limits', async () => {
    const binary = { 'inference-header-content-length': '10' };
    await refused(inferFp32(Buffer.alloc(2 << 20), binary), 413, 'body', /2097152 is larger than the 1048576 bytes/);
    const hint = /larger than the 262144 bytes .* all JSON \(send large tensors as binary data\)/;
    await refused(inferFp32(Buffer.alloc(1 << 19, 0x20)), 413, 'body', hint);
    const stated = { 'inference-header-content-length': String(1 << 19) };
    await refused(
      inferFp32(Buffer.alloc(1 << 19, 0x20), stated),
      413,
      'body',
      /524288 bytes of JSON, more than 262144/,
    );
  });

  test('a body of unstated length beyond the limit', async () => {
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(1 << 16)),
    });
    const answer = fetch(`${server.url}/v2/models/echo-fp32/infer`, { method: 'POST', body: endless, duplex: 'half' });
    const status = await answer.then(
      (response) => response.status,
      () => 'cut', // the server stops reading an endless body; the client may see that before the answer
    );
    expect([413, 'cut']).toContain(status);
    expect((await inferFp32(GOOD)).status).toBe(200);
  });

  test('errors of the service keep their status, code, field and retry time', async () => {
    const cases: [ServingErrorCode, number][] = [
      ['deadline-exceeded', 504],
      ['would-miss-deadline', 503],
      ['queue-full', 503],
      ['rate-limited', 429],
      ['forbidden', 403],
      ['hub-unavailable', 503],
      ['failed', 500],
    ];
    for (const [code, status] of cases) {
      server.service.nextError = new ServingError(code, 'because', { field: 'f', retryAfterMs: 1200 });
      const answer = await inferFp32(GOOD);
      expect(answer.status).toBe(status);
      expect(answer.json).toEqual({ error: 'f: because' });
      expect(answer.headers.get('tidegate-error')).toBe(code);
      expect(answer.headers.get('retry-after')).toBe('2');
      expect(server.refused.at(-1)).toBe(code);
    }
    const bug = await call(
      '/v2/models/broken/infer',
      JSON.stringify({ inputs: [{ name: 'X', datatype: 'FP32', shape: [0], data: [] }] }),
    );
    expect(bug).toMatchObject({ status: 500, json: { error: 'internal error' } });
  });

  test('an output that JSON cannot carry', async () => {
    const data = new Float32Array([Number.NaN, 1]);
    const json = { inputs: [{ ...input, data: undefined, parameters: { binary_data_size: 8 } }] };
    const { body, headers } = withBinary(json, data);
    await refused(inferFp32(body, headers), 400, 'outputs[0].data[0]', /NaN has no JSON form.*\(output "OUTPUT0"\)/);
  });
});
