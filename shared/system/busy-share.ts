// How busy the machine is with other work in the moment before something is measured on it. Looks while nothing of ours runs.
import { cpus } from 'node:os';
import { delay, type Clock } from './clock.js';

const LOOK_MS = 500;
/** What is measured beside more is not the device's. */
export const BUSY_SHARE_MAX = 0.1;

/** 0 to 1, over all cores, in the next half second. Rejects with the signal's reason. */
export async function observeBusyShare(clock: Clock, signal: AbortSignal): Promise<number> {
  const before = cpuTimes();
  await delay(clock, LOOK_MS, signal);
  const after = cpuTimes();
  const all = after.all - before.all;
  return all <= 0 ? 0 : 1 - (after.idle - before.idle) / all;
}

function cpuTimes(): { idle: number; all: number } {
  const times = cpus().map((core) => core.times);
  const idle = times.reduce((sum, core) => sum + core.idle, 0);
  return { idle, all: times.reduce((sum, { user, nice, sys, irq }) => sum + user + nice + sys + irq, idle) };
}
