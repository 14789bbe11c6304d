// The disk cache of a real agent: over restarts, and over kill -9 while it writes.
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { InferAnswer } from '@tidegate/shared/serving/inference-service.js';
import { AgentProcess, examplesFolder, startAgent } from '../support/agent-process.js';
import { digitInput } from '../support/digit-inputs.js';

let dataDir: string;
const running = new Set<AgentProcess>();

beforeAll(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'tidegate-disk-cache-'));
});

afterAll(async () => {
  for (const agent of running) await agent.stop();
  rmSync(dataDir, { recursive: true });
});

async function start(): Promise<AgentProcess> {
  const agent = await startAgent(['serve', `${examplesFolder}digits`, '--data-dir', dataDir, '--disk-cache', '8MiB']);
  running.add(agent);
  return agent;
}

async function end(agent: AgentProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  running.delete(agent);
  agent.child.kill(signal);
  await agent.finished;
}

const bytesOfAnswer = (answer: InferAnswer): string =>
  answer.outputs.map(({ name, data }) => `${name}:${Buffer.from(data).toString('hex')}`).join();
const STORES = 'tidegate_cache_stores_total{layer="disk"}';

describe('the disk cache', () => {
  it('answers after an orderly restart with the same bytes, and says from where', async () => {
    const first = await start();
    const computed = await first.infer('digits', digitInput(1));
    await first.infer('digits', digitInput(1));
    await end(first, 'SIGTERM');
    const second = await start();
    const hit = await second.infer('digits', digitInput(1));
    expect(hit.provenance).toMatchObject({ placement: 'cache', cacheLayer: 'disk', computeUs: 0 });
    expect(bytesOfAnswer(hit)).toBe(bytesOfAnswer(computed));
    expect((await second.infer('digits', digitInput(1))).provenance).toMatchObject({ cacheLayer: 'memory' });
    await end(second, 'SIGTERM');
  });

  it('survives kill -9 while it writes: answers that were written are there, none is wrong', async () => {
    const truth = new Map<number, string>();
    let found = 0;
    for (let round = 0; round < 3; round += 1) {
      const agent = await start();
      const seeds = Array.from({ length: 60 }, (_, i) => 100 + round * 60 + i);
      for (const seed of [...seeds, ...seeds])
        truth.set(seed, bytesOfAnswer(await agent.infer('digits', digitInput(seed))));
      if (round > 0) await expect.poll(() => agent.metric(STORES), { timeout: 10_000 }).toBeGreaterThan(0);
      await end(agent, 'SIGKILL');
    }
    const agent = await start();
    for (const [seed, bytes] of truth) {
      const answer = await agent.infer('digits', digitInput(seed));
      expect(bytesOfAnswer(answer)).toBe(bytes);
      if (answer.provenance.cacheLayer === 'disk') found += 1;
    }
    expect(found).toBeGreaterThanOrEqual(60);
    expect(await agent.metric('tidegate_cache_broken_total{layer="disk"}')).toBe(0);
    await end(agent, 'SIGKILL');
  });

  it('starts and serves with a file that is garbage, and shows and drops what it holds', async () => {
    rmSync(join(dataDir, 'answers.db-wal'), { force: true });
    writeFileSync(join(dataDir, 'answers.db'), Buffer.alloc(100_000, 'garbage'));
    const agent = await start();
    for (let i = 0; i < 2; i += 1) await agent.infer('digits', digitInput(9), { cacheTags: ['shelf-3'] });
    expect(statSync(join(dataDir, 'answers.db.corrupt')).size).toBe(100_000);
    await expect.poll(() => agent.metric(STORES), { timeout: 10_000 }).toBe(1);
    expect(await agent.get('/agent/v1/cache')).toMatchObject({
      layers: { disk: { entries: 1 }, memory: { entries: 1 } },
      models: [{ model: 'digits', hits: { memory: 1 }, misses: 1, layers: { disk: { entries: 1 } } }],
    });
    const drop = async (query: string): Promise<unknown> =>
      (await fetch(`${agent.url}/agent/v1/cache${query}`, { method: 'DELETE' })).json();
    expect(await drop('?tag=shelf-4')).toEqual({ removed: { memory: 0, disk: 0 } });
    expect(await drop('?model=digits&tag=shelf-3')).toEqual({ removed: { memory: 1, disk: 1 } });
    const answer = await agent.infer('digits', digitInput(9), { cacheTags: ['shelf-3'] });
    expect(answer.provenance.placement).toBe('edge');
    await end(agent, 'SIGTERM');
  });
});
