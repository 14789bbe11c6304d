// A run's results as files: DATE.json with every round's figures, DATE.md to read, DATE-ratios.svg and DATE-figures.svg.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { barsSvg } from './bars-svg.mjs';
import { asMarkdown, verdict } from './report.mjs';

/** Writes them, over those of the same name; answers the path of the Markdown. */
export function save(folder, run) {
  mkdirSync(folder, { recursive: true });
  const write = (name, text) => writeFileSync(join(folder, `${run.date}${name}`), text);
  write('.json', `${JSON.stringify(run, undefined, 2)}\n`);
  const drawn = [
    ['Ratios to their targets', '-ratios.svg', ratioPanels(run.results)],
    ['Figures', '-figures.svg', figurePanels(run.results)],
  ].filter(([, , panels]) => panels.length > 0);
  for (const [title, name, panels] of drawn) write(name, barsSvg(`${title}, ${run.date}`, panels));
  write(
    '.md',
    asMarkdown(
      run,
      drawn.map(([title, name]) => [title, `${run.date}${name}`]),
    ),
  );
  return join(folder, `${run.date}.md`);
}

/** How far each target is reached: 1 is reached, more is better, also where less is wanted. */
export function ratioPanels(results) {
  const bars = results.flatMap(({ name, ratios = [] }) =>
    ratios
      .filter((one) => verdict(one) !== undefined)
      .map((one) => {
        const reached = ({ atLeast, atMost }, value) => (atLeast === undefined ? atMost / value : value / atLeast);
        const ends = [one.low ?? one.median, one.high ?? one.median].map((value) => reached(one, value));
        const kind = verdict(one) === 'reached' ? 'bar' : 'missed';
        const label = `${name}: ${one.what}`;
        return { label, value: reached(one, one.median), low: Math.min(...ends), high: Math.max(...ends), kind };
      })
      .filter(({ value, high }) => Number.isFinite(value) && Number.isFinite(high)),
  );
  return bars.length === 0 ? [] : [{ title: 'measured / target, 1 and more is reached', bars, mark: 1, most: 3 }];
}

function figurePanels(results) {
  return results
    .filter(({ plot }) => plot !== undefined)
    .map(({ name, plot, contestants }) => ({
      title: `${name}; ${plot}`,
      bars: Object.entries(contestants)
        .filter(([, { figures }]) => figures[plot] !== undefined)
        .map(([label, { figures }], i) => {
          const { median, low, high } = figures[plot];
          return { label, value: median, low, high, kind: i === 0 ? 'bar' : 'other' };
        }),
    }));
}
