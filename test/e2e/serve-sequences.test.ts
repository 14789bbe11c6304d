// Sequences with state through real processes: on the device and, for a model that is not there, at a hub for which a second
// agent stands. What callers are told when an executor is killed in the middle of one, and that it is never zeros.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { float32Of } from '@tidegate/shared/tensor/tensor.js';
import { startAgent, type AgentProcess } from '../support/agent-process.js';
import { countingInputs, writeCountingPackage } from '../support/counting-package.js';

const PAUSE_MS = 1500;
let folder: string;
let hub: AgentProcess;
let agent: AgentProcess;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidegate-sequences-'));
  const far = writeCountingPackage(join(folder, 'far'), '', 'far');
  const near = writeCountingPackage(join(folder, 'near'), `sequences: { idleTimeoutMs: ${PAUSE_MS} }`, 'near');
  hub = await startAgent(['serve', far]);
  agent = await startAgent(['serve', near, '--hub', hub.url]);
});

afterAll(async () => {
  await Promise.all([agent.stop(), hub.stop()]);
  await rm(folder, { recursive: true });
});

const add = async (model: string, id: string, number: number, flags: { start?: true; end?: true } = {}) => {
  const sequence = { id, start: flags.start ?? false, end: flags.end ?? false };
  const { outputs, provenance } = await agent.infer(model, countingInputs([number]), { sequence });
  return { sum: float32Of(outputs[0]!)[0]!, placement: provenance.placement };
};
const errorOf = async (asked: Promise<unknown>): Promise<ServingError> => {
  const error: unknown = await asked.catch((cause: unknown) => cause);
  expect(error).toBeInstanceOf(ServingError);
  return error as ServingError;
};

describe('a sequence', () => {
  it('is carried on the device, and never answered from a cache', async () => {
    expect(await add('near', '1', 2, { start: true })).toEqual({ sum: 2, placement: 'edge' });
    expect(await add('near', '1', 2)).toEqual({ sum: 4, placement: 'edge' });
    expect(await add('near', '1', 2, { end: true })).toEqual({ sum: 6, placement: 'edge' });
  });

  it('is carried at the hub, from its start to its end, where the model is there only', async () => {
    expect(await add('far', '18446744073709551615', 3, { start: true })).toEqual({ sum: 3, placement: 'hub' });
    expect(await add('far', '18446744073709551615', 3)).toEqual({ sum: 6, placement: 'hub' });
    expect(await add('far', '18446744073709551615', 3, { end: true })).toEqual({ sum: 9, placement: 'hub' });
    expect(await errorOf(add('far', '18446744073709551615', 3))).toMatchObject({ code: 'invalid-argument' });
  });

  it('is lost with its executor, and says so until it is started again', async () => {
    await add('near', '2', 5, { start: true });
    const [model] = (await agent.status()).models;
    process.kill(model!.graphs[0]!.pid!, 'SIGKILL');
    const lost = await errorOf(add('near', '2', 5).then(() => add('near', '2', 5)));
    expect(lost).toMatchObject({ code: 'sequence-lost', field: 'parameters.sequence_id' });
    expect(lost.message).toMatch(/^sequence 2 has lost its state: .*; start it again \(sequence_start\)$/);
    expect(await errorOf(add('near', '2', 5))).toMatchObject({ code: 'sequence-lost' });
    expect((await add('near', '2', 5, { start: true, end: true })).sum).toBe(5);
  });

  it('ends when nobody asks for it, and its memory with it (B26)', async () => {
    await add('near', '3', 5, { start: true });
    expect(await agent.metric('tidegate_sequences_live{model="near"}')).toBe(1);
    for (let live = 1; live > 0; live = await agent.metric('tidegate_sequences_live{model="near"}')) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect((await errorOf(add('near', '3', 5))).message).toContain(`nothing was asked of it for ${PAUSE_MS} ms`);
  });
});
