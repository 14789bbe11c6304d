import { describe, expect, it } from 'vitest';
import { RunTimes } from '@tidegate/shared/scheduling/run-times.js';

const shape = { key: 'a', rowBytes: 100 };

describe('RunTimes', () => {
  it('knows nothing before the first run', () => {
    expect(new RunTimes().estimate(shape, 1)).toBeUndefined();
  });

  it('forgets a slow first run when the second is faster', () => {
    const times = new RunTimes();
    times.observe(shape, 1, 500, 0);
    times.observe(shape, 1, 10, 500);
    expect(times.estimate(shape, 1)?.meanMs).toBe(10);
  });

  it('converges to what it measures and bounds what varies', () => {
    const times = new RunTimes();
    for (let i = 0; i < 200; i += 1) times.observe(shape, 1, i % 2 === 0 ? 8 : 12, i);
    const estimate = times.estimate(shape, 1);
    expect(estimate?.meanMs).toBeGreaterThan(9);
    expect(estimate?.meanMs).toBeLessThan(11);
    expect(estimate?.boundMs).toBeGreaterThan(12);
  });

  it('scales from the nearest measured rows, and by size for a shape never seen', () => {
    const times = new RunTimes();
    times.observe(shape, 2, 20, 0);
    expect(times.estimate(shape, 4)?.meanMs).toBe(40);
    expect(times.estimate({ key: 'b', rowBytes: 200 }, 1)?.meanMs).toBe(20);
  });

  it('remembers a bounded number of shapes', () => {
    const times = new RunTimes();
    for (let i = 0; i < 1000; i += 1) times.observe({ key: String(i), rowBytes: 1 }, 1, 1000, i);
    times.observe({ key: 'last', rowBytes: 1 }, 1, 1, 0);
    expect(times.largestRows({ key: '0', rowBytes: 1 })).toBe(0);
    expect(times.largestRows({ key: '999', rowBytes: 1 })).toBe(1);
  });
});
