// One quantity of a run over its steps (uPlot): each point thin, their running mean bold. As wide as its place; the colours follow the
// theme, which may change while it is open.
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { figure } from '../format.js';
import { smoothed } from './chart-points.js';

const HEIGHT = 190;

interface RunChartProps {
  readonly title: string;
  readonly steps: readonly number[];
  readonly values: readonly (number | undefined)[];
  /** Both ends of the scale where they are known, e.g. 0 and 1 of a share. */
  readonly range?: readonly [number, number];
  /** Measured step by step, so that only its mean is readable. */
  readonly noisy: boolean;
}

export function RunChart({ title, steps, values, range, noisy }: RunChartProps): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot>();
  const data = columns(steps, values, noisy);
  useEffect(() => {
    const element = place.current;
    if (element === null) return undefined;
    const made = new uPlot(options(title, element.clientWidth, range, noisy), data, element);
    chart.current = made;
    const resize = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    resize.observe(element);
    const theme = matchMedia('(prefers-color-scheme: dark)');
    const repaint = (): void => made.redraw(false, true);
    theme.addEventListener('change', repaint);
    return () => {
      theme.removeEventListener('change', repaint);
      resize.disconnect();
      made.destroy();
    };
  }, []);
  useEffect(() => chart.current?.setData(data), [steps, values]);
  const last = values.at(-1);
  return (
    <figure class="run-chart">
      <figcaption>
        {title} <b>{figure(last)}</b>
      </figcaption>
      <div ref={place} role="img" aria-label={`${title} over ${steps.length} points, now ${figure(last)}`} />
    </figure>
  );
}

function columns(steps: readonly number[], values: RunChartProps['values'], noisy: boolean): uPlot.AlignedData {
  const raw = values.map((value) => value ?? null);
  return noisy ? [[...steps], raw, smoothed(values)] : [[...steps], raw];
}

function colour(name: string): () => string {
  return () => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function options(title: string, width: number, range: RunChartProps['range'], noisy: boolean): uPlot.Options {
  const axis = {
    stroke: colour('--quiet'),
    grid: { stroke: '#8883', width: 1 },
    ticks: { stroke: '#8883', width: 1 },
    font: '12px system-ui',
  };
  const value = (_: uPlot, raw: number | null): string => figure(raw ?? undefined);
  const line = { label: title, stroke: colour('--accent'), value, points: { show: false } };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { drag: { x: false, y: false } },
    scales: { x: { time: false }, y: range === undefined ? {} : { range: [...range] as [number, number] } },
    axes: [
      { ...axis, size: 34 },
      {
        ...axis,
        size: (_, labels) => 20 + 7 * Math.max(2, ...(labels ?? []).map((label) => label.length)),
        values: (_, ticks) => ticks.map((tick) => figure(tick)),
      },
    ],
    series: [
      { label: 'step' },
      noisy ? { ...line, label: `each ${title}`, width: 1, alpha: 0.3 } : { ...line, width: 2 },
      ...(noisy ? [{ ...line, width: 2 }] : []),
    ],
  };
}
