// What only starting without a fork promises, on top of the contract that executor-child.test.ts holds both ways to. A main thread
// that stands still can't be timed here without flakes: it is held by who started the process. The times are in docs/performance.md.
import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { chooseStart, forkChild, type ChildOrder } from '@tidegate/shared/runtime/executor-child.js';
import { posixStart } from '@tidegate/shared/runtime/posix-child.js';
import { childPids } from '../../support/child-processes.js';
import { recordedLog } from '../../support/recorded-log.js';

const order = (script: string): ChildOrder => ({
  command: process.execPath,
  args: ['-e', script],
  env: process.env,
  sharedFd: undefined,
});

it.runIf(process.platform === 'linux')('is how executors start on Linux, and nothing is said of it', async () => {
  const log = recordedLog();
  expect(await chooseStart(log)).not.toBe(forkChild);
  expect(await chooseStart(log, 'binding')).toBe(forkChild); // who wants no koffi in executors has none here
  expect(log.lines).toEqual([]);
});

it.runIf(process.platform === 'linux')(
  'leaves the main thread to others: another one starts the process and waits until it runs (B17)',
  async () => {
    const child = posixStart()(order('setInterval(() => {}, 1000)'));
    expect(child.pid).toBeUndefined(); // the call has come back, and nothing has begun yet
    while (child.pid === undefined) await turn();
    expect(childPids(process.pid)).not.toContain(child.pid);
    expect(childPids()).toContain(child.pid);
    const forked = forkChild(order('setInterval(() => {}, 1000)'));
    expect(childPids(process.pid)).toContain(forked.pid); // so it would be seen
    for (const one of [child, forked]) one.kill();
    await Promise.all([child.closed, forked.closed]);
  },
);

it.runIf(process.platform === 'linux')('tells the ends of many apart that end at once', async () => {
  const start = posixStart();
  const codes = Array.from({ length: 20 }, (_, code) => code);
  const shell = (code: number): ChildOrder => ({ ...order(''), command: '/bin/sh', args: ['-c', `exit ${code}`] });
  const ends = await Promise.all(codes.map((code) => start(shell(code)).closed));
  expect(ends).toEqual(codes.map((code) => ({ code, signal: null })));
});
