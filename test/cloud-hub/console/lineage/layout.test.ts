import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  layoutLineage,
  NODE_HEIGHT,
  NODE_WIDTH,
  type LineageLayout,
  type PlacedNode,
} from '@tidegate/cloud-hub/console/lineage/layout.js';
import type { Lineage } from '@tidegate/shared/wire/training-api.js';

const KINDS = { v: 'version', j: 'job', d: 'dataset', s: 'samples' } as const;
/** `v1`, `j1`, `d1`, `s1`; edges as `d1>j1`. */
function lineage(ids: string, edges: string): Lineage {
  return {
    nodes: ids.split(' ').map((id) => ({ id, kind: KINDS[id[0] as keyof typeof KINDS], title: id, facts: {} })),
    edges: edges
      .split(' ')
      .filter((edge) => edge !== '')
      .map((edge) => ({ from: edge.split('>')[0] ?? '', to: edge.split('>')[1] ?? '' })),
  };
}
const TWICE_TRAINED = lineage(
  'v3 j2 v2 j1 v1 d1 d2 s1 s2 s3',
  'v1>j1 d1>j1 j1>v2 v2>j2 d1>j2 d2>j2 j2>v3 s1>d1 s2>d1 s3>d2',
);

const node = (layout: LineageLayout, id: string): PlacedNode => layout.nodes.find((one) => one.node.id === id)!;
const overlap = (a: PlacedNode, b: PlacedNode): boolean =>
  Math.abs(a.x - b.x) < NODE_WIDTH && Math.abs(a.y - b.y) < NODE_HEIGHT;

function expectReadable(layout: LineageLayout): void {
  const { nodes, edges, width, height } = layout;
  for (const [i, a] of nodes.entries()) {
    expect(a.x >= 0 && a.y >= 0 && a.x + NODE_WIDTH <= width && a.y + NODE_HEIGHT <= height).toBe(true);
    for (const b of nodes.slice(i + 1)) expect(overlap(a, b), `${a.node.id} over ${b.node.id}`).toBe(false);
  }
  for (const { from, to, points } of edges) {
    expect(node(layout, from).layer).toBeLessThan(node(layout, to).layer);
    const [first, last] = [points[0]!, points.at(-1)!];
    expect([first.x, last.x]).toEqual([node(layout, from).x + NODE_WIDTH, node(layout, to).x]);
    for (const { x, y } of points.slice(1, -1)) {
      const hit = nodes.find((one) => x >= one.x && x <= one.x + NODE_WIDTH && y > one.y && y < one.y + NODE_HEIGHT);
      expect(hit?.node.id, `${from} to ${to} runs through a box`).toBeUndefined();
    }
  }
}

describe('the layout of a lineage', () => {
  it('puts samples, dataset, job and version side by side', () => {
    const layout = layoutLineage(lineage('v2 j1 v1 d1 s1', 'v1>j1 d1>j1 j1>v2 s1>d1'));
    expect(['s1', 'd1', 'j1', 'v2'].map((id) => node(layout, id).layer)).toEqual([0, 1, 2, 3]);
    expect(node(layout, 'v1').layer).toBe(1);
    expectReadable(layout);
  });

  it('keeps parents, jobs and results in one row on top', () => {
    const layout = layoutLineage(TWICE_TRAINED);
    const row = new Set(['v1', 'j1', 'v2', 'j2', 'v3'].map((id) => node(layout, id).y));
    expect(row.size).toBe(1);
    for (const id of ['d1', 'd2', 's3']) expect(node(layout, id).y).toBeGreaterThan([...row][0]!);
    expectReadable(layout);
  });

  it('leads a dataset that two jobs used past what stands between', () => {
    const edge = layoutLineage(TWICE_TRAINED).edges.find(({ from, to }) => from === 'd1' && to === 'j2');
    expect(edge?.points).toHaveLength(6);
  });

  it('draws a lone version', () => {
    const layout = layoutLineage(lineage('v1', ''));
    expect(layout.nodes).toHaveLength(1);
    expectReadable(layout);
  });

  it('draws nothing of nothing', () => {
    expect(layoutLineage({ nodes: [], edges: [] })).toMatchObject({ nodes: [], edges: [] });
  });

  it('leaves out edges that close a circle, repeat or lead nowhere', () => {
    const layout = layoutLineage(lineage('v1 j1 v2', 'v1>j1 j1>v2 v2>v1 v1>v1 v1>j1 v1>z'));
    expect(layout.edges.map(({ from, to }) => `${from}>${to}`)).toEqual(['v1>j1', 'j1>v2']);
    expectReadable(layout);
  });

  it('is readable whatever was made from what', () => {
    const ids = fc.uniqueArray(fc.stringMatching(/^[vjds][0-9]$/), { minLength: 1, maxLength: 24 });
    const graph = ids.chain((all) =>
      fc
        .array(fc.tuple(fc.constantFrom(...all), fc.constantFrom(...all)), { maxLength: 40 })
        .map((edges) => lineage(all.join(' '), edges.map(([from, to]) => `${from}>${to}`).join(' '))),
    );
    fc.assert(
      fc.property(graph, (some) => expectReadable(layoutLineage(some))),
      { numRuns: 200 },
    );
  });
});
