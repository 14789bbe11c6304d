// What the server and its models tell of themselves over gRPC: health, metadata, the index, what is not offered.
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startOipGrpcServer, type OipGrpcServer } from '../../../support/oip-grpc-server.js';

let server: OipGrpcServer;
beforeAll(async () => {
  server = await startOipGrpcServer();
});
afterAll(() => server.close());

type Message = Record<string, unknown>;

describe('health and metadata', () => {
  test('server', async () => {
    expect((await server.client.call('ServerLive', {})).answer).toEqual({ live: true });
    expect((await server.client.call('ServerReady', {})).answer).toEqual({ ready: true });
    const { answer } = await server.client.call('ServerMetadata', {});
    expect(answer).toMatchObject({ name: 'echo', version: '0.0.1' });
    expect(answer['extensions']).toContain('binary_tensor_data');
  });

  test('a model', async () => {
    const { answer } = await server.client.call('ModelMetadata', { name: 'echo-two', version: '2' });
    const inputs = [
      { name: 'TEXT', datatype: 'BYTES', shape: ['-1', '2'] },
      { name: 'NUMBERS', datatype: 'INT64', shape: ['-1'] },
    ];
    expect(answer).toEqual({
      name: 'echo-two',
      versions: ['1', '2'],
      platform: 'tidegate_echo',
      inputs,
      outputs: inputs,
    });
    const ready = async (message: Message): Promise<unknown> =>
      (await server.client.call('ModelReady', message)).answer['ready'];
    expect(await ready({ name: 'echo-two' })).toBe(true);
    expect(await ready({ name: 'echo-two', version: '9' })).toBe(false);
    expect(await ready({ name: 'nosuch' })).toBe(false);
    const unknown = await server.client.refusal('ModelMetadata', { name: 'nosuch' });
    expect([unknown.code, unknown.details]).toEqual([status.NOT_FOUND, 'model: no model "nosuch"']);
    expect(await server.client.refusal('ModelReady', { name: '' })).toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: expect.stringMatching(/^name: /),
    });
    const version = await server.client.refusal('ModelMetadata', { name: 'echo-two', version: 'latest' });
    expect(version).toMatchObject({ code: status.INVALID_ARGUMENT, details: 'version: expected digits, got "latest"' });
  });

  test('the repository index, all or what is ready', async () => {
    const all = (await server.client.call('RepositoryIndex', {})).answer['models'] as Message[];
    expect(all).toContainEqual({ name: 'echo-two', version: '1', state: 'READY', reason: '' });
    server.service.isReady = false;
    try {
      expect((await server.client.call('RepositoryIndex', { ready: true })).answer['models']).toEqual([]);
      expect((await server.client.call('ServerReady', {})).answer).toEqual({ ready: false });
    } finally {
      server.service.isReady = true;
    }
  });

  test.each(['CudaSharedMemoryRegister', 'CudaSharedMemoryStatus'])('%s is refused by its name', async (method) => {
    const error = await server.client.refusal(method, {});
    expect(error.code).toBe(status.UNIMPLEMENTED);
    expect(error.details).toMatch(new RegExp(`^${method}: .*not offered`));
    expect(error.metadata.getMap()).toMatchObject({ 'tidegate-error': 'unimplemented' });
  });

  test('CUDA regions are unregistered: there are none, and Triton’s examples begin with it', async () => {
    expect((await server.client.call('CudaSharedMemoryUnregister', {})).answer).toEqual({});
  });

  test('grpc.health.v1: the server, a model, an unknown one', async () => {
    const check = (service: string) => server.client.call('Check', { service }, {}, 'health');
    expect((await check('')).answer).toEqual({ status: 'SERVING' });
    expect((await check('inference.GRPCInferenceService')).answer).toEqual({ status: 'SERVING' });
    expect((await check('echo-fp32')).answer).toEqual({ status: 'SERVING' });
    expect((await server.client.refusal('Check', { service: 'nosuch' }, {}, 'health')).code).toBe(status.NOT_FOUND);
    server.service.isReady = false;
    expect((await check('echo-fp32')).answer).toEqual({ status: 'NOT_SERVING' });
    server.service.isReady = true;
  });

  test('grpc.health.v1 Watch tells each change once', async () => {
    const watch = server.client.watch('echo-fp32');
    watch.on('error', () => undefined); // the cancel below
    const told = watch[Symbol.asyncIterator]();
    expect((await told.next()).value).toEqual({ status: 'SERVING' });
    server.service.isReady = false;
    expect((await told.next()).value).toEqual({ status: 'NOT_SERVING' });
    server.service.isReady = true;
    expect((await told.next()).value).toEqual({ status: 'SERVING' });
    watch.cancel();
    const unknown = server.client.watch('nosuch');
    unknown.on('error', () => undefined);
    expect((await unknown[Symbol.asyncIterator]().next()).value).toEqual({ status: 'SERVICE_UNKNOWN' });
    unknown.cancel();
  });
});
