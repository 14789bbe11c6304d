// The whole agent in one process with real executors: its own routes, metrics, and switching versions under load.
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAgent, type Agent } from '@tidegate/edge-agent/agent.js';
import { readAgentSettings } from '@tidegate/edge-agent/config/read-settings.js';
import type { ModelSource } from '@tidegate/edge-agent/engine/model-slots.js';
import type { FinishedRequest } from '@tidegate/edge-agent/telemetry/answer-observer.js';
import { createInferClient, type InferClient } from '@tidegate/shared/serving/http/infer-client.js';
import type { InferAnswer } from '@tidegate/shared/serving/inference-service.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { digitInput } from '../support/digit-inputs.js';
import { ManualClock } from '../support/manual-clock.js';
import { writeWeightyModel } from '../support/weighty-model.js';

const path = fileURLToPath(new URL('../../examples/digits', import.meta.url));
const finished: FinishedRequest[] = [];
let folder: string;
let agent: Agent;
let url: string;
let client: InferClient;

const source = (version: string): ModelSource => ({
  name: 'digits',
  version,
  versionDigest: sha256(version),
  variant: 'fp32',
  variantDigest: sha256(`variant ${version}`),
  path,
  verified: true,
});
const signal = (): AbortSignal => new AbortController().signal;
const ask = (seed: number, part: object = {}): Promise<InferAnswer> =>
  client.infer(
    {
      model: 'digits',
      version: undefined,
      id: undefined,
      inputs: digitInput(seed),
      outputs: [],
      deadlineMs: 0,
      priority: 0,
      placement: 'auto',
      cache: 'use',
      maxStalenessMs: undefined,
      parameters: {},
      ...part,
    },
    20_000,
    signal(),
  );
const get = async (at: string): Promise<{ status: number; body: Record<string, unknown> }> => {
  const answer = await fetch(url + at);
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidegate-agent-'));
  const settings = readAgentSettings({ flags: { httpPort: '0', grpcPort: '0', dataDir: folder }, environment: {} });
  agent = createAgent(settings, {
    clock: systemClock,
    log: silentLog,
    version: '9.9.9',
    mode: 'run',
    hub: undefined,
    observers: [{ finished: (request) => finished.push(request) }],
    moreStatus: () => ({ deviceId: 'd1' }),
  });
  url = `http://${(await agent.listen()).http}`;
  client = createInferClient({ url, clock: systemClock, answerBytesMax: 1e7 });
});

afterAll(async () => {
  await client.close();
  await agent.close(5000);
  await rm(folder, { recursive: true });
});

describe('the agent', () => {
  it('is live but not ready until it is opened', async () => {
    expect((await get('/v2/health/live')).status).toBe(200);
    expect((await get('/v2/health/ready')).status).toBe(503);
    expect((await get('/agent/v1/status')).body['state']).toBe('starting');
    agent.slots.activate(await agent.slots.prepare(source('1'), signal()));
    agent.open();
    expect((await get('/v2/health/ready')).status).toBe(200);
    expect((await get('/v2/models/digits/versions/1/ready')).status).toBe(200);
    expect((await get('/v2/models/digits/versions/2')).status).toBe(404);
  });

  it('tells the observers of each request whose model is here', async () => {
    await ask(1);
    await ask(1);
    await ask(1, { model: 'unknown' }).catch(() => undefined);
    expect(finished).toMatchObject([
      { model: 'digits', versionDigest: sha256('1'), variantDigest: sha256('variant 1'), outcome: 'edge' },
      { model: 'digits', outcome: 'cache', edgeConfidence: undefined },
    ]);
    expect(finished[0]?.edgeConfidence).toBeGreaterThan(0);
  });

  it('says what it runs, and what `run` adds', async () => {
    const { body } = await get('/agent/v1/status');
    expect(body).toMatchObject({ version: '9.9.9', mode: 'run', state: 'serving', deviceId: 'd1', hub: null });
    const models = (await get('/agent/v1/models')).body['models'];
    expect(models).toMatchObject([{ name: 'digits', version: '1', verified: true, provider: { runs: 'cpu' } }]);
    expect((await get('/agent/v1/cache')).body['layers']).toMatchObject({ memory: { hits: 1 } });
    expect((await get('/agent/v1/explain')).body['latest']).toHaveLength(3);
    expect((await get('/agent/v1/explain/%231')).body['result']).toContain('edge: ');
    expect((await get('/agent/v1/explain/none')).status).toBe(404);
    expect((await get('/agent/v1/explain/%zz')).status).toBe(404);
    expect((await get('/somewhere')).status).toBe(404);
    expect((await fetch(`${url}/agent/v1/status`, { method: 'POST', body: 'x' })).status).toBe(405);
  });

  it('counts in Prometheus text, with labels that callers can not make up', async () => {
    await ask(1, { model: 'made-up-by-a-caller' }).catch(() => undefined);
    const answer = await fetch(`${url}/metrics`);
    expect(answer.headers.get('content-type')).toContain('text/plain');
    const text = await answer.text();
    expect(text).toContain('tidegate_requests_total{model="digits",outcome="edge",code="ok"} 1');
    expect(text).toContain('tidegate_requests_total{model="other",outcome="refused",code="not-found"} 2');
    expect(text).toContain('# TYPE tidegate_executor_runs_total counter');
    expect(text).toContain('# TYPE tidegate_cache_size_bytes gauge');
    expect(text).not.toContain('made-up-by-a-caller');
  });

  it('switches versions under load without a lost request, each answered by exactly one of them (B17)', async () => {
    const answers: InferAnswer[] = [];
    const stop = new AbortController();
    const load = Array.from({ length: 8 }, async (_, worker) => {
      for (let i = 0; !stop.signal.aborted; i += 1) {
        answers.push(await ask(worker * 1000 + (i % 50), { cache: i % 2 === 0 ? 'use' : 'bypass' }));
      }
    });
    for (let version = 2; version <= 4; version += 1) {
      const next = await agent.slots.prepare(source(String(version)), signal());
      expect(await next.selfTest(signal())).toMatchObject({ passed: true });
      const before = agent.slots.activate(next);
      const switchedAt = answers.length;
      await before?.close();
      await expect.poll(() => answers.length, { interval: 5 }).toBeGreaterThan(switchedAt + 20);
    }
    stop.abort();
    await Promise.all(load);
    const pairs = new Set(answers.map(({ version, provenance }) => `${version} ${provenance.variantDigest}`));
    expect(pairs).toEqual(new Set([1, 2, 3, 4].map((n) => `${n} ${sha256(`variant ${n}`)}`)));
    const after = await ask(0);
    expect(after.version).toBe('4'); // what version 1 to 3 left in the cache doesn't answer any more
  });

  it('takes a model out of service', async () => {
    await agent.slots.remove('digits');
    await agent.slots.remove('digits');
    expect(agent.slots.names()).toEqual([]);
    expect((await get('/agent/v1/cache')).body['layers']).toMatchObject({ memory: { entries: 0, sizeBytes: 0 } });
    await expect(ask(1)).rejects.toMatchObject({ code: 'not-found' });
  });
});

describe('models that have proven themselves on this device', () => {
  const executorsOf = async (mode: 'run' | 'serve', flags: object): Promise<number> => {
    const modules = { clock: systemClock, log: silentLog, version: '9.9.9', mode, hub: undefined, observers: [] };
    const one = createAgent(readAgentSettings({ flags: { dataDir: folder, ...flags }, environment: {} }), modules);
    for (const name of ['one', 'two']) {
      const model = { ...source('1'), name, variantDigest: sha256(name) };
      one.slots.activate(await one.slots.prepare(model, signal()));
    }
    const count = one.slots.executorPids.size;
    await one.close(5000);
    return count;
  };

  it('share an executor from the next start of `run` on, unless --share-executors is off', async () => {
    const known = (name: string): object => ({
      [`${sha256(name)} digits.onnx`]: { proven: true, crashed: false, runUs: 500 },
    });
    const document = { release: '9.9.9', graphs: { ...known('one'), ...known('two') } };
    await writeFile(join(folder, 'executor-trust.json'), JSON.stringify(document));
    expect(await executorsOf('run', {})).toBe(1);
    expect(await executorsOf('run', { shareExecutors: 'off' })).toBe(2);
    expect(await executorsOf('serve', {})).toBe(2); // keeps nothing of it
  });
});

describe('the engine cache of the agent', () => {
  const loadedBy = async (mode: 'run' | 'serve', flags: object): Promise<unknown> => {
    const modules = { clock: systemClock, log: silentLog, version: '9.9.9', mode, hub: undefined, observers: [] };
    const one = createAgent(readAgentSettings({ flags: { dataDir: folder, ...flags }, environment: {} }), modules);
    const weighty = { ...source('1'), name: 'weighty', path: join(folder, 'weighty.onnx') };
    one.slots.activate(await one.slots.prepare(weighty, signal()));
    const [graph] = one.slots.active('weighty')!.served.graphs;
    await one.close(5000);
    return graph?.compiled;
  };

  it('lets `run` load what it knows from its data folder; `serve` writes there only when told to', async () => {
    await writeWeightyModel(join(folder, 'weighty.onnx'));
    expect(await loadedBy('serve', {})).toBeUndefined();
    expect(await loadedBy('run', { engineCache: '0' })).toBeUndefined();
    expect(await readdir(folder)).not.toContain('engine-cache');
    expect(await loadedBy('run', {})).toEqual({ kind: 'used' });
    expect(await readdir(join(folder, 'engine-cache'))).toHaveLength(1);
    expect(await loadedBy('serve', { engineCache: '1GiB' })).toEqual({ kind: 'used' });
    expect(await readdir(join(folder, 'engine-cache'))).toHaveLength(1);
  });
});

it('gives memory back when it has started and nobody asks, where the process is its own', async () => {
  const clock = new ManualClock();
  let collections = 0;
  const collectGarbage = (): Promise<boolean> => Promise.resolve((collections += 1) > 0);
  const modules = { clock, log: silentLog, version: '9.9.9', mode: 'serve', hub: undefined, observers: [] } as const;
  const settings = readAgentSettings({ flags: { dataDir: folder }, environment: {} });
  const one = createAgent(settings, { ...modules, collectGarbage });
  one.open();
  clock.advance(10_000);
  await one.close(0);
  expect(collections).toBe(1);
});
