// The whole agent with real executors: large tensors lie in memory that is used again, and nobody ever sees another's. Requests of
// different content pass at once, by every way on which something keeps the bytes: cache, capture, an equal request that waits.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { join } from 'node:path';
import { createAgent, type Agent } from '@tidegate/edge-agent/agent.js';
import { readAgentSettings } from '@tidegate/edge-agent/config/read-settings.js';
import type { OwnAnswer } from '@tidegate/edge-agent/telemetry/answer-observer.js';
import { createInferClient, type InferClient } from '@tidegate/shared/serving/http/infer-client.js';
import type { CacheMode, InferAnswer } from '@tidegate/shared/serving/inference-service.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { reusedBuffers } from '@tidegate/shared/system/reused-buffers.js';
import { bytesOf, float32Of, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { writeBarePackage } from '../support/bare-package.js';
import { temporaryFolders } from '../support/temporary-folder.js';

const ROWS = 6_000; // 96 KB in and out: two pieces of a body, and shared memory to the executor
const temporaryFolder = temporaryFolders('reused-memory');
const kept: OwnAnswer[] = [];
let agent: Agent;
let client: InferClient;

const input = (seed: number): NamedTensor =>
  tensor('x', 'FP32', [ROWS, 4], bytesOf(Float32Array.from({ length: 4 * ROWS }, (_, i) => seed + (i % 4))));
/** Where an output is not what the graph makes of that input; -1 = nowhere. */
const wrongAt = (output: NamedTensor | undefined, seed: number): number =>
  output?.data.byteLength !== 16 * ROWS
    ? 0
    : float32Of(output).findIndex((value, i) => value !== (seed + (i % 4)) * ((i % 4) + 1) + 0.5);

const ask = (model: string, seed: number, cache: CacheMode): Promise<InferAnswer> =>
  client.infer(
    {
      ...{ model, version: undefined, id: undefined, inputs: [input(seed)], outputs: [] },
      ...{ deadlineMs: 0, priority: 0, placement: 'auto', cache, maxStalenessMs: undefined, parameters: {} },
    },
    20_000,
    new AbortController().signal,
  );

/** Several at once, each of its own content; whose answer was wrong. */
async function wrong(model: string, seeds: readonly number[], cache: CacheMode): Promise<number[]> {
  const answers = await Promise.all(seeds.map((seed) => ask(model, seed, cache)));
  return seeds.filter((seed, i) => wrongAt(answers[i]?.outputs[0], seed) >= 0);
}
const seeds = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);

beforeAll(async () => {
  const folder = temporaryFolder();
  const settings = readAgentSettings({ flags: { httpPort: '0', grpcPort: 'off', dataDir: folder }, environment: {} });
  agent = createAgent(settings, {
    ...{ clock: systemClock, log: silentLog, version: '9.9.9', mode: 'run', hub: undefined },
    observers: [{ finished: ({ own }) => own && kept.push(own) }],
    moreStatus: () => ({}),
  });
  client = createInferClient({ url: `http://${(await agent.listen()).http}`, clock: systemClock, answerBytesMax: 1e7 });
  for (const [name, fields] of [
    ['scale', {}],
    ['sampled', { privacy: '{ capture: hub }' }],
  ] as const) {
    const path = writeBarePackage(join(folder, name), name, fields);
    const digest = sha256(name);
    const identity = { name, version: '1', versionDigest: digest, variant: 'fp32', variantDigest: digest };
    const source = { ...identity, path, verified: true };
    agent.slots.activate(await agent.slots.prepare(source, new AbortController().signal));
  }
  agent.open();
});

beforeEach(() => {
  reusedBuffers.trim();
  kept.length = 0;
});

afterAll(async () => {
  await client.close();
  await agent.close(5000);
});

describe('memory that is used again', () => {
  it('holds answers that are the requests’ own, and comes back when they are sent', async () => {
    let mostBytes = 0;
    for (let round = 0; round < 4; round += 1) {
      expect(await wrong('scale', seeds(100 * round, 16), 'bypass'), `round ${round}`).toEqual([]);
      mostBytes = Math.max(mostBytes, reusedBuffers.heldBytes); // an executor that is idle lets it go
    }
    expect(mostBytes).toBeGreaterThan(16 * ROWS);
  });

  it('is not taken from what the cache keeps', async () => {
    expect(await wrong('scale', seeds(1000, 6), 'use')).toEqual([]); // computed and kept
    expect(reusedBuffers.heldBytes).toBe(0);
    expect(await wrong('scale', seeds(1000, 6), 'refresh')).toEqual([]);
    expect(await wrong('scale', seeds(2000, 12), 'bypass')).toEqual([]); // writes over all that is free
    const hits = await Promise.all(seeds(1000, 6).map((seed) => ask('scale', seed, 'use')));
    expect(hits.map(({ provenance }) => provenance.placement)).toEqual(hits.map(() => 'cache'));
    expect(hits.map(({ outputs }, i) => wrongAt(outputs[0], 1000 + i))).toEqual(hits.map(() => -1));
  });

  it('is not taken from equal requests that wait for one answer', async () => {
    const [first, ...others] = await Promise.all(seeds(0, 8).map(() => ask('scale', 3000, 'use')));
    for (const answer of [first, ...others]) expect(wrongAt(answer?.outputs[0], 3000)).toBe(-1);
    expect(reusedBuffers.heldBytes).toBe(0);
  });

  it('is not taken from what may become a sample', async () => {
    expect(await wrong('sampled', seeds(4000, 4), 'bypass')).toEqual([]);
    expect(reusedBuffers.heldBytes).toBe(0);
    const samples = [...kept];
    expect(samples).toHaveLength(4);
    expect(await wrong('scale', seeds(5000, 12), 'bypass')).toEqual([]);
    const firstOf = ({ inputs }: OwnAnswer): number => float32Of(inputs[0] as NamedTensor)[0] ?? -1;
    expect(samples.map((own) => wrongAt(own.outputs[0], firstOf(own)))).toEqual([-1, -1, -1, -1]);
    expect(samples.map(firstOf).toSorted((a, b) => a - b)).toEqual(seeds(4000, 4));
  });
});
