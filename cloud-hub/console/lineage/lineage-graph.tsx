// The laid out lineage as SVG. Boxes are buttons: by pointer, by Tab and Enter. Wider than the window it scrolls, and begins at its right
// end, where the version in question stands.
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { NODE_HEIGHT, NODE_WIDTH, type LineageLayout, type PlacedEdge, type PlacedNode } from './layout.js';

/** The graph shrinks to its place down to this scale, then it scrolls. */
const SCALE_MIN = 0.8;
const ARROW = 7;

interface LineageGraphProps {
  readonly layout: LineageLayout;
  readonly chosen: string | undefined;
  readonly onChoose: (id: string) => void;
}

export function LineageGraph({ layout, chosen, onChoose }: LineageGraphProps): JSX.Element {
  const { width, height, nodes, edges } = layout;
  const frame = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (frame.current !== null) frame.current.scrollLeft = frame.current.scrollWidth;
  }, [layout]);
  return (
    <div class="card graph" ref={frame}>
      <svg
        viewBox={`0 0 ${width} ${height}`}
        style={{ minWidth: width * SCALE_MIN, maxWidth: width }}
        role="group"
        aria-label="lineage graph"
      >
        <defs>
          <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth={ARROW} markerHeight={ARROW} orient="auto">
            <path d="M0 0 L8 4 L0 8 Z" class="arrow" />
          </marker>
        </defs>
        {edges.map((edge) => (
          <path
            key={`${edge.from} ${edge.to}`}
            class={`edge ${edge.from === chosen || edge.to === chosen ? 'near' : ''}`}
            d={pathOf(edge)}
            marker-end="url(#arrow)"
          />
        ))}
        {nodes.map((placed) => (
          <Box key={placed.node.id} placed={placed} chosen={placed.node.id === chosen} onChoose={onChoose} />
        ))}
      </svg>
    </div>
  );
}

function Box(props: { placed: PlacedNode; chosen: boolean; onChoose: (id: string) => void }): JSX.Element {
  const { placed, chosen, onChoose } = props;
  const { id, kind, title, facts } = placed.node;
  const count = facts['count'] ?? sum(facts['train'], facts['held-out']);
  return (
    <g
      class={`node ${kind}`}
      transform={`translate(${placed.x} ${placed.y})`}
      role="button"
      tabindex={0}
      aria-pressed={chosen}
      aria-label={`${kind} ${title}`}
      onClick={() => onChoose(id)}
      onKeyDown={(event) => {
        if (event.key !== 'Enter' && event.key !== ' ') return;
        event.preventDefault();
        onChoose(id);
      }}
    >
      <title>{title}</title>
      <rect width={NODE_WIDTH} height={NODE_HEIGHT} rx="8" />
      <rect class="mark" width="4" height={NODE_HEIGHT - 16} x="8" y="8" rx="2" />
      <foreignObject x="20" y="4" width={NODE_WIDTH - 26} height={NODE_HEIGHT - 8}>
        <div class="node-text">
          <small>{count === undefined ? kind : `${kind} · ${count}`}</small>
          <b>{title}</b>
        </div>
      </foreignObject>
    </g>
  );
}

/** Of a dataset's two sides; undefined where the hub says neither. */
function sum(train: unknown, heldOut: unknown): number | undefined {
  return typeof train === 'number' && typeof heldOut === 'number' ? train + heldOut : undefined;
}

/** Curves between boxes, straight along the places that a long edge keeps. */
function pathOf({ points }: PlacedEdge): string {
  const [start, ...rest] = points;
  if (start === undefined) return '';
  let before = start;
  let path = `M${start.x} ${start.y}`;
  for (const [i, point] of rest.entries()) {
    const middle = (before.x + point.x) / 2;
    path +=
      i % 2 === 0 ? ` C${middle} ${before.y} ${middle} ${point.y} ${point.x} ${point.y}` : ` L${point.x} ${point.y}`;
    before = point;
  }
  return path;
}
