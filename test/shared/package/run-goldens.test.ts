import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ModelPackage } from '@tidegate/shared/package/model-package.js';
import { openPackage } from '@tidegate/shared/package/open-package.js';
import { runGoldens, type InferGolden } from '@tidegate/shared/package/run-goldens.js';
import { decodeBytes, encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('run-goldens');
const signal = new AbortController().signal;
const golden = (id: string, group: string | undefined, file: string, expected: unknown): object => ({
  id,
  ...(group === undefined ? {} : { group }),
  inputs: { picture: { file } },
  expected,
});

async function packageWith(goldens: unknown, threshold = 0.5): Promise<ModelPackage> {
  const folder = newFolder();
  const yaml = `name: m
licence: MIT
inputs: [{name: picture, datatype: BYTES, shape: [-1]}]
outputs: [{name: text, datatype: BYTES, shape: [-1]}]
pipeline: [{graph: net.onnx, inputs: {p: picture}, outputs: {t: text}}]
goldens: {file: goldens.json, output: text, metric: character-accuracy, threshold: ${threshold}}
`;
  const files = { 'model.yaml': yaml, 'net.onnx': 'net', one: 'abcd', two: 'efgh' };
  for (const [path, content] of Object.entries(files)) writeFileSync(join(folder, path), content);
  writeFileSync(join(folder, 'goldens.json'), typeof goldens === 'string' ? goldens : JSON.stringify(goldens));
  return openPackage(folder, { inspect: () => Promise.reject(new Error('not needed')) });
}

const textOut = (text: string): NamedTensor =>
  tensor('text', 'BYTES', [1], encodeBytes([new TextEncoder().encode(text)]));
/** Answers with the picture's own bytes. */
const echo: InferGolden = (inputs) => {
  const [picture] = decodeBytes(inputs[0]?.data ?? new Uint8Array()) ?? [];
  return Promise.resolve([textOut(new TextDecoder().decode(picture))]);
};

describe('runGoldens', () => {
  it('gives files as BYTES [1], scores each answer, and sums up by group', async () => {
    const pack = await packageWith([
      golden('a', 'clean', 'one', 'abcd'),
      golden('b', 'blur', 'two', 'efXX'),
      golden('c', undefined, 'two', 'efgX'),
    ]);
    const clock = new ManualClock();
    const progress: string[] = [];
    const asked: unknown[] = [];
    const infer: InferGolden = (inputs, outputs, inner) => {
      asked.push([inputs.map(({ name, datatype, shape }) => [name, datatype, shape]), outputs]);
      clock.advance(12);
      return echo(inputs, outputs, inner);
    };
    const result = await runGoldens(pack, infer, {
      clock,
      signal,
      onProgress: (done, count) => progress.push(`${done}/${count}`),
    });
    expect(asked[0]).toEqual([[['picture', 'BYTES', [1]]], ['text']]);
    expect(result).toMatchObject({
      passed: true,
      score: 0.75,
      threshold: 0.5,
      count: 3,
      exact: 1,
      groupScores: { blur: 0.5, clean: 1 },
      latenciesMs: [12, 12, 12],
    });
    expect(result.cases.map(({ id, score }) => [id, score])).toEqual([
      ['a', 1],
      ['b', 0.5],
      ['c', 0.75],
    ]);
    expect(progress).toEqual(['1/3', '2/3', '3/3']);
  });

  it('fails under the threshold', async () => {
    const pack = await packageWith([golden('a', 'clean', 'one', 'abXX')], 0.51);
    expect(await runGoldens(pack, echo, { clock: new ManualClock(), signal })).toMatchObject({
      passed: false,
      score: 0.5,
    });
  });

  it('passes a package without goldens with count 0', async () => {
    const folder = newFolder();
    writeFileSync(join(folder, 'net.onnx'), 'net');
    const spec = { name: 'x', datatype: 'FP32' as const, shape: [1] };
    const pack = await openPackage(join(folder, 'net.onnx'), {
      inspect: () => Promise.resolve({ inputs: [spec], outputs: [spec] }),
    });
    expect(await runGoldens(pack, echo, { clock: new ManualClock(), signal })).toMatchObject({
      passed: true,
      count: 0,
    });
  });

  it('gives literal tensors with their bytes', async () => {
    const literal = { datatype: 'INT64', shape: [2], data: [1, '9007199254740993'] };
    const pack = await packageWith([{ id: 'a', inputs: { picture: literal }, expected: '' }]);
    const seen: NamedTensor[] = [];
    const infer: InferGolden = (inputs) => {
      seen.push(...inputs);
      return Promise.resolve([textOut('')]);
    };
    await runGoldens(pack, infer, { clock: new ManualClock(), signal });
    expect(new BigInt64Array(seen[0]?.data.slice().buffer ?? new ArrayBuffer())).toEqual(
      BigInt64Array.of(1n, 9007199254740993n),
    );
  });

  const literalOf = (datatype: string, shape: number[], data: unknown[]): object[] => [
    { id: 'a', inputs: { picture: { datatype, shape, data } }, expected: '' },
  ];
  it.each([
    ['no JSON', '{', 'invalid-goldens', /^goldens\.json: is not JSON/],
    ['a golden without inputs', [{ id: 'a', expected: 'x' }], 'invalid-goldens', /^goldens\.json: 0\.inputs: /],
    ['a path out of the package', [golden('a', 'g', '../one', 'x')], 'invalid-goldens', /0\.inputs\.picture/],
    ['a file that is missing', [golden('a', 'g', 'three', 'x')], 'not-found', /three/],
    [
      'too few elements',
      literalOf('FP32', [3], [1, 2]),
      'invalid-goldens',
      /a\.inputs\.picture: has 2 elements, but its shape \[3\] takes 3/,
    ],
    ['a shape that overflows', literalOf('FP32', [2 ** 31, 2 ** 31], [1]), 'invalid-goldens', /a\.inputs\.picture/],
    ['an element beyond its datatype', literalOf('UINT8', [1], [256]), 'invalid-goldens', /no UINT8/],
    ['a text as a number', literalOf('FP32', [1], ['1']), 'invalid-goldens', /no FP32/],
    ['an integer that JSON rounds', literalOf('INT64', [1], [2 ** 60]), 'invalid-goldens', /no INT64/],
  ])('refuses %s and runs good ones after it', async (_, goldens, code, message) => {
    const run = async (content: unknown): Promise<unknown> =>
      runGoldens(await packageWith(content), echo, { clock: new ManualClock(), signal });
    await expect(run(goldens)).rejects.toMatchObject({
      name: 'PackageError',
      code,
      message: expect.stringMatching(message) as string,
    });
    await expect(run([golden('a', 'g', 'one', 'abcd')])).resolves.toMatchObject({ passed: true, exact: 1 });
  });

  it('rejects with what inference rejects with: a failure is no low score', async () => {
    const pack = await packageWith([golden('a', 'clean', 'one', 'abcd')]);
    const broken = runGoldens(pack, () => Promise.reject(new Error('executor gone')), {
      clock: new ManualClock(),
      signal,
    });
    await expect(broken).rejects.toThrow('executor gone');
    await expect(runGoldens(pack, () => Promise.resolve([]), { clock: new ManualClock(), signal })).rejects.toThrow(
      "lacks output 'text'",
    );
  });

  it('ends when it is aborted', async () => {
    const pack = await packageWith([golden('a', 'clean', 'one', 'abcd')]);
    const reason = new Error('stopped');
    await expect(runGoldens(pack, echo, { clock: new ManualClock(), signal: AbortSignal.abort(reason) })).rejects.toBe(
      reason,
    );
  });
});
