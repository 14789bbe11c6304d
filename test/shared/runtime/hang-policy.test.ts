import { describe, expect, it } from 'vitest';
import {
  HANG_LIMITS,
  hangOf,
  runLimitMs,
  WatchTime,
  type MeasuredMs,
  type Pulse,
} from '@tidegate/shared/runtime/hang-policy.js';

interface Run {
  readonly startedMs: number;
  readonly measuredMs: MeasuredMs;
}
const hangReason = (asked: Pulse<Run>): string | undefined => hangOf(asked)?.reason;

const pulse = (parts: Partial<Pulse<Run>>): Pulse<Run> => ({
  nowMs: 10_000,
  pingSentMs: undefined,
  answersWhileRunning: true,
  running: [],
  ...parts,
});

describe('hang policy (B20)', () => {
  it('calls nobody hung who answers and keeps to measured times', () => {
    expect(hangReason(pulse({ pingSentMs: 9_500, running: [{ startedMs: 9_000, measuredMs: 400 }] }))).toBeUndefined();
  });

  it('calls silence a hang, where the engine leaves the process free to answer', () => {
    expect(hangReason(pulse({ pingSentMs: 7_999 }))).toMatch(/no sign of life for 2001 ms/);
    expect(hangReason(pulse({ pingSentMs: 8_000 }))).toBeUndefined();
    expect(hangReason(pulse({ pingSentMs: 0, answersWhileRunning: false }))).toBeUndefined();
  });

  it('holds a run to the floor, or to eight times the slowest of its size', () => {
    expect(runLimitMs(1)).toBe(HANG_LIMITS.floorMs);
    expect(runLimitMs(1_000)).toBe(8_000);
    expect(hangReason(pulse({ running: [{ startedMs: 7_990, measuredMs: 1 }] }))).toMatch(
      /2010 ms .*1\.0 ms, limit 2000/,
    );
    expect(hangReason(pulse({ running: [{ startedMs: 2_001, measuredMs: 1_000 }] }))).toBeUndefined();
    expect(hangReason(pulse({ running: [{ startedMs: 1_999, measuredMs: 1_000 }] }))).toBeDefined();
  });

  it('gives a run of unknown time long (B19), but not for ever', () => {
    expect(hangReason(pulse({ nowMs: 100_000, running: [{ startedMs: 0, measuredMs: undefined }] }))).toBeUndefined();
    expect(hangReason(pulse({ nowMs: 121_000, running: [{ startedMs: 0, measuredMs: undefined }] }))).toMatch(
      /never measured/,
    );
  });

  it('lets a run compile on a GPU for half an hour, where the executor answers meanwhile (B19: 9.5 minutes on an Orin)', () => {
    const running = [{ startedMs: 0, measuredMs: 'may compile' as const }];
    expect(hangReason(pulse({ nowMs: 9.5 * 60_000, running }))).toBeUndefined();
    expect(hangReason(pulse({ nowMs: 31 * 60_000, running }))).toMatch(/never measured, limit 1800000/);
    expect(hangReason(pulse({ nowMs: 121_000, running, answersWhileRunning: false }))).toMatch(/limit 120000/);
  });

  it('looks at every run, and names the one that takes too long; of silence nobody knows whose it is', () => {
    const running = [
      { startedMs: 9_900, measuredMs: 1 },
      { startedMs: 1_000, measuredMs: 1 },
    ];
    expect(hangOf(pulse({ running }))?.run).toBe(running[1]);
    expect(hangOf(pulse({ pingSentMs: 0, running }))).toEqual({ reason: 'no sign of life for 10000 ms' });
  });
});

describe('watch time', () => {
  it('follows the clock, but not over a gap in which the watcher itself did not run', () => {
    const watch = new WatchTime(1_000, 500);
    expect(watch.look(1_250)).toBe(250);
    expect(watch.look(1_500)).toBe(500);
    expect(watch.look(61_500)).toBe(1_000);
    expect(watch.look(61_600)).toBe(1_100);
  });
});
