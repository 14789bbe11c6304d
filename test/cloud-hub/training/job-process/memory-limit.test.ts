import { expect, it } from 'vitest';
import { OrderError } from '@tidegate/cloud-hub/training/job-process/order-error.js';
import { MemoryLimit } from '@tidegate/cloud-hub/training/job-process/memory-limit.js';
import { ManualClock } from '../../../support/manual-clock.js';

const MIB = 1024 * 1024;

it('looks ten times a second at most, and ends the job over its limit', () => {
  const clock = new ManualClock();
  let [rss, looks] = [100 * MIB, 0];
  const rssBytes = (): number => {
    looks += 1;
    return rss;
  };
  const limit = new MemoryLimit({ limitBytes: 200 * MIB, batchSize: 32 }, { clock, rssBytes });
  limit.check();
  limit.check();
  expect(looks).toBe(1);
  clock.advance(100);
  rss = 200 * MIB; // all that it may hold
  limit.check();
  rss = 250 * MIB + 1;
  limit.check();
  expect(looks).toBe(2);
  clock.advance(100);
  const message = /holds 251 MiB and may hold 200 MiB: lower batchSize \(it is 32;/;
  expect(() => limit.check()).toThrow(message);
  clock.advance(100);
  expect(() => limit.check()).toThrow(OrderError);
});

it('has no limit where none is ordered', () => {
  const rssBytes = (): number => 1e12;
  const limit = new MemoryLimit({ limitBytes: undefined, batchSize: 1 }, { clock: new ManualClock(), rssBytes });
  expect(() => limit.check()).not.toThrow();
});
