// Against a real agent process with a real model: what the steps say is what happened.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { explainVerb } from '@tidegate/edge-agent/cli/explain.js';
import { runProgram } from '@tidegate/edge-agent/cli/program.js';
import { bytesOf, tensor } from '@tidegate/shared/tensor/tensor.js';
import { examplesFolder, startAgent, type AgentProcess } from '../../support/agent-process.js';

let agent: AgentProcess;
beforeAll(async () => {
  agent = await startAgent(['serve', join(examplesFolder, 'digits')]);
});
afterAll(async () => {
  await agent.stop();
});

const image = (value: number) => [tensor('image', 'FP32', [1, 1, 28, 28], bytesOf(new Float32Array(784).fill(value)))];

async function explain(...args: string[]) {
  let [out, err] = ['', ''];
  const collect = (add: (text: string) => void): NodeJS.WriteStream =>
    ({ write: (text: string) => (add(text), true) }) as unknown as NodeJS.WriteStream;
  const code = await runProgram(['explain', ...args, '--http-port', new URL(agent.url).port], [explainVerb], {
    stdout: collect((text) => (out += text)),
    stderr: collect((text) => (err += text)),
    environment: {},
    version: '1',
  });
  return { code, out, err };
}

describe('explain', () => {
  it('tells why here, and what was waited for: queue, executor, cache', async () => {
    await agent.infer('digits', image(0), { id: 'first/1' });
    await agent.infer('digits', image(0), { id: 'again' });
    await agent.infer('digits', image(0), { id: 'own', cache: 'bypass', placement: 'local' });
    const first = await explain('first/1');
    expect(first.code).toBe(0);
    expect(first.out).toMatch(/^request first\/1 of digits@1, accepted 20/);
    expect(first.out).toContain('here: the model is on the device\n');
    expect(first.out).toContain('computing: no cached answer fits');
    expect(first.out).toMatch(/digits\.onnx: waited [\d.]+ ms for an executor, ran [\d.]+ ms\n/);
    expect(first.out).toMatch(/ms {2}edge: .*\nwaited [\d.]+ ms for executors, ran [\d.]+ ms, 0\.00 ms at the hub/);
    const again = await explain('again');
    expect(again.out).toMatch(/ms {2}answered on the device \d+ ms ago, kept in the memory cache/);
    expect(again.out).not.toContain('waited for an executor');
    const own = await explain('own');
    expect(own.out).toContain('and placement local');
    expect(own.out).toContain('the caller bypasses the cache');
  });

  it('tells of the batch that requests shared, and of equal ones that joined', async () => {
    const executor = (await agent.model('digits')).graphs[0]?.pid ?? 0;
    process.kill(executor, 'SIGSTOP'); // so that they queue up behind what runs
    const asked = Array.from({ length: 24 }, (_, i) => agent.infer('digits', image(0.01 * i), { id: `b${i}` }));
    await expect.poll(async () => (await agent.model('digits')).counts['queueDepth']).toBeGreaterThanOrEqual(12);
    process.kill(executor, 'SIGCONT');
    await Promise.all(asked);
    await Promise.all([1, 2].map((i) => agent.infer('digits', image(0.77), { id: `equal${i}` })));
    const texts = await Promise.all(Array.from({ length: 24 }, async (_, i) => (await explain(`b${i}`)).out));
    expect(texts.some((text) => /together with \d+ rows of others/.test(text))).toBe(true);
    const equal = (await explain('equal1')).out + (await explain('equal2')).out;
    expect(equal).toMatch(/waited for an equal request, and took its answer|kept in the memory cache/);
  });

  it('lists the last ones, and fails for one that it does not know', async () => {
    const list = await explain();
    expect(list.out).toMatch(/ms {2}first\/1 {2}digits {2}edge: /);
    expect(JSON.parse((await explain('again', '--json')).out)).toMatchObject({ id: 'again', spent: { runMs: 0 } });
    expect(await explain('never')).toMatchObject({ code: 1, err: expect.stringContaining('never') as string });
  });
});
