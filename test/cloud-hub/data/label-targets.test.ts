// Labels as the loss takes them; what the reader makes of them is in dataset-reader.test.ts.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { classReader, findClasses } from '@tidegate/cloud-hub/data/label-targets.js';
import { openPackage } from '@tidegate/shared/package/open-package.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { openPreparation } from '@tidegate/shared/training/prepare-inputs.js';
import { describe, expect, test } from 'vitest';
import { writeBarePackage } from '../../support/bare-package.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('label-targets');
const DIGITS = fileURLToPath(new URL('../../../examples/digits', import.meta.url));

async function classesOf(path: string) {
  const pack = await openPackage(path, { inspect: inspectGraphFile });
  return findClasses(pack, await openPreparation(pack));
}
const classifying = (labels: string): Record<string, string> => ({
  outputs: '[{ name: y, datatype: FP32, shape: [-1, 4] }, { name: label, datatype: BYTES, shape: [-1] }]',
  pipeline: `[{ graph: m.onnx }, { step: classify, inputs: [y], outputs: [label]${labels} }]`,
});

describe('the classes of a package', () => {
  test('are the names of its classify step, in a list or a file; else as many numbers as the scores are wide', async () => {
    expect(await classesOf(DIGITS)).toEqual({ names: undefined, count: 10, output: 'logits' });
    expect(await classesOf(writeBarePackage(folder(), 'bare'))).toEqual({ names: undefined, count: 4, output: 'y' });
    const listed = writeBarePackage(folder(), 'bare', classifying(', with: { labels: [n, e, s, w] }'));
    expect(await classesOf(listed)).toEqual({ names: ['n', 'e', 's', 'w'], count: 4, output: 'y' });
    const filed = writeBarePackage(folder(), 'bare', classifying(', with: { labels: names.txt }'));
    writeFileSync(join(filed, 'names.txt'), 'north\neast\nsouth\nwest\n');
    expect(await classesOf(filed)).toMatchObject({ names: ['north', 'east', 'south', 'west'] });
  });

  test('are read by name where they have names, and by number only where they have none', () => {
    const named = classReader({ names: ['7', 'cat'], count: 2, output: 'y' });
    expect([named('7', 's'), named('cat', 's')]).toEqual([[0], [1]]);
    expect(() => named('0', 's')).toThrow("sample s: its label '0' is none of the model's 2 classes");
    const numbered = classReader({ names: undefined, count: undefined, output: undefined });
    expect(numbered('123456789', 's')).toEqual([123456789]);
    for (const label of ['-1', '01', '1.5', '', '1e3', '1234567890'])
      expect(() => numbered(label, 's')).toThrow('number');
  });
});
