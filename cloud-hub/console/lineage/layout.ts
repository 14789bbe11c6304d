// Where the nodes of a lineage stand: layers from left to right, each product right of all its sources and each source as close to its
// products as that allows (longest path to the last product). Versions and jobs form the row on top, so that parent, training and
// result read as one line; datasets and samples stand below it, each at the height of what was made from it. An edge over several
// layers keeps a place in each, so that no line runs through a box. Pure: same lineage, same picture. Edges that close a circle or
// name an unknown node are left out, since lineage has neither.
import type { Lineage } from '@tidegate/shared/wire/training-api.js';

export const NODE_WIDTH = 160;
export const NODE_HEIGHT = 54;
const LAYER_GAP = 44;
const ROW_GAP = 20;
const MARGIN = 12;

export interface PlacedNode {
  readonly node: Lineage['nodes'][number];
  /** 0 = the oldest sources. */
  readonly layer: number;
  /** Upper left corner. */
  readonly x: number;
  readonly y: number;
}

export interface PlacedEdge {
  readonly from: string;
  readonly to: string;
  /** From the source's right side to the product's left side, in pairs: out of one box, into the next. */
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

export interface LineageLayout {
  readonly nodes: readonly PlacedNode[];
  readonly edges: readonly PlacedEdge[];
  readonly width: number;
  readonly height: number;
}

/** A node, or the place that a long edge keeps in a layer. */
interface Slot {
  readonly id: string;
  readonly layer: number;
  /** 0 = in the row on top. */
  readonly band: 0 | 1;
  readonly products: string[];
  /** In rows, from the top; may be fractional. */
  row: number;
}

const BAND = { version: 0, job: 0, dataset: 1, samples: 1 } as const;

export function layoutLineage(lineage: Lineage): LineageLayout {
  const nodes = new Map(lineage.nodes.map((node) => [node.id, node]));
  const edges = acyclicEdges(nodes, lineage.edges);
  const layers = layersOf([...nodes.keys()], edges);
  const slots = new Map<string, Slot>();
  for (const { id, kind } of nodes.values()) {
    slots.set(id, { id, layer: layers.get(id) ?? 0, band: BAND[kind], products: [], row: 0 });
  }
  const chains = edges.map((edge) => ({ ...edge, chain: chainOf(edge, slots) }));
  placeRows([...slots.values()], slots);
  const at = (id: string): { x: number; y: number } => {
    const slot = slots.get(id);
    return {
      x: MARGIN + (slot?.layer ?? 0) * (NODE_WIDTH + LAYER_GAP),
      y: MARGIN + (slot?.row ?? 0) * (NODE_HEIGHT + ROW_GAP),
    };
  };
  const placed = [...nodes.values()].map((node) => ({ node, layer: layers.get(node.id) ?? 0, ...at(node.id) }));
  return {
    nodes: placed,
    edges: chains.map(({ from, to, chain }) => ({ from, to, points: pointsOf(chain.map(at)) })),
    width: Math.max(0, ...placed.map(({ x }) => x + NODE_WIDTH)) + MARGIN,
    height: Math.max(0, ...[...slots.keys()].map((id) => at(id).y + NODE_HEIGHT)) + MARGIN,
  };
}

type Edge = Lineage['edges'][number];

/** Each once, between known nodes, without those that would close a circle. */
function acyclicEdges(nodes: ReadonlyMap<string, unknown>, edges: readonly Edge[]): Edge[] {
  const kept: Edge[] = [];
  const products = new Map<string, string[]>();
  const reaches = (from: string, target: string): boolean => {
    const open = [from];
    const seen = new Set(open);
    for (let id = open.pop(); id !== undefined; id = open.pop()) {
      if (id === target) return true;
      for (const next of products.get(id) ?? []) {
        if (!seen.has(next)) open.push(next);
        seen.add(next);
      }
    }
    return false;
  };
  for (const edge of edges) {
    const { from, to } = edge;
    const twice = products.get(from)?.includes(to) === true;
    if (!nodes.has(from) || !nodes.has(to) || twice || reaches(to, from)) continue;
    kept.push(edge);
    products.set(from, [...(products.get(from) ?? []), to]);
  }
  return kept;
}

/** Layer by longest path to a node that nothing was made from; those are the last layer. */
function layersOf(ids: readonly string[], edges: readonly Edge[]): Map<string, number> {
  const fromEnd = new Map(ids.map((id) => [id, 0]));
  // As many rounds as the longest path has edges; the edges have no circle.
  for (let changed = true; changed;) {
    changed = false;
    for (const { from, to } of edges) {
      const needed = (fromEnd.get(to) ?? 0) + 1;
      if ((fromEnd.get(from) ?? 0) >= needed) continue;
      fromEnd.set(from, needed);
      changed = true;
    }
  }
  const last = Math.max(0, ...fromEnd.values());
  return new Map([...fromEnd].map(([id, distance]) => [id, last - distance]));
}

/** Ids of the slots from source to product, with a new slot in each layer between; links them. */
function chainOf({ from, to }: Edge, slots: Map<string, Slot>): string[] {
  const [source, product] = [slots.get(from), slots.get(to)];
  if (source === undefined || product === undefined) return [];
  const chain = [from];
  for (let layer = source.layer + 1; layer < product.layer; layer += 1) {
    const id = `${from} -> ${to} in ${layer}`;
    slots.set(id, { id, layer, band: 1, products: [], row: 0 });
    chain.push(id);
  }
  chain.push(to);
  for (const [i, id] of chain.entries()) {
    const next = chain[i + 1];
    if (next !== undefined) slots.get(id)?.products.push(next);
  }
  return chain;
}

/** From the last layer to the first: versions and jobs on top, below them each slot as near as it can be to what was made from it. */
function placeRows(all: readonly Slot[], slots: ReadonlyMap<string, Slot>): void {
  const last = Math.max(0, ...all.map(({ layer }) => layer));
  for (let layer = last; layer >= 0; layer -= 1) {
    const members = all.filter((slot) => slot.layer === layer);
    const line = members.filter(({ band }) => band === 0);
    for (const [row, slot] of line.entries()) slot.row = row;
    const others = members
      .filter(({ band }) => band !== 0)
      .map((slot) => ({ slot, wish: wishOf(slot, slots) }))
      .sort((a, b) => a.wish - b.wish);
    const rows = spread(
      others.map(({ wish }) => wish),
      line.length,
    );
    for (const [i, { slot }] of others.entries()) slot.row = rows[i] ?? 0;
  }
}

/** The mean row of its products. */
function wishOf({ products }: Slot, slots: ReadonlyMap<string, Slot>): number {
  const rows = products.map((id) => slots.get(id)?.row ?? 0);
  return rows.length === 0 ? 0 : rows.reduce((sum, row) => sum + row, 0) / rows.length;
}

/** Rows at least one apart and not above `top`, in this order, with the least squared distance from the wishes (pool adjacent violators). */
function spread(wishes: readonly number[], top: number): number[] {
  const pools: { mean: number; count: number }[] = [];
  for (const [i, wish] of wishes.entries()) {
    let pool = { mean: wish - i, count: 1 };
    for (let before = pools.at(-1); before !== undefined && before.mean > pool.mean; before = pools.at(-1)) {
      pools.pop();
      const count = before.count + pool.count;
      pool = { mean: (before.mean * before.count + pool.mean * pool.count) / count, count };
    }
    pools.push(pool);
  }
  const means = pools.flatMap(({ mean, count }) => Array.from({ length: count }, () => mean));
  return means.map((mean, i) => Math.max(mean, top) + i);
}

/** Right side of the first, both sides of those between, left side of the last. */
function pointsOf(corners: readonly { x: number; y: number }[]): { x: number; y: number }[] {
  const middle = NODE_HEIGHT / 2;
  return corners.flatMap(({ x, y }, i) => [
    ...(i === 0 ? [] : [{ x, y: y + middle }]),
    ...(i === corners.length - 1 ? [] : [{ x: x + NODE_WIDTH, y: y + middle }]),
  ]);
}
