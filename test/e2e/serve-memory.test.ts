// The memory budget over real executors: three copies of digits where two fit. Sizes are measured here first, since the shares of
// pages that processes have in common change with what else runs.
import { cpSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { InferAnswer } from '@tidegate/shared/serving/inference-service.js';
import { float32Of } from '@tidegate/shared/tensor/tensor.js';
import { examplesFolder, runAgent, startAgent, type AgentProcess, type AgentStatus } from '../support/agent-process.js';
import { writeBarePackage } from '../support/bare-package.js';
import { digitInput } from '../support/digit-inputs.js';
import { temporaryFolders } from '../support/temporary-folder.js';

const MIB = 2 ** 20;
const temporary = temporaryFolders('serve-memory');
let models: string;

interface MemoryStatus extends Omit<AgentStatus, 'models'> {
  readonly memory: { readonly budgetBytes: number | null; readonly usedBytes: number; readonly agentBytes: number };
  readonly models: readonly {
    readonly name: string;
    readonly residency: { readonly state: string; readonly bytes: number; readonly loads: number };
    readonly graphs: readonly { readonly pid?: number }[];
  }[];
}

const statusOf = (agent: AgentProcess): Promise<MemoryStatus> => agent.get('/agent/v1/status');
const statesOf = async (agent: AgentProcess): Promise<Record<string, string>> =>
  Object.fromEntries((await statusOf(agent)).models.map(({ name, residency }) => [name, residency.state]));
/** A model that is on demand, once nothing comes or goes any more. */
async function awayOf(agent: AgentProcess): Promise<string> {
  for (;;) {
    const states = Object.entries(await statesOf(agent));
    const [away] = states.find(([, state]) => state === 'on demand') ?? [];
    if (away !== undefined && states.every(([, state]) => state === 'on demand' || state === 'resident')) return away;
  }
}
const ask = (agent: AgentProcess, model: string, timeoutMs = 30_000): Promise<InferAnswer> =>
  agent.infer(model, digitInput(1), { cache: 'bypass', timeoutMs });

beforeAll(() => {
  models = temporary();
  for (const name of ['a', 'b', 'c']) {
    const folder = join(models, name);
    cpSync(`${examplesFolder}digits`, folder, { recursive: true });
    const yaml = readFileSync(join(folder, 'model.yaml'), 'utf8');
    writeFileSync(join(folder, 'model.yaml'), yaml.replace(/^name: .*$/m, `name: ${name}`));
  }
});

describe('under a memory budget', () => {
  let agent: AgentProcess;
  let budgetMiB: number;

  beforeAll(async () => {
    const measured = await startAgent(['serve', models]);
    const { memory, models: loaded } = await statusOf(measured);
    await measured.stop();
    const [, two, three] = loaded.map(({ residency }) => residency.bytes).sort((x, y) => x - y);
    budgetMiB = Math.ceil((memory.agentBytes + (two ?? 0) + (three ?? 0)) / MIB) + 20;
    agent = await startAgent(['serve', models, '--memory-budget', `${budgetMiB}MiB`]);
  });
  afterAll(async () => void (await agent.stop()));

  it('serves all models, of which not all are in memory, and keeps to it', async () => {
    const away = await awayOf(agent);
    await ask(agent, away); // one that nobody has asked for makes room at once
    const { memory, models: now } = await statusOf(agent);
    expect(memory.budgetBytes).toBe(budgetMiB * MIB);
    expect(memory.usedBytes).toBeLessThanOrEqual(budgetMiB * MIB);
    expect(now.some(({ residency, graphs }) => residency.state === 'on demand' && graphs[0]?.pid === undefined)).toBe(
      true,
    );
    expect(now.reduce((sum, { residency }) => sum + residency.loads, 0)).toBe(4);
    expect(await agent.metric('tidegate_memory_budget_bytes')).toBe(budgetMiB * MIB);
    expect(await agent.metric('tidegate_memory_used_bytes')).toBe(memory.usedBytes);
    expect(agent.stderr).toMatch(/"model":"[abc]","why":"budget".*"for":"[abc]".*model leaves memory/);
    const { stdout } = await runAgent(['status', '--http-port', new URL(agent.url).port]);
    expect(stdout).toMatch(new RegExp(`of a budget of ${budgetMiB} MiB`));
    expect(stdout).toMatch(/ {2}on demand: \d+ MiB/);
  });

  it('refuses what can not be there in time, with the reason and when to come again (B22)', async () => {
    // A patient client, so that the agent's own answer is seen. Where the load was fast enough after all, another model is away.
    const inputs = digitInput(1).map((image) => ({ ...image, data: [...float32Of(image)] }));
    const body = JSON.stringify({ inputs });
    const headers = { 'content-type': 'application/json', 'tidegate-timeout': '60000', 'tidegate-cache': 'bypass' };
    let away = '';
    const refusal = async (): Promise<unknown> => {
      away = await awayOf(agent);
      const answer = await fetch(`${agent.url}/v2/models/${away}/infer`, { method: 'POST', headers, body });
      return {
        status: answer.status,
        retryAfter: answer.headers.get('retry-after'),
        ...((await answer.json()) as object),
      };
    };
    await expect.poll(refusal).toMatchObject({
      status: 503,
      error: expect.stringContaining("' is not in memory: ") as string,
      retryAfter: expect.stringMatching(/^[1-9]/) as string,
    });
    expect((await fetch(`${agent.url}/v2/models/${away}/ready`)).status).toBe(200); // it only has to be loaded
  });

  it('loads on the order of the repository extension, and takes out of service', async () => {
    const order = async (what: string): Promise<number> =>
      (await fetch(`${agent.url}/v2/repository/models/${what}`, { method: 'POST' })).status;
    const away = await awayOf(agent);
    expect(await order(`${away}/load`)).toBe(200);
    expect((await statesOf(agent))[away]).toBe('resident');
    expect(await order(`${away}/unload`)).toBe(200);
    expect((await statesOf(agent))[away]).toBeUndefined();
    expect(await order(`${away}/load`)).toBe(200);
    await ask(agent, away);
  });
});

it('lets models go that nobody asks for, but the pinned, and loads them with the next request', async () => {
  const agent = await startAgent(['serve', models, '--keep-alive', '0', '--pin', 'c']);
  try {
    expect(await statesOf(agent)).toEqual({ a: 'on demand', b: 'on demand', c: 'resident' });
    expect((await Promise.all(['a', 'b', 'c', 'a'].map((model) => ask(agent, model)))).length).toBe(4);
    await expect.poll(() => statesOf(agent)).toEqual({ a: 'on demand', b: 'on demand', c: 'resident' });
    expect(await agent.metric('tidegate_model_loads_total{model="c"}')).toBe(1);
    expect(await agent.metric('tidegate_model_evictions_total{model="a",why="keep-alive"}')).toBeGreaterThan(1);
  } finally {
    await agent.stop();
  }
});

it('serves what fits beside a model that does not, whose requests are told why; status and doctor name it', async () => {
  const folder = temporary();
  cpSync(join(models, 'a'), join(folder, 'a'), { recursive: true });
  const wide = writeBarePackage(join(folder, 'wide'), 'wide');
  writeFileSync(join(wide, 'more.bin'), '');
  truncateSync(join(wide, 'more.bin'), 300 * MIB);
  const agent = await startAgent(['serve', folder, '--memory-budget', '400MiB']);
  expect((await ask(agent, 'a')).provenance.placement).toBe('edge');
  const answer = await fetch(`${agent.url}/v2/models/wide/infer`, {
    method: 'POST',
    body: JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], data: [1, 2, 3, 4] }] }),
  });
  const why = /it needs 415 MiB, and the memory budget of 400 MiB leaves \d+ MiB/;
  expect([answer.status, await answer.text()]).toEqual([503, expect.stringMatching(why)]);
  const port = ['--http-port', new URL(agent.url).port];
  expect((await runAgent(['status', ...port])).stdout).toMatch(new RegExp(`wide@1 is not loaded: .*${why.source}`));
  expect((await runAgent(['doctor', ...port])).stdout).toMatch(/warn models in service: 'wide' is not loaded/);
  expect((await agent.stop()).stderr).toMatch(/model not loaded: it does not fit the memory budget/);
});

it('says what is needed and what is there where a model does not fit at all', async () => {
  const { code, stderr } = await runAgent([
    'serve',
    models,
    '--http-port',
    '0',
    '--grpc-port',
    'off',
    '--memory-budget',
    '60MiB',
  ]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/model 'a' .* needs \d+ MiB, and the memory budget of 60 MiB leaves \d+ MiB/);
});

it('refuses to pin what is not there', async () => {
  const args = ['serve', models, '--http-port', '0', '--grpc-port', 'off', '--pin', 'a,z'];
  const told = "--pin: no model here is called 'z'; allowed: a, b, c";
  expect(await runAgent(args)).toMatchObject({ code: 2, stderr: expect.stringContaining(told) as string });
});
