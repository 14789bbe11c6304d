// Line plots as SVG text, nothing else needed: axes with round ticks (log or linear), lines with points, a legend. Colours
// follow the reader's light or dark scheme, and lines differ by dash and not by colour alone. Text in it is escaped. Pure.

export interface PlotLine {
  readonly name: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

interface Plot {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly lines: readonly PlotLine[];
}

const WIDTH = 460;
const HEIGHT = 300;
const MARGIN = { left: 64, right: 16, top: 34, bottom: 44 };
const LEGEND_LINE = 16;
const DASHES = ['', '7 3', '2 3', '9 3 2 3'];
const Y_TICKS = 5;

interface Scheme {
  readonly text: string;
  readonly grid: string;
  readonly paper: string;
  readonly lines: readonly string[];
}

const LIGHT: Scheme = {
  ...{ text: '#1c2430', grid: '#d8dee6', paper: '#ffffff' },
  lines: ['#0b62c4', '#b3470e', '#18794e', '#7a3cc2', '#a11244', '#5b6472'],
};
const DARK: Scheme = {
  ...{ text: '#e3e8ef', grid: '#343c47', paper: '#14181e' },
  lines: ['#6cb0ff', '#ff9a5c', '#5fd39a', '#c19bff', '#ff85a8', '#a8b2c1'],
};

/** Plain colours by class: viewers that know no custom properties (librsvg, office programs) show the light scheme. */
function schemeCss({ text, grid, paper, lines }: Scheme): string {
  const colours = lines.map(
    (colour, index) => `.line.c${index} { stroke: ${colour}; } .dot.c${index} { fill: ${colour}; }`,
  );
  return `.paper { fill: ${paper}; } .grid { stroke: ${grid}; } text { fill: ${text}; } ${colours.join(' ')}`;
}

const STYLE = [
  'text { font: 12px system-ui, sans-serif; } .title { font-weight: 600; font-size: 13px; }',
  '.line { fill: none; stroke-width: 2; } .grid { stroke-width: 1; }',
  schemeCss(LIGHT),
  `@media (prefers-color-scheme: dark) { ${schemeCss(DARK)} }`,
].join('\n');

/** The plots side by side, with one legend. The x axis is logarithmic (base 2), the y axis begins at 0. */
export function plotSvg(heading: string, plots: readonly Plot[]): string {
  const names = [...new Set(plots.flatMap(({ lines }) => lines.map(({ name }) => name)))];
  const top = 28;
  const height = top + HEIGHT + LEGEND_LINE * names.length + 12;
  const width = WIDTH * plots.length;
  const drawn = plots.map(
    (plot, index) => `<g transform="translate(${index * WIDTH} ${top})">${drawPlot(plot, names)}</g>`,
  );
  const legend = names.map((name, index) => {
    const y = top + HEIGHT + LEGEND_LINE * (index + 0.5);
    return `<path ${lineOf(index)} d="M16 ${y}H56"/><text x="64" y="${y + 4}">${escaped(name)}</text>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escaped(heading)}">`,
    `<style>${STYLE}</style><rect class="paper" width="${width}" height="${height}"/>`,
    `<text class="title" x="16" y="20">${escaped(heading)}</text>`,
    ...drawn,
    ...legend,
    '</svg>\n',
  ].join('\n');
}

function drawPlot({ title, xLabel, yLabel, lines }: Plot, names: readonly string[]): string {
  const points = lines.flatMap((line) => line.points);
  const xs = [...new Set(points.map(({ x }) => x))].sort((a, b) => a - b);
  const yMax = roundUp(Math.max(0, ...points.map(({ y }) => y)));
  const [low, high] = [Math.log2(xs[0] ?? 1), Math.log2(xs.at(-1) ?? 2)];
  const plotWidth = WIDTH - MARGIN.left - MARGIN.right;
  const plotHeight = HEIGHT - MARGIN.top - MARGIN.bottom;
  const left = (x: number): number =>
    round(MARGIN.left + (high === low ? 0.5 : (Math.log2(x) - low) / (high - low)) * plotWidth);
  const down = (y: number): number => round(MARGIN.top + (1 - y / yMax) * plotHeight);
  const parts = [`<text class="title" x="${MARGIN.left}" y="18">${escaped(title)}</text>`];
  for (let tick = 0; tick <= Y_TICKS; tick += 1) {
    const y = (yMax * tick) / Y_TICKS;
    parts.push(`<path class="grid" d="M${MARGIN.left} ${down(y)}H${WIDTH - MARGIN.right}"/>`);
    parts.push(`<text x="${MARGIN.left - 6}" y="${down(y) + 4}" text-anchor="end">${number(y)}</text>`);
  }
  for (const x of xs) {
    parts.push(`<text x="${left(x)}" y="${HEIGHT - MARGIN.bottom + 18}" text-anchor="middle">${number(x)}</text>`);
  }
  const middle = MARGIN.top + plotHeight / 2;
  parts.push(
    `<text x="${MARGIN.left + plotWidth / 2}" y="${HEIGHT - 8}" text-anchor="middle">${escaped(xLabel)}</text>`,
  );
  parts.push(`<text transform="translate(14 ${middle}) rotate(-90)" text-anchor="middle">${escaped(yLabel)}</text>`);
  for (const line of lines) {
    const places = line.points.map(({ x, y }) => `${left(x)} ${down(y)}`);
    if (places.length === 0) continue;
    const index = names.indexOf(line.name);
    parts.push(`<path ${lineOf(index)} d="M${places.join('L')}"><title>${escaped(line.name)}</title></path>`);
    parts.push(
      ...line.points.map(
        ({ x, y }) => `<circle cx="${left(x)}" cy="${down(y)}" r="3" class="dot c${index % LIGHT.lines.length}"/>`,
      ),
    );
  }
  return parts.join('\n');
}

function lineOf(index: number): string {
  const dash = DASHES[index % DASHES.length] ?? '';
  return `class="line c${index % LIGHT.lines.length}"${dash === '' ? '' : ` stroke-dasharray="${dash}"`}`;
}

/** The next of 1, 2, 2.5, 5 or 10 times a power of ten; 1 for nothing. */
function roundUp(value: number): number {
  if (!(value > 0) || !Number.isFinite(value)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 2.5, 5, 10].find((step) => step * power >= value) ?? 10) * power;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function number(value: number): string {
  return value >= 10_000 ? `${Number((value / 1000).toPrecision(3))}k` : String(Number(value.toPrecision(3)));
}

function escaped(text: string): string {
  const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replace(/[&<>"]/g, (letter) => entities[letter] ?? '');
}
