// The package of a trained version, composed of real files and run by the real engine.
import * as fs from 'node:fs';
import { join } from 'node:path';
import { loadAsPublished } from '@tidegate/cloud-hub/composition/open-registry.js';
import { composePackage } from '@tidegate/cloud-hub/training/jobs/compose-package.js';
import { isModelsNumber, type RunPackage } from '@tidegate/cloud-hub/training/jobs/renew-goldens.js';
import { listFiles } from '@tidegate/shared/package/list-files.js';
import { openPackage } from '@tidegate/shared/package/open-package.js';
import { readModelYaml } from '@tidegate/shared/package/read-model-yaml.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { decodeModel, encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import type { ModelProto } from '@tidegate/shared/onnx/model-proto.js';
import { goldensFileSchema } from '@tidegate/shared/wire/model-yaml.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openHubParts } from '../../../support/hub-parts.js';
import { temporaryFolders } from '../../../support/temporary-folder.js';
import { trainableGraph, trainableYaml } from '../../../support/training-desk.js';

const folder = temporaryFolders('compose-package');
const never = new AbortController().signal;
let hub: Awaited<ReturnType<typeof openHubParts>>;
let run: RunPackage;

beforeAll(async () => {
  hub = await openHubParts(folder());
  const load = loadAsPublished(hub.parts);
  run = async (pack, signal) => {
    const model = await load(pack, signal);
    return {
      answer: async (inputs, outputs, inner) => {
        const deadlineMs = hub.parts.clock.monotonicMs() + 10_000;
        return (await model.infer({ inputs, outputs, deadlineMs, priority: 0 }, inner)).outputs;
      },
      close: () => model.close(),
    };
  };
});
afterAll(() => hub.closing.run());

const golden = (id: string, x: readonly number[], expected: unknown) => ({
  id,
  inputs: { x: { datatype: 'FP32', shape: [1, 2], data: x } },
  expected,
});

/** The parent's files, and the folder of what was made of them. */
async function compose(
  goldens: { metric: string; threshold: number; cases: unknown[] } | undefined,
  label?: string,
): Promise<{ parent: string; made: string }> {
  const [parent, made] = [folder(), join(folder(), 'package')];
  const settings =
    goldens && `{ file: deep/g.json, output: logits, metric: ${goldens.metric}, threshold: ${goldens.threshold} }`;
  const lines = settings === undefined ? [] : [`goldens: ${settings}`];
  fs.writeFileSync(join(parent, 'model.yaml'), trainableYaml('tiny', lines));
  fs.writeFileSync(join(parent, 'm.onnx'), trainableGraph());
  fs.writeFileSync(join(parent, 'README.md'), 'of the parent');
  fs.mkdirSync(join(parent, 'deep'));
  if (goldens !== undefined) fs.writeFileSync(join(parent, 'deep/g.json'), JSON.stringify(goldens.cases));
  const graphFile = join(folder(), 'result.onnx');
  fs.writeFileSync(graphFile, trained());
  const { files, clock } = hub.parts;
  const composition = { to: made, parentFolder: parent, graphFile, graph: 'm.onnx', label };
  await composePackage(composition, { files, clock, run }, never);
  return { parent, made };
}

/** The last bias is [10, 20] instead of [0, 0.25]. */
function trained(): Buffer {
  const model = decodeModel(trainableGraph());
  const bias = new Uint8Array(Float32Array.of(10, 20).buffer);
  const initializer = model.graph!.initializer.map((one) =>
    one.name === 'fc2.bias' ? { ...one, rawData: bias } : one,
  );
  return Buffer.concat(encodeModel({ ...model, graph: { ...model.graph!, initializer } } as ModelProto));
}

const readGoldens = (path: string) =>
  goldensFileSchema.parse(JSON.parse(fs.readFileSync(join(path, 'deep/g.json'), 'utf8')));

test('has the parent’s files, the new graph and the new label; the parent stays as it was', async () => {
  const { parent, made } = await compose(undefined, 'v2');
  expect(await listFiles(made)).toEqual(['README.md', 'm.onnx', 'model.yaml']);
  expect(readModelYaml(fs.readFileSync(join(made, 'model.yaml'), 'utf8')).version).toBe('v2');
  expect(fs.readFileSync(join(made, 'm.onnx')).equals(trained())).toBe(true);
  expect(fs.readFileSync(join(parent, 'm.onnx')).equals(trainableGraph())).toBe(true);
  expect(fs.readFileSync(join(parent, 'model.yaml'), 'utf8')).toBe(trainableYaml('tiny'));
});

test('the model’s own numbers among the goldens are computed anew, and hold for the new graph', async () => {
  const cases = [golden('zeros', [0, 0], [0, 0.25]), golden('ones', [1, 1], [0.5, 1])];
  const { parent, made } = await compose({ metric: 'max-abs-error', threshold: 0.001, cases });
  const [zeros, ones] = readGoldens(made);
  expect(zeros).toMatchObject({ id: 'zeros', inputs: { x: { data: [0, 0] } } });
  for (const [now, before] of [
    [zeros, readGoldens(parent)[0]],
    [ones, readGoldens(parent)[1]],
  ] as const) {
    expect((now!.expected as number[])[0]).toBeGreaterThanOrEqual(10);
    expect(before!.expected).not.toEqual(now!.expected);
  }
  const pack = await openPackage(made, { inspect: inspectGraphFile });
  const model = await loadAsPublished(hub.parts)(pack, never);
  expect(await model.runGoldens(never)).toMatchObject({ passed: true, count: 2, exact: 2 });
  await model.close();
});

test('the truth stays, to the byte', async () => {
  const cases = [golden('one', [0, 0], 1), golden('two', [1, 1], 0)];
  const { parent, made } = await compose({ metric: 'top1', threshold: 0.5, cases });
  const [before, after] = [parent, made].map((path) => fs.readFileSync(join(path, 'deep/g.json'), 'utf8'));
  expect(after).toBe(before);
});

describe('a number of the model', () => {
  const yaml = (metric: string, output: string) =>
    readModelYaml(
      trainableYaml('tiny', [`goldens: { file: g.json, output: ${output}, metric: ${metric}, threshold: 1 }`])
        .replace('outputs: [', 'outputs: [{ name: class, datatype: INT64, shape: [-1] }, ')
        .replace('[{ graph: m.onnx }]', '[{ graph: m.onnx, outputs: { logits: logits, class: class } }]'),
    );
  test.each([
    ['max-abs-error', 'logits', [1, 2], true],
    ['max-abs-error', 'logits', 1, true],
    ['exact', 'logits', [1, 2], true],
    ['exact', 'logits', 0.97, true],
    ['exact', 'class', 7, false],
    ['exact', 'class', 'seven', false],
    ['top1', 'logits', 7, false],
    ['character-accuracy', 'class', 'text', false],
  ])('%s of %s, %j: %s', (metric, output, expected, is) => {
    expect(isModelsNumber(yaml(metric, output), expected)).toBe(is);
  });
});
