// Triton's extensions over gRPC, held against what HTTP says of the same model.
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';
import { startOipGrpcServer, type OipGrpcServer } from '../../../support/oip-grpc-server.js';
import { startOipServer, type OipServer } from '../../../support/oip-server.js';

let grpc: OipGrpcServer;
let http: OipServer;
beforeAll(async () => {
  grpc = await startOipGrpcServer();
  http = await startOipServer();
});
afterAll(async () => {
  await Promise.all([grpc.close(), http.close()]);
});

type Json = Record<string, unknown>;
const overHttp = async (path: string, body?: object): Promise<Json> => {
  const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
  return (await (await fetch(http.url + path, init)).json()) as Json;
};

const MATRIX = [1, 2, 3, 0, 4, 4, 5, 6];
const matrix = (output: Json = {}): Json => ({
  model_name: 'matrix',
  inputs: [{ name: 'X', datatype: 'FP32', shape: [2, 4] }],
  raw_input_contents: [bytesOf(Float32Array.from(MATRIX))],
  outputs: [{ name: 'X', ...output }],
});

/** Numbers as HTTP gives them, for what came as text of 64 bits; without what protobuf adds for fields that nobody set. */
function plain(value: unknown): unknown {
  if (typeof value === 'string') return /^-?[0-9]+$/.test(value) ? Number(value) : value;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [name, name === 'version' ? each : plain(each)]),
  );
}

test('the server names what it offers', async () => {
  const { answer } = await grpc.client.call('ServerMetadata', {});
  const extensions = ['binary_tensor_data', 'classification', 'schedule_policy', 'model_repository'];
  expect(answer['extensions']).toEqual([...extensions, 'model_configuration', 'statistics', 'sequence', 'logging']);
});

test.each(['matrix', 'echo-two', 'echo-bf16', 'counter'])('the configuration of %s is HTTP’s', async (name) => {
  const { answer } = await grpc.client.call('ModelConfig', { name });
  const config = plain(answer['config']) as Json;
  for (const choice of ['dynamic_batching', 'sequence_batching']) if (config[choice] === null) delete config[choice];
  const wanted = await overHttp(`/v2/models/${name}/config`);
  expect(config).toEqual(wanted);
});

describe('statistics', () => {
  test('are HTTP’s but for the times, of one model or of all', async () => {
    await grpc.client.call('ModelInfer', matrix());
    const input = { name: 'X', datatype: 'FP32', shape: [2, 4], data: MATRIX };
    await overHttp('/v2/models/matrix/infer', { inputs: [input] });
    const counts = (value: unknown): unknown =>
      JSON.parse(JSON.stringify(value, (key, each: unknown) => (key === 'ns' || key === 'last_inference' ? 0 : each)));
    const { answer } = await grpc.client.call('ModelStatistics', { name: 'matrix' });
    const { model_stats: wanted } = (await overHttp('/v2/models/matrix/stats')) as { model_stats: Json[] };
    for (const each of wanted) {
      delete each['memory_usage']; // nothing over HTTP either
      delete each['response_stats'];
    }
    expect(counts(plain(answer['model_stats']))).toEqual(counts(wanted));
    const [matrixStats] = answer['model_stats'] as Json[];
    expect(matrixStats).toMatchObject({ inference_count: '2' });
    expect(Math.abs(Number(matrixStats?.['last_inference']) - Date.now())).toBeLessThan(60_000);
    const all = (await grpc.client.call('ModelStatistics', {})).answer['model_stats'] as Json[];
    expect(all.map(({ name }) => name)).toContain('echo-two');
    expect((await grpc.client.refusal('ModelStatistics', { name: 'nosuch' })).code).toBe(status.NOT_FOUND);
  });
});

describe('the model repository', () => {
  test('loads and unloads, and says who may not', async () => {
    await grpc.client.call('RepositoryModelLoad', { model_name: 'matrix' });
    const parameters = { unload_dependents: { bool_param: false } };
    await grpc.client.call('RepositoryModelUnload', { model_name: 'matrix', parameters });
    expect(grpc.service.changes).toEqual(['load matrix', 'unload matrix']);
    const refused = await grpc.client.refusal('RepositoryModelLoad', { model_name: 'not-yours' });
    expect([refused.code, refused.details]).toEqual([status.PERMISSION_DENIED, 'the hub decides']);
  });

  test('refuses parameters, and a model without a name', async () => {
    const parameters = { config: { string_param: '{}' } };
    const refused = await grpc.client.refusal('RepositoryModelLoad', { model_name: 'matrix', parameters });
    expect([refused.code, refused.details]).toEqual([
      status.INVALID_ARGUMENT,
      'parameters.config: not offered: a model is what its files say',
    ]);
    const dependents = { unload_dependents: { bool_param: true } };
    const unload = await grpc.client.refusal('RepositoryModelUnload', { model_name: 'matrix', parameters: dependents });
    expect(unload.code).toBe(status.INVALID_ARGUMENT);
    expect((await grpc.client.refusal('RepositoryModelLoad', {})).details).toMatch(/^model_name: /);
  });
});

test('an output as its greatest classes', async () => {
  const { answer } = await grpc.client.call(
    'ModelInfer',
    matrix({ parameters: { classification: { int64_param: 2 } } }),
  );
  expect(answer['outputs']).toMatchObject([{ name: 'X', datatype: 'BYTES', shape: ['2', '2'] }]);
  const texts = decodeBytes(answer['raw_output_contents'][0])?.map((text) => Buffer.from(text).toString());
  expect(texts).toEqual(['3.000000:2:south', '2.000000:1:east', '6.000000:3:west', '5.000000:2:south']);
  const wrong = matrix({ parameters: { classification: { string_param: 'two' } } });
  expect((await grpc.client.refusal('ModelInfer', wrong)).details).toMatch(/^outputs\[0\]\.parameters\.classification/);
});
