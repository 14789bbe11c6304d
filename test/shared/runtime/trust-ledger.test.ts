import { describe, expect, it } from 'vitest';
import { TRUST_LIMITS, TrustLedger, type KnownGraph } from '@tidegate/shared/runtime/trust-ledger.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { ManualClock } from '../../support/manual-clock.js';
import { recordedLog } from '../../support/recorded-log.js';

describe('what is known of graphs', () => {
  const clock = new ManualClock();
  const answer = (standing: ReturnType<TrustLedger['of']>, times: number): boolean[] =>
    Array.from({ length: times }, () => standing.ran(2_000));

  it('proves a graph by answers over time without a death, once', () => {
    const standing = new TrustLedger({ clock, log: silentLog }).of('a');
    expect(standing.missing).toBe('0 of 100 answers, 0 of 60 minutes');
    expect(answer(standing, 200)).not.toContain(true); // all within a moment
    clock.advance(TRUST_LIMITS.forMs - 1);
    expect(standing.ran(2_000)).toBe(false);
    expect(standing.missing).toBe('100 of 100 answers, 59 of 60 minutes');
    clock.advance(1);
    expect(answer(standing, 3)).toEqual([true, false, false]);
    expect([standing.missing, standing.runUs]).toEqual([undefined, 2_000]);
  });

  it('has it begin anew after a death, and remembers one that nobody else can have caused', () => {
    for (const alone of [false, true]) {
      const standing = new TrustLedger({ clock, log: silentLog }).of('a');
      answer(standing, 100);
      clock.advance(TRUST_LIMITS.forMs);
      expect(standing.ran(1)).toBe(true);
      standing.died(alone);
      expect([standing.missing, standing.crashed]).toEqual(['0 of 100 answers, 0 of 60 minutes', alone]);
    }
  });

  it('stores what took long to learn, and begins with it the next time', async () => {
    let stored: ReadonlyMap<string, KnownGraph> = new Map([['gone', { proven: true, crashed: false, runUs: 9 }]]);
    const store = {
      read: () => Promise.resolve(stored),
      write: async (known: typeof stored) => void (stored = known),
    };
    const ledger = new TrustLedger({ clock, log: silentLog, store }, { runs: 1, forMs: 0 });
    await ledger.ready;
    ledger.of('new');
    ledger.of('proven').ran(5);
    ledger.of('crashed').died(true);
    await ledger.keep();
    expect([...stored]).toEqual([
      ['gone', { proven: true, crashed: false, runUs: 9 }],
      ['proven', { proven: true, crashed: false, runUs: 5 }],
      ['crashed', { proven: false, crashed: true, runUs: 0 }],
    ]);
    const next = new TrustLedger({ clock, log: silentLog, store });
    await next.ready;
    expect([next.of('proven').missing, next.of('crashed').crashed]).toEqual([undefined, true]);
  });

  it('goes on without a store that fails (B5)', async () => {
    const log = recordedLog();
    const fail = (): Promise<never> => Promise.reject(new Error('ENOSPC'));
    const ledger = new TrustLedger({ clock, log, store: { read: fail, write: fail } }, { runs: 1, forMs: 0 });
    await ledger.ready;
    expect(ledger.of('a').ran(1)).toBe(true);
    await ledger.keep();
    expect(log.lines.map(({ level }) => level)).toEqual(['warn', 'warn']);
  });
});
