// Two models of which the memory budget holds one, asked in turns (B22): how often one is loaded for the other, how much of the time
// goes into that, and whether agent and executors stay in the budget, by the kernel's own figures. Nobody else may answer: no hub.
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startAgent } from './agent.mjs';

const DIGITS = fileURLToPath(new URL('../examples/digits', import.meta.url));
const EVERY_MS = 100;
/** A request waits no longer: what isn't in memory is refused at once, and its caller comes again in its next turn. */
const TIMEOUT_MS = 1000;
/** edge-agent/engine/residency-policy.ts: ten times the loading, and no less. */
const RESIDENCY_FLOOR_MS = 10_000;
const SECONDS_MIN = 60;
const MIB = 2 ** 20;
const WARM_UP_ANSWERS = 600;

const request = JSON.stringify({
  inputs: [{ name: 'image', datatype: 'FP32', shape: [1, 1, 28, 28], data: new Array(784).fill(0.5) }],
  parameters: { cache: 'bypass', timeout: TIMEOUT_MS * 1000 },
});

function twoModels(folder) {
  const models = join(folder, 'alternating');
  for (const name of ['one', 'other']) {
    mkdirSync(join(models, name), { recursive: true });
    cpSync(DIGITS, join(models, name), { recursive: true });
    const path = join(models, name, 'model.yaml');
    writeFileSync(path, readFileSync(path, 'utf8').replace(/^name: .*$/m, `name: ${name}`));
  }
  return models;
}

const statusOf = async (agent) => (await fetch(`${agent.url}/agent/v1/status`)).json();

const infer = (agent, model) => fetch(`${agent.url}/v2/models/${model}/infer`, { method: 'POST', body: request });

/**
 * The budget that holds the agent, as large as it is once it has answered for a while, and one of the two, with room to grow. Measured
 * with one alone: of two executors each counts as less, for the kernel divides the pages of Node that they share.
 */
async function budgetFor(model, folder) {
  const agent = await startAgent([folder], ['--memory-budget', 'none']);
  for (let i = 0; i < WARM_UP_ANSWERS; i += 1) await infer(agent, model).then((one) => one.text());
  const { memory, models } = await statusOf(agent);
  await agent.stop();
  return memory.agentBytes + 1.3 * models[0].residency.bytes;
}

export async function alternating({ folder, rounds, roundMs, quick, say }) {
  const models = twoModels(folder);
  const budgetBytes = Math.ceil(await budgetFor('one', join(models, 'one')));
  const agent = await startAgent([models], ['--memory-budget', String(budgetBytes)]);
  const ms = Math.max(quick ? 0 : SECONDS_MIN * 1000, rounds * roundMs, 2 * RESIDENCY_FLOOR_MS + 5000);
  const before = await statusOf(agent);
  const seen = { answered: 0, refused: 0, otherwise: 0, overBytes: 0 };
  const startMs = performance.now();
  for (let i = 0; performance.now() - startMs < ms; i += 1) {
    const model = i % 2 === 0 ? 'one' : 'other';
    void infer(agent, model).then(
      ({ status }) => (seen[{ 200: 'answered', 503: 'refused' }[status] ?? 'otherwise'] += 1),
      () => (seen.otherwise += 1),
    );
    if (i % 10 === 0) {
      const { memory } = await statusOf(agent);
      seen.overBytes = Math.max(seen.overBytes, memory.usedBytes - budgetBytes);
      say(`alternating: ${Math.round((performance.now() - startMs) / 1000)} of ${Math.round(ms / 1000)} s`);
    }
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, startMs + (i + 1) * EVERY_MS - performance.now())));
  }
  const after = await statusOf(agent);
  await agent.stop();
  const reloads = after.models.reduce(
    (sum, { name, residency }) => sum + residency.loads - before.models.find((m) => m.name === name).residency.loads,
    0,
  );
  const allowed = ms / RESIDENCY_FLOOR_MS + 1;
  const { answered, refused, otherwise, overBytes } = seen;
  return [
    {
      name: 'Two models over the budget',
      about: `asked in turns, one each ${EVERY_MS} ms for ${Math.round(ms / 1000)} s; a budget of ${(budgetBytes / MIB).toFixed(0)} MiB holds the agent and one of them`,
      contestants: {
        agent: {
          figures: { reloads, answered, refused, otherwise, 'MiB over the budget': Math.max(0, overBytes) / MIB },
        },
      },
      ratios: [
        { what: 'reloads / one for each minimum residency', median: reloads / allowed, atMost: 1 },
        {
          what: 'answered / half of what was asked',
          median: (2 * answered) / (answered + refused + otherwise),
          atLeast: 0.9,
        },
      ],
    },
  ];
}
