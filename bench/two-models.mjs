// Two models on the same cores: one caller floods a model of long runs with half again as much as the machine can answer, another asks a
// model of short ones now and then. In turns: each alone, and both at once. What is admitted should be answered in time, the
// flood should hardly cost the other its p99, and the machine should answer as much of the flood as it did without the other.
import { availableParallelism } from 'node:os';
import { startAgent } from './agent.mjs';
import { timedModels } from './bench-models.mjs';
import { startScript } from './processes.mjs';
import { number } from './report.mjs';
import { inferRequest, writeRequest } from './requests.mjs';
import { interleave, median, quantile } from './statistics.mjs';

/** Of what the cores can answer of each model. */
const FLOOD_SHARE = 1.5;
const CALM_SHARE = 0.02;
const FLOOD_DEADLINE_MS = 1000;
const CALM_DEADLINE_MS = 200;
const ROUND_MS_MIN = 5_000;

/** `checkout`: whose build; this one's where none is named. */
export async function twoModels({ folder, rounds, roundMs, warmUpMs, say, checkout }) {
  const [long, short] = await timedModels(folder);
  const agent = await startAgent([long.file, short.file], ['--threads', '1'], checkout);
  const cores = availableParallelism();
  const stream = ({ name, input, shape, runMs }, caller, share, deadlineMs) => {
    const headers = [
      ['tidegate-cache', 'bypass'],
      ['tidegate-tenant', caller],
      ['tidegate-timeout', String(deadlineMs * 1000)],
    ];
    const file = writeRequest(folder, inferRequest({ model: name, input, shape, headers }));
    return { name: caller, perSecond: (share * cores * 1000) / runMs, requests: [{ file, deadlineMs }] };
  };
  const flood = stream(long, 'flood', FLOOD_SHARE, FLOOD_DEADLINE_MS);
  const calm = stream(short, 'calm', CALM_SHARE, CALM_DEADLINE_MS);
  const load = await startScript('open-load.mjs', [agent.host, String(agent.port)]);
  const ms = Math.max(roundMs, ROUND_MS_MIN);
  const play = (streams, forMs = ms) => load.ask(JSON.stringify({ ms: forMs, streams }));
  await play([calm, flood], warmUpMs);
  const measured = await interleave(
    { calm: () => play([calm]), flood: () => play([flood]), both: () => play([calm, flood]) },
    rounds,
    (round) => say(`two-models: round ${round} of ${rounds}`),
  );
  await Promise.all([load.stop(), agent.stop()]);
  const all = (list, caller) => {
    const seen = list.map((round) => round[caller]);
    const times = seen.flatMap((one) => one.times).sort((a, b) => a - b);
    const sum = (key) => seen.reduce((total, one) => total + one[key], 0);
    return {
      figures: {
        'p50 ms': quantile(times, 0.5),
        'p99 ms': quantile(times, 0.99),
        'in time/s': (1000 * sum('met')) / (rounds * ms),
        offered: sum('offered'),
        refused: sum('refused'),
        late: sum('late'),
      },
    };
  };
  const contestants = {
    'calm, alone': all(measured.calm, 'calm'),
    'calm, beside the flood': all(measured.both, 'calm'),
    'flood, alone': all(measured.flood, 'flood'),
    'flood, beside the calm one': all(measured.both, 'flood'),
  };
  const of = (key, what) => contestants[key].figures[what];
  const answered = measured.both.map((round, i) => round.flood.met / measured.flood[i].flood.met);
  return [
    {
      name: 'Two models at once',
      about: `a caller at ${number(flood.perSecond)} requests a second of a model of ${number(long.runMs)} ms, another at ${number(calm.perSecond)} of one of ${number(short.runMs)} ms, ${cores} cores`,
      contestants,
      ratios: [
        {
          what: "the calm caller's p99, beside the flood / alone",
          median: of('calm, beside the flood', 'p99 ms') / of('calm, alone', 'p99 ms'),
        },
        { what: 'answers to the flood in time, beside the calm caller / alone', median: median(answered) },
      ],
    },
  ];
}
