import { expect, it } from 'vitest';
import { stageIdentity } from '@tidegate/shared/serving/kept-stages.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';

const file = (path: string, content: string) => ({ path, sizeBytes: content.length, digest: sha256(content) });

it('is one for equal graphs in other packages, and another for other weights, engines and providers', () => {
  const runs = ['ort', '1', 'cpu'];
  const of = (graph: string, weights: string, ran = runs, folder = ''): string => {
    const files = [file(`${folder}g.onnx`, graph), file(`${folder}g.data`, weights), file('other', graph + weights)];
    return stageIdentity(`${folder}g.onnx`, { files, externalData: ['g.data'] }, ran);
  };
  expect(of('a', 'w')).toBe(of('a', 'w', runs, 'folder/'));
  const all = [
    of('a', 'w'),
    of('b', 'w'),
    of('a', 'v'),
    of('a', 'w', ['ort', '2', 'cpu']),
    of('a', 'w', ['ort', '1', 'webgpu']),
  ];
  expect(new Set(all).size).toBe(5);
});
