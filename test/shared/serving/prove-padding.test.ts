import { describe, expect, it } from 'vitest';
import type { PaddingRule } from '@tidegate/shared/scheduling/padding-rule.js';
import { provePadding } from '@tidegate/shared/serving/prove-padding.js';
import { bytesOf, float32Of, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';

const rule: PaddingRule = {
  field: 'pipeline.0.ragged',
  inputs: [{ name: 'x', axis: 1, element: new Uint8Array(4) }],
  outputs: [],
  tolerance: 0.001,
  maxWaste: 0.25,
};
const ones = (length: number): NamedTensor[] => [
  tensor('x', 'FP32', [1, length], bytesOf(new Float32Array(length).fill(1))),
];

/** A graph of one figure a row. */
function graph(figure: (row: Float32Array) => number): { runs: number[][]; run: typeof run } {
  const runs: number[][] = [];
  const run = async ([feed]: readonly NamedTensor[]): Promise<NamedTensor[]> => {
    const [rows = 0, length = 0] = feed?.shape ?? [];
    runs.push([rows, length]);
    const all = float32Of(feed!);
    const values = Array.from({ length: rows }, (_, row) => figure(all.subarray(row * length, (row + 1) * length)));
    return [tensor('y', 'FP32', [rows, 1], bytesOf(Float32Array.from(values)))];
  };
  return { runs, run };
}
const sum = (row: Float32Array): number => row.reduce((total, one) => total + one, 0);

describe('provePadding', () => {
  it('runs each length alone and all together, and finds them equal', async () => {
    const { runs, run } = graph(sum);
    expect(await provePadding([5, 3, 5, 9].map(ones), rule, run)).toBeUndefined();
    expect(runs).toEqual([
      [1, 3],
      [1, 5],
      [1, 9],
      [3, 9],
    ]);
  });

  it('takes the shortest, the longest and some between of many', async () => {
    const { runs, run } = graph(sum);
    await provePadding(
      Array.from({ length: 40 }, (_, at) => ones(at + 1)),
      rule,
      run,
    );
    expect(runs).toHaveLength(9);
    expect([runs[0], runs[7], runs[8]]).toEqual([
      [1, 1],
      [1, 40],
      [8, 40],
    ]);
  });

  it('says by how much which output differs', async () => {
    const mean = graph((row) => sum(row) / row.length);
    expect(await provePadding([3, 4].map(ones), rule, mean.run)).toBe(
      "changes the answer: of a golden of length 3 padded to 4, output 'y' differs by 0.25 (0.001 is allowed)",
    );
    expect(await provePadding([3, 4].map(ones), { ...rule, tolerance: 0.3 }, mean.run)).toBeUndefined();
  });

  it('proves nothing by goldens of one length, or by none', async () => {
    const { run } = graph(sum);
    const text = "can't be proven: the goldens have to feed the graph at least two lengths, and ";
    expect(await provePadding([4, 4].map(ones), rule, run)).toBe(`${text}all feed it 4`);
    expect(await provePadding([], rule, run)).toBe(`${text}feed it none`);
  });

  it('refuses outputs that follow neither rows nor length', async () => {
    const { run } = graph(sum);
    const one = async (): Promise<NamedTensor[]> => [tensor('y', 'FP32', [1, 1], new Uint8Array(4))];
    expect(await provePadding([3, 4].map(ones), rule, one)).toMatch(/do not follow the rows/);
    const cut = { ...rule, outputs: [{ name: 'y', axis: 1 }] };
    expect(await provePadding([3, 4].map(ones), cut, run)).toMatch(/has not the padded length 4/);
  });
});
