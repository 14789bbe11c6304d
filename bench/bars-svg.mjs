// Horizontal bars as SVG text, with whiskers from the lowest to the highest round, and a line where the target is. Pure.
// Colours follow the reader's light or dark scheme.

const BARS = 360;
const LETTER = 6.4;
const VALUES = 70;
const BAR = 14;
const STEP = 22;
const HEAD = 30;
const STYLE = `text { font: 12px system-ui, sans-serif; fill: #1c2430; } .title { font-weight: 600; font-size: 13px; }
.paper { fill: #ffffff; } .bar { fill: #0b62c4; } .other { fill: #8a94a3; } .missed { fill: #b3470e; } .line { stroke: #1c2430; fill: none; }
@media (prefers-color-scheme: dark) { text { fill: #e3e8ef; } .paper { fill: #14181e; } .bar { fill: #6cb0ff; } .other { fill: #7d8794; }
.missed { fill: #ff9a5c; } .line { stroke: #e3e8ef; } }`;

const escaped = (text) =>
  text.replace(/[&<>"]/g, (letter) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[letter]);
const short = (value) => String(Number(value.toPrecision(3)));

/**
 * Panels one under the other: `{ title, bars: [{ label, value, low, high, kind }], mark, most }`. `kind`: 'bar', 'other' or 'missed';
 * `mark`: where a dashed line stands; `most`: where bars are cut off, their figure stays. Each panel has a scale of its own, from 0.
 */
export function barsSvg(heading, panels) {
  const labels =
    Math.ceil(Math.max(...panels.flatMap(({ bars }) => bars.map(({ label }) => label.length))) * LETTER) + 20;
  const width = labels + BARS + VALUES;
  let y = HEAD;
  const drawn = [];
  for (const { title, bars, mark, most = Infinity } of panels) {
    const end = Math.min(most, Math.max(mark ?? 0, ...bars.map(({ value, high = value }) => high)) || 1);
    const x = (value) => Math.round((labels + (Math.min(value, end) / end) * BARS) * 10) / 10;
    drawn.push(`<text class="title" x="12" y="${y + 16}">${escaped(title)}</text>`);
    const top = y + 24;
    for (const [i, { label, value, low, high, kind }] of bars.entries()) {
      const at = top + i * STEP;
      const mid = at + BAR / 2;
      drawn.push(
        `<text x="${labels - 8}" y="${at + 11}" text-anchor="end">${escaped(label)}</text>`,
        `<rect class="${kind}" x="${labels}" y="${at}" width="${Math.max(0, x(value) - labels)}" height="${BAR}"/>`,
        `<text x="${Math.max(x(value), x(high ?? value)) + 6}" y="${at + 11}">${short(value)}</text>`,
      );
      if (low !== high) drawn.push(`<path class="line" d="M${x(low)} ${mid}H${x(high)}"/>`);
    }
    if (mark !== undefined) {
      drawn.push(`<path class="line" stroke-dasharray="4 3" d="M${x(mark)} ${top - 4}V${top + bars.length * STEP}"/>`);
    }
    y = top + bars.length * STEP + 12;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y}" width="${width}" height="${y}" role="img" aria-label="${escaped(heading)}">`,
    `<style>${STYLE}</style><rect class="paper" width="${width}" height="${y}"/>`,
    `<text class="title" x="12" y="20">${escaped(heading)}</text>`,
    ...drawn,
    '</svg>\n',
  ].join('\n');
}
