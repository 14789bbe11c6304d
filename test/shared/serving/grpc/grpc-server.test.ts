import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';
import type { Datatype } from '@tidegate/shared/tensor/datatype.js';
import { ServingError, type ServingErrorCode } from '@tidegate/shared/serving/serving-error.js';
import { GrpcClient, type Answered, type CallOptions } from '../../../support/grpc-client.js';
import { startOipGrpcServer, type OipGrpcServer } from '../../../support/oip-grpc-server.js';

let server: OipGrpcServer;
beforeAll(async () => {
  server = await startOipGrpcServer({ bodyBytesMax: 1 << 20, bodiesBytesMax: 2 << 20 });
});
afterAll(() => server.close());

type Message = Record<string, unknown>;

function raw(datatype: Datatype, count: number, data: Uint8Array, more: Message = {}): Message {
  const input = { name: 'INPUT0', datatype, shape: [count] };
  return { model_name: `echo-${datatype.toLowerCase()}`, inputs: [input], raw_input_contents: [data], ...more };
}

function typed(datatype: Datatype, count: number, contents: Message, more: Message = {}): Message {
  const input = { name: 'INPUT0', datatype, shape: [count], contents };
  return { model_name: `echo-${datatype.toLowerCase()}`, inputs: [input], ...more };
}

const floats = (...values: number[]): Uint8Array => bytesOf(Float32Array.from(values));
const GOOD = raw('FP32', 2, floats(1, 2));
const SLOW = {
  model_name: 'slow',
  inputs: [{ name: 'X', datatype: 'FP32', shape: [1] }],
  raw_input_contents: [floats(1)],
};
const infer = (message: Message, options?: CallOptions): Promise<Answered> =>
  server.client.call('ModelInfer', message, options);

/** After each refusal a good request must work. */
async function refused(message: Message, code: status, field: string, text: RegExp | string): Promise<void> {
  const error = await server.client.refusal('ModelInfer', message);
  expect(error.details).toMatch(text);
  expect(error.code).toBe(code);
  expect(error.metadata.get('tidegate-error-field')[0] ?? '').toBe(field);
  expect(error.details.startsWith(field)).toBe(true);
  expect((await infer(GOOD)).answer['model_name']).toBe('echo-fp32');
}

const RAW: [Datatype, number, Uint8Array][] = [
  ['BOOL', 3, Uint8Array.of(1, 0, 1)],
  ['UINT8', 2, Uint8Array.of(0, 255)],
  ['UINT16', 2, bytesOf(Uint16Array.of(0, 65535))],
  ['UINT32', 2, bytesOf(Uint32Array.of(0, 4294967295))],
  ['UINT64', 2, bytesOf(BigUint64Array.of(0n, 2n ** 64n - 1n))],
  ['INT8', 2, bytesOf(Int8Array.of(-128, 127))],
  ['INT16', 2, bytesOf(Int16Array.of(-32768, 32767))],
  ['INT32', 2, bytesOf(Int32Array.of(-2147483648, 2147483647))],
  ['INT64', 2, bytesOf(BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n))],
  ['FP16', 2, bytesOf(Uint16Array.of(0x3c00, 0x7e00))],
  ['BF16', 2, bytesOf(Uint16Array.of(0x3f80, 0x7fc0))],
  ['FP32', 2, floats(Number.NaN, -0)],
  ['FP64', 2, bytesOf(Float64Array.of(Number.POSITIVE_INFINITY, 5e-324))],
  ['BYTES', 3, encodeBytes([Buffer.from(''), Buffer.from([0, 255]), Buffer.from('é')])],
];

describe('tensors', () => {
  test.each(RAW)('%s raw, also without elements', async (datatype, count, data) => {
    const { answer } = await infer(raw(datatype, count, data, { id: 'ü-1' }));
    expect(answer).toMatchObject({ model_name: `echo-${datatype.toLowerCase()}`, model_version: '1', id: 'ü-1' });
    expect(answer['outputs']).toMatchObject([{ name: 'OUTPUT0', datatype, shape: [String(count)] }]);
    expect(Buffer.concat(answer['raw_output_contents'])).toEqual(Buffer.from(data));
    const empty = (await infer(raw(datatype, 0, new Uint8Array()))).answer;
    expect(empty['raw_output_contents']).toEqual([Buffer.alloc(0)]);
    expect(empty['outputs']).toMatchObject([{ shape: ['0'] }]);
  });

  const TYPED: [Datatype, Message][] = [
    ['BOOL', { bool_contents: [true, false, true] }],
    ['UINT8', { uint_contents: [0, 255] }],
    ['UINT16', { uint_contents: [0, 65535] }],
    ['UINT32', { uint_contents: [0, 4294967295] }],
    ['UINT64', { uint64_contents: ['0', '18446744073709551615'] }],
    ['INT8', { int_contents: [-128, 127] }],
    ['INT16', { int_contents: [-32768, 32767] }],
    ['INT32', { int_contents: [-2147483648, 2147483647] }],
    ['INT64', { int64_contents: ['-9223372036854775808', '9223372036854775807'] }],
    ['FP32', { fp32_contents: [Number.NaN, -0] }],
    ['FP64', { fp64_contents: [Number.POSITIVE_INFINITY, 5e-324] }],
    ['BYTES', { bytes_contents: [Buffer.from(''), Buffer.from([0, 255]), Buffer.from('é')] }],
  ];

  test.each(TYPED)('%s typed gives the bytes of raw', async (datatype, contents) => {
    const [, count, data] = RAW.find(([name]) => name === datatype) as [Datatype, number, Uint8Array];
    const { answer } = await infer(typed(datatype, count, contents));
    expect(Buffer.concat(answer['raw_output_contents'])).toEqual(Buffer.from(data));
    expect((await infer(typed(datatype, 0, {}))).answer['raw_output_contents']).toEqual([Buffer.alloc(0)]);
  });

  test('outputs in the order that is asked for, and the model’s own where none is', async () => {
    const inputs = [
      { name: 'TEXT', datatype: 'BYTES', shape: [1, 2] },
      { name: 'NUMBERS', datatype: 'INT64', shape: [1] },
    ];
    const text = encodeBytes([Buffer.from('a'), Buffer.from('b')]);
    const number = bytesOf(BigInt64Array.of(7n));
    const message = { model_name: 'echo-two', inputs, raw_input_contents: [text, number] };
    const named = (await infer({ ...message, outputs: [{ name: 'NUMBERS' }, { name: 'TEXT' }] })).answer;
    expect(named['raw_output_contents']).toEqual([number, text].map((part) => Buffer.from(part)));
    expect((await infer(message)).answer['outputs']).toMatchObject([{ name: 'TEXT' }, { name: 'NUMBERS' }]);
  });

  test('an answer of a mebibyte', async () => {
    const data = Buffer.alloc((1 << 20) - 200, 7);
    const { answer } = await infer(raw('UINT8', data.byteLength, data));
    expect((answer['raw_output_contents'] as Buffer[])[0]?.equals(data)).toBe(true);
    expect(server.budget.usedBytes).toBe(0);
  });
});

describe('what is refused, by the field', () => {
  const INVALID = status.INVALID_ARGUMENT;
  const nothing = new Uint8Array();
  test.each<[string, Message, string, RegExp]>([
    ['no model', { ...GOOD, model_name: '' }, 'model_name', /expected a name/],
    ['a version that is no number', { ...GOOD, model_version: 'x' }, 'model_version', /digits/],
    ['no inputs', { model_name: 'echo-fp32' }, 'inputs', /at least one/],
    [
      'an unknown datatype',
      typed('FP32', 1, {}, { inputs: [{ name: 'INPUT0', datatype: 'FP8', shape: [1] }] }),
      'inputs[0].datatype',
      /"FP8" is no datatype/,
    ],
    ['a negative dimension', raw('FP32', -1, nothing), 'inputs[0].shape[0]', /-1/],
    [
      'a shape that overflows',
      raw('FP32', 1, nothing, { inputs: [{ name: 'INPUT0', datatype: 'FP32', shape: ['4611686018427387904'] }] }),
      'message',
      /passes 2\^53/,
    ],
    ['too few bytes', raw('FP32', 3, floats(1, 2)), 'raw_input_contents[0]', /8 bytes, FP32 of shape \[3\] takes 12/],
    [
      'raw data for one of two inputs',
      { ...GOOD, raw_input_contents: [nothing, nothing] },
      'raw_input_contents',
      /2 elements for 1 inputs/,
    ],
    [
      'raw and typed',
      typed('FP32', 1, { fp32_contents: [1] }, { raw_input_contents: [floats(1)] }),
      'inputs[0].contents',
      /one of them only/,
    ],
    [
      'the wrong typed contents',
      typed('FP32', 1, { fp64_contents: [1] }),
      'inputs[0].contents.fp64_contents',
      /FP32 takes fp32_contents/,
    ],
    [
      'too few typed elements',
      typed('INT64', 2, { int64_contents: [1] }),
      'inputs[0].contents.int64_contents',
      /1 elements, the shape takes 2/,
    ],
    [
      'a value out of range',
      typed('INT8', 1, { int_contents: [128] }),
      'inputs[0].contents.int_contents[0]',
      /128 is outside the range of INT8/,
    ],
    ['typed FP16', typed('FP16', 1, { fp32_contents: [1] }), 'inputs[0].contents', /no typed contents/],
    [
      'an input twice',
      {
        ...GOOD,
        inputs: [0, 0].map(() => ({ name: 'INPUT0', datatype: 'FP32', shape: [2] })),
        raw_input_contents: [floats(1, 2), floats(1, 2)],
      },
      'inputs[1].name',
      /given twice/,
    ],
    [
      'an unknown input',
      { ...GOOD, inputs: [{ name: 'x', datatype: 'FP32', shape: [2] }] },
      'inputs[0].name',
      /no input "x"/,
    ],
    ['an unknown output', { ...GOOD, outputs: [{ name: 'y' }] }, 'outputs[0].name', /no output "y"/],
    ['an output twice', { ...GOOD, outputs: [{ name: 'OUTPUT0' }, { name: 'OUTPUT0' }] }, 'outputs[1].name', /twice/],
    [
      'a wrong parameter',
      { ...GOOD, parameters: { placement: { string_param: 'moon' } } },
      'parameters.placement',
      /auto, local, hub, split/,
    ],
    [
      'a number beyond 2^53',
      { ...GOOD, parameters: { timeout: { uint64_param: '18446744073709551615' } } },
      'parameters.timeout',
      /whole number/,
    ],
  ])('%s', (_name, message, field, text) => refused(message, INVALID, field, text));

  test('a start of no sequence', () => {
    const message = { ...GOOD, parameters: { sequence_start: { bool_param: true } } };
    return refused(message, INVALID, 'parameters.sequence_start', /sequence_id is missing/);
  });

  test('an unknown model', () => refused({ ...GOOD, model_name: 'nosuch' }, status.NOT_FOUND, 'model', /nosuch/));

  test('a message over the limit', async () => {
    const error = await server.client.refusal('ModelInfer', raw('UINT8', 1 << 20, Buffer.alloc(1 << 20)));
    expect(error.code).toBe(status.RESOURCE_EXHAUSTED);
    expect((await infer(GOOD)).answer['id']).toBe('');
  });

  test('text that no header can carry', async () => {
    server.service.nextError = new ServingError('failed', `bad \ud800 ${'ж'.repeat(5000)}\n`, { field: 'é' });
    const error = await server.client.refusal('ModelInfer', GOOD);
    expect(error.code).toBe(status.INTERNAL);
    expect(error.details).toMatch(/^é: bad \ufffd жж.*\.\.\.$/);
  });

  const CODES: Record<ServingErrorCode, status> = {
    unimplemented: status.UNIMPLEMENTED,
    'invalid-argument': status.INVALID_ARGUMENT,
    'not-found': status.NOT_FOUND,
    'too-large': status.RESOURCE_EXHAUSTED,
    'deadline-exceeded': status.DEADLINE_EXCEEDED,
    'would-miss-deadline': status.UNAVAILABLE,
    'rate-limited': status.RESOURCE_EXHAUSTED,
    'queue-full': status.UNAVAILABLE,
    'not-ready': status.UNAVAILABLE,
    forbidden: status.PERMISSION_DENIED,
    'sequence-lost': status.ABORTED,
    'hub-unavailable': status.UNAVAILABLE,
    cancelled: status.CANCELLED,
    failed: status.INTERNAL,
  };
  test.each(Object.entries(CODES))('%s', async (code, expected) => {
    server.service.nextError = new ServingError(code as ServingErrorCode, 'no', { retryAfterMs: 12.4 });
    const error = await server.client.refusal('ModelInfer', GOOD);
    expect([error.code, error.details]).toEqual([expected, 'no']);
    expect(error.metadata.getMap()).toMatchObject({ 'tidegate-error': code, 'grpc-retry-pushback-ms': '12' });
  });

  test('a bug of ours is told as such, without its text', async () => {
    const message = { ...SLOW, model_name: 'broken' };
    expect(await server.client.refusal('ModelInfer', message)).toMatchObject({
      code: status.INTERNAL,
      details: 'internal error',
    });
  });
});

describe('what a request may say', () => {
  test('parameters, metadata in their place, and where the answer came from', async () => {
    const parameters = {
      timeout: { int64_param: 5_000_000 },
      priority: { uint64_param: 2 },
      placement: { string_param: 'local' },
      cache: { string_param: 'bypass' },
      mine: { double_param: 0.5 },
      flag: { bool_param: false },
    };
    const { answer, trailers } = await infer({ ...GOOD, parameters });
    const asked = server.service.requests.at(-1);
    expect(asked).toMatchObject({
      priority: 2,
      placement: 'local',
      cache: 'bypass',
      parameters: { mine: 0.5, flag: false },
    });
    expect(Object.keys(asked?.parameters ?? {})).toHaveLength(2);
    expect(trailers).toMatchObject({
      'tidegate-placement': 'edge',
      'tidegate-queue-us': '12',
      'tidegate-compute-us': '34',
    });
    expect(answer['parameters']).toMatchObject({
      placement: { string_param: 'edge' },
      compute_us: { int64_param: '34' },
      confidence: { double_param: 0.5 },
    });
    await infer(GOOD, { metadata: { 'tidegate-placement': 'hub', 'tidegate-priority': '3' } });
    expect(server.service.requests.at(-1)).toMatchObject({ priority: 3, placement: 'hub' });
    await infer(GOOD, { metadata: { 'tidegate-tenant': 'till-3' } });
    expect(server.service.requests.at(-1)?.caller).toBe('till-3');
  });

  test('the deadline is the smaller of the parameter and the call’s', async () => {
    const leftMs = (): number => (server.service.requests.at(-1)?.deadlineMs ?? 0) - performance.now();
    const timeout = (us: number): Message => ({ ...GOOD, parameters: { timeout: { int64_param: us } } });
    await infer(timeout(5_000_000), { deadlineMs: 60_000 });
    expect(leftMs()).toBeLessThan(5000);
    await infer(timeout(60_000_000), { deadlineMs: 5000 });
    expect(leftMs()).toBeLessThan(5100);
    await infer(GOOD, { deadlineMs: 60_000 });
    expect(leftMs()).toBeGreaterThan(40_000); // stated, so the default of 30 s doesn't hold
    await infer(GOOD);
    expect(leftMs()).toBeLessThan(30_000);
  });

  test('gzip', async () => {
    const packed = new GrpcClient(server.server.address, { 'grpc.default_compression_algorithm': 2 });
    const zeros = Buffer.alloc(100_000);
    const { answer } = await packed.call('ModelInfer', raw('UINT8', zeros.byteLength, zeros));
    expect((answer['raw_output_contents'] as Buffer[])[0]?.equals(zeros)).toBe(true);
    const bomb = await packed.refusal('ModelInfer', raw('UINT8', 1 << 21, Buffer.alloc(1 << 21)));
    expect(bomb.code).toBe(status.RESOURCE_EXHAUSTED);
    packed.close();
  });
});
