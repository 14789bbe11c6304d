// A convex polygon grown by a distance, its corners rounded: the offset of Clipper 6 (JT_ROUND, arc tolerance 0.25) on whole
// numbers, with which PaddleOCR undoes the shrinking of its detector's boxes (Liao et al. 2020, Real-time Scene Text Detection
// with Differentiable Binarization, section 3.4).
import type { Point } from './minimum-rectangle.js';

const ARC_TOLERANCE = 0.25;

/** Corners are cut to whole numbers first, as pyclipper does. Empty for a polygon without area. */
export function expandPolygon(corners: readonly Point[], distance: number): Point[] {
  const path = distinct(corners.map(([x, y]): Point => [Math.trunc(x), Math.trunc(y)]));
  if (path.length < 3) return [];
  const area = signedArea(path);
  if (area === 0 || distance <= 0) return [];
  if (area < 0) path.reverse();
  const normals = path.map(([x, y], at): Point => {
    const [nx, ny] = path[(at + 1) % path.length]!;
    const length = Math.hypot(nx - x, ny - y);
    return [(ny - y) / length, (x - nx) / length];
  });
  const tolerance = Math.min(ARC_TOLERANCE, distance * ARC_TOLERANCE);
  const steps = Math.min(Math.PI / Math.acos(1 - tolerance / distance), distance * Math.PI);
  return path.flatMap((corner, at) => arc(corner, normals.at(at - 1)!, normals[at]!, distance, steps / (2 * Math.PI)));
}

/** From one side's normal to the next one's, in equal turns. */
function arc(corner: Point, from: Point, to: Point, distance: number, stepsPerRadian: number): Point[] {
  const angle = Math.atan2(from[0] * to[1] - from[1] * to[0], from[0] * to[0] + from[1] * to[1]);
  const count = Math.max(Math.round(stepsPerRadian * Math.abs(angle)), 1);
  const turn = Math.sign(angle) / stepsPerRadian;
  const [cos, sin] = [Math.cos(turn), Math.sin(turn)];
  const points: Point[] = [];
  let [x, y] = from;
  for (let step = 0; step < count; step += 1) {
    points.push(moved(corner, [x, y], distance));
    [x, y] = [x * cos - y * sin, x * sin + y * cos];
  }
  points.push(moved(corner, to, distance));
  return points;
}

function moved([x, y]: Point, [nx, ny]: Point, distance: number): Point {
  return [halfAway(x + nx * distance), halfAway(y + ny * distance)];
}

/** Halves away from zero. */
function halfAway(value: number): number {
  return Math.trunc(value < 0 ? value - 0.5 : value + 0.5);
}

function distinct(path: readonly Point[]): Point[] {
  return path.filter(([x, y], at) => {
    const [px, py] = path.at(at - 1)!;
    return x !== px || y !== py;
  });
}

function signedArea(path: readonly Point[]): number {
  return path.reduce((sum, [x, y], at) => {
    const [nx, ny] = path[(at + 1) % path.length]!;
    return sum + (x * ny - nx * y) / 2;
  }, 0);
}
