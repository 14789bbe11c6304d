import { pictureFormat } from '@tidegate/shared/tensor/picture-format.js';
import { expect, test } from 'vitest';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');

test.each([
  ['\xff\xd8\xff\xe0', 'jpeg'],
  ['\x89PNG\r\n\x1a\n....', 'png'],
  ['RIFF\x10\0\0\0WEBPVP8 ', 'webp'],
  ['\xff\xd8', undefined],
  ['\x89PNG', undefined],
  ['RIFF\x10\0\0\0WAVEfmt ', undefined],
  ['GIF89a', undefined],
  ['', undefined],
])('%j is %s', (text, format) => expect(pictureFormat(bytes(text))).toBe(format));
