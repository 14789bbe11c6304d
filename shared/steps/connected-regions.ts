// The regions of a binary map: pixels that touch by a side or a corner, as OpenCV's findContours follows them. Of each
// region only the outermost pixels of every row are kept, which is all that its convex hull can rest on.
import type { Point } from './minimum-rectangle.js';

/** At most `limit` regions, in the order of their first pixels. `map` is row-major, non-zero where set. */
export function connectedRegions(map: Uint8Array, width: number, height: number, limit: number): Point[][] {
  const seen = new Uint8Array(map.length);
  const stack = new Int32Array(map.length);
  const regions: Point[][] = [];
  for (let start = 0; start < map.length; start += 1) {
    if (map[start] === 0 || seen[start] === 1) continue;
    if (regions.length === limit) break;
    regions.push(flood(map, width, height, start, seen, stack));
  }
  return regions;
}

/** Each pixel is pushed once, so the stack is never deeper than the map. */
function flood(
  map: Uint8Array,
  width: number,
  height: number,
  start: number,
  seen: Uint8Array,
  stack: Int32Array,
): Point[] {
  const rows = new Map<number, [number, number]>();
  let depth = 1;
  stack[0] = start;
  seen[start] = 1;
  while (depth > 0) {
    depth -= 1;
    const at = stack[depth]!;
    const [x, y] = [at % width, Math.floor(at / width)];
    const row = rows.get(y);
    if (row === undefined) rows.set(y, [x, x]);
    else if (x < row[0]) row[0] = x;
    else if (x > row[1]) row[1] = x;
    for (let ny = Math.max(0, y - 1); ny <= Math.min(height - 1, y + 1); ny += 1) {
      for (let nx = Math.max(0, x - 1); nx <= Math.min(width - 1, x + 1); nx += 1) {
        const next = ny * width + nx;
        if (map[next] === 0 || seen[next] === 1) continue;
        seen[next] = 1;
        stack[depth] = next;
        depth += 1;
      }
    }
  }
  return [...rows].flatMap(([y, [left, right]]): Point[] =>
    left === right
      ? [[left, y]]
      : [
          [left, y],
          [right, y],
        ],
  );
}
