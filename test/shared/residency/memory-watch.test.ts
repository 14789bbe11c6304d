import { MemoryWatch } from '@tidegate/shared/residency/memory-watch.js';
import { describe, expect, it } from 'vitest';
import { settle } from '../../support/fake-graph-runner.js';
import { ManualClock } from '../../support/manual-clock.js';

function watched(again: () => boolean = () => false) {
  const clock = new ManualClock();
  const looks: number[] = [];
  const watch = new MemoryWatch({
    clock,
    look: async () => {
      looks.push(clock.monotonicMs());
      return again();
    },
  });
  const pass = async (): Promise<void> => {
    clock.advance(5000);
    await settle();
  };
  return { clock, looks, watch, pass };
}

describe('when requests come', () => {
  it('looks every five seconds, and no more when they have ceased', async () => {
    const { clock, looks, watch, pass } = watched();
    expect(clock.timerCount).toBe(0);
    for (let second = 0; second < 3; second++) {
      watch.asked();
      await pass();
    }
    await pass();
    expect(looks.map((atMs) => atMs - (looks[0] ?? 0))).toEqual([0, 5000, 10_000]);
    expect(clock.timerCount).toBe(0);
  });

  it('goes on looking for as long as it is told to, and not once it is closed', async () => {
    let over = true;
    const { clock, looks, watch, pass } = watched(() => over);
    watch.asked();
    for (let look = 0; look < 3; look++) await pass();
    expect(looks).toHaveLength(3);
    over = false;
    await pass();
    expect(clock.timerCount).toBe(0);
    watch.asked();
    watch.close();
    expect(clock.timerCount).toBe(0);
    await pass();
    expect(looks).toHaveLength(4);
  });
});
