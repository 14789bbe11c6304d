// Triton's extensions through a real HTTP server around the echo service.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { startOipServer, type OipServer } from '../../../support/oip-server.js';

let server: OipServer;
beforeAll(async () => {
  server = await startOipServer();
});
afterAll(() => server.close());

interface Answer {
  readonly status: number;
  readonly code: string | null;
  readonly json: Record<string, unknown>;
}

async function call(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Answer> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const response = await fetch(server.url + path, text === undefined ? { method } : { method: 'POST', body: text });
  const json = (await response.json()) as Record<string, unknown>;
  return { status: response.status, code: response.headers.get('tidegate-error'), json };
}
const get = (path: string): Promise<Answer> => call('GET', path);
const post = (path: string, body?: unknown): Promise<Answer> => call('POST', path, body);

const matrix = (rows: number, extra: object = {}, output: object = {}): object => ({
  inputs: [{ name: 'X', datatype: 'FP32', shape: [rows, 4], data: Array.from({ length: rows * 4 }, (_, i) => i % 3) }],
  outputs: [{ name: 'X', ...output }],
  ...extra,
});

interface Stats {
  readonly name: string;
  readonly version: string;
  readonly last_inference: number;
  readonly inference_count: number;
  readonly inference_stats: Record<string, { count: number; ns: number }>;
}
const statsOf = async (path: string): Promise<Stats[]> => (await get(path)).json['model_stats'] as Stats[];

test('the server names what it offers', async () => {
  const extensions = ['binary_tensor_data', 'classification', 'schedule_policy', 'model_repository'];
  extensions.push('model_configuration', 'statistics', 'sequence', 'generate', 'logging', 'system_shared_memory');
  expect((await get('/v2')).json['extensions']).toEqual(extensions);
});

describe('statistics', () => {
  test('count rows, successes and failures of one model', async () => {
    const zero = await statsOf('/v2/models/matrix/stats');
    expect(zero).toMatchObject([{ name: 'matrix', version: '1', inference_count: 0, last_inference: 0 }]);
    await post('/v2/models/matrix/infer', matrix(3));
    await post('/v2/models/matrix/infer', matrix(2));
    server.service.nextError = new Error('a bug');
    expect((await post('/v2/models/matrix/infer', matrix(1))).status).toBe(500);
    const [stats] = await statsOf('/v2/models/matrix/versions/1/stats');
    expect(stats).toMatchObject({
      inference_count: 5,
      inference_stats: {
        success: { count: 2 },
        fail: { count: 1 },
        queue: { count: 2, ns: 24_000 },
        compute_infer: { count: 2, ns: 68_800 },
        compute_input: { count: 2, ns: 0 },
        cache_miss: { count: 2 },
        cache_hit: { count: 0 },
      },
    });
    expect(stats?.inference_stats['success']?.ns).toBeGreaterThan(0);
    expect(Math.abs((stats?.last_inference ?? 0) - Date.now())).toBeLessThan(60_000);
  });

  test('of all models; of one that is not here', async () => {
    expect((await statsOf('/v2/models/stats')).map(({ name }) => name)).toContain('echo-two');
    expect(await get('/v2/models/nosuch/stats')).toMatchObject({ status: 404, code: 'not-found' });
    expect(await get('/v2/models/matrix/versions/9/stats')).toMatchObject({ status: 404 });
    await post('/v2/models/nosuch/infer', matrix(1));
    expect((await statsOf('/v2/models/stats')).map(({ name }) => name)).not.toContain('nosuch');
  });
});

test('the configuration of a model', async () => {
  const { json } = await get('/v2/models/matrix/config');
  expect(json).toMatchObject({ name: 'matrix', max_batch_size: 4, input: [{ data_type: 'TYPE_FP32', dims: [4] }] });
  expect((await get('/v2/models/matrix/versions/2/config')).json).toMatchObject({
    version_policy: { specific: { versions: [2] } },
  });
  expect((await get('/v2/models/nosuch/config')).status).toBe(404);
  expect(await post('/v2/models/matrix/config')).toMatchObject({ status: 405 });
});

describe('the model repository', () => {
  test('index, whole or of what is ready', async () => {
    const names = async (body?: object): Promise<number> =>
      ((await post('/v2/repository/index', body)).json as unknown as unknown[]).length;
    const all = await names();
    expect(all).toBeGreaterThan(10);
    server.service.isReady = false;
    expect(await names({ ready: true })).toBe(0);
    expect(await names({ ready: false })).toBe(all);
    server.service.isReady = true;
    expect(await post('/v2/repository/index', { ready: 'yes' })).toMatchObject({ status: 400 });
    expect(await post('/v2/repository/index', '[')).toMatchObject({ status: 400 });
  });

  test('load and unload reach the service; who decides is told', async () => {
    expect(await post('/v2/repository/models/a%20b/load', {})).toMatchObject({ status: 200, json: {} });
    const unload = { parameters: { unload_dependents: false } };
    expect(await post('/v2/repository/models/matrix/unload', unload)).toMatchObject({ status: 200 });
    expect(server.service.changes).toEqual(['load a b', 'unload matrix']);
    const refused = await post('/v2/repository/models/not-yours/load');
    expect(refused).toMatchObject({ status: 403, json: { error: 'the hub decides' } });
    const config = { parameters: { config: '{}' } };
    expect((await post('/v2/repository/models/matrix/load', config)).json['error']).toMatch(/^parameters.config: /);
    expect(await get('/v2/repository/models/matrix/load')).toMatchObject({ status: 405 });
    const large = { parameters: { 'file:1/model.onnx': 'x'.repeat(100_000) } };
    expect(await post('/v2/repository/models/matrix/load', large)).toMatchObject({ status: 413 });
  });
});

describe('classification', () => {
  test('the greatest of each row, with labels', async () => {
    const { json } = await post('/v2/models/matrix/infer', matrix(2, {}, { parameters: { classification: 2 } }));
    expect(json['outputs']).toEqual([
      {
        name: 'X',
        datatype: 'BYTES',
        shape: [2, 2],
        data: ['2.000000:2:south', '1.000000:1:east', '2.000000:1:east', '1.000000:0:north'],
      },
    ]);
  });

  test('as binary, beside a plain output', async () => {
    const output = { parameters: { classification: 1, binary_data: true } };
    const response = await fetch(`${server.url}/v2/models/matrix/infer`, {
      method: 'POST',
      body: JSON.stringify(matrix(1, {}, output)),
    });
    const whole = Buffer.from(await response.arrayBuffer());
    const binary = whole.subarray(Number(response.headers.get('inference-header-content-length')));
    expect(decodeBytes(binary)?.map((one) => Buffer.from(one).toString())).toEqual(['2.000000:2:south']);
  });

  test.each([-1, 1.5, 'two'])('%j classes are refused', async (classification) => {
    const { status, json } = await post('/v2/models/matrix/infer', matrix(1, {}, { parameters: { classification } }));
    expect(status).toBe(400);
    expect(json['error']).toMatch(/^outputs\[0\].parameters.classification: /);
  });
});

describe('settings', () => {
  test('of the log are shown, changed, and refused by name', async () => {
    expect((await get('/v2/logging')).json).toMatchObject({ log_info: true, log_verbose_level: 0 });
    expect((await post('/v2/logging', { log_verbose_level: 1 })).json).toMatchObject({ log_verbose_level: 1 });
    expect(server.logControl.level).toBe('debug');
    expect((await post('/v2/logging', { log_file: 'x' })).json['error']).toMatch(/^log_file: /);
    expect(server.logControl.level).toBe('debug');
  });

  test('of traces are off, for the server and for a model', async () => {
    expect((await get('/v2/trace/setting')).json).toMatchObject({ trace_level: ['OFF'] });
    expect((await get('/v2/models/matrix/trace/setting')).json).toMatchObject({ trace_level: ['OFF'] });
    expect((await get('/v2/models/nosuch/trace/setting')).status).toBe(404);
    expect(await post('/v2/trace/setting', { trace_level: ['TIMESTAMPS'] })).toMatchObject({ status: 400 });
  });
});

describe('what is not offered', () => {
  test('CUDA shared memory, by its name', async () => {
    for (const path of ['/v2/cudasharedmemory/status', '/v2/cudasharedmemory/region/a/status']) {
      expect(await get(path)).toMatchObject({ status: 501, json: { error: expect.stringMatching(/^path: CUDA/) } });
    }
    expect(await post('/v2/cudasharedmemory/region/a/register', {})).toMatchObject({ status: 501 });
    for (const path of ['/v2/cudasharedmemory/unregister', '/v2/cudasharedmemory/region/a/unregister']) {
      expect(await post(path, {})).toMatchObject({ status: 200, json: {} }); // Triton's examples begin with it
    }
  });
});

test('sequences: a number of 64 bits is the one that was sent, and 0 is none', async () => {
  const { requests } = server.service;
  const asked = async (id: string): Promise<unknown> => {
    const body = JSON.stringify(matrix(1)).replace(/^{/, `{"parameters":{"sequence_id":${id},"sequence_start":true},`);
    expect(await post('/v2/models/matrix/infer', body)).toMatchObject({ status: 200 });
    return requests.at(-1)?.sequence;
  };
  expect(await asked('9007199254740993')).toEqual({ id: '9007199254740993', start: true, end: false });
  expect(await asked('18446744073709551615')).toMatchObject({ id: '18446744073709551615' });
  expect(await asked('"cam"')).toMatchObject({ id: '"cam"' });
});
