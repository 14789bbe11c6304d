// From a WAV file to a word, through real executors: decode-audio, mel-spectrogram, a gate that lets silence go no farther, and a graph that tells
// low tones from high ones. Both graphs are written here.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import { encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { openServedModel } from '@tidegate/shared/serving/open-served-model.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { decodeBytes, encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';
import { temporaryFolders } from '../../support/temporary-folder.js';
import { wavOfSamples } from '../../support/wav-of.js';

const FLOAT = 1;
const BANDS = 16;
const YAML = `
name: tones
licence: Apache-2.0
inputs: [{ name: sound, datatype: BYTES, shape: [-1] }]
outputs: [{ name: word, datatype: BYTES, shape: [-1] }]
pipeline:
  - { step: decode-audio, inputs: [sound], outputs: [samples], with: { maxSeconds: 2 } }
  - { step: mel-spectrogram, inputs: [samples], outputs: [mel], with: { nMels: ${BANDS}, log: natural, offset: 1e-6 } }
  - { graph: loudness.onnx }
  - { graph: tone.onnx }
  - { step: classify, inputs: [scores], outputs: [tone], with: { labels: [low, high] } }
  - step: branch
    id: gate
    inputs: [loudness, tone]
    outputs: [word]
    with: { above: -13, default: [{ datatype: BYTES, shape: [1], data: [silence] }] }
`;

/** The mean over time of the bands, weighted. */
async function writeGraph(path: string, output: string, columns: readonly (readonly number[])[]): Promise<void> {
  const weights = Float32Array.from(
    { length: BANDS * columns.length },
    (_, at) => columns[at % columns.length]![Math.floor(at / columns.length)]!,
  );
  const initializers = [
    makeTensor('w', FLOAT, [BANDS, columns.length], bytesOf(weights)),
    makeTensor('axes', 7, [1], bytesOf(BigInt64Array.of(2n))),
  ];
  const nodes = [
    makeNode('ReduceMean', ['mel', 'axes'], ['means'], { attributes: { keepdims: 0n } }),
    makeNode('MatMul', ['means', 'w'], [output]),
  ];
  const ends = [
    makeValue('mel', FLOAT, ['n', BANDS, 'frames']),
    makeValue(output, FLOAT, ['n', columns.length]),
  ] as const;
  const model = makeModel(makeGraph(nodes, [ends[0]], [ends[1]], initializers), { '': 18 });
  await writeFile(path, Buffer.concat([...encodeModel(model)]));
}

const newFolder = temporaryFolders('sound-model');
const digest = `sha256:${'0'.repeat(64)}`;
const identity = { name: 'tones', version: '1', versionDigest: digest, variant: 'fp32', variantDigest: digest };
const options = { providers: ['cpu'], intraOpThreads: 1, queueDepthMax: 16, heavy: false } as const;
const runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog });
let model: ServedModel;

beforeAll(async () => {
  const folder = newFolder();
  const upper = Array.from({ length: BANDS }, (_, band) => (band < BANDS / 2 ? 0 : 1));
  await writeFile(join(folder, 'model.yaml'), YAML);
  await writeGraph(join(folder, 'loudness.onnx'), 'loudness', [Array(BANDS).fill(1 / BANDS)]);
  await writeGraph(join(folder, 'tone.onnx'), 'scores', [upper.map((one) => 1 - one), upper]);
  const modules = { runtime, inspect: inspectGraphFile, clock: systemClock };
  model = await openServedModel(folder, identity, options, modules, new AbortController().signal);
});
afterAll(() => runtime.close());

const tone = (hz: number, rate = 16_000): Buffer =>
  wavOfSamples(
    Float32Array.from({ length: rate / 2 }, (_, at) => 0.5 * Math.sin((2 * Math.PI * hz * at) / rate)),
    rate,
  );
async function words(...sounds: Uint8Array[]): Promise<string[]> {
  const inputs = [{ name: 'sound', datatype: 'BYTES' as const, shape: [sounds.length], data: encodeBytes(sounds) }];
  const request = { inputs, outputs: [], deadlineMs: systemClock.monotonicMs() + 20_000, priority: 0 };
  const { outputs } = await model.infer(request, new AbortController().signal);
  return (decodeBytes(outputs[0]!.data) ?? []).map((word) => Buffer.from(word).toString());
}

describe('a model of sounds', () => {
  it('tells tones apart, whatever rate they came in, and runs nothing more for silence', async () => {
    const silence = wavOfSamples(new Float32Array(8000));
    expect(await words(tone(300), silence, tone(4000, 44_100), tone(300, 48_000))).toEqual([
      'low',
      'silence',
      'high',
      'low',
    ]);
    const rows = new Map(model.graphs.map(({ graph, counts }) => [graph, counts.rows]));
    expect(rows.get('tone.onnx')).toBe(3);
    expect(rows.get('loudness.onnx')).toBeGreaterThanOrEqual(4);
    expect([...model.sides]).toEqual([['step branch (gate)', { held: 3, other: 1 }]]);
  });

  it('says which of several sounds it can not read', async () => {
    await expect(words(tone(300), Buffer.from('no sound'))).rejects.toMatchObject({
      code: 'invalid-argument',
      field: 'sound',
      message: "item 1: input 'sound': step decode-audio: the sound is no WAV file",
    });
  });
});
