// Several models in one agent share its cores: one queue over all of them, and nothing computes while nobody asks.
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { bytesOf, tensor } from '@tidegate/shared/tensor/tensor.js';
import { assemble } from '../../examples/ocr-line/assemble.mjs';
import { AgentProcess, examplesFolder, startAgent } from '../support/agent-process.js';
import { digitInput } from '../support/digit-inputs.js';

/** A line as the graph takes it: a run of it takes a hundred times as long as one of the digits. */
const line = [tensor('x', 'FP32', [1, 3, 48, 320], bytesOf(new Float32Array(3 * 48 * 320)))];
const FLOOD = Math.min(240, 30 * availableParallelism());
let folder: string;
let agent: AgentProcess;

beforeAll(async () => {
  folder = await assemble(await mkdtemp(join(tmpdir(), 'tidegate-many-models-')));
  agent = await startAgent(['serve', folder, `${examplesFolder}digits`, `${examplesFolder}bare`]);
});

afterAll(async () => {
  await agent.stop();
  await rm(folder, { recursive: true });
});

interface Ended {
  readonly code: string;
  readonly atMs: number;
}

function ask(model: string, inputs: typeof line, caller: string, timeoutMs: number): Promise<Ended> {
  const ended = (code: string): Ended => ({ code, atMs: performance.now() });
  return agent.infer(model, inputs, { cache: 'bypass', caller, timeoutMs }).then(
    () => ended('answered'),
    (error: { code?: string }) => ended(error.code ?? '?'),
  );
}

it('answers a caller of one model in time while another floods the other, and computes on no more cores than there are', async () => {
  for (let i = 0; i < 6; i += 1) {
    await ask('ocr-line', line, 'before', 30_000);
    await ask('digits', digitInput(i), 'before', 30_000);
  }
  const cores = await agent.metric('tidegate_cores');
  const flood = Array.from({ length: FLOOD }, () => ask('ocr-line', line, 'flood', 30_000));
  await expect.poll(() => agent.metric('tidegate_cores_waiting')).toBeGreaterThan(FLOOD / 4);
  const busy: number[] = [];
  const calm: Ended[] = [];
  for (let i = 0; i < 10; i += 1) {
    calm.push(await ask('digits', digitInput(i), 'calm', 29_000)); // no more urgent than the others
    busy.push(await agent.metric('tidegate_cores_busy'));
  }
  expect(calm.map(({ code }) => code)).toEqual(Array.from({ length: 10 }, () => 'answered'));
  expect(Math.max(...busy)).toBeLessThanOrEqual(cores);
  const flooded = await Promise.all(flood);
  const behind = flooded.filter(({ atMs }) => atMs > (calm.at(-1)?.atMs ?? 0));
  expect(behind.length).toBeGreaterThan(FLOOD / 4); // ten answers before they had theirs
  expect(new Set(flooded.map(({ code }) => code))).toEqual(new Set(['answered']));
});

it.runIf(process.platform === 'linux')('uses next to no processor time while nobody asks', async () => {
  const { models } = await agent.status();
  const pids = [agent.child.pid, ...models.flatMap(({ graphs }) => graphs.map(({ pid }) => pid))];
  expect(pids).toHaveLength(4);
  const usedMs = (): number => pids.reduce<number>((sum, pid) => sum + processorMs(pid ?? 0), 0);
  const inOneWindow = async (): Promise<number> => {
    const before = usedMs();
    await new Promise((resolve) => setTimeout(resolve, 1500));
    return usedMs() - before;
  };
  // A tenth of a core; threads that spin take all that there are, in every window. The first may hold what the load before left to do.
  await expect.poll(inOneWindow).toBeLessThan(150);
});

/** Of user and system time, all threads of the process, in steps of 10 ms. */
function processorMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' '); // the name may hold anything
  return 10 * (Number(fields[11]) + Number(fields[12]));
}
