// The whole agent as callers of its protocols see it: the stream with real executors, Triton's extensions of a device that a
// hub looks after, shared memory, and the order of the end.
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { createAgent, type Agent } from '@tidegate/edge-agent/agent.js';
import { readAgentSettings } from '@tidegate/edge-agent/config/read-settings.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';

const path = fileURLToPath(new URL('../../examples/digits', import.meta.url));
const KEY = `tidegate-test-${process.pid}`;
let folder: string;
let agent: Agent;
let address: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidegate-protocols-'));
  const settings = readAgentSettings({
    flags: { httpPort: '0', grpcPort: '0', dataDir: folder },
    environment: {},
  });
  const control = { level: 'info' };
  const modules = { clock: systemClock, log: silentLog, logControl: control, hub: undefined, observers: [] };
  agent = createAgent(settings, { ...modules, version: '9.9.9', mode: 'run' });
  address = (await agent.listen()).http;
  const digest = sha256('digits');
  const identity = { name: 'digits', version: '3', versionDigest: digest, variant: 'fp32', variantDigest: digest };
  agent.slots.activate(await agent.slots.prepare({ ...identity, path, verified: true }, new AbortController().signal));
  agent.open();
});

afterAll(async () => {
  await agent.close(5000);
  await rm(folder, { recursive: true });
  await rm(`/dev/shm/${KEY}`, { force: true });
});

const digit = (id: string, extra: object): object => ({
  id,
  inputs: [{ name: 'image', datatype: 'FP32', shape: [1, 1, 28, 28], ...extra }],
  outputs: [{ name: 'label' }],
  parameters: { cache: 'bypass' },
});
const call = async (method: string, at: string, body?: object): Promise<{ status: number; json: unknown }> => {
  const init = body === undefined ? { method } : { method, body: JSON.stringify(body) };
  const answer = await fetch(`http://${address}${at}`, init);
  return { status: answer.status, json: await answer.json() };
};

it('answers a stream, and counts what ran', async () => {
  const socket = new WebSocket(`ws://${address}/v2/stream?model=digits`);
  await once(socket, 'open');
  const answers: { id: string; outputs: { data: string[] }[] }[] = [];
  const done = new Promise<void>((resolve) =>
    socket.on('message', (data: Buffer) => {
      if (answers.push(JSON.parse(data.toString()) as (typeof answers)[0]) === 40) resolve();
    }),
  );
  for (let n = 0; n < 40; n++) socket.send(JSON.stringify(digit(`r${n}`, { data: Array(784).fill(n / 40) })));
  await done;
  expect(new Set(answers.map(({ id }) => id)).size).toBe(40);
  expect(answers.every(({ outputs }) => /^[0-9]$/.test(outputs[0]?.data[0] ?? ''))).toBe(true);
  socket.close();
  const { json } = await call('GET', '/v2/models/digits/versions/3/stats');
  const [stats] = (json as { model_stats: { inference_count: number; execution_count: number }[] }).model_stats;
  expect(stats?.inference_count).toBe(40);
  expect(stats?.execution_count).toBeGreaterThan(0);
});

it('leaves it to the hub which models run', async () => {
  for (const verb of ['load', 'unload']) {
    expect(await call('POST', `/v2/repository/models/digits/${verb}`, {})).toMatchObject({ status: 403 });
  }
  expect(agent.slots.names()).toEqual(['digits']);
});

it.runIf(process.platform === 'linux')('reads shared memory', async () => {
  await writeFile(`/dev/shm/${KEY}`, Buffer.from(new Float32Array(784).fill(0.5).buffer));
  const register = { key: KEY, byte_size: 3136 };
  expect(await call('POST', '/v2/systemsharedmemory/region/r/register', register)).toMatchObject({ status: 200 });
  const parameters = { shared_memory_region: 'r', shared_memory_byte_size: 3136 };
  const shared = await call('POST', '/v2/models/digits/infer', digit('s', { parameters }));
  const sent = await call('POST', '/v2/models/digits/infer', digit('s', { data: Array(784).fill(0.5) }));
  const outputs = ({ json }: { json: unknown }): unknown => (json as { outputs: unknown }).outputs;
  expect(outputs(shared)).toEqual(outputs(sent));
});
