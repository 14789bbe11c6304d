// The verb against a server that answers as the agent does; the agent itself is in test/e2e/serve-executor-faults.test.ts.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runProgram } from '@tidegate/edge-agent/cli/program.js';
import { releaseVerb } from '@tidegate/edge-agent/cli/release.js';

const asked: string[] = [];
const server = createServer((request, response) => {
  asked.push(`${request.method} ${request.url}`);
  const known = request.url?.includes('none') === false;
  response.writeHead(known ? 200 : 404).end(JSON.stringify(known ? { released: true } : { error: 'not here' }));
});

beforeAll(async () => {
  await once(server.listen(0, '127.0.0.1'), 'listening');
});
afterAll(() => void server.close());

async function release(model: string) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const port = String((server.address() as AddressInfo).port);
  const context = { stdout, stderr, environment: {}, version: '1' } as never;
  const code = await runProgram(['release', model, '--http-port', port], [releaseVerb], context);
  stdout.end();
  stderr.end();
  return { code, stdout: await text(stdout), stderr: await text(stderr) };
}

it('asks the agent to release the model, and tells what it refused', async () => {
  expect(await release('a/b')).toEqual({ code: 0, stdout: 'a/b is released\n', stderr: '' });
  expect(asked).toEqual(['POST /agent/v1/models/a%2Fb/release']);
  expect(await release('none')).toMatchObject({ code: 1, stderr: expect.stringContaining('not here') as string });
});
