// The hub's gRPC port with its real tokens: on a whole hub, since what matters is that both ports know the same ones.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openHubGrpc } from '@tidegate/cloud-hub/api/hub-grpc.js';
import { GrpcClient } from '../../support/grpc-client.js';
import { runHub, type RunningHub } from '../../support/running-hub.js';

let folder: string;
let hub: RunningHub;
let grpc: GrpcClient;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidegate-hub-grpc-'));
  hub = await runHub(folder);
  grpc = new GrpcClient(/grpc=(\S+)/.exec(hub.hub.readyLine)?.[1] ?? '');
});
afterAll(async () => {
  grpc.close();
  await hub.hub.drain();
  await rm(folder, { recursive: true, force: true });
});

const MESSAGE = {
  model_name: 'nosuch',
  inputs: [{ name: 'x', datatype: 'FP32', shape: [0] }],
  raw_input_contents: [Buffer.alloc(0)],
};
const bearer = (token: string) => ({ metadata: { authorization: `Bearer ${token}` } });

async function admin(method: string, path: string, body?: object): Promise<Record<string, string>> {
  const headers = { authorization: `Bearer ${hub.token}`, ...(body && { 'content-type': 'application/json' }) };
  const answer = await fetch(`${hub.url}/api/v1${path}`, {
    method,
    headers,
    ...(body && { body: JSON.stringify(body) }),
  });
  expect(answer.ok).toBe(true);
  return answer.status === 204 ? {} : ((await answer.json()) as Record<string, string>);
}

test('probes need no token, all else one with the scope infer', async () => {
  expect((await grpc.call('ServerLive', {})).answer).toEqual({ live: true });
  expect((await grpc.call('Check', { service: '' }, {}, 'health')).answer).toEqual({ status: 'SERVING' });
  expect((await grpc.refusal('ServerMetadata', {})).code).toBe(status.UNAUTHENTICATED);
  expect((await grpc.refusal('ModelInfer', MESSAGE, bearer('tgt_wrong'))).code).toBe(status.UNAUTHENTICATED);
  const reader = await admin('POST', '/tokens', { name: 'reader', scopes: ['read'] });
  const refused = await grpc.refusal('ModelInfer', MESSAGE, bearer(reader['token'] ?? ''));
  expect([refused.code, refused.details]).toEqual([status.PERMISSION_DENIED, 'the token lacks the scope infer']);
});

test('a revoked token is refused at once', async () => {
  const made = await admin('POST', '/tokens', { name: 'app', scopes: ['infer'] });
  const options = bearer(made['token'] ?? '');
  const answered = await grpc.refusal('ModelInfer', MESSAGE, options);
  expect([answered.code, answered.details]).toEqual([status.NOT_FOUND, expect.stringContaining('nosuch')]);
  await admin('DELETE', `/tokens/${made['id']}`);
  expect((await grpc.refusal('ModelInfer', MESSAGE, options)).code).toBe(status.UNAUTHENTICATED);
});

test('off is no server', async () => {
  expect(
    await openHubGrpc({ host: '127.0.0.1', grpcPort: 'off' }, {} as Parameters<typeof openHubGrpc>[1]),
  ).toBeUndefined();
});
