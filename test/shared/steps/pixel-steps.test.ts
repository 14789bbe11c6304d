// The steps on pixels and numbers: resize, crop, rotate, normalise, pad-width.
import { describe, expect, it } from 'vitest';
import { findStep } from '@tidegate/shared/steps/step-catalogue.js';
import type { PreparedStep } from '@tidegate/shared/steps/step.js';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { bytesOf, float32Of, type Tensor } from '@tidegate/shared/tensor/tensor.js';

const signal = new AbortController().signal;
const noAssets = { read: () => Promise.reject(new Error('no assets')) };
const prepare = (name: string, parameters: object): Promise<PreparedStep> =>
  findStep(name).prepare(parameters, noAssets);

async function run(name: string, parameters: object, input: Tensor): Promise<Tensor> {
  const [out] = await (await prepare(name, parameters)).run([input], signal);
  if (out === undefined) throw new Error('no output');
  return out;
}

function pixels(height: number, width: number, channels = 3): Tensor {
  const data = Uint8Array.from({ length: height * width * channels }, (_, at) => (at * 37) % 256);
  return { datatype: 'UINT8', shape: [1, height, width, channels], data };
}

describe('resize', () => {
  it.each([
    ['keeps the aspect ratio, rounding up', { height: 48 }, [20, 33], [48, 80]],
    ['rounds down above a width', { height: 48, roundDownAbove: 60 }, [20, 33], [48, 79]],
    ['rounds up below it', { height: 48, roundDownAbove: 80 }, [20, 33], [48, 80]],
    ['stretches by a scale', { height: 48, scale: 0.5 }, [24, 100], [48, 100]],
    ['cuts the width', { height: 48, maxWidth: 100 }, [10, 400], [48, 100]],
    ['never makes no width at all', { height: 1 }, [400, 3], [1, 1]],
    ['grows to a shorter side', { minSide: 40 }, [20, 33], [40, 66]],
    ['never shrinks by it', { minSide: 10 }, [20, 33], [20, 33]],
    ['goes to the nearest multiple, halves to even', { minSide: 1, multiple: 32 }, [47, 80], [32, 64]],
    ['makes at least one multiple', { minSide: 1, multiple: 32 }, [8, 200], [32, 192]],
    ['keeps the longer side in bounds', { minSide: 40, maxSide: 100 }, [10, 400], [2, 100]],
    ['makes what it is told', { height: 10, width: 7, keepAspect: false }, [20, 33], [10, 7]],
  ])('%s', async (_, parameters, [height = 0, width = 0], [toHeight, toWidth]) => {
    const out = await run('resize', parameters, pixels(height, width));
    expect(out.shape).toEqual([1, toHeight, toWidth, 3]);
    expect(out.data.byteLength).toBe((toHeight ?? 0) * (toWidth ?? 0) * 3);
  });

  it('infers what it makes', async () => {
    const input = { datatype: 'UINT8' as const, shape: [1, -1, -1, 3] };
    expect((await prepare('resize', { height: 48 })).inferTypes([input])).toEqual([
      { datatype: 'UINT8', shape: [1, 48, -1, 3] },
    ]);
    const fixed = await prepare('resize', { height: 8, width: 9, keepAspect: false });
    expect(fixed.inferTypes([input])).toEqual([{ datatype: 'UINT8', shape: [1, 8, 9, 3] }]);
    expect(() => fixed.inferTypes([{ datatype: 'FP32', shape: [1, -1, -1, 3] }])).toThrow('step resize: takes UINT8');
    expect(() => fixed.inferTypes([])).toThrow('takes 1 input, but 0 are given');
  });

  it('refuses pixels that are not there', async () => {
    await expect(run('resize', { height: 8 }, pixels(0, 5))).rejects.toThrow('without pixels');
    const short = { ...pixels(4, 4), data: new Uint8Array(47) };
    await expect(run('resize', { height: 8 }, short)).rejects.toThrow('47 bytes');
  });
});

describe('crop', () => {
  it('takes the middle, or what it is told', async () => {
    const middle = await run('crop', { height: 2, width: 2 }, pixels(5, 4, 1));
    expect(middle).toMatchObject({ datatype: 'UINT8', shape: [1, 2, 2, 1] });
    const all = pixels(5, 4, 1).data;
    expect([...middle.data]).toEqual([all[5], all[6], all[9], all[10]]);
    const corner = await run('crop', { height: 1, width: 2, top: 4, left: 2 }, pixels(5, 4, 1));
    expect([...corner.data]).toEqual([all[18], all[19]]);
  });

  it('refuses a rectangle that does not lie inside', async () => {
    await expect(run('crop', { height: 6, width: 2 }, pixels(5, 4))).rejects.toThrow(
      'cuts 6 x 2 (height x width), which does not lie inside a picture of 5 x 4',
    );
    await expect(run('crop', { height: 2, width: 2, left: 3 }, pixels(5, 4))).rejects.toThrow('does not lie inside');
    const step = await prepare('crop', { height: 2, width: 9 });
    expect(() => step.inferTypes([{ datatype: 'UINT8', shape: [1, 8, 8, 3] }])).toThrow('step crop: cuts');
    expect(step.inferTypes([{ datatype: 'UINT8', shape: [1, -1, -1, 3] }])).toEqual([
      { datatype: 'UINT8', shape: [1, 2, 9, 3] },
    ]);
  });
});

describe('rotate', () => {
  const picture: Tensor = { datatype: 'UINT8', shape: [1, 2, 3, 1], data: Uint8Array.of(1, 2, 3, 4, 5, 6) };
  const label = (text: string): Tensor => ({
    datatype: 'BYTES',
    shape: [1],
    data: encodeBytes([new TextEncoder().encode(text)]),
  });
  const sure = (value: number): Tensor => ({ datatype: 'FP32', shape: [1], data: bytesOf(Float32Array.of(value)) });

  it.each([
    [90, [1, 3, 2, 1], [3, 6, 2, 5, 1, 4]],
    [180, [1, 2, 3, 1], [6, 5, 4, 3, 2, 1]],
    [270, [1, 3, 2, 1], [4, 1, 5, 2, 6, 3]],
  ])('turns by %i degrees, counter-clockwise', async (degrees, shape, expected) => {
    const out = await run('rotate', { degrees }, picture);
    expect(out.shape).toEqual(shape);
    expect([...out.data]).toEqual(expected);
    const [type] = (await prepare('rotate', { degrees })).inferTypes([{ datatype: 'UINT8', shape: [1, 2, 3, 1] }]);
    expect(type?.shape).toEqual(shape);
  });

  it('turns only where the label says so, and surely enough', async () => {
    const step = await prepare('rotate', { degrees: 180, where: '180', above: 0.9 });
    const first = async (...branch: Tensor[]): Promise<number | undefined> =>
      (await step.run([picture, ...branch], signal))[0]?.data[0];
    expect(await first(label('180'), sure(0.95))).toBe(6);
    expect(await first(label('0'), sure(0.95))).toBe(1);
    expect(await first(label('180'), sure(0.9))).toBe(1);
    expect(await first(label('180'), sure(NaN))).toBe(1);
    await expect(first()).rejects.toThrow(
      'takes 3 inputs (pixels, label, confidence) with with.where, but 1 are given',
    );
    const types = [
      { datatype: 'UINT8' as const, shape: [1, -1, -1, 3] },
      { datatype: 'FP32' as const, shape: [1] },
      { datatype: 'FP32' as const, shape: [1] },
    ];
    expect(() => step.inferTypes(types)).toThrow('step rotate: takes BYTES [1], but is given FP32 [1]');
  });
});

describe('normalise', () => {
  it('equals (pixel / 255 - mean) / std in single precision, plane by plane', async () => {
    const input = pixels(3, 5);
    const out = await run('normalise', { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }, input);
    expect(out.shape).toEqual([1, 3, 3, 5]);
    const f = Math.fround;
    const expected = [0, 1, 2].flatMap((c) =>
      Array.from({ length: 15 }, (_, at) => {
        const value = input.data[at * 3 + c] ?? 0;
        return f(f(f(value / 255) - f([0.485, 0.456, 0.406][c] ?? 0)) / f([0.229, 0.224, 0.225][c] ?? 1));
      }),
    );
    expect([...float32Of(out)]).toEqual(expected);
  });

  it('keeps the pixel order in NHWC', async () => {
    const out = await run('normalise', { layout: 'NHWC', divisor: 1 }, pixels(2, 2));
    expect(out.shape).toEqual([1, 2, 2, 3]);
    expect([...float32Of(out)]).toEqual([...pixels(2, 2).data]);
  });

  it.each([
    [{ mean: [0, 0] }, 'with.mean: has 2 values for 3 channels'],
    [{ std: [1, 1, 1, 1] }, 'with.std: has 4 values for 3 channels'],
  ])('refuses %j for three channels', async (parameters, message) => {
    const step = await prepare('normalise', parameters);
    expect(() => step.inferTypes([{ datatype: 'UINT8', shape: [1, -1, -1, 3] }])).toThrow(message);
  });
});

describe('pad-width', () => {
  const input: Tensor = { datatype: 'FP32', shape: [1, 1, 2, 3], data: bytesOf(Float32Array.of(1, 2, 3, 4, 5, 6)) };

  it('pads each row on the right', async () => {
    const out = await run('pad-width', { multiple: 4, value: 9 }, input);
    expect(out.shape).toEqual([1, 1, 2, 4]);
    expect([...float32Of(out)]).toEqual([1, 2, 3, 9, 4, 5, 6, 9]);
  });

  it.each([
    [{ multiple: 3 }, 3],
    [{ minWidth: 5 }, 5],
    [{ minWidth: 5, multiple: 4 }, 8],
  ])('with %j makes the width %d', async (parameters, width) => {
    expect((await run('pad-width', parameters, input)).shape).toEqual([1, 1, 2, width]);
    const [type] = (await prepare('pad-width', parameters)).inferTypes([{ datatype: 'FP32', shape: [1, 1, 2, 3] }]);
    expect(type?.shape).toEqual([1, 1, 2, width]);
  });
});

describe("a step's parameters", () => {
  it.each([
    ['resize', {}, 'step resize: with.height: '],
    ['resize', { height: 0 }, 'step resize: with.height: '],
    ['resize', { height: 48, keepAspect: false }, 'step resize: with.width: is needed where keepAspect is false'],
    ['resize', { height: 48, width: 7 }, 'step resize: with.width: follows from the height'],
    ['resize', { height: 48, minSide: 7 }, 'step resize: with.height: is needed, or minSide in its place'],
    ['resize', { minSide: 48, width: 7, keepAspect: false }, 'step resize: with.width: follows from minSide'],
    ['top-k', { k: 0 }, 'step top-k: with.k: '],
    ['rotate', { degrees: 45 }, 'step rotate: with.degrees: '],
    ['resize', { height: 48, heigth: 48 }, 'step resize: with.heigth: is not a parameter of this step'],
    ['normalise', { std: [0] }, 'step normalise: with.std.0: must not be 0'],
    ['pad-width', { multiple: 1.5 }, 'step pad-width: with.multiple: '],
    ['decode-image', { channels: 'cmyk' }, 'step decode-image: with.channels: '],
    ['ctc-decode', { dictionary: '../etc/passwd' }, 'step ctc-decode: with.dictionary: must be a relative path'],
    ['ctc-decode', {}, 'step ctc-decode: with.dictionary: '],
    ['classify', { activation: 'relu' }, 'step classify: with.activation: '],
  ])('%s %j is refused by name', async (name, parameters, message) => {
    await expect(prepare(name, parameters)).rejects.toMatchObject({
      name: 'StepError',
      message: expect.stringContaining(message) as string,
    });
  });

  it('names the steps that there are when one is asked for that is not', () => {
    expect(() => findStep('sharpen')).toThrow(
      'step sharpen: there is no such step; there are branch, classify, crop, ctc-decode',
    );
  });
});
