import { connect } from 'node:net';
import { gunzipSync, gzipSync, deflateSync, inflateSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';
import { ServingError, type ServingErrorCode } from '@tidegate/shared/serving/serving-error.js';
import { startOipServer, type OipServer } from '../../../support/oip-server.js';

let server: OipServer;
beforeAll(async () => {
  server = await startOipServer({ bodyBytesMax: 1 << 20, jsonBytesMax: 1 << 18, bodiesBytesMax: 4 << 20 });
});
afterAll(() => server.close());

type Json = Record<string, unknown>;
interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly json: Json;
  readonly binary: Buffer;
}

async function call(path: string, body?: string | Buffer, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await fetch(
    server.url + path,
    body === undefined ? { headers } : { method: 'POST', body: body as string, headers },
  );
  const whole = Buffer.from(await response.arrayBuffer());
  const jsonBytes = Number(response.headers.get('inference-header-content-length') ?? whole.byteLength);
  const json = JSON.parse(whole.subarray(0, jsonBytes).toString()) as Json;
  return { status: response.status, headers: response.headers, json, binary: whole.subarray(jsonBytes) };
}

const fp32 = (data: unknown, extra: Json = {}): string =>
  JSON.stringify({ inputs: [{ name: 'INPUT0', datatype: 'FP32', shape: [2], data }], ...extra });

const GOOD = fp32([1, 2]);
const inferFp32 = (body: string | Buffer, headers?: Record<string, string>): Promise<Answer> =>
  call('/v2/models/echo-fp32/infer', body, headers);

/** After each refusal a good request must work. */
async function refused(answer: Promise<Answer>, status: number, field: string, text: RegExp | string): Promise<void> {
  const { status: got, json, headers } = await answer;
  expect(Object.keys(json)).toEqual(['error']);
  expect(json['error']).toMatch(text);
  expect(got).toBe(status);
  expect(headers.get('content-type')).toBe('application/json');
  expect(headers.get('tidegate-error-field') ?? '').toBe(field);
  expect((await inferFp32(GOOD)).status).toBe(200);
}

function withBinary(json: Json, ...parts: ArrayBufferView[]): { body: Buffer; headers: Record<string, string> } {
  const text = Buffer.from(JSON.stringify(json));
  return {
    body: Buffer.concat([text, ...parts.map(bytesOf)]),
    headers: { 'inference-header-content-length': String(text.byteLength) },
  };
}

describe('health and metadata', () => {
  test('server', async () => {
    expect((await call('/v2')).json).toMatchObject({
      name: 'echo',
      version: '0.0.1',
      extensions: expect.arrayContaining(['binary_tensor_data', 'schedule_policy']),
    });
    expect((await call('/v2/health/live')).json).toEqual({ live: true });
    expect((await call('/v2/health/ready?verbose=1')).json).toEqual({ ready: true });
  });

  test('not ready', async () => {
    server.service.isReady = false;
    const answers = [
      await call('/v2/health/ready'),
      await call('/v2/models/matrix/ready'),
      await call('/v2/health/live'),
    ];
    server.service.isReady = true;
    expect(answers.map(({ status }) => status)).toEqual([503, 503, 200]);
    expect(answers[0]?.json).toMatchObject({ ready: false });
  });

  test('model', async () => {
    expect((await call('/v2/models/matrix')).json).toEqual({
      name: 'matrix',
      versions: ['1', '2'],
      platform: 'tidegate_echo',
      inputs: [{ name: 'X', datatype: 'FP32', shape: [-1, 4] }],
      outputs: [{ name: 'X', datatype: 'FP32', shape: [-1, 4] }],
    });
    expect((await call('/v2/models/echo-two')).json).not.toHaveProperty('inner');
    expect((await call('/v2/models/matrix/versions/2/ready')).json).toEqual({ name: 'matrix', ready: true });
    expect((await call('/v2/models/%6datrix/versions/1')).status).toBe(200);
  });

  test('repository index', async () => {
    const { json } = await call('/v2/repository/index', '');
    expect(json).toContainEqual({ name: 'matrix', version: '1', state: 'READY', reason: '' });
  });

  test('unknown models, versions, paths and methods', async () => {
    await refused(call('/v2/models/nosuch'), 404, 'model', /no model "nosuch"/);
    await refused(call('/v2/models/matrix/versions/7/ready'), 404, 'version', /no version 7/);
    await refused(call('/v2/models/matrix/versions/v1'), 400, 'version', /expected digits, got "v1"/);
    await refused(call('/v2/nothing'), 404, 'path', /no such path/);
    await refused(call('/v2/models/a%2'), 404, 'path', /no such path/);
    await refused(call('/v2/models/nosuch/infer', GOOD), 404, 'model', /no model/);
    await refused(call('/v2/models/echo-fp32/infer'), 405, '', /GET is not allowed here, POST is/);
    await refused(call('/v2/health/live', ''), 405, '', /POST is not allowed here, GET is/);
  });

  test('other paths are left to others', async () => {
    expect(await (await fetch(`${server.url}/v20`)).text()).toBe('another route');
    expect(await (await fetch(`${server.url}/`)).text()).toBe('another route');
  });
});

describe('inference', () => {
  test('JSON in and out, with the id and where it came from', async () => {
    const { status, json, headers } = await inferFp32(fp32([1, 2.5], { id: 'a"1' }));
    expect(status).toBe(200);
    expect(headers.get('content-type')).toBe('application/json');
    expect(json).toEqual({
      model_name: 'echo-fp32',
      model_version: '1',
      id: 'a"1',
      parameters: {
        placement: 'edge',
        reason: 'echoed — on the device',
        model_digest: `sha256:${'a'.repeat(64)}`,
        variant: 'fp32',
        variant_digest: `sha256:${'b'.repeat(64)}`,
        queue_us: 12,
        compute_us: 34,
        confidence: 0.5,
      },
      outputs: [{ name: 'OUTPUT0', datatype: 'FP32', shape: [2], data: [1, 2.5] }],
    });
    expect(headers.get('tidegate-placement')).toBe('edge');
    expect(headers.get('tidegate-reason')).toBe('echoed ? on the device');
    expect(headers.get('tidegate-variant-digest')).toBe(`sha256:${'b'.repeat(64)}`);
  });

  test('binary in and out, aligned for typed arrays', async () => {
    const data = new Float32Array([1, -2]);
    const input = { name: 'INPUT0', datatype: 'FP32', shape: [2], parameters: { binary_data_size: 8 } };
    for (const id of ['', 'x', 'xx', 'xxx']) {
      const { body, headers } = withBinary({ id, inputs: [input], parameters: { binary_data_output: true } }, data);
      const answer = await inferFp32(body, headers);
      expect(answer.headers.get('content-type')).toBe('application/octet-stream');
      expect(answer.json['outputs']).toEqual([
        { name: 'OUTPUT0', datatype: 'FP32', shape: [2], parameters: { binary_data_size: 8 } },
      ]);
      expect(answer.binary).toEqual(Buffer.from(data.buffer));
      expect(server.service.requests.at(-1)?.inputs[0]?.data.byteOffset).toSatisfy((at: number) => at % 8 === 0);
    }
  });

  test('mixed, in another order, one output of two', async () => {
    const text = Buffer.from('\x01\0\0\0a\x02\0\0\0bc', 'latin1');
    const inputs = [
      { name: 'NUMBERS', datatype: 'INT64', shape: [1], data: [7] },
      { name: 'TEXT', datatype: 'BYTES', shape: [1, 2], parameters: { binary_data_size: text.byteLength } },
    ];
    const outputs = [{ name: 'NUMBERS', parameters: { binary_data: false } }];
    const { body, headers } = withBinary({ inputs, outputs }, text);
    const answer = await call('/v2/models/echo-two/versions/2/infer', body, headers);
    expect(answer.json).toMatchObject({ model_version: '2', outputs: [{ name: 'NUMBERS' }] });
    expect(server.service.requests.at(-1)).toMatchObject({ version: '2', outputs: ['NUMBERS'] });
  });

  test('binary_data_output holds for listed outputs that say nothing themselves', async () => {
    const body = fp32([1, 2], { outputs: [{ name: 'OUTPUT0' }], parameters: { binary_data_output: true } });
    expect((await inferFp32(body)).binary).toEqual(Buffer.from(new Float32Array([1, 2]).buffer));
  });

  test('an output without elements states its binary size', async () => {
    const json = { inputs: [{ name: 'X', datatype: 'FP32', shape: [0], data: [] }] };
    const body = JSON.stringify({ ...json, parameters: { binary_data_output: true } });
    const answer = await call('/v2/models/empty/infer', body);
    expect(answer.json['outputs']).toEqual([
      { name: 'Y', datatype: 'FP32', shape: [0], parameters: { binary_data_size: 0 } },
    ]);
    expect(answer.headers.get('inference-header-content-length')).not.toBeNull();
  });

  test('INT64 beyond 2^53 keeps every digit', async () => {
    const body =
      '{"inputs":[{"name":"INPUT0","datatype":"INT64","shape":[2],"data":[9007199254740993,-9223372036854775808]}]}';
    const response = await fetch(`${server.url}/v2/models/echo-int64/infer`, { method: 'POST', body });
    expect(await response.text()).toContain('"data":[9007199254740993,-9223372036854775808]');
  });

  test('a raw body is the one input', async () => {
    const raw = { 'inference-header-content-length': '0' };
    const numbers = await call('/v2/models/matrix/infer', Buffer.from(new Float32Array(8).buffer), raw);
    expect(numbers.json['outputs']).toMatchObject([{ shape: [2, 4] }]);
    await call('/v2/models/echo-bytes/infer', Buffer.from('picture'), raw);
    const sent = server.service.requests.at(-1)?.inputs[0];
    expect(sent?.shape).toEqual([1]);
    expect(Buffer.from(sent?.data ?? []).toString('latin1')).toBe('\x07\0\0\0picture');
    await refused(call('/v2/models/matrix/infer', Buffer.alloc(20), raw), 400, 'body', /20 bytes don't fill FP32/);
    await refused(
      call('/v2/models/echo-two/infer', Buffer.alloc(8), raw),
      400,
      'Inference-Header-Content-Length',
      /needs a model with one input/,
    );
  });

  test('what a request may say', async () => {
    const parameters = {
      timeout: 2_000_000,
      priority: 1,
      placement: 'local',
      cache: 'bypass',
      max_staleness_ms: 5,
      lang: 'x',
    };
    const before = performance.now();
    await inferFp32(fp32([1, 2], { parameters }));
    const request = server.service.requests.at(-1);
    expect(request).toMatchObject({
      priority: 1,
      placement: 'local',
      cache: 'bypass',
      maxStalenessMs: 5,
      parameters: { lang: 'x' },
    });
    expect(request?.deadlineMs).toBeGreaterThanOrEqual(before + 2000);
    expect(request?.deadlineMs).toBeLessThan(before + 3000);
    await inferFp32(GOOD, {
      'tidegate-placement': 'hub',
      'tidegate-max-staleness-ms': '9',
      'tidegate-timeout': '1000000',
    });
    expect(server.service.requests.at(-1)).toMatchObject({ placement: 'hub', maxStalenessMs: 9 });
  });

  test('tags for the cache: a bounded list, as a parameter or a header', async () => {
    await inferFp32(fp32([1, 2], { parameters: { cache_tags: 'shop:12, camera-3,shop:12' } }));
    expect(server.service.requests.at(-1)).toMatchObject({ cacheTags: ['camera-3', 'shop:12'], parameters: {} });
    await inferFp32(GOOD, { 'tidegate-cache-tags': '7' });
    expect(server.service.requests.at(-1)?.cacheTags).toEqual(['7']);
    for (const wrong of ['a,,b', 'no space', 'x'.repeat(65), 'a,b,c,d,e,f,g,h,i', true]) {
      const asked = inferFp32(fp32([1, 2], { parameters: { cache_tags: wrong } }));
      await refused(asked, 400, 'parameters.cache_tags', /1 to 8 tags/);
    }
  });

  test('a pipeline may be entered inside', async () => {
    const json = {
      inputs: [{ name: 'INNER', datatype: 'FP32', shape: [1], data: [1] }],
      outputs: [{ name: 'NUMBERS' }],
    };
    const { status } = await call('/v2/models/echo-two/infer', JSON.stringify(json));
    expect(status).toBe(500); // the echo has no second input to give; what counts is that the check let it through
    expect(server.service.requests.at(-1)?.inputs[0]?.name).toBe('INNER');
  });
});

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
      /expected auto, local, hub; got "moon"/,
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
      ['forbidden', 403],
      ['hub-unavailable', 503],
      ['failed', 500],
    ];
    for (const [code, status] of cases) {
      server.service.nextError = new ServingError(code, 'because', { field: 'f', retryAfterMs: 1200 });
      const answer = await inferFp32(GOOD);
      expect(answer.status).toBe(status);
      expect(answer.json).toEqual({ error: 'because' });
      expect(answer.headers.get('tidegate-error')).toBe(code);
      expect(answer.headers.get('retry-after')).toBe('2');
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

describe('compression', () => {
  test.each(['gzip', 'deflate'] as const)('%s in and out', async (coding) => {
    const values = Array.from({ length: 2000 }, (_, i) => i % 7);
    const body = JSON.stringify({ inputs: [{ name: 'INPUT0', datatype: 'FP32', shape: [2000], data: values }] });
    const packed = coding === 'gzip' ? gzipSync(body) : deflateSync(body);
    const headers = { 'content-encoding': coding, 'accept-encoding': coding };
    const response = await fetch(`${server.url}/v2/models/echo-fp32/infer`, { method: 'POST', body: packed, headers });
    expect(response.status).toBe(200);
    expect(response.headers.get('content-encoding')).toBe(coding);
    expect(Number(response.headers.get('content-length'))).toBeLessThan(2000);
    expect(await response.json()).toMatchObject({ outputs: [{ data: values }] });
  });

  test('the JSON length counts before compression, in binary requests and answers', async () => {
    const data = new Float32Array(1000).fill(3);
    const input = { name: 'INPUT0', datatype: 'FP32', shape: [1000], parameters: { binary_data_size: 4000 } };
    const { body, headers } = withBinary({ inputs: [input], parameters: { binary_data_output: true } }, data);
    const answer = await inferFp32(gzipSync(body), {
      ...headers,
      'content-encoding': 'gzip',
      'accept-encoding': 'gzip',
    });
    expect(answer.headers.get('content-encoding')).toBe('gzip');
    expect(answer.binary).toEqual(Buffer.from(data.buffer));
  });

  test('a bomb is cut off', async () => {
    const bomb = gzipSync(Buffer.alloc(64 << 20));
    expect(bomb.byteLength).toBeLessThan(1 << 17);
    await refused(inferFp32(bomb, { 'content-encoding': 'gzip' }), 413, 'body', /larger than the 262144 bytes/);
    const binary = { 'content-encoding': 'gzip', 'inference-header-content-length': '10' };
    await refused(inferFp32(bomb, binary), 413, 'body', /larger than the 1048576 bytes/);
  });

  test('a bomb of many members costs the limit, not its size', async () => {
    const member = gzipSync(Buffer.alloc(16 << 20));
    const bomb = Buffer.concat(Array.from({ length: 64 }, () => member)); // 1 GiB
    const headers = { 'content-encoding': 'gzip', 'inference-header-content-length': '10' };
    const before = process.memoryUsage().rss;
    await refused(inferFp32(bomb.subarray(0, 1 << 20), headers), 413, 'body', /it is larger than the 1048576 bytes/);
    expect(process.memoryUsage().rss - before).toBeLessThan(100 << 20);
  });

  test('broken, truncated and unknown encodings', async () => {
    const gzip = { 'content-encoding': 'gzip' };
    await refused(inferFp32(Buffer.from('nonsense'), gzip), 400, 'body', /not valid gzip data/);
    await refused(inferFp32(gzipSync(GOOD).subarray(0, 30), gzip), 400, 'body', /not valid gzip data/);
    await refused(inferFp32(GOOD, { 'content-encoding': 'br' }), 400, 'Content-Encoding', /expected gzip, deflate/);
    expect(gunzipSync(gzipSync('x')).toString() + inflateSync(deflateSync('y')).toString()).toBe('xy');
  });
});

describe('the connection', () => {
  test('a client that goes away aborts its request', async () => {
    const waiting = server.service.waiting();
    const body = JSON.stringify({ inputs: [{ name: 'X', datatype: 'FP32', shape: [0], data: [] }] });
    const socket = connect(server.http.port, '127.0.0.1');
    socket.write(`POST /v2/models/slow/infer HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    await waiting;
    const signal = server.service.signals.at(-1) as AbortSignal;
    const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    socket.destroy();
    await aborted;
    expect(signal.reason).toMatchObject({ code: 'cancelled' });
    expect((await inferFp32(GOOD)).status).toBe(200);
  });

  /** All that comes back over one connection for `bytes`. */
  function exchange(bytes: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connect(server.http.port, '127.0.0.1');
      let received = '';
      socket.on('data', (chunk) => (received += chunk.toString()));
      socket.on('close', () => resolve(received));
      socket.on('error', reject);
      socket.write(bytes);
    });
  }
  const post = (id: string, header = ''): string => {
    const body = fp32([1, 2], { id });
    const head = `POST /v2/models/echo-fp32/infer HTTP/1.1\r\nHost: x\r\n${header}Content-Length: ${body.length}`;
    return `${head}\r\n\r\n${body}`;
  };
  const LAST = 'Connection: close\r\n';

  test('requests sent ahead on one connection are answered in their order', async () => {
    const text = await exchange(post('first') + post('second') + post('third', LAST));
    expect([...text.matchAll(/"id":"(\w+)"/g)].map((match) => match[1])).toEqual(['first', 'second', 'third']);
  });

  test('a refusal keeps the connection, whether its body was read or not', async () => {
    const get = 'GET /v2/models/nosuch HTTP/1.1\r\nHost: x\r\n\r\n';
    const unread = post('unread', 'Inference-Header-Content-Length: x\r\n');
    const read = post('read', 'tidegate-cache: maybe\r\n');
    const text = await exchange(get + unread + read + post('good', LAST));
    expect([...text.matchAll(/HTTP\/1.1 (\d+)/g)].map((match) => match[1])).toEqual(['404', '400', '400', '200']);
  });

  test('a truncated body leaves nothing behind', async () => {
    const socket = connect(server.http.port, '127.0.0.1');
    socket.write(`POST /v2/models/echo-fp32/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n{`);
    socket.on('error', () => undefined); // a reset is as good an end as a close
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    socket.end();
    socket.resume();
    await closed;
    for (let i = 0; i < 12; i++) expect((await inferFp32(GOOD)).status).toBe(200);
    expect(server.handler.inFlight()).toBe(0);
  });

  test('all bodies together are bounded, and what a client holds is given back', async () => {
    const sockets = Array.from({ length: 4 }, () => connect(server.http.port, '127.0.0.1'));
    const head = `POST /v2/models/echo-fp32/infer HTTP/1.1\r\nHost: x\r\nInference-Header-Content-Length: 9\r\nContent-Length: ${1 << 20}\r\n\r\n{`;
    await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.write(head, resolve))));
    await expect.poll(async () => (await inferFp32(GOOD)).status).toBe(503);
    const full = await inferFp32(GOOD);
    expect(full.headers.get('tidegate-error')).toBe('queue-full');
    expect(full.headers.get('retry-after')).toBe('1');
    for (const socket of sockets) socket.destroy();
    await expect.poll(async () => (await inferFp32(GOOD)).status).toBe(200);
  });

  test('a draining server finishes what it accepted and refuses the rest', async () => {
    const own = await startOipServer();
    const waiting = own.service.waiting();
    const body = JSON.stringify({ inputs: [{ name: 'X', datatype: 'FP32', shape: [0], data: [] }] });
    const slow = fetch(`${own.url}/v2/models/slow/infer`, { method: 'POST', body });
    await waiting;
    own.handler.drain();
    const refusal = await fetch(`${own.url}/v2/models/echo-fp32/infer`, { method: 'POST', body: GOOD });
    expect(refusal.status).toBe(503);
    expect(refusal.headers.get('tidegate-error')).toBe('not-ready');
    await refusal.text();
    expect((await fetch(`${own.url}/v2/health/ready`)).status).toBe(503);
    const closed = own.close();
    own.service.release();
    expect((await slow).status).toBe(200);
    await closed;
    await expect(fetch(`${own.url}/v2/health/live`)).rejects.toThrow();
  });
});
