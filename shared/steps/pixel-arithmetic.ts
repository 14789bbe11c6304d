// Arithmetic on positions and values of pixels, as OpenCV and numpy do it.
import type { Point } from './minimum-rectangle.js';

/** Halves go to the even neighbour (cvRound, numpy's round). */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** Within 0 and `most`. */
export function clamp(value: number, most: number): number {
  return value < 0 ? 0 : value > most ? most : value;
}

export function distance(a: Point, b: Point): number {
  return Math.hypot(a[0] - b[0], a[1] - b[1]);
}
