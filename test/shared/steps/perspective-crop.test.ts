// The steps that make and join lists: perspective-crop, join.
import { describe, expect, it } from 'vitest';
import { findStep } from '@tidegate/shared/steps/step-catalogue.js';
import { bytesOf, type Tensor } from '@tidegate/shared/tensor/tensor.js';

const signal = new AbortController().signal;
const noAssets = { read: () => Promise.reject(new Error('no assets')) };

const picture: Tensor = {
  datatype: 'UINT8',
  shape: [1, 4, 6, 1],
  data: Uint8Array.from({ length: 24 }, (_, at) => at),
};
const boxes = (...corners: number[][]): Tensor => ({
  datatype: 'FP32',
  shape: [corners.length, 4, 2],
  data: bytesOf(Float32Array.from(corners.flat())),
});
const crop = async (parameters: object, ...inputs: Tensor[]): Promise<Tensor[]> =>
  (await findStep('perspective-crop').prepare(parameters, noAssets)).run(inputs, signal);

describe('perspective-crop', () => {
  it('cuts a picture for each box; what stands is laid on its side', async () => {
    const items = await crop({}, picture, boxes([1, 1, 4, 1, 4, 3, 1, 3], [2, 0, 3, 0, 3, 3, 2, 3]));
    expect(items.map(({ shape }) => shape)).toEqual([
      [1, 2, 3, 1],
      [1, 1, 3, 1],
    ]);
    expect([...items[0]!.data]).toEqual([7, 8, 9, 13, 14, 15]);
    expect([...items[1]!.data]).toEqual([2, 8, 14]);
    const [standing] = await crop({ turnFrom: 4 }, picture, boxes([2, 0, 3, 0, 3, 3, 2, 3]));
    expect(standing?.shape).toEqual([1, 3, 1, 1]);
  });

  it('takes the border for what lies outside, and no box at all', async () => {
    const [outside] = await crop({}, picture, boxes([-3, 0, 0, 0, 0, 1, -3, 1]));
    expect([...outside!.data]).toEqual([0, 0, 0]);
    expect(await crop({}, picture, boxes())).toEqual([]);
  });

  it.each([
    [{}, [0, 0, 0.5, 0, 0.5, 3, 0, 3], 'box 0 is 0 x 3 pixels (width x height)'],
    [{}, [NaN, 0, 3, 0, 3, 3, 0, 3], 'box 0 is NaN x NaN pixels'],
    [{}, [0, 0, 3, 0, 0, 0, 3, 0], 'box 0 is'],
    [{ maxPixels: 8 }, [0, 0, 3, 0, 3, 3, 0, 3], 'would cut 9 pixels; at most 8 are allowed'],
  ])('refuses %j %j', async (parameters, box, message) => {
    await expect(crop(parameters, picture, boxes(box))).rejects.toThrow(message);
  });

  it('refuses too many boxes, and inputs of other types', async () => {
    const box = [0, 0, 2, 0, 2, 2, 0, 2];
    await expect(crop({ maxBoxes: 1 }, picture, boxes(box, box))).rejects.toThrow('2 boxes; at most 1 are allowed');
    await expect(crop({}, picture)).rejects.toThrow('takes 2 inputs (pixels, boxes), but 1 are given');
    await expect(crop({}, boxes(box), picture)).rejects.toThrow('takes UINT8');
    const step = await findStep('perspective-crop').prepare({}, noAssets);
    const types = [
      { datatype: 'UINT8' as const, shape: [1, -1, -1, 3] },
      { datatype: 'FP32' as const, shape: [-1, 4, 2] },
    ];
    expect(step.inferTypes(types)).toEqual([{ datatype: 'UINT8', shape: [1, -1, -1, 3] }]);
  });
});

describe('join', () => {
  const item = (shape: number[], ...bytes: number[]): Tensor => ({
    datatype: 'UINT8',
    shape,
    data: Uint8Array.from(bytes),
  });
  const join = async (...items: Tensor[]): Promise<Tensor[]> =>
    (await findStep('join').prepare({}, noAssets)).run(items, signal);

  it('puts the rows one after another', async () => {
    const [all] = await join(item([1, 2], 1, 2), item([2, 2], 3, 4, 5, 6));
    expect(all).toEqual(item([3, 2], 1, 2, 3, 4, 5, 6));
  });

  it('refuses rows of different shape, and items that have no rows', async () => {
    await expect(join(item([1, 2], 1, 2), item([1, 1], 3))).rejects.toThrow("can't join UINT8 [1, 1] to UINT8 [1, 2]");
    const step = await findStep('join').prepare({}, noAssets);
    expect(() => step.inferTypes([{ datatype: 'FP32', shape: [] }])).toThrow('items of at least one dimension');
    expect(step.inferTypes([{ datatype: 'FP32', shape: [1, 4] }])).toEqual([{ datatype: 'FP32', shape: [-1, 4] }]);
  });
});
