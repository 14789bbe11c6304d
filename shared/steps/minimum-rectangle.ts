// The rectangle of least area around points: one of its sides lies on a side of their convex hull (Freeman and Shapira
// 1975), so every side is tried. OpenCV's minAreaRect gives the same one.

export type Point = readonly [x: number, y: number];

interface Rectangle {
  /** Around the rectangle: neighbours share a side. */
  readonly corners: readonly [Point, Point, Point, Point];
  readonly shortSide: number;
}

/** Points without area make a rectangle whose short side is 0; undefined without points. */
export function minimumRectangle(points: readonly Point[]): Rectangle | undefined {
  const hull = convexHull(points);
  const [first, second = first] = hull;
  if (first === undefined || second === undefined) return undefined;
  if (hull.length < 3) return { corners: [first, second, second, first], shortSide: 0 };
  let [best, least]: [Rectangle | undefined, number] = [undefined, Infinity];
  for (const [at, from] of hull.entries()) {
    const { area, rectangle } = alongSide(hull, from, hull[(at + 1) % hull.length]!);
    if (area >= least) continue;
    [best, least] = [rectangle, area];
  }
  return best;
}

function alongSide(hull: readonly Point[], from: Point, to: Point): { area: number; rectangle: Rectangle } {
  const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
  const [ux, uy] = [(to[0] - from[0]) / length, (to[1] - from[1]) / length];
  let [alongLow, alongHigh, acrossLow, acrossHigh] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const [x, y] of hull) {
    const along = x * ux + y * uy;
    const across = y * ux - x * uy;
    alongLow = Math.min(alongLow, along);
    alongHigh = Math.max(alongHigh, along);
    acrossLow = Math.min(acrossLow, across);
    acrossHigh = Math.max(acrossHigh, across);
  }
  const corner = (along: number, across: number): Point => [along * ux - across * uy, along * uy + across * ux];
  const [width, height] = [alongHigh - alongLow, acrossHigh - acrossLow];
  const corners = [
    corner(alongLow, acrossLow),
    corner(alongHigh, acrossLow),
    corner(alongHigh, acrossHigh),
    corner(alongLow, acrossHigh),
  ] as const;
  return { area: width * height, rectangle: { corners, shortSide: Math.min(width, height) } };
}

/** Andrew's monotone chain; no three points on a line. */
function convexHull(points: readonly Point[]): Point[] {
  const sorted = [...points].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const half = (ordered: readonly Point[]): Point[] => {
    const chain: Point[] = [];
    for (const point of ordered) {
      while (chain.length >= 2 && turn(chain.at(-2)!, chain.at(-1)!, point) <= 0) chain.pop();
      chain.push(point);
    }
    chain.pop();
    return chain;
  };
  const hull = [...half(sorted), ...half(sorted.toReversed())];
  return hull.length === 0 ? sorted.slice(0, 1) : hull;
}

function turn(o: Point, a: Point, b: Point): number {
  return (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0]);
}

/** Upper left, upper right, lower right, lower left: the two leftmost and the two rightmost, each by height. */
export function clockwise(corners: readonly Point[]): [Point, Point, Point, Point] {
  const byX = [...corners].sort((a, b) => a[0] - b[0]);
  const [topLeft, bottomLeft] = byX.slice(0, 2).sort((a, b) => a[1] - b[1]);
  const [topRight, bottomRight] = byX.slice(2).sort((a, b) => a[1] - b[1]);
  return [topLeft!, topRight!, bottomRight!, bottomLeft!];
}
