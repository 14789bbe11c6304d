// Versions switched under a steady load (B17): triton#2076 unloads the old version first, #5757, #5042 and #2578 lose requests. Held here:
// through 50 switches no request fails, and each answer is of exactly one version: the one that it names. Every version's graph adds its
// number to the logits, so an answer tells by its values, and not only by its headers, what computed it.
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { decodeModel, encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import type { InferAnswer } from '@tidegate/shared/serving/inference-service.js';
import { bytesOf, float32Of } from '@tidegate/shared/tensor/tensor.js';
import { examplesFolder, startAgent, type AgentProcess } from '../support/agent-process.js';
import { digitInput } from '../support/digit-inputs.js';

const SWITCHES = 50;
const CALLERS = 4;
const PAUSE_MS = 10;
const SEEDS = 20;

let folder: string;
let agent: AgentProcess;
let original: Buffer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidegate-versions-'));
  await cp(`${examplesFolder}digits`, folder, { recursive: true });
  original = await readFile(join(folder, 'digits.onnx'));
  agent = await startAgent(['serve', folder]);
});

afterAll(async () => {
  await agent.stop();
  await rm(folder, { recursive: true });
});

/** The digit classifier with `version` added to each logit: the same class, the same confidence. */
function graphOf(version: number): Buffer {
  const model = decodeModel(Uint8Array.from(original));
  const biasName = model.graph?.node.at(-1)?.input.at(-1);
  const bias = model.graph?.initializer.find(({ name }) => name === biasName);
  if (bias?.rawData === undefined) throw new Error('the last layer of digits.onnx has no bias');
  const values = new Float32Array(Uint8Array.from(bias.rawData).buffer).map((value) => value + version);
  bias.rawData.set(bytesOf(values));
  return Buffer.concat(encodeModel(model));
}

const logitOf = ({ outputs }: InferAnswer): number => {
  const logits = outputs.find(({ name }) => name === 'logits');
  return logits === undefined ? Number.NaN : (float32Of(logits)[0] ?? Number.NaN);
};

it('loses no request in 50 switches, and each answer is of the one version that it names', async () => {
  const base: number[] = [];
  for (let seed = 0; seed < SEEDS; seed += 1) base.push(logitOf(await agent.infer('digits', digitInput(seed))));
  const computedBy = new Map<string, Set<number>>();
  let answers = 0;
  const ask = async (seed: number, cache: 'use' | 'bypass'): Promise<number> => {
    const answer = await agent.infer('digits', digitInput(seed), { cache });
    const version = logitOf(answer) - (base[seed] ?? Number.NaN);
    const digest = answer.provenance.modelDigest;
    computedBy.set(digest, (computedBy.get(digest) ?? new Set()).add(Math.round(version)));
    expect(Math.abs(version - Math.round(version))).toBeLessThan(1e-3);
    answers += 1;
    return Math.round(version);
  };
  const stop = new AbortController();
  const load = Array.from({ length: CALLERS }, async (_, caller) => {
    for (let i = caller; !stop.signal.aborted; i += 1) {
      await ask(i % SEEDS, i % 2 === 0 ? 'use' : 'bypass');
      await delay(PAUSE_MS);
    }
  });
  try {
    for (let version = 1; version <= SWITCHES; version += 1) {
      await writeFile(join(folder, 'digits.onnx'), graphOf(version));
      const loaded = await fetch(`${agent.url}/v2/repository/models/digits/load`, { method: 'POST' });
      expect(loaded.status, await loaded.text()).toBe(200);
      expect(await ask(version % SEEDS, 'use')).toBe(version);
    }
  } finally {
    stop.abort();
  }
  await Promise.all(load);
  expect(answers).toBeGreaterThan(4 * SWITCHES);
  expect(computedBy.size).toBeGreaterThanOrEqual(SWITCHES);
  expect([...computedBy.values()].filter((versions) => versions.size !== 1)).toEqual([]);
});
