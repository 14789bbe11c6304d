// The whole of OCR as it is shipped, held against RapidOCR (examples/ocr/reference): the same lines at the same places, in the
// same order. The figures are printed, since they are what the package promises.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openPackage } from '@tidegate/shared/package/open-package.js';
import type { ModelPackage } from '@tidegate/shared/package/model-package.js';
import { editDistance } from '@tidegate/shared/package/score-goldens.js';
import { runGoldens } from '@tidegate/shared/package/run-goldens.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import type { GraphRunner } from '@tidegate/shared/runtime/graph-runner.js';
import { preparePipeline, type Pipeline, type RunGraph } from '@tidegate/shared/serving/pipeline.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { decodeBytes, encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { float32Of, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { assemble } from '../../examples/ocr/assemble.mjs';
import { temporaryFolders } from '../support/temporary-folder.js';

interface Line {
  readonly box: readonly (readonly number[])[];
  readonly text: string;
  readonly confidence: number;
}

const example = fileURLToPath(new URL('../../examples/ocr', import.meta.url));
const newFolder = temporaryFolders('ocr');
const signal = new AbortController().signal;
const runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog });
const reference = (
  JSON.parse(readFileSync(join(example, 'reference/rapidocr-pictures.json'), 'utf8')) as {
    pictures: Record<string, readonly Line[]>;
  }
).pictures;

let pack: ModelPackage;
let pipeline: Pipeline;
const runners = new Map<string, GraphRunner>();
const runs: { readonly graph: string; readonly shape: readonly number[] }[] = [];
const runGraph: RunGraph = async (graph, feeds, outputs, inner) => {
  runs.push({ graph, shape: feeds[0]?.shape ?? [] });
  return (await runners.get(graph)!.run(feeds, outputs, inner)).outputs;
};

beforeAll(async () => {
  pack = await openPackage(await assemble(newFolder()), {
    inspect: () => Promise.reject(new Error('has a model.yaml')),
  });
  for (const node of pack.yaml.pipeline) {
    if (!('graph' in node)) continue;
    const options = { label: 'ocr', path: pack.pathOf(node.graph), providers: ['cpu'] as const, intraOpThreads: 1 };
    runners.set(node.graph, await runtime.load(options, signal));
  }
  pipeline = await preparePipeline(pack.yaml, pack, runners);
}, 60_000);
afterAll(() => runtime.close());

/** A picture's answer, once for all tests: reading forty takes most of their time. */
const answers = new Map<string, Promise<readonly NamedTensor[]>>();
function answer(inputs: readonly NamedTensor[], outputs: readonly string[] = []): Promise<readonly NamedTensor[]> {
  const key = createHash('sha256').update(inputs[0]!.data).digest('hex');
  const made =
    answers.get(key) ?? pipeline.run({ inputs, outputs: [] }, runGraph, signal).then((answered) => answered.outputs);
  answers.set(key, made);
  return made.then((all) => all.filter(({ name }) => outputs.length === 0 || outputs.includes(name)));
}

const pictureOf = (bytes: Uint8Array): NamedTensor => tensor('picture', 'BYTES', [1], encodeBytes([bytes]));

async function read(bytes: Uint8Array): Promise<Line[]> {
  const [boxes, text, confidence] = (await answer([pictureOf(bytes)])) as [NamedTensor, NamedTensor, NamedTensor];
  const count = text.shape[0] ?? 0;
  expect([boxes.shape, text.shape, confidence.shape]).toEqual([[count, 4, 2], [count], [count]]);
  const corners = float32Of(boxes);
  return (decodeBytes(text.data) ?? []).map((one, at) => ({
    box: [0, 1, 2, 3].map((corner) => [...corners.subarray(at * 8 + corner * 2, at * 8 + corner * 2 + 2)]),
    text: new TextDecoder().decode(one),
    confidence: float32Of(confidence)[at] ?? NaN,
  }));
}

const furthest = (a: Line['box'], b: Line['box']): number =>
  Math.max(...a.flatMap((corner, at) => corner.map((value, axis) => Math.abs(value - (b[at]?.[axis] ?? NaN)))));

describe('examples/ocr', () => {
  it("finds RapidOCR's lines in 40 pictures, and reads the same", { timeout: 180_000 }, async () => {
    let [characters, wrong, lines, equalLines, boxOff, confidenceOff] = [0, 0, 0, 0, 0, 0];
    for (const [file, expected] of Object.entries(reference)) {
      const found = await read(readFileSync(join(example, file)));
      expect(found, file).toHaveLength(expected.length);
      for (const [at, line] of expected.entries()) {
        const ours = found[at]!;
        characters += [...line.text].length;
        wrong += editDistance([...line.text], [...ours.text]);
        lines += 1;
        equalLines += ours.text === line.text ? 1 : 0;
        boxOff = Math.max(boxOff, furthest(ours.box, line.box));
        confidenceOff = Math.max(confidenceOff, Math.abs(ours.confidence - line.confidence));
        if (ours.text !== line.text) console.log(`${file}: '${line.text}' (RapidOCR), '${ours.text}' (ours)`);
      }
    }
    console.log(
      `${Object.keys(reference).length} pictures, ${lines} lines, equal: lines ${equalLines}, characters ` +
        `${(100 * (1 - wrong / characters)).toFixed(2)}%; boxes at most ${boxOff} pixels apart, confidences ${confidenceOff.toFixed(4)}`,
    );
    expect(Object.keys(reference)).toHaveLength(40);
    expect(lines).toBeGreaterThan(200);
    expect(1 - wrong / characters).toBeGreaterThanOrEqual(0.99);
    expect(boxOff).toBeLessThanOrEqual(3);
  });

  it('reads its goldens as well as model.yaml promises', { timeout: 90_000 }, async () => {
    const result = await runGoldens(pack, answer, { clock: systemClock, signal });
    const groups = Object.entries(result.groupScores).map(([group, score]) => `${group} ${score.toFixed(3)}`);
    console.log(
      `characters right: all ${result.score.toFixed(4)} (${groups.join(', ')}); exact ${result.exact}/${result.count}`,
    );
    expect(result.passed).toBe(true);
    expect(result.count).toBe(15);
  });

  it('batches the lines of one picture, up to six', async () => {
    const file = Object.keys(reference).find((one) => (reference[one]?.length ?? 0) > 7)!;
    answers.clear();
    runs.length = 0;
    const found = await read(readFileSync(join(example, file)));
    const rowsOf = (name: string): number[] =>
      runs.filter(({ graph }) => graph.includes(name)).map(({ shape }) => shape[0] ?? 0);
    expect(rowsOf('_det_')).toEqual([1]);
    for (const name of ['_cls_', '_rec_']) {
      const rows = rowsOf(name);
      expect(rows.reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(found.length);
      expect(rows).toHaveLength(Math.ceil(rows.reduce((sum, count) => sum + count, 0) / 6));
    }
  });

  it('finds nothing on blank paper, which is an answer', async () => {
    const blank = await sharp({ create: { width: 300, height: 200, channels: 3, background: 'white' } })
      .png()
      .toBuffer();
    runs.length = 0;
    expect(await read(blank)).toEqual([]);
    expect(runs.map(({ graph }) => graph)).toEqual(['ch_PP-OCRv4_det_infer.onnx']);
  });

  it('has every picture that the reference names', () => {
    expect(Object.keys(reference).every((file) => existsSync(join(example, file)))).toBe(true);
  });
});
