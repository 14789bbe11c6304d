import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { IncomingMessage } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isLocalCaller } from '@tidegate/shared/serving/http/memory-access.js';
import { startOipServer, type OipServer } from '../../../support/oip-server.js';

const caller = (remoteAddress: string | undefined, headers: object = {}): IncomingMessage =>
  ({ socket: { remoteAddress }, headers }) as IncomingMessage;

describe('who is on this machine', () => {
  test.each(['127.0.0.1', '::1', '::ffff:127.0.0.1', '127.8.8.8'])('%s', (address) => {
    expect(isLocalCaller(caller(address), false)).toBe(true);
  });
  test.each(['10.0.0.1', '::ffff:10.0.0.1', undefined, '127.evil'])('not %s', (address) => {
    expect(isLocalCaller(caller(address), false)).toBe(false);
  });
  test('the unix socket; nobody behind a proxy', () => {
    expect(isLocalCaller(caller(undefined), true)).toBe(true);
    expect(isLocalCaller(caller('127.0.0.1', { 'x-forwarded-for': '10.0.0.1' }), false)).toBe(false);
    expect(isLocalCaller(caller(undefined, { forwarded: 'for=10.0.0.1' }), true)).toBe(false);
  });
});

describe('shared memory over HTTP', () => {
  let folder: string;
  let server: OipServer;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tidegate-shm-'));
    await writeFile(join(folder, 'one'), Buffer.alloc(4096));
    server = await startOipServer({ bodyBytesMax: 2048, jsonBytesMax: 2048 }, folder);
  });
  afterAll(async () => {
    await server.close();
    await rm(folder, { recursive: true });
  });

  const post = (path: string, body: object, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(server.url + path, { method: 'POST', body: JSON.stringify(body), headers });
  const REGISTER = '/v2/systemsharedmemory/region/r/register';
  const reference = (offset: number, size: number): object => ({
    shared_memory_region: 'r',
    shared_memory_offset: offset,
    shared_memory_byte_size: size,
  });
  const echo = (elements: number, output: object = {}): object => ({
    inputs: [{ name: 'INPUT0', datatype: 'FP32', shape: [elements], parameters: reference(0, elements * 4) }],
    outputs: [{ name: 'OUTPUT0', parameters: output }],
  });

  test('in, out, and the answer says of it what Triton says: no parameters, which its C++ client takes for binary data', async () => {
    await writeFile(join(folder, 'one'), Buffer.concat([Buffer.from([1, 2, 3, 4, 5, 6, 7, 8]), Buffer.alloc(4088)]));
    expect((await post(REGISTER, { key: 'one', byte_size: 4096 })).status).toBe(200);
    const answer = await post('/v2/models/echo-fp32/infer', echo(2, reference(64, 100)));
    const { outputs } = (await answer.json()) as { outputs: object[] };
    expect(outputs).toEqual([{ name: 'OUTPUT0', datatype: 'FP32', shape: [2] }]);
    expect([...(await readFile(join(folder, 'one'))).subarray(64, 73)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 0]);
    const classes = await post('/v2/models/echo-fp32/infer', echo(2, { ...reference(128, 100), classification: 1 }));
    expect(classes.status).toBe(200);
    expect((await readFile(join(folder, 'one'))).subarray(132).toString('latin1')).toMatch(/^0\.000000:1/);
  });

  test('no more than a body may have; not beside data', async () => {
    expect((await post('/v2/models/echo-fp32/infer', echo(600))).status).toBe(413);
    const both = echo(1) as { inputs: { data?: number[] }[] };
    (both.inputs[0] as { data?: number[] }).data = [1];
    const answer = await post('/v2/models/echo-fp32/infer', both);
    expect(answer.headers.get('tidegate-error-field')).toBe('inputs[0].parameters.shared_memory_region');
  });

  test('callers elsewhere are refused', async () => {
    const elsewhere = { 'x-forwarded-for': '10.0.0.1' };
    expect((await post(REGISTER, { key: 'one', byte_size: 1 }, elsewhere)).status).toBe(403);
    expect((await post('/v2/models/echo-fp32/infer', echo(1), elsewhere)).status).toBe(403);
    const status = await fetch(`${server.url}/v2/systemsharedmemory/status`, { headers: elsewhere });
    expect(status.status).toBe(403);
  });

  test('a region stays until the request that uses it has ended', async () => {
    const input = { name: 'X', datatype: 'FP32', shape: [1], parameters: reference(0, 4) };
    const started = server.service.waiting();
    const answering = post('/v2/models/slow/infer', {
      inputs: [input],
      outputs: [{ name: 'Y', parameters: reference(256, 4) }],
    });
    await started;
    const unregistering = post('/v2/systemsharedmemory/region/r/unregister', {});
    while (((await (await fetch(`${server.url}/v2/systemsharedmemory/status`)).json()) as unknown[]).length > 0);
    server.service.release();
    expect((await answering).status).toBe(200);
    expect((await unregistering).status).toBe(200);
    expect([...(await readFile(join(folder, 'one'))).subarray(256, 260)]).toEqual([1, 2, 3, 4]);
  });
});
