import { describe, expect, it } from 'vitest';
import type { ConfigurationMeasure, GraphMeasure } from '@tidegate/edge-agent/profile/profile-report.js';
import { profileSvg } from '@tidegate/edge-agent/profile/profile-plot.js';
import { profileText } from '@tidegate/edge-agent/profile/profile-table.js';
import { adviseSizing } from '@tidegate/edge-agent/profile/sizing-advice.js';

type Row = readonly [batch: number, streams: number, p50Ms: number, p99Ms: number, rowsPerSecond: number];

function configuration(threads: number, rows: readonly Row[]): ConfigurationMeasure {
  return {
    ...{ provider: 'cpu', threads, concurrency: Math.max(...rows.map(([, streams]) => streams)) },
    ...{ engine: 'ort-capi 1', loadAgainMs: 100, residentBytes: 150 * 2 ** 20, peakResidentBytes: undefined },
    cells: rows.map(([batch, streams, p50Ms, p99Ms, rowsPerSecond]) => ({
      ...{ batch, streams, runs: 500, p50Ms, p99Ms, engineP50Ms: p50Ms, rowsPerSecond },
      ...{ rowP50Ms: p50Ms / batch, rowP99Ms: p99Ms / batch },
    })),
  };
}

function graph(label: string, configurations: readonly ConfigurationMeasure[]): GraphMeasure {
  return { label, graph: 'm.onnx', rows: 'golden', loadFirstMs: 120, configurations, skipped: [] };
}

/** 20 ms a row; batches of 8 give 1.6 times the rows; two threads shorten a run to 12 ms. */
const model = graph('m', [
  configuration(1, [
    [1, 1, 20, 22, 50],
    [1, 2, 21, 25, 95],
    [8, 1, 100, 110, 80],
    [8, 2, 105, 120, 152],
  ]),
  configuration(2, [
    [1, 1, 12, 14, 83],
    [8, 1, 60, 70, 133],
  ]),
]);

describe('adviseSizing', () => {
  it('promises 70 % of the best setting whose two p99 make the deadline, or says what would', () => {
    const [tight, single, wide] = adviseSizing([model], [20, 50, 500, 1000], 2);
    expect(tight).toMatch(/^within 20 ms: nothing fits; the quickest run has p99 14 ms \(2 threads, no batching/);
    expect(single).toMatch(/^within 50 ms: about 67 requests per second with 1 thread, no batching, 2 runs at once/);
    expect(wide).toMatch(/^within 500, 1000 ms: about 106 requests per second with 1 thread, batches of 8, 2 runs/);
  });

  it('says what batching and threads give, and so whether to go up or out', () => {
    const advice = adviseSizing([model], [], 2).join('\n');
    expect(advice).toContain('batching: 1.60 times the rows per second with batches of 8');
    expect(advice).toContain('single run takes 12 ms instead of 20 ms (1.67 times as fast)');
    expect(advice).toContain('next: a single request gains from cores, so a bigger device shortens it');
    const stubborn = graph('s', [configuration(1, [[1, 1, 20, 22, 50]]), configuration(2, [[1, 1, 19, 22, 52]])]);
    const out = adviseSizing([stubborn], [], 2).join('\n');
    expect(out).toContain('requests can not share a run');
    expect(out).toContain('next: threads do not shorten a single run');
    expect(out).toContain('more devices');
  });

  it('compares packages, and never the parts of one', () => {
    const int8 = graph('int8', [configuration(1, [[1, 1, 10, 11, 200]])]);
    expect(adviseSizing([model, int8], [], 2)).toContain(
      'compared: int8 on cpu is the fastest, 1.32 times the rows per second of m on cpu',
    );
    expect(adviseSizing([model, { ...int8, label: 'm' }], [], 2).join()).not.toContain('compared');
  });

  it('admits that nothing was measured, and that a p99 is of few runs', () => {
    expect(adviseSizing([graph('m', [])], [10], 2)[0]).toContain('give more --seconds');
    const skipped = { ...graph('m', []), skipped: ['cuda with 1 threads: fell back to cpu'] };
    expect(adviseSizing([skipped], [10], 2)[0]).toBe('m: nothing that was asked for could be measured');
    const few = configuration(1, [[1, 1, 1, 2, 900]]);
    const rare = { ...few, cells: few.cells.map((cell) => ({ ...cell, runs: 7 })) };
    expect(adviseSizing([graph('m', [rare])], [10], 2)[0]).toContain('of only 7 runs');
  });
});

describe('the report', () => {
  const report = {
    ...{ device: 'a <board>', warnings: ['others run'], tookMs: 30_000, advice: ['buy'] },
    load: { cores: 2, loadAverage: 0, busyShare: 0, quotaCores: undefined },
    graphs: [{ ...model, skipped: ['webgpu with 1 threads: no adapter'] }],
  };

  it('is a table with the warnings before and the advice after', () => {
    const text = profileText(report);
    expect(text).toContain('warning: others run');
    expect(text).toMatch(/^ +1 +8 +2 +105\.0 +120\.0 +13\.1 +152 +500$/m);
    expect(text).toContain('not measured: webgpu with 1 threads: no adapter');
    expect(text.trimEnd().endsWith('buy')).toBe(true);
  });

  it('plots a line per thread count, throughput as served and latency alone', () => {
    const svg = profileSvg(report);
    expect(svg.match(/<title>m m\.onnx, cpu, [12] threads?<\/title>/g)).toHaveLength(4);
    expect(svg).toContain('a &lt;board&gt;');
  });
});
