// P8: the time of a training step (forward, backward, AdamW) of three networks, beside PyTorch's on the same number of threads. Each
// side has a process of its own, and rests before the other is measured: threads that spin a while would take the other's cores.
import { setTimeout as delay } from 'node:timers/promises';
import { installPeers } from './peers/peers.mjs';
import { pytorch } from './peers/pytorch.mjs';
import { startScript } from './processes.mjs';
import { figures, interleave, ratio } from './statistics.mjs';
import { TRAINING_MODELS } from './training/models.mjs';

const TARGET = 1;
const THREADS = [1, 2];
const WARM_UP_MS = 1_500;
const REST_MS = 300;

export async function training({ rounds, roundMs, peers, say }) {
  const { installed, skipped } = await installPeers(['pytorch'], peers, say);
  const results = [];
  for (const { name, about } of TRAINING_MODELS) {
    for (const threads of THREADS) {
      const args = [name, String(threads)];
      const sides = { tidegate: await startScript('training/our-step.mjs', args) };
      if (installed.pytorch !== undefined) sides.pytorch = await pytorch.start(installed.pytorch, args);
      const turn = async (side) => {
        const answer = await side.ask(roundMs);
        await delay(REST_MS);
        return answer;
      };
      for (const side of Object.values(sides)) await side.ask(WARM_UP_MS);
      const contestants = Object.fromEntries(Object.entries(sides).map(([key, side]) => [key, () => turn(side)]));
      const measured = await interleave(contestants, rounds, (round) =>
        say(`P8 ${name}, ${threads} threads: round ${round} of ${rounds}`),
      );
      await Promise.all(Object.values(sides).map((side) => side.stop()));
      results.push(judged(`P8 ${name}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`, about, measured, skipped));
    }
  }
  return results;
}

function judged(name, about, measured, notes) {
  const { tidegate, pytorch } = measured;
  const stepMs = ({ perSecond }) => 1000 / perSecond;
  const cpuMs = ({ cpuUs }) => cpuUs / 1000;
  const over = (of) => ratio(tidegate, pytorch, of);
  return {
    name,
    about,
    contestants: Object.fromEntries(
      Object.entries(measured).map(([key, list]) => [
        key,
        { figures: figures(list, { 'ms a step': stepMs, 'ms of processor a step': cpuMs }) },
      ]),
    ),
    ratios:
      pytorch === undefined
        ? []
        : [
            { what: 'step time, tidegate / PyTorch', ...over(stepMs), atMost: TARGET },
            { what: 'processor time, tidegate / PyTorch', ...over(cpuMs) },
          ],
    notes,
  };
}
