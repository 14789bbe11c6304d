// The cache of a real agent, seen from outside: by metric, header and bytes.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { InferAnswer } from '@tidegate/shared/serving/inference-service.js';
import { AgentProcess, examplesFolder, startAgent } from '../support/agent-process.js';
import { digitInput } from '../support/digit-inputs.js';

let agent: AgentProcess;
const RUNS = 'tidegate_executor_runs_total{model="digits"}';

beforeAll(async () => {
  agent = await startAgent(['serve', `${examplesFolder}digits`]);
});

afterAll(async () => {
  await agent.stop();
});

const bytesOfAnswer = (answer: InferAnswer): string =>
  answer.outputs.map(({ name, data }) => `${name}:${Buffer.from(data).toString('hex')}`).join();

describe('the cache', () => {
  it('runs the executor once for 64 equal requests at once', async () => {
    const before = await agent.metric(RUNS);
    const answers = await Promise.all(Array.from({ length: 64 }, () => agent.infer('digits', digitInput(1))));
    expect(await agent.metric(RUNS)).toBe(before + 1);
    expect(new Set(answers.map(bytesOfAnswer)).size).toBe(1);
    const joined = await agent.metric('tidegate_cache_joined_total');
    const hits = await agent.metric('tidegate_cache_hits_total{layer="memory"}');
    expect(joined + hits).toBe(63);
  });

  it('answers a hit with the same bytes, and says so', async () => {
    const first = await agent.infer('digits', digitInput(2));
    const hit = await agent.infer('digits', digitInput(2));
    expect(first.provenance).toMatchObject({ placement: 'edge' });
    expect(hit.provenance).toMatchObject({ placement: 'cache', cacheLayer: 'memory', computeUs: 0 });
    expect(bytesOfAnswer(hit)).toBe(bytesOfAnswer(first));
    expect(hit.provenance.confidence).toBe(first.provenance.confidence);
  });

  it('keeps requests apart that ask for other outputs', async () => {
    const all = await agent.infer('digits', digitInput(3));
    const one = await agent.infer('digits', digitInput(3), { outputs: ['label'] });
    expect(all.outputs).toHaveLength(3);
    expect(one.outputs.map(({ name }) => name)).toEqual(['label']);
    expect(one.provenance.placement).toBe('edge');
  });

  it('bypasses and refreshes on demand, and honours max_staleness_ms', async () => {
    await agent.infer('digits', digitInput(4));
    const before = await agent.metric(RUNS);
    const placementOf = async (part: object): Promise<string> =>
      (await agent.infer('digits', digitInput(4), part)).provenance.placement;
    expect(await placementOf({ cache: 'bypass' })).toBe('edge');
    expect(await placementOf({ cache: 'refresh' })).toBe('edge');
    expect(await placementOf({ maxStalenessMs: 60_000 })).toBe('cache');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await placementOf({ maxStalenessMs: 5 })).toBe('edge');
    expect(await agent.metric(RUNS)).toBe(before + 3);
  });

  it('a leader who goes away does not fail the others', async () => {
    const leaves = new AbortController();
    const leader = agent.infer('digits', digitInput(5, 512), { signal: leaves.signal }).catch(() => 'left');
    const followers = Array.from({ length: 8 }, () => agent.infer('digits', digitInput(5, 512)));
    setTimeout(() => leaves.abort(), 5);
    const answers = await Promise.all(followers);
    await leader;
    expect(new Set(answers.map(bytesOfAnswer)).size).toBe(1);
  });
});
