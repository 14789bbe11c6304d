// System shared memory over gRPC, against a real server and files that stand for /dev/shm.
import { status } from '@grpc/grpc-js';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startOipGrpcServer, type OipGrpcServer } from '../../../support/oip-grpc-server.js';
import { temporaryFolders } from '../../../support/temporary-folder.js';

const folder = temporaryFolders('memory-messages')();
const FILE = join(folder, 'frames');
let server: OipGrpcServer;

beforeAll(async () => {
  writeFileSync(FILE, Buffer.from([1, 2, 3, 4, 0, 0, 0, 0, 0, 0]));
  server = await startOipGrpcServer({}, undefined, folder);
});
afterAll(() => server.close());

const register = { name: 'frames', key: '/frames', offset: 0, byte_size: 10 };
const part = (byteSize: number, offset = 0) => ({
  shared_memory_region: { string_param: 'frames' },
  shared_memory_byte_size: { int64_param: byteSize },
  ...(offset === 0 ? {} : { shared_memory_offset: { int64_param: offset } }),
});
const asking = (inputs: object, outputs: object = {}) => ({
  model_name: 'echo-uint8',
  inputs: [{ name: 'INPUT0', datatype: 'UINT8', shape: [4], ...inputs }],
  outputs: [{ name: 'OUTPUT0', ...outputs }],
});

test('registers, tells, and forgets a region', async () => {
  await server.client.call('SystemSharedMemoryRegister', register);
  const row = { name: 'frames', key: '/frames', offset: '0', byte_size: '10' };
  expect((await server.client.call('SystemSharedMemoryStatus', {})).answer['regions']).toEqual({ frames: row });
  expect((await server.client.call('SystemSharedMemoryStatus', { name: 'frames' })).answer['regions']).toEqual({
    frames: row,
  });
  await server.client.call('SystemSharedMemoryUnregister', { name: 'frames' });
  await server.client.call('SystemSharedMemoryRegister', register);
  await server.client.call('SystemSharedMemoryUnregister', {});
  expect((await server.client.call('SystemSharedMemoryStatus', {})).answer['regions']).toEqual({});
});

test('an input is read from it, an output written there and not into the answer', async () => {
  await server.client.call('SystemSharedMemoryRegister', register);
  const request = asking({ parameters: part(4) }, { parameters: part(4, 5) });
  const { answer } = await server.client.call('ModelInfer', request);
  expect([...readFileSync(FILE)]).toEqual([1, 2, 3, 4, 0, 1, 2, 3, 4, 0]);
  expect(answer['raw_output_contents']).toEqual([Buffer.alloc(0)]);
  expect(answer['outputs'][0].parameters).toMatchObject({
    shared_memory_region: { string_param: 'frames' },
    shared_memory_offset: { int64_param: '5' },
    shared_memory_byte_size: { int64_param: '4' },
  });
  const inAnswer = await server.client.call('ModelInfer', asking({ parameters: part(4) }));
  expect([...inAnswer.answer['raw_output_contents'][0]]).toEqual([1, 2, 3, 4]);
  expect(server.budget.usedBytes).toBe(0);
  await server.client.call('SystemSharedMemoryUnregister', {});
});

test('what is wrong is refused with the field', async () => {
  const refusals = [
    ['SystemSharedMemoryRegister', { ...register, key: '../passwd' }, /^key: /],
    ['SystemSharedMemoryRegister', { ...register, byte_size: 11 }, /^byte_size: .*has 10/],
    ['SystemSharedMemoryRegister', { ...register, byte_size: 0 }, /^byte_size: expected/],
    [
      'SystemSharedMemoryRegister',
      { ...register, byte_size: '18446744073709551615' },
      /^byte_size: 18446744073709551615/,
    ],
    ['ModelInfer', asking({ parameters: part(4) }), /^inputs\[0\]\.parameters\.shared_memory_region: no shared memory/],
  ] as const;
  for (const [method, message, text] of refusals) {
    const error = await server.client.refusal(method, message);
    expect([error.code, error.details]).toEqual([status.INVALID_ARGUMENT, expect.stringMatching(text)]);
  }
  expect((await server.client.refusal('SystemSharedMemoryStatus', { name: 'x' })).code).toBe(status.NOT_FOUND);
  await server.client.call('SystemSharedMemoryRegister', register);
  const small = await server.client.refusal('ModelInfer', asking({ parameters: part(4) }, { parameters: part(3) }));
  expect(small.details).toMatch(/shared_memory_byte_size: the output takes 4 bytes, its place has 3/);
  const both = asking({ parameters: part(4), contents: { uint_contents: [1, 2, 3, 4] } });
  expect((await server.client.refusal('ModelInfer', both)).details).toMatch(/^inputs\[0\]\.contents: given beside/);
  truncateSync(FILE, 2);
  const shorter = await server.client.refusal('ModelInfer', asking({ parameters: part(4) }));
  expect(shorter.details).toMatch(/has become shorter/);
});

test('only for callers on this machine, and only where it is offered', async () => {
  const metadata = { 'x-forwarded-for': '10.0.0.7' };
  const elsewhere = await server.client.refusal('SystemSharedMemoryRegister', register, { metadata });
  expect(elsewhere.code).toBe(status.PERMISSION_DENIED);
  const without = await startOipGrpcServer();
  expect((await without.client.refusal('SystemSharedMemoryStatus', {})).code).toBe(status.UNIMPLEMENTED);
  expect((await without.client.refusal('ModelInfer', asking({ parameters: part(4) }))).code).toBe(status.UNIMPLEMENTED);
  await without.close();
});
