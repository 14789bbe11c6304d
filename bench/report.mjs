// What a row of the benchmark hands back, and how it is shown: on the terminal, as Markdown, as JSON. Pure.
//
// A result:
//   name         'P1 conv'
//   about        what is measured, in a line
//   contestants  name -> { note, figures: label with its unit -> { median, low, high } or a number }; `note` names version and configuration
//   ratios       [{ what, median, low, high, atLeast or atMost (the target; neither: none) }]
//   notes        lines: what was skipped and why, what else to know
//   plot         label of the figure that is drawn
// Only `name` and `about` must be there.

/** 'reached' or 'missed'; undefined where there is no target. */
export function verdict({ median, atLeast, atMost }) {
  if (atLeast === undefined && atMost === undefined) return undefined;
  return median >= (atLeast ?? -Infinity) && median <= (atMost ?? Infinity) ? 'reached' : 'missed';
}

/** Two or three digits that matter. */
export function number(value) {
  if (!Number.isFinite(value)) return String(value);
  if (Math.abs(value) >= 100) return value.toFixed(0);
  if (Math.abs(value) >= 10) return value.toFixed(1);
  return value !== 0 && Math.abs(value) < 0.1 ? value.toPrecision(2) : value.toFixed(2);
}

const target = ({ atLeast, atMost }) =>
  [atLeast === undefined ? [] : `>= ${atLeast}`, atMost === undefined ? [] : `<= ${atMost}`].flat().join(' and ');
const withSpread = ({ median, low, high }) => {
  const few = low === undefined || low === high;
  return few ? number(median) : `${number(median)} (${number(low)} to ${number(high)})`;
};
const middle = (figure) => (typeof figure === 'object' ? figure.median : figure);

/** Rows of cells, contestants by figures, with a head. */
function table(contestants) {
  const labels = [...new Set(Object.values(contestants).flatMap(({ figures }) => Object.keys(figures)))];
  const rows = Object.entries(contestants).map(([name, { figures }]) => [
    name,
    ...labels.map((label) => (figures[label] === undefined ? '' : number(middle(figures[label])))),
  ]);
  return [['', ...labels], ...rows];
}

/** A result as text for a terminal. */
export function asText({ name, about, contestants = {}, ratios = [], notes = [] }) {
  const cells = Object.keys(contestants).length === 0 ? [] : table(contestants);
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map((row) => row[column].length)));
  const pad = (cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]));
  const lines = [`${name}: ${about}`, ...cells.map((row) => `  ${row.map(pad).join('  ')}`)];
  for (const one of ratios) {
    const judged = verdict(one);
    lines.push(`  ${one.what}: ${withSpread(one)}${judged === undefined ? '' : `, target ${target(one)}: ${judged}`}`);
  }
  for (const [contestant, { note }] of Object.entries(contestants)) if (note) lines.push(`  ${contestant}: ${note}`);
  return [...lines, ...notes.map((note) => `  ${note}`)].join('\n');
}

/** A whole run as Markdown: ratios first, then each result's figures. `plots`: [[title, file]]. */
export function asMarkdown({ date, machine, settings, results, failures = [] }, plots = []) {
  const row = (cells) => `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`;
  const head = (cells) => [row(cells), row(cells.map(() => '---'))];
  const judged = results.flatMap(({ name, ratios = [] }) =>
    ratios.map((one) => row([name, one.what, withSpread(one), target(one), verdict(one) ?? ''])),
  );
  const parts = results.map(({ name, about, contestants = {}, notes = [] }) => {
    const cells = Object.keys(contestants).length === 0 ? [] : table(contestants);
    const noted = Object.entries(contestants).filter(([, { note }]) => note);
    return [
      `## ${name}\n\n${about}\n`,
      ...(cells.length === 0 ? [] : [...head(cells[0]), ...cells.slice(1).map(row), '']),
      ...noted.map(([contestant, { note }]) => `- ${contestant}: ${note}`),
      ...notes.map((note) => `- ${note}`),
    ].join('\n');
  });
  return [
    `# Benchmark of ${date}\n\n${machine}. ${settings}. Medians of the rounds; ratios are taken within a round: median (lowest to highest).\n`,
    [...head(['', 'ratio', 'measured', 'target', '']), ...judged, ''].join('\n'),
    ...failures.map(({ row: failed, reason }) => `The row ${failed} failed: ${reason}\n`),
    ...plots.map(([title, file]) => `![${title}](${file})\n`),
    ...parts.map((part) => `${part.trimEnd()}\n`),
  ].join('\n');
}
