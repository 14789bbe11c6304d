// Digits as picture files.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { inParallel } from './in-parallel.mjs';

/** A picture per digit, in a folder per class: what `tidegate dataset import` reads. */
export async function writePictures(folder, digits) {
  for (let digit = 0; digit < 10; digit += 1) await mkdir(join(folder, String(digit)), { recursive: true });
  await inParallel(digits, ({ pixels, expected }, i) =>
    sharp(Buffer.from(Uint8Array.from(pixels, (value) => Math.round(value * 255))), {
      raw: { width: 28, height: 28, channels: 1 },
    })
      .png()
      .toFile(join(folder, expected, `${i}.png`)),
  );
}
