// B22: two models that don't fit into the memory budget together, asked for in turns. Serving that evicts and reloads with each request
// spends its time in loading (Roboflow saw 200 to 700 reloads an hour); here a model that was loaded stays for its minimum residency, and
// what can't be there in time is refused at once, with the reason. Refusals are right here: without a hub nobody else can answer.
import { setTimeout as delay } from 'node:timers/promises';
import { startAgent } from './agent.mjs';
import { ask } from './answers.mjs';
import { writeLargeModel } from './large-model.mjs';
import { inferRequest } from './requests.mjs';

/** The least that docs/memory.md promises. */
const RESIDENCY_MS = 10_000;
const RUN_MS = 60_000;
const QUICK_RUN_MS = 25_000;
const EVERY_MS = 100;
const TIMEOUT_US = 5_000_000;
/** Of one model's size: what fits beside it. */
const ROOM = 0.5;

const memoryOf = async ({ url }) => await (await fetch(`${url}/agent/v1/status`)).json();
const loadsOf = ({ models }) => models.reduce((sum, { residency }) => sum + residency.loads, 0);

/** MiB for the agent, one of the models, and half of another. */
async function budgetFor(model) {
  const agent = await startAgent([model.file], ['--threads', '1']);
  const { memory, models } = await memoryOf(agent);
  await agent.stop();
  return Math.ceil((memory.agentBytes + models[0].residency.bytes * (1 + ROOM)) / 2 ** 20);
}

export async function overBudget({ folder, quick, say }) {
  const models = ['first', 'second'].map((name, i) => writeLargeModel(folder, name, { seed: i }));
  const budget = await budgetFor(models[0]);
  const agent = await startAgent(
    models.map(({ file }) => file),
    ['--threads', '1', '--memory-budget', `${budget}MiB`],
  );
  const headers = [
    ['tidegate-cache', 'bypass'],
    ['tidegate-timeout', String(TIMEOUT_US)],
  ];
  const requests = models.map(({ name, input, shape }) => inferRequest({ model: name, input, shape, headers }));
  const before = loadsOf(await memoryOf(agent));
  const counts = { answered: 0, refused: 0, late: 0 };
  const runMs = quick ? QUICK_RUN_MS : RUN_MS;
  say(`over budget: ${runMs / 1000} s`);
  let usedMost = 0;
  const startedMs = performance.now();
  for (let i = 0; performance.now() - startedMs < runMs; i += 1) {
    await ask(agent, requests[i % 2]).then(
      () => (counts.answered += 1),
      (error) => {
        const [, status] = /answered (50[34])/.exec(error.message) ?? [];
        if (status === undefined) throw error;
        counts[status === '503' ? 'refused' : 'late'] += 1;
      },
    );
    if (i % 10 === 0) usedMost = Math.max(usedMost, (await memoryOf(agent)).memory.usedBytes / 2 ** 20);
    await delay(EVERY_MS);
  }
  const tookMs = performance.now() - startedMs;
  const reloads = loadsOf(await memoryOf(agent)) - before;
  await agent.stop();
  return [
    {
      name: 'Over the budget (B22)',
      about: `two models of ${models[0].megabytes.toFixed(0)} MiB asked for in turns, a budget of ${budget} MiB, ${(tookMs / 1000).toFixed(0)} s`,
      contestants: {
        tidegate: { figures: { ...counts, reloads } },
      },
      ratios: [
        {
          what: 'reloads after the first, for each minimum residency (10 s)',
          median: Math.max(0, reloads - 1) / (tookMs / RESIDENCY_MS),
          atMost: 1,
        },
        { what: 'most memory in use / budget', median: usedMost / budget, atMost: 1 },
      ],
    },
  ];
}
