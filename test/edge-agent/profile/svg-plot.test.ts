import { describe, expect, it } from 'vitest';
import { plotSvg } from '@tidegate/edge-agent/profile/svg-plot.js';

const line = (name: string, ...points: [number, number][]) => ({ name, points: points.map(([x, y]) => ({ x, y })) });
const plot = (...lines: ReturnType<typeof line>[]) => ({ title: 'T', xLabel: 'rows', yLabel: 'per second', lines });

/** Every tag that opens is closed in order: enough to know that a browser takes it as XML. */
function wellFormed(xml: string): boolean {
  const open: string[] = [];
  for (const [, end, name, empty] of xml.matchAll(/<(\/?)([a-zA-Z]+)[^>]*?(\/?)>/g)) {
    if (end === '/') {
      if (open.pop() !== name) return false;
    } else if (empty !== '/') open.push(name ?? '');
  }
  return open.length === 0 && !/&(?!amp;|lt;|gt;|quot;)/.test(xml);
}

describe('plotSvg', () => {
  it('is well-formed, whatever the names are', () => {
    expect(wellFormed(plotSvg('a & b', [plot(line('<x> "1"', [1, 10], [2, 20])), plot()]))).toBe(true);
  });

  it('places points on a log axis from the first to the last x, y from 0 to a round number', () => {
    const svg = plotSvg('h', [plot(line('a', [1, 0], [2, 45], [4, 90]))]);
    expect(svg).toContain('d="M64 256L254 156.1L444 56.2"'); // 90 of 100 on the axis
    expect(svg).toContain('>100</text>');
  });

  it('tells lines apart by colour and dash, in light and dark', () => {
    const svg = plotSvg('h', [plot(line('a', [1, 1]), line('b', [1, 2]))]);
    expect(svg).toContain('class="line c0" d=');
    expect(svg).toContain('class="line c1" stroke-dasharray="7 3"');
    expect(svg).toContain('prefers-color-scheme: dark');
  });

  it('draws a single point in the middle and nothing for no points', () => {
    const svg = plotSvg('h', [plot(line('a', [8, 5]), line('none'))]);
    expect(svg).toContain('<circle cx="254" cy="34" r="3"');
    expect(svg).not.toContain('NaN');
  });
});
