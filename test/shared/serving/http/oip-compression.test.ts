// Compressed requests and answers, and what is wrong with some.
import { deflateSync, gunzipSync, gzipSync, inflateSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GOOD, oipCaller, SMALL_LIMITS, withBinary } from '../../../support/oip-caller.js';
import { startOipServer, type OipServer } from '../../../support/oip-server.js';

let server: OipServer;
beforeAll(async () => {
  server = await startOipServer(SMALL_LIMITS);
});
afterAll(() => server.close());
const { inferFp32, refused } = oipCaller(() => server);

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
