// The recogniser as it is shipped: assembled, opened, run in an executor, over every committed picture. The figures are
// printed, since they are what the package promises.
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openPackage } from '@tidegate/shared/package/open-package.js';
import type { ModelPackage } from '@tidegate/shared/package/model-package.js';
import { characterAccuracy } from '@tidegate/shared/package/score-goldens.js';
import { runGoldens } from '@tidegate/shared/package/run-goldens.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import type { GraphRunner } from '@tidegate/shared/runtime/graph-runner.js';
import {
  preparePipeline,
  type Pipeline,
  type PipelineAnswer,
  type RunGraph,
} from '@tidegate/shared/serving/pipeline.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { decodeBytes, encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { float32Of, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { goldensFileSchema, type Goldens } from '@tidegate/shared/wire/model-yaml.js';
import { temporaryFolders } from '../support/temporary-folder.js';

const example = fileURLToPath(new URL('../../examples/ocr-line', import.meta.url));
const newFolder = temporaryFolders('ocr-line');
const signal = new AbortController().signal;
const runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog });

let folder: string;
let pack: ModelPackage;
let runner: GraphRunner;
let pipeline: Pipeline;
const runGraph: RunGraph = async (_graph, feeds, outputs, inner) => (await runner.run(feeds, outputs, inner)).outputs;

beforeAll(async () => {
  folder = newFolder();
  await promisify(execFile)(process.execPath, [join(example, 'assemble.mjs'), folder]);
  pack = await openPackage(folder, { inspect: () => Promise.reject(new Error('has a model.yaml')) });
  const graph = 'ch_PP-OCRv4_rec_infer.onnx';
  const options = { label: 'ocr-line', path: pack.pathOf(graph), providers: ['cpu'] as const, intraOpThreads: 1 };
  runner = await runtime.load(options, signal);
  pipeline = await preparePipeline(pack.yaml, pack, new Map([[graph, runner]]));
});
afterAll(() => runtime.close());

interface Line {
  readonly text: string;
  readonly confidence: number;
}
/** The pictures as one request: they go through one by one, several at once. */
function picturesOf(...files: readonly string[]): NamedTensor {
  return tensor(
    'picture',
    'BYTES',
    [files.length],
    encodeBytes(files.map((file) => readFileSync(join(example, file)))),
  );
}

function linesOf({ outputs: [text, confidence] }: PipelineAnswer): Line[] {
  const confidences = float32Of(confidence as NamedTensor);
  const texts = decodeBytes(text?.data ?? new Uint8Array()) ?? [];
  return texts.map((one, at) => ({ text: new TextDecoder().decode(one), confidence: confidences[at] ?? NaN }));
}

const read = async (...files: readonly string[]): Promise<Line[]> =>
  linesOf(await pipeline.run({ inputs: [picturesOf(...files)], outputs: [] }, runGraph, signal));
const readHeavy = async (...files: readonly string[]): Promise<Line[]> =>
  linesOf(await pipeline.runHeavy({ inputs: [picturesOf(...files)], outputs: [] }, runGraph, signal));

function goldensOf(name: 'goldens' | 'blurred'): Goldens {
  return goldensFileSchema.parse(JSON.parse(readFileSync(join(example, name, 'goldens.json'), 'utf8')));
}
const fileOf = ({ inputs }: Goldens[number]): string => {
  const { picture } = inputs;
  if (picture === undefined || !('file' in picture)) throw new Error('a golden without a picture');
  return picture.file;
};
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const figure = (value: number): string => value.toFixed(4);

describe('examples/ocr-line', () => {
  it('has at least 48 goldens and 20 blurred lines, in under 600 KB, and every file that they name', () => {
    const [goldens, blurred] = [goldensOf('goldens'), goldensOf('blurred')];
    expect(goldens.length).toBeGreaterThanOrEqual(48);
    expect(blurred.length).toBeGreaterThanOrEqual(20);
    expect([...goldens, ...blurred].every((golden) => existsSync(join(example, fileOf(golden))))).toBe(true);
    const kinds = new Set(goldens.map((golden) => fileOf(golden).split('.').at(-1)));
    expect(kinds).toEqual(new Set(['png', 'webp', 'jpg']));
    const sizes = ['goldens', 'blurred'].flatMap((name) =>
      readdirSync(join(example, name)).map((file) => statSync(join(example, name, file)).size),
    );
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(600_000);
  });

  it('reads the goldens as well as model.yaml promises, the clean ones >= 0.95', { timeout: 60_000 }, async () => {
    const infer = async (inputs: readonly NamedTensor[], outputs: readonly string[]): Promise<readonly NamedTensor[]> =>
      (await pipeline.run({ inputs, outputs }, runGraph, signal)).outputs;
    const result = await runGoldens(pack, infer, { clock: systemClock, signal });
    const groups = Object.entries(result.groupScores).map(([group, score]) => `${group} ${figure(score)}`);
    console.log(
      `characters right, fp32: all ${figure(result.score)} (${groups.join(', ')}); exact lines ${result.exact}/${result.count}`,
    );
    expect(result.passed).toBe(true);
    expect(result.score).toBeGreaterThanOrEqual(0.8);
    expect(result.groupScores['clean']).toBeGreaterThanOrEqual(0.95);
    expect(result.count).toBe(goldensOf('goldens').length);
  });

  it(
    "reads what RapidOCR reads, and the hub's three widths read blurred lines better",
    { timeout: 90_000 },
    async () => {
      const reference = (
        JSON.parse(readFileSync(join(example, 'reference/rapidocr-lines.json'), 'utf8')) as {
          lines: Record<string, Line>;
        }
      ).lines;
      const blurred = goldensOf('blurred');
      const files = [...goldensOf('goldens'), ...blurred].map(fileOf);
      const lines = await read(...files);
      const edge = new Map(files.map((file, at) => [file, lines[at] ?? { text: '', confidence: 0 }]));

      const equal = [...edge].filter(([file, { text }]) => reference[file]?.text === text).length;
      const furthest = Math.max(
        ...[...edge].map(([file, { confidence }]) => Math.abs(confidence - (reference[file]?.confidence ?? NaN))),
      );
      console.log(
        `texts equal to RapidOCR's: ${equal}/${edge.size}; confidences at most ${furthest.toExponential(1)} apart`,
      );
      expect(Object.keys(reference).sort()).toEqual([...edge.keys()].sort());
      expect(equal / edge.size).toBeGreaterThanOrEqual(0.99);
      expect(furthest).toBeLessThan(0.001);

      const rows: { readonly edge: number; readonly hub: number; readonly asked: boolean }[] = [];
      const { threshold = 0 } = pack.yaml.confidence ?? {};
      const onHubLines = await readHeavy(...blurred.map(fileOf));
      for (const [at, golden] of blurred.entries()) {
        const onEdge = edge.get(fileOf(golden)) ?? { text: '', confidence: 0 };
        const onHub = onHubLines[at] ?? { text: '', confidence: 0 };
        const [right, rightOnHub] = [onEdge, onHub].map(({ text }) => characterAccuracy(String(golden.expected), text));
        rows.push({ edge: right ?? 0, hub: rightOnHub ?? 0, asked: onEdge.confidence < threshold });
      }
      const [onEdge, onHub] = [mean(rows.map((row) => row.edge)), mean(rows.map((row) => row.hub))];
      const hybrid = mean(rows.map((row) => (row.asked ? row.hub : row.edge)));
      const count = (which: (row: (typeof rows)[number]) => boolean): number => rows.filter(which).length;
      console.log(
        `blurred lines, characters right: edge ${figure(onEdge)}, hub ${figure(onHub)} (better ${count((r) => r.hub > r.edge)}, ` +
          `worse ${count((r) => r.hub < r.edge)} of ${rows.length}); edge with the hub under ${threshold}: ${figure(hybrid)}, asked ${count((r) => r.asked)}`,
      );
      expect(onHub).toBeGreaterThan(onEdge);

      const clean = goldensOf('goldens').filter(({ group }) => group === 'clean');
      const unsure = clean.filter((golden) => (edge.get(fileOf(golden))?.confidence ?? 0) < threshold);
      expect(unsure).toEqual([]); // clean lines stay on the device
      expect(count((row) => row.asked)).toBeGreaterThanOrEqual(rows.length / 2); // blurred ones mostly don't
    },
  );

  it('answers several pictures at once, and raw tensors', async () => {
    const [one] = goldensOf('goldens');
    const file = fileOf(one as Goldens[number]);
    const [alone] = await read(file);
    const { outputs } = await pipeline.run(
      { inputs: [picturesOf(file, file, file)], outputs: ['text', 'x'] },
      runGraph,
      signal,
    );
    expect(
      (decodeBytes(outputs[0]?.data ?? new Uint8Array()) ?? []).map((text) => new TextDecoder().decode(text)),
    ).toEqual(Array(3).fill(alone?.text));
    const x = outputs[1] as NamedTensor;
    expect(x.shape.slice(0, 3)).toEqual([3, 3, 48]);
    const raw = await pipeline.run({ inputs: [x], outputs: [] }, runGraph, signal);
    expect(raw.outputs).toMatchObject([{ name: 'probabilities', datatype: 'FP32' }]);
    expect(raw.outputs[0]?.shape).toEqual([3, expect.any(Number), 6625]);
    expect(raw.confidence).toBeCloseTo(alone?.confidence ?? 0, 4);
  });

  it('refuses what is no picture, naming input and item, and reads on', async () => {
    const file = fileOf(goldensOf('goldens')[0] as Goldens[number]);
    const mixed = tensor(
      'picture',
      'BYTES',
      [2],
      encodeBytes([readFileSync(join(example, file)), Buffer.from('no picture')]),
    );
    await expect(pipeline.run({ inputs: [mixed], outputs: [] }, runGraph, signal)).rejects.toMatchObject({
      code: 'invalid-argument',
      field: 'picture',
      message: expect.stringMatching(/^item 1: input 'picture': step decode-image: is given no JPEG/) as string,
    });
    expect((await read(file))[0]?.confidence).toBeGreaterThan(0.9);
  });
});
