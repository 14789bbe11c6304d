// One service behind both protocols: the same request gives the same tensors, bit for bit, and the same refusal.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createInferClient, type InferClient } from '@tidegate/shared/serving/http/infer-client.js';
import type { InferRequest } from '@tidegate/shared/serving/inference-service.js';
import type { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { DATATYPES, ELEMENT_SIZE_BYTES } from '@tidegate/shared/tensor/datatype.js';
import type { NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { startOipGrpcServer, type OipGrpcServer } from '../support/oip-grpc-server.js';
import { startOipServer, type OipServer } from '../support/oip-server.js';

let grpc: OipGrpcServer;
let http: OipServer;
let client: InferClient;
beforeAll(async () => {
  grpc = await startOipGrpcServer();
  http = await startOipServer();
  client = createInferClient({ url: http.url, clock: systemClock, answerBytesMax: 1 << 24 });
});
afterAll(async () => {
  await client.close();
  await Promise.all([grpc.close(), http.close()]);
});

function request(model: string, inputs: readonly NamedTensor[], outputs: readonly string[] = []): InferRequest {
  const unsaid = { version: undefined, id: 'same', deadlineMs: 0, maxStalenessMs: undefined, parameters: { mine: 1 } };
  return { ...unsaid, model, inputs, outputs, priority: 2, placement: 'local', cache: 'bypass' };
}

function message({ model, id, inputs, outputs }: InferRequest): Record<string, unknown> {
  return {
    model_name: model,
    id,
    inputs: inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape })),
    raw_input_contents: inputs.map(({ data }) => data),
    outputs: outputs.map((name) => ({ name })),
    parameters: {
      mine: { int64_param: 1 },
      priority: { uint64_param: 2 },
      placement: { string_param: 'local' },
      cache: { string_param: 'bypass' },
    },
  };
}

const bits = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 37) % 251);

describe.each(DATATYPES)('%s', (datatype) => {
  const size = ELEMENT_SIZE_BYTES[datatype];
  const data = datatype === 'BYTES' ? encodeBytes([bits(3), bits(0), bits(70_000)]) : bits(3 * size);
  const input: NamedTensor = { name: 'INPUT0', datatype, shape: [3], data };

  test('the same bytes, and the service was asked the same', async () => {
    const asked = request(`echo-${datatype.toLowerCase()}`, [input]);
    const overHttp = await client.infer(asked, 10_000, new AbortController().signal);
    const { answer: overGrpc } = await grpc.client.call('ModelInfer', message(asked), { deadlineMs: 10_000 });
    expect(overGrpc['outputs']).toMatchObject([{ name: 'OUTPUT0', datatype, shape: ['3'] }]);
    expect(overHttp.outputs.map((output) => Buffer.from(output.data))).toEqual(overGrpc['raw_output_contents']);
    expect(Buffer.from(overHttp.outputs[0]?.data ?? [])).toEqual(Buffer.from(data));
    const said = (service: OipServer['service']) => {
      const { deadlineMs: _deadline, inputs, ...rest } = service.requests.at(-1) as InferRequest;
      return { ...rest, inputs: inputs.map((one) => ({ ...one, data: Buffer.from(one.data) })) };
    };
    expect(said(grpc.service)).toEqual(said(http.service));
  });
});

test.each([
  ['an unknown model', request('nosuch', [{ name: 'X', datatype: 'FP32', shape: [1], data: bits(4) }])],
  ['a wrong name', request('echo-fp32', [{ name: 'X', datatype: 'FP32', shape: [1], data: bits(4) }])],
  ['a wrong datatype', request('echo-fp32', [{ name: 'INPUT0', datatype: 'INT32', shape: [1], data: bits(4) }])],
  ['a wrong rank', request('echo-fp32', [{ name: 'INPUT0', datatype: 'FP32', shape: [1, 1], data: bits(4) }])],
  ['an unknown output', request('echo-fp32', [{ name: 'INPUT0', datatype: 'FP32', shape: [1], data: bits(4) }], ['Y'])],
])('%s: the same refusal', async (_name, asked) => {
  const overHttp = await client.infer(asked, 10_000, new AbortController().signal).then(
    () => undefined,
    (error: ServingError) => error,
  );
  const overGrpc = (await grpc.client.refusal('ModelInfer', message(asked))).metadata.getMap();
  expect(overHttp).toMatchObject({ code: overGrpc['tidegate-error'], field: overGrpc['tidegate-error-field'] });
});
