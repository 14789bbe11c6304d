// Mean confidence of the new version and of the control over time (uPlot).
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { EvidencePoint } from './live-state.js';

const SIZE = { width: 560, height: 160 };

function columns(points: readonly EvidencePoint[]): uPlot.AlignedData {
  return [
    points.map((point) => point.atSeconds),
    points.map((point) => point.canary ?? null),
    points.map((point) => point.control ?? null),
  ];
}

export function EvidenceChart({ points }: { points: readonly EvidencePoint[] }): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot>();
  useEffect(() => {
    if (place.current === null) return undefined;
    const axis = { stroke: '#868e96', grid: { stroke: '#8883' } };
    chart.current = new uPlot(
      {
        ...SIZE,
        scales: { y: { range: [0, 1] } },
        axes: [axis, { ...axis, label: 'mean confidence' }],
        series: [
          {},
          { label: 'new version', stroke: '#0b7285', width: 2 },
          { label: 'control', stroke: '#adb5bd', width: 2 },
        ],
      },
      columns(points),
      place.current,
    );
    return () => chart.current?.destroy();
  }, []);
  useEffect(() => chart.current?.setData(columns(points)), [points]);
  return <div class="chart" ref={place} />;
}
