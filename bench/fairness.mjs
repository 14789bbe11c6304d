// Fair shares: a caller that asks now and then, alone, and while another asks a hundred times as often, which is more than the agent
// can answer. The light caller's p99 should hardly show it. Both name themselves (`tidegate-tenant`); all rounds' answers count together,
// since one round has too few for a p99.
import { ONE_RUN, startAgent } from './agent.mjs';
import { timedRecogniser } from './bench-models.mjs';
import { startScript } from './processes.mjs';
import { number } from './report.mjs';
import { inferRequest, writeRequest } from './requests.mjs';
import { interleave, quantile } from './statistics.mjs';

const RUN_MS = 5;
const TIMES = 100;
/** Of what the agent can answer, in all: the light caller asks for a fortieth, the heavy one for 2.5 times as much as there is. */
const LIGHT_SHARE = 0.025;
const DEADLINE_MS = 1000;
const ROUND_MS_MIN = 10_000;
const TARGET = 1.2;

export async function fairness({ folder, rounds, roundMs, warmUpMs, say }) {
  const { name, input, shape, file, runMs } = await timedRecogniser(folder, RUN_MS);
  const agent = await startAgent([file], ONE_RUN);
  const stream = (caller, perSecond) => {
    const headers = [
      ['tidegate-cache', 'bypass'],
      ['tidegate-tenant', caller],
      ['tidegate-timeout', String(DEADLINE_MS * 1000)],
    ];
    const request = writeRequest(folder, inferRequest({ model: name, input, shape, headers }));
    return { name: caller, perSecond, requests: [{ file: request, deadlineMs: DEADLINE_MS }] };
  };
  const lightPerSecond = (LIGHT_SHARE * 1000) / runMs;
  const light = stream('light', lightPerSecond);
  const heavy = stream('heavy', TIMES * lightPerSecond);
  const load = await startScript('open-load.mjs', [agent.host, String(agent.port)]);
  const play = (streams, ms) => load.ask(JSON.stringify({ ms, streams }));
  await play([light, heavy], warmUpMs);
  const ms = Math.max(roundMs, ROUND_MS_MIN);
  const measured = await interleave(
    { alone: () => play([light], ms), beside: () => play([light, heavy], ms) },
    rounds,
    (round) => say(`fairness: round ${round} of ${rounds}`),
  );
  await Promise.all([load.stop(), agent.stop()]);
  const all = (list, caller) => {
    const seen = list.map((round) => round[caller]);
    const times = seen.flatMap((one) => one.times).sort((a, b) => a - b);
    const sum = (key) => seen.reduce((total, one) => total + one[key], 0);
    const figures = { 'p50 ms': quantile(times, 0.5), 'p99 ms': quantile(times, 0.99) };
    return { ...figures, offered: sum('offered'), 'in time': sum('met'), refused: sum('refused'), late: sum('late') };
  };
  const contestants = {
    'light, alone': { figures: all(measured.alone, 'light') },
    'light, beside heavy': { figures: all(measured.beside, 'light') },
    heavy: { figures: all(measured.beside, 'heavy') },
  };
  const p99 = (key) => contestants[key].figures['p99 ms'];
  return [
    {
      name: 'Fair shares',
      about: `a caller at ${number(lightPerSecond)} requests a second beside one at ${TIMES} times as many, a model of ${number(runMs)} ms, one run at a time`,
      contestants,
      ratios: [
        {
          what: "the light caller's p99, beside the heavy one / alone",
          median: p99('light, beside heavy') / p99('light, alone'),
          atMost: TARGET,
        },
      ],
    },
  ];
}
