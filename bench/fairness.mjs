// Fair shares: callers that ask now and then, alone, and while another asks a hundred times as often as each, which is more than the
// agent can answer. Their p99 should hardly show it. All name themselves (`tidegate-tenant`); four of them give enough answers for a
// p99, and all rounds' answers count together. What the heavy caller's sender and the kernel take of the cores is not the agent's:
// a third contestant sends the same to a plain server instead. Both kinds of callers have senders of their own, in processes apart.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ONE_RUN, startAgent } from './agent.mjs';
import { timedRecogniser } from './bench-models.mjs';
import { startScript } from './processes.mjs';
import { number } from './report.mjs';
import { inferRequest, writeRequest } from './requests.mjs';
import { interleave, quantile } from './statistics.mjs';

const RUN_MS = 5;
const TIMES = 100;
/** Of what the agent can answer, in all: each light caller asks for a fortieth, the heavy one for 2.5 times as much as there is. */
const LIGHT_SHARE = 0.025;
const DEADLINE_MS = 1000;
const LIGHT_CALLERS = 4;
const ROUND_MS_MIN = 20_000;
const QUICK_MS_MIN = 4_000;
const TARGET = 1.2;

export async function fairness({ folder, rounds, roundMs, warmUpMs, quick, say }) {
  const { name, input, shape, file, runMs } = await timedRecogniser(folder, RUN_MS);
  const agent = await startAgent([file], ONE_RUN);
  const answerFile = join(folder, 'plain-answer');
  writeFileSync(answerFile, 'no');
  const plain = await startScript('plain-server.mjs', [answerFile, '{"content-length":2}']);
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
  const light = Array.from({ length: LIGHT_CALLERS }, (_, i) => stream(`light${i}`, lightPerSecond));
  const heavy = [stream('heavy', TIMES * lightPerSecond)];
  const senderTo = (host, port) => startScript('open-load.mjs', [host, String(port)]);
  const [lightSender, heavySender] = [await senderTo(agent.host, agent.port), await senderTo(agent.host, agent.port)];
  const elsewhere = await senderTo('127.0.0.1', /:(\d+)$/.exec(plain.ready)[1]);
  const play = async (ms, sender) => {
    const [ofLight, ofHeavy] = await Promise.all([
      lightSender.ask(JSON.stringify({ ms, streams: light })),
      sender?.ask(JSON.stringify({ ms, streams: heavy })),
    ]);
    return { light: Object.values(ofLight), heavy: Object.values(ofHeavy ?? {}) };
  };
  await play(warmUpMs, heavySender);
  const ms = Math.max(roundMs, quick ? QUICK_MS_MIN : ROUND_MS_MIN);
  const measured = await interleave(
    { alone: () => play(ms), elsewhere: () => play(ms, elsewhere), beside: () => play(ms, heavySender) },
    rounds,
    (round) => say(`fairness: round ${round} of ${rounds}`),
  );
  await Promise.all([lightSender, heavySender, elsewhere, plain, agent].map((one) => one.stop()));
  const all = (list, kind) => {
    const seen = list.flatMap((round) => round[kind]);
    const times = seen.flatMap((one) => one.times).sort((a, b) => a - b);
    const sum = (key) => seen.reduce((total, one) => total + one[key], 0);
    const shares = { 'p50 ms': 0.5, 'p95 ms': 0.95, 'p99 ms': 0.99 };
    const figures = Object.fromEntries(Object.entries(shares).map(([label, share]) => [label, quantile(times, share)]));
    return { ...figures, offered: sum('offered'), 'in time': sum('met'), refused: sum('refused'), late: sum('late') };
  };
  const contestants = {
    'light, alone': { figures: all(measured.alone, 'light') },
    'light, heavy at a plain server': { figures: all(measured.elsewhere, 'light') },
    'light, beside heavy': { figures: all(measured.beside, 'light') },
    heavy: { figures: all(measured.beside, 'heavy') },
  };
  const times = (label, key, of) => contestants[key].figures[label] / contestants[of].figures[label];
  const beside = ['light, beside heavy', 'light, alone'];
  const machine = ['light, heavy at a plain server', 'light, alone'];
  return [
    {
      name: 'Fair shares',
      about: `${LIGHT_CALLERS} callers at ${number(lightPerSecond)} requests a second each beside one at ${TIMES} times as many, a model of ${number(runMs)} ms, one run at a time`,
      contestants,
      ratios: [
        {
          what: "the light callers' p99, beside the heavy one / alone",
          median: times('p99 ms', ...beside),
          atMost: TARGET,
        },
        { what: 'their p95', median: times('p95 ms', ...beside) },
        {
          what: 'their p99, the heavy one at a plain server / alone: the machine',
          median: times('p99 ms', ...machine),
        },
      ],
    },
  ];
}
