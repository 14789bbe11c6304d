// What a hub that hangs costs local answers: an agent is asked at a steady pace for local answers, and now and then for one that
// it isn't sure of, so that the hub is really tried. Its hub (a second agent, one loopback away) answers, or is stopped in its
// tracks (SIGSTOP, not closed). The pace is low, so that the two cores are not what is measured.
import { fileURLToPath } from 'node:url';
import { startAgent } from './agent.mjs';
import { figures, spread } from './statistics.mjs';

const DIGITS = fileURLToPath(new URL('../examples/digits', import.meta.url));
const LOCAL_EVERY_MS = 10;
const UNSURE_EVERY_MS = 100;
const PROBE_INTERVAL_MS = 1000;
const TARGET = 1.1;

/** Nothing on the picture: the digit classifier is far from sure. */
const UNSURE = new Float32Array(784);

function requestOf(values, placement) {
  const json = JSON.stringify({
    inputs: [
      { name: 'image', datatype: 'FP32', shape: [1, 1, 28, 28], parameters: { binary_data_size: values.byteLength } },
    ],
    parameters: { cache: 'bypass', placement },
  });
  return {
    method: 'POST',
    headers: { 'inference-header-content-length': String(Buffer.byteLength(json)) },
    body: Buffer.concat([Buffer.from(json), Buffer.from(values.buffer)]),
  };
}

async function ask(agent, request) {
  const startedMs = performance.now();
  const response = await fetch(`${agent.url}/v2/models/digits/infer`, request);
  const body = await response.json();
  if (response.status !== 200) throw new Error(body.error);
  return { tookMs: performance.now() - startedMs, placement: body.parameters.placement };
}

/** A round at a steady pace; the p99 of the local answers, and how the unsure ones were answered. */
async function round(agent, roundMs) {
  const local = requestOf(
    Float32Array.from({ length: 784 }, (_, i) => (i % 28 === 14 ? 1 : 0)),
    'local',
  );
  const unsure = requestOf(UNSURE, 'auto');
  const times = [];
  const placements = {};
  const asked = [];
  const failures = []; // kept until the end: an unheard one would end this process and leave a stopped hub behind
  const keep = (promise) => asked.push(promise.catch((error) => failures.push(error)));
  const startedMs = performance.now();
  for (let i = 0; performance.now() - startedMs < roundMs; i += 1) {
    keep(ask(agent, local).then(({ tookMs }) => times.push(tookMs)));
    if (i % (UNSURE_EVERY_MS / LOCAL_EVERY_MS) === 0) {
      keep(ask(agent, unsure).then(({ placement }) => (placements[placement] = (placements[placement] ?? 0) + 1)));
    }
    const restMs = startedMs + (i + 1) * LOCAL_EVERY_MS - performance.now();
    if (restMs > 0) await new Promise((resolve) => setTimeout(resolve, restMs));
  }
  await Promise.all(asked);
  if (failures.length > 0) throw failures[0];
  const sorted = times.toSorted((a, b) => a - b);
  return { p99Ms: sorted[Math.floor(sorted.length * 0.99)], placements };
}

const hubCounts = async (agent) => (await (await fetch(`${agent.url}/agent/v1/status`)).json()).hub.counts;

export async function stoppedHub({ rounds, roundMs: askedMs, say }) {
  const roundMs = Math.max(askedMs, 2 * PROBE_INTERVAL_MS); // calls are counted for each interval
  const hub = await startAgent([DIGITS]);
  const agent = await startAgent([DIGITS], ['--hub', hub.url, '--hub-probe-interval', String(PROBE_INTERVAL_MS)]);
  await round(agent, 3000);
  const answering = [];
  const stopped = [];
  let probes = 0;
  for (let i = 0; i < rounds; i += 1) {
    answering.push(await round(agent, roundMs));
    process.kill(hub.pid, 'SIGSTOP');
    await round(agent, PROBE_INTERVAL_MS); // until the breaker knows
    const before = await hubCounts(agent);
    stopped.push(await round(agent, roundMs));
    probes += (await hubCounts(agent)).calls - before.calls;
    process.kill(hub.pid, 'SIGCONT');
    await round(agent, 3 * PROBE_INTERVAL_MS); // until it is closed again
    say(`stopped hub: round ${i + 1} of ${rounds}`);
  }
  await agent.stop();
  await hub.stop();
  const calls = probes / ((rounds * roundMs) / PROBE_INTERVAL_MS);
  const contestant = (list) => ({
    note: `unsure ones were answered by ${JSON.stringify(list[0].placements)}`,
    figures: figures(list, { 'p99 ms': ({ p99Ms }) => p99Ms }),
  });
  return [
    {
      name: 'Stopped hub',
      about: `local answers, one each ${LOCAL_EVERY_MS} ms, while the hub is stopped (SIGSTOP) and while it answers`,
      contestants: { 'hub answers': contestant(answering), 'hub stopped': contestant(stopped) },
      ratios: [
        {
          what: 'p99, stopped / answering',
          ...spread(stopped.map((one, i) => one.p99Ms / answering[i].p99Ms)),
          atMost: TARGET,
        },
        { what: 'calls to the stopped hub per probe interval', median: calls, atMost: 1 },
      ],
    },
  ];
}
