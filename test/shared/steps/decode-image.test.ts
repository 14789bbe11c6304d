import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { LIMIT_PICTURE_BYTES } from '@tidegate/shared/steps/decode-image.js';
import { findStep } from '@tidegate/shared/steps/step-catalogue.js';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import type { Tensor } from '@tidegate/shared/tensor/tensor.js';
import { pngOf } from '../../support/png-bomb.js';

const signal = new AbortController().signal;
const noAssets = { read: () => Promise.reject(new Error('no assets')) };
/** Two pixels beside each other: red and green; below them blue and white. */
const RGB = Uint8Array.of(255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255);
const twoByTwo = () => sharp(RGB, { raw: { width: 2, height: 2, channels: 3 } });

async function decode(encoded: Uint8Array, parameters: object = { channels: 'rgb' }): Promise<Tensor> {
  const step = await findStep('decode-image').prepare(parameters, noAssets);
  const [out] = await step.run([{ datatype: 'BYTES', shape: [1], data: encodeBytes([encoded]) }], signal);
  if (out === undefined) throw new Error('no output');
  return out;
}

describe('decode-image', () => {
  it('gives [1, H, W, 3] in the order asked for, BGR by default', async () => {
    const png = await twoByTwo().png().toBuffer();
    expect(await decode(png)).toEqual({ datatype: 'UINT8', shape: [1, 2, 2, 3], data: Buffer.from(RGB) });
    const bgr = await decode(png, {});
    expect([...bgr.data]).toEqual([0, 0, 255, 0, 255, 0, 255, 0, 0, 255, 255, 255]);
  });

  it('reads JPEG and WebP as well', async () => {
    const grey = sharp({ create: { width: 16, height: 8, channels: 3, background: { r: 90, g: 90, b: 90 } } });
    for (const encoded of [await grey.jpeg().toBuffer(), await grey.webp({ lossless: true }).toBuffer()]) {
      const { shape, data } = await decode(encoded);
      expect(shape).toEqual([1, 8, 16, 3]);
      expect(data.every((value) => Math.abs(value - 90) <= 1)).toBe(true);
    }
  });

  it('turns the picture as its EXIF orientation says', async () => {
    const wide = sharp({ create: { width: 16, height: 8, channels: 3, background: 'white' } });
    const turned = await wide.withMetadata({ orientation: 6 }).jpeg().toBuffer();
    expect((await decode(turned)).shape).toEqual([1, 16, 8, 3]);
  });

  it('lays transparency on white', async () => {
    const clear = Uint8Array.of(0, 0, 0, 0, 10, 20, 30, 255);
    const png = await sharp(clear, { raw: { width: 2, height: 1, channels: 4 } })
      .png()
      .toBuffer();
    expect([...(await decode(png)).data]).toEqual([255, 255, 255, 10, 20, 30]);
  });

  it('makes three channels of greys and eight bits of sixteen', async () => {
    const grey = sharp(Uint8Array.of(7, 200), { raw: { width: 2, height: 1, channels: 1 } });
    expect([...(await decode(await grey.toColourspace('b-w').png().toBuffer())).data]).toEqual([
      7, 7, 7, 200, 200, 200,
    ]);
    const deep = await twoByTwo().toColourspace('rgb16').png().toBuffer();
    expect([...(await decode(deep)).data]).toEqual([...RGB]);
  });

  it.each([
    ['a picture bomb', pngOf(30_000, 30_000), /30000 x 30000; at most 16777216 pixels/],
    ['a picture wider than any', pngOf(2 ** 31 - 1, 1), /step decode-image: /],
    ['nothing', new Uint8Array(), /empty/],
    ['text', Buffer.from('hello'), /no JPEG, PNG or WebP/],
    ['an SVG', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'), /no JPEG, PNG or WebP/],
    ['a GIF', Buffer.from('GIF89a\x01\x00\x01\x00\x80\x00\x00'), /no JPEG, PNG or WebP/],
    ['a PNG that is nothing but its signature', pngOf(2, 2).subarray(0, 8), /no header that can be read/],
    ['too many bytes', Buffer.concat([pngOf(2, 2), Buffer.alloc(LIMIT_PICTURE_BYTES)]), /at most 33554432/],
  ])('refuses %s and reads a good one after it', async (_, encoded, message) => {
    await expect(decode(encoded)).rejects.toMatchObject({
      name: 'StepError',
      message: expect.stringMatching(message) as string,
    });
    expect((await decode(await twoByTwo().png().toBuffer())).shape).toEqual([1, 2, 2, 3]);
  });

  it('refuses a picture that ends in the middle', async () => {
    const noise = Buffer.from(Array.from({ length: 64 * 64 * 3 }, (_, at) => (at * 7919) % 251));
    const source = sharp(noise, { raw: { width: 64, height: 64, channels: 3 } });
    for (const whole of [
      await source.png().toBuffer(),
      await source.jpeg().toBuffer(),
      await source.webp().toBuffer(),
    ]) {
      await expect(decode(whole.subarray(0, Math.floor(whole.length / 2)))).rejects.toThrow(
        /^step decode-image: the picture/,
      );
    }
  });

  it('is bounded as its parameter says', async () => {
    const png = await twoByTwo().png().toBuffer();
    await expect(decode(png, { maxPixels: 3 })).rejects.toThrow('2 x 2; at most 3 pixels');
    expect((await decode(png, { maxPixels: 4 })).shape).toEqual([1, 2, 2, 3]);
  });

  it('takes BYTES only', async () => {
    const step = await findStep('decode-image').prepare({}, noAssets);
    expect(() => step.inferTypes([{ datatype: 'UINT8', shape: [-1] }])).toThrow(
      /takes BYTES \[-1\], but is given UINT8/,
    );
    expect(step.inferTypes([{ datatype: 'BYTES', shape: [-1] }])).toEqual([
      { datatype: 'UINT8', shape: [1, -1, -1, 3] },
    ]);
  });
});
