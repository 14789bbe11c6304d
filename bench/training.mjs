// P8: the time of a training step (forward, backward, AdamW) of three networks, beside PyTorch's on the same number of threads. Each
// side has a process of its own, and rests before the other is measured: threads that spin a while would take the other's cores.
import { setTimeout as delay } from 'node:timers/promises';
import { startProgram, startScript } from './processes.mjs';
import { interleave, median } from './statistics.mjs';
import { torchPython } from './training/environment.mjs';
import { TRAINING_MODELS } from './training/models.mjs';

const TRAINING_TARGET = 1;
const THREADS = [1, 2];
const WARM_UP_MS = 1_500;
const REST_MS = 300;

export async function training(rounds, roundMs, say) {
  const { python, missing } = await torchPython(say);
  if (missing !== undefined) say(`P8: PyTorch is skipped: ${missing}`);
  const results = [];
  for (const { name, about } of TRAINING_MODELS) {
    for (const threads of THREADS) {
      const args = [name, String(threads)];
      const sides = { tidegate: await startScript('training/our-step.mjs', args) };
      if (python !== undefined) {
        const script = new URL('training/torch_step.py', import.meta.url).pathname;
        sides.pytorch = await startProgram(python, [script, ...args]);
      }
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
      results.push({ name: `P8 ${name}`, about, threads, measured, ...ratios(measured) });
    }
  }
  return results;
}

/**
 * Our step time, and our processor time for a step, over PyTorch's, round by round; and the least of all rounds over the least, as
 * other work on the machine only ever adds.
 */
function ratios({ tidegate, pytorch }) {
  if (pytorch === undefined) return {};
  const over = (of) => {
    const values = tidegate.map((ours, i) => of(ours) / of(pytorch[i]));
    const least = Math.min(...tidegate.map(of)) / Math.min(...pytorch.map(of));
    return { median: median(values), low: Math.min(...values), high: Math.max(...values), least };
  };
  return { ratio: over(({ perSecond }) => 1 / perSecond), cpuRatio: over(({ cpuUs }) => cpuUs) };
}

export function printTraining(results) {
  const two = (value) => value.toFixed(2);
  const spread = ({ median: middle, low, high, least }) =>
    `${two(middle)} (${two(low)} to ${two(high)}), least over least ${two(least)}`;
  for (const { name, about, threads, measured, ratio, cpuRatio } of results) {
    console.log(`\n${name}: ${about}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`);
    for (const [key, list] of Object.entries(measured)) {
      const stepMs = median(list.map(({ perSecond }) => 1000 / perSecond));
      const cpuMs = median(list.map(({ cpuUs }) => cpuUs / 1000));
      console.log(`  ${key.padEnd(8)} ${two(stepMs).padStart(7)} ms a step, ${two(cpuMs)} ms of processor`);
    }
    if (ratio === undefined) continue;
    const verdict = ratio.median <= TRAINING_TARGET ? 'reached' : 'missed';
    console.log(`  step time, ours over PyTorch's: ${spread(ratio)}, target <= ${TRAINING_TARGET}: ${verdict}`);
    console.log(`  processor time, ours over PyTorch's: ${spread(cpuRatio)}`);
  }
}
