// Weights that ONNX Runtime wrote beside a graph, moved to where its kernels can read them.
//
// It lays them one behind the other (from 1 MiB on, on a page). Its kernels read what was rearranged for them, mapped from the
// file, with instructions that end the process where an address is no multiple of 64 (AVX-512's vmovaps). One weight of 26,500
// bytes before them is enough: PP-OCR's recogniser ended with SIGSEGV at its first run.
//
// Invariants: no byte of a weight changes, only where it lies; what is not understood is refused, never guessed.
import * as fs from 'node:fs/promises';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { decodeModel, encodeModel } from '../../onnx/model-codec.js';
import type { GraphProto, TensorProto } from '../../onnx/model-proto.js';
import { allGraphs, allTensors } from '../../onnx/walk-graph.js';
import { COMPILED_GRAPH, COMPILED_WEIGHTS } from '../engine.js';

/** The widest vector of any processor that ONNX Runtime has kernels for. */
const ALIGNMENT = 64;
const PAGE_BYTES = 4096;
/** `KEY|OFFSET;LENGTH;CHECKSUM|...`: a weight as one kernel wants it. */
const REARRANGED = /^prepacked_\d+$/;
const PLACE = /^(\d{1,15});(\d{1,15});/;

type Entry = TensorProto['externalData'][number];

/** Rewrites the graph and its weights in `folder` where a weight lies askew. Rejects where they aren't as ONNX Runtime writes them. */
export async function alignWeights(folder: string): Promise<void> {
  const path = join(folder, COMPILED_GRAPH);
  const model = decodeModel(await fs.readFile(path));
  if (model.graph === undefined) throw new Error('the saved graph is empty');
  const lengths = blocksOf(model.graph);
  const offsets = [...lengths.keys()].sort((a, b) => a - b);
  if (offsets.every((offset) => offset % ALIGNMENT === 0)) return;
  const moved = new Map<number, number>();
  let end = 0;
  for (const offset of offsets) {
    const unit = offset % PAGE_BYTES === 0 ? PAGE_BYTES : ALIGNMENT; // what lies on a page stays on one
    moved.set(offset, Math.ceil(end / unit) * unit);
    end = moved.get(offset)! + lengths.get(offset)!;
  }
  await move(folder, lengths, moved);
  const graph = moveEntries(model.graph, (tensor) => tensor.externalData.map((entry) => moveEntry(entry, moved)));
  await fs.writeFile(path, encodeModel({ ...model, graph }), { mode: 0o600 });
}

/** Offset -> bytes of all that lies in the file of weights. */
function blocksOf(graph: GraphProto): Map<number, number> {
  const blocks = new Map<number, number>();
  const add = (offset: number, bytes: number): void => {
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(bytes)) throw new Error('a weight has no place');
    blocks.set(offset, Math.max(blocks.get(offset) ?? 0, bytes));
  };
  const initializers = new Set([...allGraphs(graph)].flatMap(({ initializer }) => initializer));
  for (const { tensor, where } of allTensors(graph)) {
    if (tensor.externalData.length === 0) continue;
    if (!initializers.has(tensor)) throw new Error(`${where} lies in another file`);
    const entries = new Map(tensor.externalData.map(({ key, value }) => [key, value]));
    if (entries.get('location') !== COMPILED_WEIGHTS) throw new Error('a weight lies in another file');
    add(Number(entries.get('offset')), Number(entries.get('length')));
    for (const { key, value } of tensor.externalData) {
      if (REARRANGED.test(key ?? '')) for (const place of placesIn(value)) add(place.offset, place.bytes);
    }
  }
  return blocks;
}

function placesIn(value = ''): { offset: number; bytes: number; rest: string }[] {
  return value
    .split('|')
    .slice(1)
    .map((text) => {
      const found = PLACE.exec(text);
      if (found === null) throw new Error(`a rearranged weight has no place: ${text.slice(0, 40)}`);
      return { offset: Number(found[1]), bytes: Number(found[2]), rest: text.slice(found[1]!.length) };
    });
}

function moveEntry(entry: Entry, moved: ReadonlyMap<number, number>): Entry {
  const { key = '', value = '' } = entry;
  if (key === 'offset') return { ...entry, value: String(moved.get(Number(value))) };
  if (!REARRANGED.test(key)) return entry;
  const places = placesIn(value).map(({ offset, rest }) => `${moved.get(offset)}${rest}`);
  return { ...entry, value: [value.slice(0, value.indexOf('|')), ...places].join('|') };
}

/** The graph and all graphs within it, with other places of their initializers. */
function moveEntries(graph: GraphProto, placed: (tensor: TensorProto) => Entry[]): GraphProto {
  const inner = (one: GraphProto): GraphProto => moveEntries(one, placed);
  return {
    ...graph,
    initializer: graph.initializer.map((tensor) => ({ ...tensor, externalData: placed(tensor) })),
    node: graph.node.map((node) => ({
      ...node,
      attribute: node.attribute.map(({ g, graphs, ...attribute }) => ({
        ...attribute,
        ...(g === undefined ? {} : { g: inner(g) }),
        graphs: graphs.map(inner),
      })),
    })),
  };
}

async function move(
  folder: string,
  lengths: ReadonlyMap<number, number>,
  moved: ReadonlyMap<number, number>,
): Promise<void> {
  const from = join(folder, COMPILED_WEIGHTS);
  const to = `${from}.moved`;
  const file = await fs.open(to, 'wx', 0o600);
  try {
    for (const [offset, start] of moved) {
      const bytes = lengths.get(offset)!;
      let at = start;
      if (bytes === 0) continue;
      for await (const chunk of createReadStream(from, { start: offset, end: offset + bytes - 1 })) {
        at += (await file.write(chunk as Buffer, 0, null, at)).bytesWritten;
      }
      if (at !== start + bytes) throw new Error('the weights end early');
    }
  } finally {
    await file.close();
  }
  await fs.rename(to, from);
}
