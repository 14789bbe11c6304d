import { describe, expect, it } from 'vitest';
import { limitRepeats } from '@tidegate/shared/system/log.js';
import { ManualClock } from '../../support/manual-clock.js';
import { recordedLog } from '../../support/recorded-log.js';

function setUp(perMinute = 3) {
  const clock = new ManualClock();
  const { lines, ...sink } = recordedLog();
  return { clock, lines, log: limitRepeats(sink, { perMinute }, clock) };
}

describe('limitRepeats', () => {
  it('passes so many of a kind, says that it holds back, and sums up after the minute', () => {
    const { clock, lines, log } = setUp();
    for (let attempt = 1; attempt <= 10; attempt += 1) log.warn({ attempt }, 'hub gone');
    expect(lines.map(({ message }) => message)).toEqual([
      ...['hub gone', 'hub gone', 'hub gone', 'repeats too often: held back for this minute'],
    ]);
    clock.advance(59_999);
    log.info({}, 'other');
    expect(lines.at(-1)?.message).toBe('other');
    clock.advance(1);
    log.info({}, 'other');
    expect(lines.at(-2)).toEqual({
      level: 'warn',
      message: 'held back lines that repeated',
      fields: { repeated: 'hub gone', heldBack: 7, last: { attempt: 10 } },
    });
    log.warn({ attempt: 11 }, 'hub gone');
    expect(lines.at(-1)?.fields).toEqual({ attempt: 11 });
  });

  it('counts kinds apart: by level and message, not by fields', () => {
    const { lines, log } = setUp(1);
    log.warn({ model: 'a' }, 'x');
    log.error({ model: 'a' }, 'x');
    log.warn({ model: 'b' }, 'x');
    log.warn({}, 'y');
    expect(lines.map(({ level, message }) => `${level} ${message}`)).toEqual([
      ...['warn x', 'error x', 'warn repeats too often: held back for this minute', 'warn y'],
    ]);
  });

  it('spares the disk: a line a millisecond for an hour is some hundred lines', () => {
    const { clock, lines, log } = setUp();
    for (let ms = 0; ms < 3_600_000; ms += 1) {
      log.error({}, 'crashed');
      if (ms % 10 === 0) clock.advance(10);
    }
    expect(lines.length).toBeLessThanOrEqual(61 * (3 + 2));
    const heldBack = lines.reduce((sum, { fields }) => sum + Number(fields['heldBack'] ?? 0), 0);
    const passed = lines.filter(({ message }) => message === 'crashed').length;
    expect(passed + heldBack).toBeGreaterThan(3_600_000 - 60_020); // the last minute is not summed up yet
  });

  it('holds no debug lines back, and keeps its memory however many kinds there are', () => {
    const { lines, log } = setUp(1);
    for (let i = 0; i < 10; i += 1) log.debug({}, 'step');
    expect(lines).toHaveLength(10);
    for (let i = 0; i < 5000; i += 1) log.info({}, `kind ${i}`);
    expect(lines).toHaveLength(5010);
    log.info({}, 'kind 4999');
    expect(lines.at(-1)?.message).toContain('held back');
  });
});
