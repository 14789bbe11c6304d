// Files as a model's input, and inputs as files: what goes out comes in again, bit for bit.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { exportedFiles, safeName } from '@tidegate/cloud-hub/cli/sample-export.js';
import { SampleFiles } from '@tidegate/cloud-hub/cli/sample-file.js';
import { decodeBytes, encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import type { Datatype } from '@tidegate/shared/tensor/datatype.js';
import { encodeNpy } from '@tidegate/shared/tensor/npy.js';
import { encodePng } from '@tidegate/shared/tensor/png.js';
import { bytesOf, float32Of, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const taking = (datatype: Datatype, shape: number[], mayResize = false): SampleFiles =>
  new SampleFiles({ model: 'm', version: 1, inputs: [{ name: 'x', datatype, shape }] }, { mayResize });
const GREY = encodePng(3, 2, 1, Uint8Array.of(0, 51, 255, 1, 2, 128));
const COLOUR = encodePng(2, 1, 3, Uint8Array.of(255, 0, 0, 10, 200, 30));

describe('a picture as a numeric input', () => {
  test('is levels divided by 255 in single precision, or the levels', async () => {
    const levels = [0, 51, 255, 1, 2, 128];
    const floats = await taking('FP32', [-1, 1, 2, 3]).read('a.png', GREY);
    expect([floats.name, floats.datatype, floats.shape]).toEqual(['x', 'FP32', [1, 1, 2, 3]]);
    expect([...float32Of(floats)]).toEqual(levels.map((level) => Math.fround(level / 255)));
    for (const [shape, actual] of [
      [
        [1, 2, 3],
        [1, 2, 3],
      ],
      [
        [-1, -1, -1, 1],
        [1, 2, 3, 1],
      ],
      [
        [2, 3],
        [2, 3],
      ],
    ] as const) {
      const value = await taking('UINT8', [...shape]).read('a.png', GREY);
      expect([value.shape, [...value.data]]).toEqual([actual, levels]);
    }
  });

  test('is red, green, blue, in planes or interleaved; as grey it is weighted', async () => {
    const planes = await taking('UINT8', [-1, 3, -1, -1]).read('a.png', COLOUR);
    expect([planes.shape, [...planes.data]]).toEqual([[1, 3, 1, 2], [255, 10, 0, 200, 0, 30]]); // prettier-ignore
    const rows = await taking('UINT8', [-1, -1, -1, 3]).read('a.png', COLOUR);
    expect([rows.shape, [...rows.data]]).toEqual([[1, 1, 2, 3], [255, 0, 0, 10, 200, 30]]); // prettier-ignore
    const grey = await taking('UINT8', [-1, 1, -1, -1]).read('a.png', COLOUR);
    expect([...grey.data]).toEqual([Math.round(0.299 * 255), Math.round(0.299 * 10 + 0.587 * 200 + 0.114 * 30)]);
  });

  test('of another size is scaled only where that is asked for', async () => {
    await expect(taking('FP32', [-1, 1, 28, 28]).read('a.png', GREY)).rejects.toThrow(
      'a.png is 3 x 2, but m takes 28 x 28; --resize scales it',
    );
    const scaled = await taking('FP32', [-1, 1, 28, 28], true).read('a.png', GREY);
    expect(scaled.shape).toEqual([1, 1, 28, 28]);
    expect(Math.max(...float32Of(scaled))).toBeLessThanOrEqual(1);
  });

  test('is the same bytes every time, also of JPEG and WebP', async () => {
    for (const name of ['blur-02.webp', 'blur-03.jpg']) {
      const file = readFileSync(fileURLToPath(new URL(`../../../examples/ocr-line/goldens/${name}`, import.meta.url)));
      const read = () => taking('FP32', [-1, 3, -1, -1]).read(name, file);
      expect(Buffer.compare((await read()).data, (await read()).data)).toBe(0);
    }
  });

  test('that is none, or for an input that is none, names the file or the input', async () => {
    await expect(taking('FP32', [-1, 1, 2, 3]).read('dir/a.png', Buffer.from('text'))).rejects.toThrow(
      /^dir\/a\.png: /,
    );
    await expect(taking('FP32', [-1, 1, 2, 3]).read('a.png', new Uint8Array())).rejects.toThrow('a.png is empty');
    for (const [datatype, shape] of [
      ['FP32', [-1, 784]],
      ['INT64', [-1, 1, 2, 3]],
      ['FP32', [8, 1, 2, 3]],
    ] as const) {
      const reading = taking(datatype, [...shape]).read('a.png', GREY);
      if (shape.length === 2)
        await expect(reading).rejects.toThrow('--resize'); // [H, W] with any height
      else await expect(reading).rejects.toThrow('is no picture; import .npy files');
    }
    const two = [1, 2].map((n) => ({ name: `x${n}`, datatype: 'FP32' as const, shape: [-1] }));
    expect(() => new SampleFiles({ model: 'm', version: 1, inputs: two }, { mayResize: false })).toThrow(
      'takes 2 inputs',
    );
  });
});

describe('other inputs', () => {
  test('a BYTES input takes the file as it is', async () => {
    const value = await taking('BYTES', [-1]).read('a.png', COLOUR);
    expect([value.shape, decodeBytes(value.data)?.length]).toEqual([[1], 1]);
    expect(Buffer.compare(decodeBytes(value.data)![0]!, COLOUR)).toBe(0);
  });

  test('an array must be of the datatype and the shape; the row’s dimension may be left out', async () => {
    const npy = (shape: number[], datatype: Datatype = 'FP32') =>
      encodeNpy({ datatype, shape, data: bytesOf(Float32Array.of(1, 2, 3, 4)) })!;
    for (const shape of [[4], [1, 4]]) {
      const value = await taking('FP32', [-1, 4]).read('a.npy', npy(shape));
      expect([value.shape, [...float32Of(value)]]).toEqual([[1, 4], [1, 2, 3, 4]]); // prettier-ignore
    }
    await expect(taking('FP32', [-1, 4]).read('a.npy', npy([2, 2]))).rejects.toThrow(
      'a.npy is FP32 [2, 2], but m takes FP32 [-1, 4]',
    );
    await expect(taking('FP32', [-1, 4]).read('a.npy', npy([4], 'INT32'))).rejects.toThrow('INT32 [4]');
    await expect(taking('FP32', [-1, 4]).read('a.npy', Buffer.from('none'))).rejects.toThrow('a.npy is no .npy file');
  });
});

describe('what is exported', () => {
  const roundTrip = async (input: NamedTensor, shape: number[]): Promise<string> => {
    const [file] = exportedFiles([input]);
    const again = await taking(input.datatype, shape).read(`a${file!.suffix}`, file!.bytes);
    expect([again.datatype, again.shape]).toEqual([input.datatype, input.shape]);
    expect(Buffer.compare(again.data, input.data)).toBe(0);
    return file!.suffix;
  };

  test('is a picture where that loses nothing, else an array, and comes in again as it was', async () => {
    const levels = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 91) % 256);
    const floats = (length: number): Uint8Array => bytesOf(Float32Array.from(levels(length), (level) => level / 255));
    for (const shape of [
      [1, 1, 4, 5],
      [1, 3, 4, 5],
      [1, 4, 5, 3],
      [1, 4, 5],
    ]) {
      const count = shape.reduce((all, one) => all * one, 1);
      expect(await roundTrip(tensor('x', 'UINT8', shape, levels(count)), shape)).toBe('.png');
      expect(await roundTrip(tensor('x', 'FP32', shape, floats(count)), shape)).toBe('.png');
    }
    const noisy = fc.array(fc.float({ noNaN: true }), { minLength: 20, maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(noisy, async (values) => {
        const value = tensor('x', 'FP32', [1, 1, 4, 5], bytesOf(Float32Array.from(values)));
        await roundTrip(value, [-1, 1, 4, 5]);
      }),
    );
    expect(
      await roundTrip(tensor('x', 'FP32', [1, 1, 4, 5], bytesOf(new Float32Array(20).fill(0.3))), [1, 1, 4, 5]),
    ).toBe('.npy');
    expect(await roundTrip(tensor('x', 'INT64', [1, 2], new Uint8Array(16)), [1, 2])).toBe('.npy');
    expect(await roundTrip(tensor('x', 'BYTES', [1], encodeBytes([COLOUR])), [-1])).toBe('.png');
    expect(await roundTrip(tensor('x', 'BYTES', [1], encodeBytes([Buffer.from('text')])), [-1])).toBe('.bin');
  });

  test('has a file for each of several inputs, under a name that any disk takes', () => {
    const inputs = ['a b/c', '..'].map((name) => tensor(name, 'BF16', [1], new Uint8Array(2)));
    expect(exportedFiles(inputs).map(({ suffix }) => suffix)).toEqual(['.a_b_c.bin', '._.bin']);
    for (const [label, name] of [
      ['7', '7'],
      ['', '_'],
      ['..', '_'],
      ['../x', '.._x'],
      ['猫 und Hund', '猫_und_Hund'],
      ['a\u0000b', 'a_b'],
    ]) {
      expect(safeName(label!)).toBe(name);
    }
    expect(safeName('x'.repeat(500)).length).toBe(60);
  });
});
