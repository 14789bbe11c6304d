// The benchmark's figures: spreads, verdicts, and what a reader gets of them.
import { describe, expect, it } from 'vitest';
import { barsSvg } from '../../bench/bars-svg.mjs';
import { asMarkdown, asText, number, verdict } from '../../bench/report.mjs';
import { ratioPanels } from '../../bench/save.mjs';
import { figures, interleave, median, quantile, ratio, spread } from '../../bench/statistics.mjs';

const result = {
  name: 'P1 conv',
  about: 'three convolutions',
  plot: 'answers / s',
  contestants: {
    tidegate: {
      figures: figures([{ perSecond: 800 }, { perSecond: 1000 }], { 'answers / s': (one) => one.perSecond }),
    },
    'a | b': { note: 'version 1', figures: { 'answers / s': 1250 } },
  },
  ratios: [{ what: 'ours / theirs', median: 0.72, low: 0.64, high: 0.8, atLeast: 0.85 }],
  notes: ['OVMS is skipped: not to be had'],
};

describe('statistics', () => {
  it('takes the middle, and the ends', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(spread([5, 1, 3])).toEqual({ median: 3, low: 1, high: 5, values: [5, 1, 3] });
    expect([quantile([1, 2, 3, 4], 0.5), quantile([1, 2, 3, 4], 1)]).toEqual([3, 4]);
  });

  it('compares within a round: what slows a round slows both', () => {
    const ours = [{ perSecond: 100 }, { perSecond: 50 }];
    const theirs = [{ perSecond: 200 }, { perSecond: 100 }];
    expect(ratio(ours, theirs)).toEqual({ median: 0.5, low: 0.5, high: 0.5, values: [0.5, 0.5] });
  });

  it('leaves out figures that were not measured', () => {
    expect(figures([{ a: 1 }, { a: 2 }], { a: ({ a }) => a, b: ({ b }) => b })).toEqual({
      a: { median: 1.5, low: 1, high: 2, values: [1, 2] },
    });
  });

  it('lets contestants take turns', async () => {
    const turns = [];
    const turn = (name) => async () => turns.push(name);
    await interleave({ a: turn('a'), b: turn('b') }, 2);
    expect(turns).toEqual(['a', 'b', 'a', 'b']);
  });
});

describe('a report', () => {
  it.each([
    [{ median: 0.85, atLeast: 0.85 }, 'reached'],
    [{ median: 0.84, atLeast: 0.85 }, 'missed'],
    [{ median: 1.2, atMost: 1.2 }, 'reached'],
    [{ median: 1.3, atMost: 1.2 }, 'missed'],
    [{ median: Number.NaN, atMost: 1.2 }, 'missed'],
    [{ median: 7 }, undefined],
  ])('judges %j: %s', (one, judged) => expect(verdict(one)).toBe(judged));

  it('shows the digits that matter', () => {
    expect([1234.5, 99.96, 12.34, 0.123, 0.00347, 0].map(number)).toEqual([
      '1235',
      '100.0',
      '12.3',
      '0.12',
      '0.0035',
      '0.00',
    ]);
  });

  it('prints a table, the ratios with spread and target, versions, and what is missing', () => {
    expect(asText(result).split('\n')).toEqual([
      'P1 conv: three convolutions',
      '            answers / s',
      '  tidegate          900',
      '  a | b            1250',
      '  ours / theirs: 0.72 (0.64 to 0.80), target >= 0.85: missed',
      '  a | b: version 1',
      '  OVMS is skipped: not to be had',
    ]);
  });

  it('writes Markdown in which a bar does not end a cell', () => {
    const text = asMarkdown(
      {
        date: '2026-01-01',
        machine: 'M',
        settings: 'S',
        results: [result],
        failures: [{ row: 'p4', reason: 'broke' }],
      },
      [['Ratios', 'r.svg']],
    );
    expect(text).toContain('| P1 conv | ours / theirs | 0.72 (0.64 to 0.80) | >= 0.85 | missed |');
    expect(text).toContain('| a \\| b | 1250 |');
    expect(text).toContain('The row p4 failed: broke');
    expect(text).toContain('![Ratios](r.svg)');
    expect(text).toContain('- OVMS is skipped: not to be had');
  });

  it('draws how far targets are reached, also where less is wanted', () => {
    const less = { name: 'P11', about: '', ratios: [{ what: 'w', median: 2, low: 1, high: 4, atMost: 1 }] };
    const [{ bars, mark }] = ratioPanels([result, less]);
    expect(mark).toBe(1);
    expect(bars[1]).toEqual({ label: 'P11: w', value: 0.5, low: 0.25, high: 1, kind: 'missed' });
    expect(bars[0].value).toBeCloseTo(0.72 / 0.85);
    expect(ratioPanels([{ name: 'none', about: '' }])).toEqual([]);
  });

  it('draws bars with text escaped, none longer than the panel', () => {
    const bars = [{ label: 'a<b', value: 50, low: 40, high: 60, kind: 'bar' }];
    const svg = barsSvg('H', [{ title: 'T', bars, mark: 1, most: 3 }]);
    expect(svg).toContain('a&lt;b');
    expect(Number(/class="bar"[^>]*width="([\d.]+)"/.exec(svg)[1])).toBeLessThanOrEqual(360);
    expect(svg).toContain('>50</text>');
  });
});
