// P3: twice as many requests as the machine can answer, with mixed deadlines. Of those that were admitted nearly all should be
// answered in time, the others refused at once, and the executor should be busy with what counts. The yardstick of goodput is the
// same agent under as many requests as it can answer, asked by callers who wait for their answers (load.mjs), in turns.
import { ONE_RUN, startAgent } from './agent.mjs';
import { timedRecogniser } from './bench-models.mjs';
import { startScript } from './processes.mjs';
import { number } from './report.mjs';
import { inferRequest, writeRequest } from './requests.mjs';
import { figures, interleave, ratio, spread } from './statistics.mjs';
import { startLoad } from './throughput.mjs';

const RUN_MS = 20;
const CONNECTIONS = 2;
const OVERLOAD = 2;
/** Deadlines in run times: from hardly any time to wait to plenty. */
const DEADLINES = [3, 5, 10, 25, 50];
/** A refusal is over before it is noticed. */
const REFUSAL_MS = 1;
/** Requests of a round should be many against those under way when it ends; all rounds' refusals count together. */
const ROUND_MS_MIN = 10_000;
const QUICK_MS_MIN = 4_000;

const BUCKET = /^tidegate_refusal_duration_seconds_bucket\{le="([^"]+)",body="\w+"\} (\d+)/gm;

/** Refusals by their time, whether their bodies were read or not, from the agent's own metrics: cumulated, by upper bound in ms. */
async function refusals(agent) {
  const text = await (await fetch(`${agent.url}/metrics`)).text();
  const counts = new Map();
  for (const [, le, count] of text.matchAll(BUCKET)) {
    const ms = Number(le.replace('+Inf', 'Infinity')) * 1000;
    counts.set(ms, (counts.get(ms) ?? 0) + Number(count));
  }
  return counts;
}

/** What came between two readings. */
const between = (before, after) => new Map([...after].map(([ms, count]) => [ms, count - (before.get(ms) ?? 0)]));

/** The least bound that `share` of the refusals of all rounds kept. */
function boundOf(rounds, share) {
  const sum = (ms) => rounds.reduce((total, counts) => total + (counts.get(ms) ?? 0), 0);
  const bounds = [...new Set(rounds.flatMap((counts) => [...counts.keys()]))].sort((a, b) => (a < b ? -1 : 1)); // the last is infinite
  return bounds.find((ms) => sum(ms) >= share * sum(Infinity));
}

export async function overload({ folder, rounds, roundMs, warmUpMs, quick, say }) {
  const model = await timedRecogniser(folder, RUN_MS);
  const { name, input, shape, file, runMs } = model;
  const agent = await startAgent([file], ONE_RUN);
  const bypass = ['tidegate-cache', 'bypass'];
  const possible = await startLoad(
    folder,
    agent,
    CONNECTIONS,
    inferRequest({ model: name, input, shape, headers: [bypass] }),
  );
  const { perSecond: capacity } = await possible.ask(warmUpMs);
  const requests = DEADLINES.map((times) => {
    const deadlineMs = Math.round(times * runMs);
    const headers = [bypass, ['tidegate-timeout', String(deadlineMs * 1000)]];
    return { file: writeRequest(folder, inferRequest({ model: name, input, shape, headers })), deadlineMs };
  });
  const load = await startScript('open-load.mjs', [agent.host, String(agent.port)]);
  const ms = Math.max(roundMs, quick ? QUICK_MS_MIN : ROUND_MS_MIN);
  const offer = (forMs) =>
    load.ask(JSON.stringify({ ms: forMs, streams: [{ name: 'all', perSecond: OVERLOAD * capacity, requests }] }));
  const overloaded = async () => {
    const before = await refusals(agent);
    const { all } = await offer(ms);
    const admitted = all.offered - all.refused;
    return { ...all, metShare: all.met / admitted, refusals: between(before, await refusals(agent)) };
  };
  await offer(warmUpMs); // refusing is compiled too
  const measured = await interleave({ 'as many as it can': () => possible.ask(ms), overloaded }, rounds, (round) =>
    say(`overload: round ${round} of ${rounds}`),
  );
  await Promise.all([possible.stop(), load.stop(), agent.stop()]);
  const rows = measured.overloaded;
  return [
    {
      name: 'P3 overload',
      about: `${OVERLOAD} times what the agent can answer of a model of ${number(runMs)} ms, deadlines of ${DEADLINES.join(', ')} run times`,
      contestants: {
        'as many as it can': {
          figures: figures(measured['as many as it can'], { 'in time / s': (one) => one.perSecond }),
        },
        overloaded: {
          figures: figures(rows, {
            'in time / s': (one) => one.perSecond,
            offered: (one) => one.offered,
            refused: (one) => one.refused,
            late: (one) => one.late,
            failed: (one) => one.failed,
          }),
        },
      },
      ratios: [
        { what: 'admitted that met their deadline', ...spread(rows.map((one) => one.metShare)), atLeast: 0.999 },
        {
          what: 'refused within, p99, in ms (last byte read, or the head where that was enough, to answer written; the bound of a bucket)',
          median: boundOf(
            rows.map((one) => one.refusals),
            0.99,
          ),
          atMost: REFUSAL_MS,
        },
        { what: 'goodput / possible', ...ratio(rows, measured['as many as it can']), atLeast: 0.9 },
      ],
      notes: rows[0] === undefined ? [] : [`first round: ${JSON.stringify(rows[0].errors)}`],
    },
  ];
}
