import { expect, test } from 'vitest';
import { classLabels } from '@tidegate/shared/serving/class-labels.js';
import type { ModelYaml } from '@tidegate/shared/wire/model-yaml.js';

const assets = { read: (path: string) => Promise.resolve(new TextEncoder().encode(`${path} one\ntwo\n`)) };
const classify = (value: string, labels: unknown): ModelYaml['pipeline'][number] => ({
  step: 'classify',
  inputs: [value],
  outputs: ['label'],
  with: labels === undefined ? {} : { labels },
});

test('labels in the package, in a file of it, and none', async () => {
  const pipeline = [classify('a', ['x', 'y']), classify('b', 'labels.txt'), classify('c', undefined)];
  const labels = await classLabels({ pipeline: [{ graph: 'm.onnx' }, ...pipeline] }, assets);
  expect([...labels]).toEqual([
    ['a', ['x', 'y']],
    ['b', ['labels.txt one', 'two']],
  ]);
});

test('a file that is missing is named', async () => {
  const missing = { read: () => Promise.reject(new Error('no file nosuch.txt')) };
  await expect(classLabels({ pipeline: [classify('a', 'nosuch.txt')] }, missing)).rejects.toThrow('nosuch.txt');
});
