// Executors that die or hang under load (design 17, lessons B20 and B27): at least 200 distinct inputs, 16 in flight, every
// answer compared with its own expectation; the other model must not notice.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { InferAnswer } from '@tidegate/shared/serving/inference-service.js';
import { bytesOf, float32Of, tensor, type NamedTensor, type Tensor } from '@tidegate/shared/tensor/tensor.js';
import { AgentProcess, examplesFolder, runAgent, startAgent } from '../support/agent-process.js';
import { closeTo, digitInput } from '../support/digit-inputs.js';

const DISTINCT = 240;
const IN_FLIGHT = 20;
let agent: AgentProcess;
let expected: Tensor[];

const logitsOf = (answer: InferAnswer): Tensor | undefined => answer.outputs.find(({ name }) => name === 'logits');

beforeAll(async () => {
  agent = await startAgent(['serve', `${examplesFolder}digits`, `${examplesFolder}bare`, '--default-timeout', '60000']);
  expected = [];
  for (let seed = 0; seed < DISTINCT; seed += 1) {
    const logits = logitsOf(await agent.infer('digits', digitInput(seed), { cache: 'bypass' }));
    if (logits === undefined) throw new Error('no logits');
    expected.push(logits);
  }
});

/** The deaths of one test are not held against the next. */
beforeEach(() => release());

afterAll(async () => {
  await agent.stop();
});

async function release(): Promise<{ released?: boolean }> {
  const answer = await fetch(`${agent.url}/agent/v1/models/digits/release`, { method: 'POST' });
  return (await answer.json()) as { released?: boolean };
}

async function pidOf(model: string): Promise<number> {
  const pid = (await agent.model(model)).graphs[0]?.pid;
  if (pid === undefined) throw new Error(`no executor of ${model}`);
  return pid;
}

/** Asks `count` distinct inputs with IN_FLIGHT at once; calls `at` when so many were answered. */
async function load(count: number, at: number, disturb: () => Promise<void>): Promise<InferAnswer[]> {
  const answers: InferAnswer[] = [];
  const failures: string[] = [];
  let next = 0;
  let done = 0;
  let disturbing: Promise<void> | undefined;
  const worker = async (): Promise<void> => {
    for (let seed = next++; seed < count; seed = next++) {
      const asked = agent.infer('digits', digitInput(seed % DISTINCT), { cache: 'bypass', timeoutMs: 60_000 });
      await asked.then(
        (answer) => (answers[seed] = answer),
        (error: unknown) => failures.push(String(error)),
      );
      done += 1;
      if (done >= at) disturbing ??= disturb();
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  await disturbing;
  expect(failures).toEqual([]);
  return answers;
}

function expectOwnAnswers(answers: readonly InferAnswer[], count: number): void {
  expect(answers).toHaveLength(count);
  const wrong = answers.flatMap((answer, seed) => (closeTo(logitsOf(answer), expected[seed % DISTINCT]) ? [] : [seed]));
  expect(wrong).toEqual([]);
}

/** The other model, asked without a break until `stop`: how often, and how often wrongly or not at all. */
async function watchOther(stop: AbortSignal): Promise<{ wrong: number; count: number }> {
  const [one] = (await agent.infer('scale-and-add', [feed(1)])).outputs;
  if (one === undefined) throw new Error('no output');
  let [wrong, count] = [0, 0];
  while (!stop.aborted) {
    const answer = await agent.infer('scale-and-add', [feed(1)], { cache: 'bypass' }).catch(() => undefined);
    if (!closeTo(answer?.outputs[0], one)) wrong += 1;
    count += 1;
  }
  return { wrong, count };
}

function feed(value: number): NamedTensor {
  return tensor('x', 'FP32', [1, 4], bytesOf(Float32Array.of(value, value, value, value)));
}

describe('under load', () => {
  it('gives every one of 240 distinct inputs its own answer, batched or not', async () => {
    const answers = await load(DISTINCT, DISTINCT, async () => undefined);
    expectOwnAnswers(answers, DISTINCT);
    expect(
      new Set(answers.map((answer) => Buffer.from(float32Of(logitsOf(answer)!).buffer).toString('hex'))).size,
    ).toBeGreaterThan(200);
  });

  it('loses nothing when its executor is killed, and the other model does not notice', async () => {
    const stop = new AbortController();
    const watching = watchOther(stop.signal);
    const [before, otherBefore] = [await pidOf('digits'), await pidOf('scale-and-add')];
    // Stopped first, so that runs are certainly in flight in it when it dies.
    const answers = await load(2 * DISTINCT, 40, async () => {
      process.kill(before, 'SIGSTOP');
      while ((await agent.model('digits')).counts['running'] === 0) continue;
      process.kill(before, 'SIGKILL');
    });
    stop.abort();
    expectOwnAnswers(answers, 2 * DISTINCT);
    const other = await watching;
    expect(other.wrong).toBe(0);
    expect(other.count).toBeGreaterThan(10);
    expect(await pidOf('digits')).not.toBe(before);
    expect(await pidOf('scale-and-add')).toBe(otherBefore);
    expect((await agent.model('digits')).counts['retried']).toBeGreaterThan(0);
  });

  it('loses nothing when its executor is stopped in its tracks (SIGSTOP), and is well again in seconds', async () => {
    const stop = new AbortController();
    const watching = watchOther(stop.signal);
    const before = await pidOf('digits');
    const startMs = performance.now();
    const answers = await load(2 * DISTINCT, 40, async () => void process.kill(before, 'SIGSTOP'));
    const tookMs = performance.now() - startMs;
    stop.abort();
    expectOwnAnswers(answers, 2 * DISTINCT);
    expect((await watching).wrong).toBe(0);
    expect(await pidOf('digits')).not.toBe(before);
    expect(tookMs).toBeLessThan(20_000);
  });

  it('answers a request whose executor dies twice with a clear error, and goes on', async () => {
    const asked = agent.infer('digits', digitInput(1, 4096), { cache: 'bypass' }).catch((error: unknown) => error);
    const first = await killWhileRunning(undefined);
    await killWhileRunning(first);
    expect(await asked).toMatchObject({ code: 'failed', message: expect.stringContaining('twice') as string });
    const answer = await agent.infer('digits', digitInput(3), { cache: 'bypass' });
    expect(closeTo(logitsOf(answer), expected[3])).toBe(true);
  });

  it('quarantines a model whose executors ended 3 times within 10 minutes, names it, and lets a person release it', async () => {
    const asked = agent.infer('digits', digitInput(1, 4096), { cache: 'bypass' }).catch((error: unknown) => error);
    const second = await killWhileRunning(await killWhileRunning(undefined));
    await asked;
    const next = agent.infer('digits', digitInput(2, 4096), { cache: 'bypass' }).catch((error: unknown) => error);
    await killWhileRunning(second);
    const reason = 'in quarantine: its executors ended 3 times within 10 minutes';
    expect(await next).toMatchObject({ code: 'not-ready', message: expect.stringContaining(reason) as string });
    const startMs = performance.now();
    await expect(agent.infer('digits', digitInput(3), { cache: 'bypass' })).rejects.toThrow(reason);
    expect(performance.now() - startMs).toBeLessThan(1000);
    expect((await fetch(`${agent.url}/v2/models/digits/ready`)).status).toBe(503);
    expect(await agent.metric('tidegate_model_quarantined{model="digits"}')).toBe(1);
    expect(await agent.metric('tidegate_model_quarantined{model="scale-and-add"}')).toBe(0);
    expect((await agent.infer('scale-and-add', [feed(1)], { cache: 'bypass' })).outputs).toHaveLength(1);
    const port = ['--http-port', new URL(agent.url).port];
    expect((await runAgent(['status', ...port])).stdout).toMatch(
      /in quarantine: .*SIGKILL[^]*tidegate-agent release digits/,
    );
    expect(await runAgent(['release', 'digits', ...port])).toMatchObject({ code: 0, stdout: 'digits is released\n' });
    expect(await release()).toEqual({ model: 'digits', released: false });
    expect(closeTo(logitsOf(await agent.infer('digits', digitInput(3), { cache: 'bypass' })), expected[3])).toBe(true);
    expect(await runAgent(['release', 'other', ...port])).toMatchObject({ code: 1 });
  });
});

/** Kills the executor of digits, another than `not`, while it runs; resolves with its pid. */
async function killWhileRunning(not: number | undefined): Promise<number> {
  for (;;) {
    const { graphs, counts } = await agent.model('digits');
    const pid = graphs[0]?.pid;
    if (pid === undefined || pid === not || counts['running'] === 0) continue;
    process.kill(pid, 'SIGKILL');
    return pid;
  }
}
