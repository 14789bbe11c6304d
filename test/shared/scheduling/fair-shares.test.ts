import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FairShares, LIMIT_CALLERS, type Share } from '@tidegate/shared/scheduling/fair-shares.js';

const share = (account: string, rank: number, costMs = 10): Share => ({ account, rank, costMs });
const ranks = (shares: FairShares, waiting: readonly Share[]): string[] =>
  shares.turns(waiting).map((turn) => `${turn.share.account}${turn.share.rank}`);

/** Serves one caller after the other for `untilMs`; each has so many milliseconds of runs waiting that it always waits. */
function serve(callers: readonly { name: string; costMs: number }[], weights: Map<string, number>, untilMs: number) {
  const shares = new FairShares(weights);
  const hadMs = new Map(callers.map(({ name }) => [name, 0]));
  for (const { name } of callers) shares.enter(name);
  for (let atMs = 0; atMs < untilMs;) {
    const waiting = callers.map(({ name, costMs }, i) => share(name, i, costMs));
    const next = shares.turns(waiting)[0]?.share as Share;
    shares.began(next, next.costMs);
    hadMs.set(next.account, (hadMs.get(next.account) ?? 0) + next.costMs);
    atMs += next.costMs;
  }
  return hadMs;
}

describe('FairShares', () => {
  it('leaves one caller alone the order of deadlines', () => {
    const shares = new FairShares();
    shares.enter('a');
    expect(ranks(shares, [share('a', 1), share('a', 2), share('a', 3)])).toEqual(['a1', 'a2', 'a3']);
  });

  it('orders callers within their shares by deadline', () => {
    const shares = new FairShares();
    for (const name of ['a', 'b', 'c']) shares.enter(name);
    expect(ranks(shares, [share('c', 1), share('a', 2), share('b', 3)])).toEqual(['c1', 'a2', 'b3']);
  });

  it('lets callers who ask for more than their share take turns', () => {
    const shares = new FairShares();
    shares.enter('a');
    shares.enter('b');
    const waiting = [1, 2, 3].map((rank) => share('a', rank)).concat([4, 5, 6].map((rank) => share('b', rank)));
    expect(ranks(shares, waiting)).toEqual(['a1', 'b4', 'a2', 'b5', 'a3', 'b6']);
  });

  it('serves who comes back before who had the machine alone, and gives nothing for the pause', () => {
    const shares = new FairShares();
    shares.enter('heavy');
    for (let i = 0; i < 100; i += 1) shares.began(share('heavy', i), 10);
    shares.enter('light');
    const waiting = [1, 2, 3].map((rank) => share('heavy', rank)).concat([7, 8, 9].map((rank) => share('light', rank)));
    expect(ranks(shares, waiting)).toEqual(['light7', 'heavy1', 'light8', 'heavy2', 'light9', 'heavy3']);
  });

  it('counts what a run took, not what was expected', () => {
    const shares = new FairShares();
    shares.enter('a');
    shares.enter('b');
    shares.began(share('a', 1), 10);
    shares.correct(share('a', 1), 25);
    const waiting = [share('a', 1), ...[2, 3, 4, 5].map((rank) => share('b', rank))];
    expect(ranks(shares, waiting)).toEqual(['b2', 'b3', 'b4', 'b5', 'a1']);
  });

  it('forgets everything with the last request', () => {
    const shares = new FairShares();
    shares.enter('a');
    shares.began(share('a', 1), 1000);
    shares.leave('a');
    shares.enter('b');
    shares.enter('a');
    expect(ranks(shares, [share('a', 1), share('b', 2)])).toEqual(['a1', 'b2']);
  });

  it('puts callers beyond its limit on one account, until accounts are free again', () => {
    const shares = new FairShares();
    const names = Array.from({ length: LIMIT_CALLERS }, (_, i) => shares.enter(`caller${i}`));
    expect(new Set(names).size).toBe(LIMIT_CALLERS);
    expect([shares.enter('one more'), shares.enter('another')]).toEqual(['(others)', '(others)']);
    expect(shares.enter('caller7')).toBe('caller7');
    shares.leave('caller3');
    shares.leave('(others)');
    shares.leave('(others)');
    expect(shares.enter('late')).toBe('late');
  });

  it('starves nobody and keeps to the weights within one run of each', () => {
    const caller = fc.record({ costMs: fc.integer({ min: 1, max: 50 }), weight: fc.integer({ min: 1, max: 8 }) });
    fc.assert(
      fc.property(fc.array(caller, { minLength: 2, maxLength: 6 }), (drawn) => {
        const callers = drawn.map(({ costMs, weight }, i) => ({ name: `c${i}`, costMs, weight }));
        const weights = new Map(callers.map(({ name, weight }) => [name, weight]));
        const hadMs = serve(callers, weights, 2000);
        for (const a of callers) {
          for (const b of callers) {
            const ahead = (hadMs.get(a.name) ?? 0) / a.weight - (hadMs.get(b.name) ?? 0) / b.weight;
            expect(ahead).toBeLessThanOrEqual(a.costMs / a.weight + b.costMs / b.weight + 1e-6);
          }
        }
      }),
      { numRuns: 100 },
    );
  });

  it("gives every waiting request one turn, each caller's in the order of rank", () => {
    const drawn = fc.array(
      fc.record({ caller: fc.integer({ min: 0, max: 4 }), costMs: fc.integer({ min: 0, max: 30 }) }),
    );
    fc.assert(
      fc.property(drawn, (requests) => {
        const shares = new FairShares();
        const waiting = requests.map(({ caller, costMs }, rank) => share(shares.enter(`c${caller}`), rank, costMs));
        const turns = shares.turns(waiting);
        expect(new Set(turns.map((turn) => turn.share)).size).toBe(waiting.length);
        for (let i = 1; i < turns.length; i += 1) expect(turns[i]?.tag).toBeGreaterThanOrEqual(turns[i - 1]?.tag ?? 0);
        for (const name of new Set(waiting.map(({ account }) => account))) {
          const own = turns.filter((turn) => turn.share.account === name).map((turn) => turn.share.rank);
          expect(own).toEqual(own.toSorted((a, b) => a - b));
        }
      }),
      { numRuns: 200 },
    );
  });
});
