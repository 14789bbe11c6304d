// What is encoded is decoded to the same pixels by the decoder that the steps use.
import { decodeImage } from '@tidegate/shared/steps/decode-image.js';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { encodePng, encodePngAside } from '@tidegate/shared/tensor/png.js';
import { expect, test } from 'vitest';

test.each([
  ['grey', 1],
  ['colour', 3],
] as const)('a %s picture comes back pixel for pixel', async (_, channels) => {
  const [width, height] = [13, 7];
  const pixels = Uint8Array.from({ length: width * height * channels }, (_value, i) => (i * 37) % 256);
  const step = await decodeImage.prepare(decodeImage.parameters.parse({ channels: 'rgb' }), {
    read: () => Promise.reject(new Error('nothing to read')),
  });
  const encoded = encodePng(width, height, channels, pixels);
  expect(Buffer.compare(await encodePngAside(width, height, channels, pixels), encoded)).toBe(0);
  const data = encodeBytes([encoded]);
  const [decoded] = await step.run([{ datatype: 'BYTES', shape: [1], data }], new AbortController().signal);
  expect(decoded!.shape).toEqual([1, height, width, 3]);
  const expected = Array.from({ length: width * height * 3 }, (_value, i) =>
    channels === 3 ? pixels[i] : pixels[Math.floor(i / 3)],
  );
  expect([...decoded!.data]).toEqual(expected);
});
