// What becomes a refusal (the package's fault) and what stays an error (the hub's own, tried again).
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CheckPackage } from '@tidegate/cloud-hub/registry/check-package.js';
import { PackageRefused, type LoadPackage } from '@tidegate/cloud-hub/registry/package-ports.js';
import { PackageError } from '@tidegate/shared/package/package-error.js';
import { RuntimeError } from '@tidegate/shared/runtime/runtime-error.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { StepError } from '@tidegate/shared/steps/step.js';
import { expect, test } from 'vitest';

const DIGITS = fileURLToPath(new URL('../../../examples/digits', import.meta.url));
const signal = new AbortController().signal;
const PASSED = {
  passed: true,
  score: 1,
  threshold: 0.9,
  count: 3,
  groupScores: {},
  exact: 3,
  latenciesMs: [],
  cases: [],
};

function loaded(
  result: object | Error,
  unproven?: { field: string; reason: string },
): { load: LoadPackage; closed: () => number } {
  let closed = 0;
  const load: LoadPackage = async () => ({
    runGoldens: async () => {
      if (result instanceof Error) throw result;
      return { ...PASSED, ...result };
    },
    provePadding: async () => unproven,
    close: async () => void (closed += 1),
  });
  return { load, closed: () => closed };
}
const outcome = (load: LoadPackage) =>
  new CheckPackage(load).check(DIGITS, signal).then(
    () => undefined,
    (cause: unknown) => cause,
  );

test('a package whose goldens pass is checked, and is not left loaded', async () => {
  const { load, closed } = loaded({});
  expect(await outcome(load)).toBeUndefined();
  expect(closed()).toBe(1);
});

test('a package whose requests may be padded, and which answers differently then, is refused with the figures', async () => {
  const reason =
    "padding changes the answer: of a golden of length 5 padded to 12, output 'y' differs by 0.31 (0.001 is allowed)";
  const { load, closed } = loaded({}, { field: 'pipeline.1.ragged', reason });
  const found = await outcome(load);
  expect(found).toBeInstanceOf(PackageRefused);
  expect(found).toMatchObject({ field: 'model.yaml#pipeline.1.ragged', message: reason });
  expect(closed()).toBe(1);
});

test('goldens under the threshold are refused with both figures', async () => {
  const { load, closed } = loaded({ passed: false, score: 0.71234 });
  const found = await outcome(load);
  expect(found).toBeInstanceOf(PackageRefused);
  expect(found).toMatchObject({
    field: 'model.yaml#goldens.threshold',
    message: expect.stringMatching(/exact of label is 0\.7123 over 3.*0\.9/),
  });
  expect(closed()).toBe(1);
});

test.each([
  [new PackageError('invalid-goldens', 'is not JSON', { file: 'goldens.json' }), /goldens\.json/],
  [new StepError('resize', 'no picture'), /resize/],
  [new RuntimeError('load-failed', 'unsupported operator Foo'), /Foo/],
  [new RuntimeError('executor-died', 'it died twice'), /died/],
  [new ServingError('invalid-argument', 'wrong shape', { field: 'image' }), /shape/],
])('%s is the package’s fault', async (cause, message) => {
  const { load, closed } = loaded(cause);
  expect(await outcome(load)).toMatchObject({ name: 'PackageRefused', message: expect.stringMatching(message), cause });
  expect(closed()).toBe(1);
});

test.each([
  new Error('no memory'),
  new RuntimeError('closed', 'the runtime is closed'),
  new ServingError('not-ready', 'closing'),
])('%s is the hub’s own', async (cause) => {
  expect(await outcome(loaded(cause).load)).toBe(cause);
  expect(await outcome(() => Promise.reject(cause))).toBe(cause);
});

test('a check that is ended is no refusal', async () => {
  const ending = new AbortController();
  const load: LoadPackage = async () => {
    ending.abort(new Error('the hub stops'));
    throw new RuntimeError('cancelled', 'loading was cancelled');
  };
  await expect(new CheckPackage(load).check(DIGITS, ending.signal)).rejects.toThrow('the hub stops');
});

test('a folder whose model.yaml went missing is refused', async () => {
  const found = await new CheckPackage(loaded({}).load)
    .check(join(DIGITS, '..', 'bare'), signal)
    .catch((cause: unknown) => cause);
  expect(found).toBeInstanceOf(PackageRefused);
  expect((await fs.readdir(join(DIGITS, '..', 'bare'))).includes('model.yaml')).toBe(false);
});
