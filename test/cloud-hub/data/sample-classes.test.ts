// Which labels may be given, told from real packages.
import { SampleClasses } from '@tidegate/cloud-hub/data/sample-classes.js';
import type { CatalogueEntry } from '@tidegate/cloud-hub/inference/catalogue.js';
import { readModelYaml } from '@tidegate/shared/package/read-model-yaml.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { writeBarePackage } from '../../support/bare-package.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('sample-classes');
const example = (name: string): string => fileURLToPath(new URL(`../../../examples/${name}`, import.meta.url));

/** With the folder as the newest version; `looked` counts how often it was opened. */
function classesOf(path: string | undefined): { check: (label: string) => Promise<void>; looked: () => number } {
  let looked = 0;
  const yaml = path === undefined ? undefined : readModelYaml(readFileSync(join(path, 'model.yaml'), 'utf8'));
  const entry = yaml && ({ variant: { variantDigest: sha256(path ?? '') }, yaml } as unknown as CatalogueEntry);
  const classes = new SampleClasses({
    catalogue: { find: () => entry },
    registry: {
      materialise: async () => {
        looked += 1;
        return path ?? '';
      },
    },
  });
  return { check: (label) => classes.check('model', label), looked: () => looked };
}

const classifier = (labels: string): string =>
  writeBarePackage(folder(), 'things', {
    outputs: '[{ name: label, datatype: BYTES, shape: [-1] }, { name: confidence, datatype: FP32, shape: [-1] }]',
    pipeline: `[{ graph: m.onnx }, { step: classify, inputs: [y], outputs: [label, confidence]${labels} }]`,
  });

test('the names that the package lists, and an error tells them', async () => {
  const { check, looked } = classesOf(classifier(', with: { labels: [ant, bee, cat, dog] }'));
  for (const label of ['ant', 'dog']) await check(label);
  await expect(check('Ant')).rejects.toMatchObject({
    code: 'invalid',
    field: 'label',
    message: 'label: "Ant" is no class of model: ant, bee, cat, dog',
  });
  await expect(check('0')).rejects.toMatchObject({ code: 'invalid' });
  expect(looked()).toBe(1);
});

test('the lines of a file of the package', async () => {
  const path = classifier(', with: { labels: names.txt }');
  writeFileSync(join(path, 'names.txt'), 'ant\nbee\ncat\ntwo words\n');
  const { check } = classesOf(path);
  await check('two words');
  await expect(check('names.txt')).rejects.toThrow('ant, bee, cat, two words');
});

test('numbers as far as the graph is wide, where nothing names them', async () => {
  const { check } = classesOf(classifier(''));
  await check('3');
  for (const label of ['4', '-1', '03', '1.0', 'ant'])
    await expect(check(label)).rejects.toThrow('a number from 0 to 3');
  const digits = classesOf(example('digits'));
  await digits.check('9');
  await expect(digits.check('10')).rejects.toThrow('a number from 0 to 9');
});

test('anything for a model that doesn’t classify, has several graphs, or isn’t on the hub', async () => {
  await classesOf(writeBarePackage(folder(), 'bare')).check('3.5, 2');
  await classesOf(example('ocr-line')).check('any text');
  const none = classesOf(undefined);
  await none.check('any text');
  expect(none.looked()).toBe(0);
});

test('a package that can’t be read now is looked at again the next time', async () => {
  const path = classifier(', with: { labels: names.txt }');
  const { check, looked } = classesOf(path);
  await expect(check('ant')).rejects.toThrow('names.txt');
  writeFileSync(join(path, 'names.txt'), 'ant\nbee\ncat\ndog\n');
  await check('ant');
  expect(looked()).toBe(2);
});
