import { describe, expect, it } from 'vitest';
import { CrashRecord } from '@tidegate/shared/runtime/crash-record.js';
import { RESTART_LIMITS } from '@tidegate/shared/runtime/restart-policy.js';
import { RuntimeError } from '@tidegate/shared/runtime/runtime-error.js';
import { ManualClock } from '../../support/manual-clock.js';

describe('CrashRecord', () => {
  it('puts a model into quarantine at the third death within the window, and says how the last one came', () => {
    const clock = new ManualClock();
    const record = new CrashRecord(clock);
    expect(record.died('signal SIGSEGV')).toBe(0);
    expect(record.died('signal SIGSEGV')).toBe(RESTART_LIMITS.delayMs);
    expect(record.quarantine).toBeUndefined();
    expect(record.died('signal SIGKILL')).toBeUndefined();
    expect(record.deaths).toBe(3);
    expect(record.quarantine).toMatchObject({
      reason: 'its executors ended 3 times within 10 minutes, the last time: signal SIGKILL',
      sinceMs: clock.nowMs(),
    });
    clock.advance(365 * 86_400_000);
    expect(record.quarantine).toBeDefined();
  });

  it('counts the end of an executor once, however many of its graphs report it', () => {
    const record = new CrashRecord(new ManualClock());
    const end = new RuntimeError('executor-died', 'signal SIGSEGV');
    expect([record.died('one', end), record.died('two', end), record.deaths]).toEqual([0, 0, 1]);
    expect(record.died('three', new RuntimeError('executor-died', 'again'))).toBe(RESTART_LIMITS.delayMs);
  });

  it('tolerates deaths that are far apart', () => {
    const clock = new ManualClock();
    const record = new CrashRecord(clock);
    for (let death = 0; death < 100; death += 1) {
      expect(record.died('x')).toBeDefined();
      clock.advance(RESTART_LIMITS.windowMs / 2);
    }
    expect(record.quarantine).toBeUndefined();
  });

  it('begins anew once it was released', () => {
    const record = new CrashRecord(new ManualClock());
    expect(record.release()).toBe(false);
    for (let death = 0; death < 3; death += 1) record.died('x');
    expect(record.release()).toBe(true);
    expect(record.quarantine).toBeUndefined();
    expect(record.died('x')).toBe(0);
    expect(record.deaths).toBe(4);
  });

  it('releases by itself where its limits say so', () => {
    const clock = new ManualClock();
    const record = new CrashRecord(clock, { ...RESTART_LIMITS, heldMs: 1000 });
    for (let death = 0; death < 3; death += 1) record.died('x');
    clock.advance(999);
    expect(record.quarantine).toBeDefined();
    clock.advance(1);
    expect(record.quarantine).toBeUndefined();
  });
});
