// Digits as picture files, and work on many things at once.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';

const AT_ONCE = 6;

export async function inParallel(items, work) {
  let next = 0;
  const worker = async () => {
    while (next < items.length) await work(items[next], next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

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
