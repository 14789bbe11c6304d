// P10: memory of a server that runs a model of 113 MB four times at once, against once; Triton beside it. And what an idle agent
// takes. Shared pages count once (PSS), children too; measured under load, when all that grows has grown.
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startAgent } from './agent.mjs';
import { writeLargeModel } from './large-model.mjs';
import { installPeers, SERVERS } from './peers/peers.mjs';
import { residentMb, treeCpuUs, treePssMb } from './processes.mjs';
import { inferRequest } from './requests.mjs';
import { startLoad } from './throughput.mjs';

const DIGITS = fileURLToPath(new URL('../examples/digits', import.meta.url));
const INSTANCES = 4;
const LOAD_MS = 3_000;
const SETTLE_MS = 10_000;
const IDLE_MS = 10_000;
const TARGET = 1.15;
const IDLE_MB_TARGET = 80;
const IDLE_CORE_TARGET = 0.01;

/** MiB of a server under as many connections as it has instances. */
async function underLoad(folder, server, connections) {
  const load = await startLoad(folder, server, connections, server.request);
  await load.ask(LOAD_MS);
  const asked = load.ask(LOAD_MS);
  await delay(LOAD_MS / 2);
  const megabytes = treePssMb(server.pid);
  await asked;
  await Promise.all([load.stop(), server.stop()]);
  return megabytes;
}

async function instances({ folder, peers, say }) {
  const model = writeLargeModel(folder);
  const { name, file, input, shape, megabytes } = model;
  const request = inferRequest({ model: name, input, shape, headers: [['tidegate-cache', 'bypass']] });
  const ours = (concurrency) =>
    startAgent([file], ['--threads', '1', '--concurrency', String(concurrency)]).then((agent) => ({
      ...agent,
      request,
    }));
  const servers = { tidegate: ours };
  const { installed, skipped } = await installPeers(['triton'], peers, say);
  for (const [key, found] of Object.entries(installed)) {
    servers[key] = (count) => SERVERS[key].start(found, model, { folder, instances: count });
  }
  const contestants = {};
  for (const [key, start] of Object.entries(servers)) {
    say(`memory: ${key}`);
    const one = await underLoad(folder, await start(1), 1);
    const four = await underLoad(folder, await start(INSTANCES), INSTANCES);
    contestants[key] = {
      note: installed[key]?.about,
      figures: { 'MiB, one at a time': one, [`MiB, ${INSTANCES} at a time`]: four },
    };
  }
  const ratioOf = ({ figures }) => figures[`MiB, ${INSTANCES} at a time`] / figures['MiB, one at a time'];
  return {
    name: 'P10',
    about: `memory of ${INSTANCES} concurrent instances of a model of ${megabytes.toFixed(0)} MiB, and of one, under load; all processes, shared pages once`,
    contestants,
    ratios: Object.entries(contestants).map(([key, one]) => ({
      what: `${key}, ${INSTANCES} / 1`,
      median: ratioOf(one),
      ...(key === 'tidegate' ? { atMost: TARGET } : {}),
    })),
    notes: skipped,
  };
}

async function idle({ say }) {
  say('memory: an idle agent');
  const agent = await startAgent([DIGITS]);
  await delay(SETTLE_MS);
  const before = treeCpuUs(agent.pid);
  await delay(IDLE_MS);
  const cores = (treeCpuUs(agent.pid) - before) / 1000 / IDLE_MS;
  const resident = residentMb(agent.pid);
  const all = treePssMb(agent.pid);
  await agent.stop();
  return {
    name: 'P10 idle',
    about: `an agent that serves digits and is asked nothing, ${(SETTLE_MS + IDLE_MS) / 1000} s after its start`,
    contestants: { tidegate: { figures: { 'MiB with its executors (PSS)': all } } },
    ratios: [
      { what: 'MiB of the agent process (RSS)', median: resident, atMost: IDLE_MB_TARGET },
      { what: 'share of a core, with its executors', median: cores, atMost: IDLE_CORE_TARGET },
    ],
  };
}

export async function memory(bench) {
  if (process.platform !== 'linux') return [{ name: 'P10', about: 'skipped: only Linux says what processes share' }];
  return [await instances(bench), await idle(bench)];
}
