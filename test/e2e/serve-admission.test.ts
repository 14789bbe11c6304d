// Deadlines under overload: what can't be answered in time is refused at once and told when to come again; what is admitted
// is answered in time; nothing hangs.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { bytesOf, tensor } from '@tidegate/shared/tensor/tensor.js';
import { assemble } from '../../examples/ocr-line/assemble.mjs';
import { AgentProcess, startAgent } from '../support/agent-process.js';

/** A line as the graph takes it: much work for few bytes, so that it is the executor that is overloaded. */
const line = [tensor('x', 'FP32', [1, 3, 48, 320], bytesOf(new Float32Array(3 * 48 * 320)))];
let folder: string;
let agent: AgentProcess;

beforeAll(async () => {
  folder = await assemble(await mkdtemp(join(tmpdir(), 'tidegate-admission-')));
  agent = await startAgent(['serve', folder, '--queue-depth', '64']);
});

afterAll(async () => {
  await agent.stop();
  await rm(folder, { recursive: true });
});

interface Outcome {
  readonly code: string;
  readonly tookMs: number;
  readonly retryAfterMs: number | undefined;
}

async function ask(timeoutMs: number): Promise<Outcome> {
  const startMs = performance.now();
  const ended = (code: string, retryAfterMs?: number): Outcome => ({
    code,
    tookMs: performance.now() - startMs,
    retryAfterMs,
  });
  return agent.infer('ocr-line', line, { cache: 'bypass', timeoutMs }).then(
    () => ended('answered'),
    (error: { code?: string; retryAfterMs?: number }) => ended(error.code ?? '?', error.retryAfterMs),
  );
}

it('admits what can be answered in time, refuses the rest at once, and lets nothing hang', async () => {
  const alone: number[] = [];
  for (let i = 0; i < 8; i += 1) alone.push((await ask(30_000)).tookMs);
  const usualMs = alone.sort((a, b) => a - b)[4] ?? 0;
  const timeoutMs = 10 * usualMs; // room for some, not for sixty
  const outcomes = await Promise.all(Array.from({ length: 60 }, () => ask(timeoutMs)));
  const of = (code: string): Outcome[] => outcomes.filter((outcome) => outcome.code === code);
  const [answered, refused] = [of('answered'), of('would-miss-deadline')];
  expect(answered.length).toBeGreaterThan(2);
  expect(refused.length).toBeGreaterThan(2);
  expect(refused.every(({ retryAfterMs }) => (retryAfterMs ?? 0) > 0)).toBe(true);
  // On a busy machine some guesses are wrong; those end at their deadline, or as soon as it can't be met any more.
  expect(of('deadline-exceeded').length).toBeLessThan(outcomes.length / 2);
  expect(outcomes.length).toBe(answered.length + refused.length + of('deadline-exceeded').length);
  expect(Math.max(...outcomes.map(({ tookMs }) => tookMs))).toBeLessThan(timeoutMs + 1000);
  expect((await ask(30_000)).code).toBe('answered');
});

it('bounds the queue', async () => {
  const executor = (await agent.model('ocr-line')).graphs[0]?.pid ?? 0;
  process.kill(executor, 'SIGSTOP');
  const outcomes = Array.from({ length: 90 }, () => ask(30_000));
  await expect.poll(async () => (await agent.model('ocr-line')).counts['refused']).toBeGreaterThan(10);
  process.kill(executor, 'SIGCONT');
  const codes = (await Promise.all(outcomes)).map(({ code }) => code);
  expect(new Set(codes)).toEqual(new Set(['answered', 'queue-full']));
});
