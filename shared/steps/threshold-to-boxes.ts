// A text detector's probability map -> boxes around its lines, as PaddleOCR and RapidOCR do behind a DB network (Liao et
// al. 2020): binarise, take each connected region's smallest rectangle, drop those of low mean probability, grow the rest
// (the network was trained on shrunken lines), scale them to the picture, and put them in reading order.
//
// Inputs probabilities FP32 [1, 1, h, w] and pixels UINT8 [1, H, W, C] (only its size counts); outputs boxes FP32 [N, 4, 2] (x, y
// of upper left, upper right, lower right, lower left; whole pixels inside the picture) and scores FP32 [N]. N may be 0.
// Holes of a region are no regions, other than in findContours' RETR_LIST.
import { z } from 'zod';
import { bytesOf, float32Of, type Tensor } from '../tensor/tensor.js';
import { connectedRegions } from './connected-regions.js';
import { expandPolygon } from './expand-polygon.js';
import { clockwise, minimumRectangle, type Point } from './minimum-rectangle.js';
import { clamp, distance, roundHalfEven } from './pixel-arithmetic.js';
import type { StepDefinition } from './step.js';
import { expectTensor, expectType, twoInputs } from './step-types.js';

const STEP = 'threshold-to-boxes';
const INPUTS = 'probabilities, pixels';
/** Rectangles with a shorter side, in pixels of the map, are specks; grown ones have two more. */
const LEAST_SIDE = 3;

const parameters = z.strictObject({
  threshold: z.number().min(0).max(1).default(0.3),
  /** Least mean probability inside the rectangle, before it grows. */
  leastScore: z.number().min(0).max(1).default(0.5),
  /** Grows by area x this / perimeter. */
  unclip: z.number().min(0).max(10).default(1.6),
  /** Widens the binary map by one pixel to the right and down, so that broken letters touch. */
  dilate: z.boolean().default(true),
  /** Boxes whose upper edges are nearer than this many pixels stand in one row, read from left to right. */
  rowTolerance: z.number().min(0).max(1000).default(10),
  maxBoxes: z.int().min(1).max(1000).default(1000),
});
type BoxParameters = z.infer<typeof parameters>;

interface Box {
  readonly corners: readonly [Point, Point, Point, Point];
  readonly score: number;
}

interface ProbabilityMap {
  readonly values: Float32Array;
  readonly width: number;
  readonly height: number;
}

export const thresholdToBoxes: StepDefinition<BoxParameters> = {
  name: STEP,
  parameters,
  prepare: (settings) =>
    Promise.resolve({
      inferTypes: (inputs) => {
        const [map, pixels] = twoInputs(STEP, INPUTS, inputs);
        expectType(STEP, 'FP32', [1, 1, -1, -1], map);
        expectType(STEP, 'UINT8', [1, -1, -1, -1], pixels);
        return [
          { datatype: 'FP32', shape: [-1, 4, 2] },
          { datatype: 'FP32', shape: [-1] },
        ];
      },
      run: async (inputs) => {
        const [map, pixels] = twoInputs(STEP, INPUTS, inputs);
        expectTensor(STEP, 'FP32', [1, 1, -1, -1], map);
        expectTensor(STEP, 'UINT8', [1, -1, -1, -1], pixels);
        const [, , height = 0, width = 0] = map.shape;
        const [, pictureHeight = 0, pictureWidth = 0] = pixels.shape;
        return asTensors(boxesOf({ values: float32Of(map), width, height }, pictureWidth, pictureHeight, settings));
      },
    }),
};

function asTensors(boxes: readonly Box[]): Tensor[] {
  const corners = Float32Array.from(boxes.flatMap((box) => box.corners.flat()));
  return [
    { datatype: 'FP32', shape: [boxes.length, 4, 2], data: bytesOf(corners) },
    { datatype: 'FP32', shape: [boxes.length], data: bytesOf(Float32Array.from(boxes, ({ score }) => score)) },
  ];
}

function boxesOf(map: ProbabilityMap, pictureWidth: number, pictureHeight: number, settings: BoxParameters): Box[] {
  const binary = binarise(map, settings);
  const boxes = connectedRegions(binary, map.width, map.height, settings.maxBoxes).flatMap((region): Box[] => {
    const rectangle = minimumRectangle(region);
    if (rectangle === undefined || rectangle.shortSide < LEAST_SIDE) return [];
    const score = meanInside(map, rectangle.corners);
    if (!(score >= settings.leastScore)) return [];
    const grown = minimumRectangle(expandPolygon(rectangle.corners, growth(rectangle.corners, settings.unclip)));
    if (grown === undefined || grown.shortSide < LEAST_SIDE + 2) return [];
    const corners = clockwise(
      grown.corners.map(([x, y]): Point => [
        clamp(roundHalfEven((x / map.width) * pictureWidth), pictureWidth - 1),
        clamp(roundHalfEven((y / map.height) * pictureHeight), pictureHeight - 1),
      ]),
    );
    const [wide, high] = [distance(corners[0], corners[1]), distance(corners[0], corners[3])];
    return Math.trunc(wide) <= LEAST_SIDE || Math.trunc(high) <= LEAST_SIDE ? [] : [{ corners, score }];
  });
  return inReadingOrder(boxes, settings.rowTolerance);
}

function binarise({ values, width, height }: ProbabilityMap, { threshold, dilate }: BoxParameters): Uint8Array {
  const binary = new Uint8Array(values.length);
  const limit = Math.fround(threshold);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const at = y * width + x;
      if (!(values[at]! > limit)) continue;
      binary[at] = 1;
      if (!dilate) continue;
      if (x + 1 < width) binary[at + 1] = 1;
      if (y + 1 < height) binary[at + width] = 1;
      if (x + 1 < width && y + 1 < height) binary[at + width + 1] = 1;
    }
  }
  return binary;
}

/** Of the pixels in the rectangle whose corners are cut to whole pixels, its outline included (OpenCV's fillPoly). */
function meanInside({ values, width, height }: ProbabilityMap, corners: readonly Point[]): number {
  const xs = corners.map(([x]) => x);
  const ys = corners.map(([, y]) => y);
  const [left, top] = [clamp(Math.floor(Math.min(...xs)), width - 1), clamp(Math.floor(Math.min(...ys)), height - 1)];
  const whole = corners.map(([x, y]): Point => [left + Math.trunc(x - left), top + Math.trunc(y - top)]);
  let [sum, count] = [0, 0];
  for (const [y, [from, to]] of rowsInside(whole)) {
    if (y < 0 || y >= height) continue;
    for (let x = Math.max(0, from); x <= Math.min(width - 1, to); x += 1) {
      sum += values[y * width + x]!;
      count += 1;
    }
  }
  return count === 0 ? 0 : sum / count;
}

/** For each row of a convex polygon of whole pixels the first and last pixel that its outline touches. */
function rowsInside(corners: readonly Point[]): Map<number, [number, number]> {
  const rows = new Map<number, [number, number]>();
  for (const [at, [x, y]] of corners.entries()) {
    const [nx, ny] = corners[(at + 1) % corners.length]!;
    const steps = Math.max(Math.abs(nx - x), Math.abs(ny - y), 1);
    for (let step = 0; step <= steps; step += 1) {
      const px = Math.round(x + ((nx - x) * step) / steps);
      const row = Math.round(y + ((ny - y) * step) / steps);
      const span = rows.get(row);
      if (span === undefined) rows.set(row, [px, px]);
      else rows.set(row, [Math.min(span[0], px), Math.max(span[1], px)]);
    }
  }
  return rows;
}

/** Area x ratio / perimeter of a rectangle. */
function growth([a, b, c]: readonly [Point, Point, Point, Point], ratio: number): number {
  const [wide, high] = [distance(a, b), distance(b, c)];
  return (wide * high * ratio) / (2 * (wide + high));
}

/** By the upper left corner from top to bottom; neighbours of one row from left to right (RapidOCR's sorted_boxes). */
function inReadingOrder(boxes: readonly Box[], tolerance: number): Box[] {
  const key = ({ corners: [[x, y]] }: Box): Point => [x, y];
  const sorted = [...boxes].sort((a, b) => key(a)[1] - key(b)[1] || key(a)[0] - key(b)[0]);
  for (let i = 0; i + 1 < sorted.length; i += 1) {
    for (let j = i; j >= 0; j -= 1) {
      const [before, after] = [key(sorted[j]!), key(sorted[j + 1]!)];
      if (Math.abs(after[1] - before[1]) >= tolerance || after[0] >= before[0]) break;
      [sorted[j], sorted[j + 1]] = [sorted[j + 1]!, sorted[j]!];
    }
  }
  return sorted;
}
