import { lineageText } from '@tidegate/cloud-hub/cli/lineage-text.js';
import type { Lineage } from '@tidegate/shared/wire/training-api.js';
import { expect, test } from 'vitest';

const JOB = {
  optimizer: 'sgd',
  learningRate: 0.1,
  epochs: 2,
  batchSize: 8,
  seed: 7,
  start: 'random weights',
  code: '1',
};
const node = (id: string, title: string, facts: Lineage['nodes'][number]['facts'] = {}): Lineage['nodes'][number] => ({
  id,
  kind: id.split(':')[0] as 'version',
  title,
  facts,
});

test('what two jobs read is drawn out once and named the second time', () => {
  const lineage: Lineage = {
    nodes: [
      node('version:d@3', 'd@3', { label: 'three', evaluation: 'passed' }),
      node('job:j2', 'j2', { ...JOB, 'accuracy held-out a@1': '0.8 -> 0.9', evaluation: 'accuracy 0.8 -> 0.9' }),
      node('version:d@2', 'd@2'),
      node('job:j1', 'j1', JOB),
      node('dataset:a@1', 'a@1', { use: 'trained on', train: 8, 'held-out': 2, from: 'model=d' }),
      node('samples:a@1/cam', 'captured by cam', { count: 9 }),
      node('samples:a@1/unknown', 'samples of unknown origin', { count: 1 }),
      node('version:d@1', 'd@1', { origin: 'published' }),
    ],
    edges: [
      { from: 'job:j2', to: 'version:d@3' },
      { from: 'version:d@2', to: 'job:j2' },
      { from: 'dataset:a@1', to: 'job:j2' },
      { from: 'job:j1', to: 'version:d@2' },
      { from: 'dataset:a@1', to: 'job:j1' },
      { from: 'version:d@1', to: 'job:j1' },
      { from: 'samples:a@1/cam', to: 'dataset:a@1' },
      { from: 'samples:a@1/unknown', to: 'dataset:a@1' },
    ],
  };
  const how = 'sgd at 0.1, 2 epochs of batches of 8, seed 7, from random weights, hub 1';
  expect(lineageText(lineage).split('\n')).toEqual([
    'd@3  (three)  evaluation passed',
    `└─ job j2  ${how}`,
    '   │    accuracy held-out a@1: 0.8 -> 0.9',
    '   ├─ d@2',
    `   │  └─ job j1  ${how}`,
    '   │     ├─ dataset a@1  trained on  8 train  2 held-out  from model=d',
    '   │     │  ├─ 9 samples captured by cam',
    '   │     │  └─ 1 sample of unknown origin',
    '   │     └─ d@1',
    '   └─ dataset a@1  trained on  8 train  2 held-out  from model=d (above)',
    '',
  ]);
});
