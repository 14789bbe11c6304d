// What a profile means, in sentences: how many requests per second fit within which deadline and with which setting, and what
// would help next. Pure. Two rules of thumb are in it and are said: a request may have to wait for one run before its own,
// so its answer takes up to two p99; and only 70 % of the measured throughput is promised, since queues grow without end near
// all of it. Counted is what executors carry: HTTP and the package's steps take time of the agent's process besides.
import type { CellMeasure, ConfigurationMeasure, GraphMeasure } from './profile-report.js';

const USABLE_SHARE = 0.7;
const RUNS_TO_ANSWER = 2;
/** Below it a difference is noise. */
const WORTH_IT = 1.15;
/** Threads that give so much of their number are worth buying cores for. */
const SCALES_WELL = 0.7;
/** A p99 of fewer runs is a guess, and is called one. */
const RUNS_FOR_P99 = 100;

const COUNTED =
  "counted is what executors carry: HTTP and the package's own steps take time of the agent's process besides";

interface Setting {
  readonly configuration: ConfigurationMeasure;
  readonly cell: CellMeasure;
}

/** `cores` are those that this process may use. */
export function adviseSizing(graphs: readonly GraphMeasure[], deadlinesMs: readonly number[], cores: number): string[] {
  const several = graphs.length > 1;
  const advice = graphs.flatMap((graph) => {
    const settings = settingsOf(graph);
    if (settings.length === 0 && graph.skipped.length > 0)
      return [`${graph.label}: nothing that was asked for could be measured`];
    if (settings.length === 0) return [`${graph.label}: the time was too short for a single run; give more --seconds`];
    const sentences = [...fitting(settings, deadlinesMs), ...batching(settings), ...threads(graph, cores)];
    return several ? sentences.map((sentence) => `${graph.label} ${graph.graph}: ${sentence}`) : sentences;
  });
  return [...advice, ...fastest(graphs), COUNTED];
}

function settingsOf({ configurations }: GraphMeasure): Setting[] {
  return configurations.flatMap((configuration) => configuration.cells.map((cell) => ({ configuration, cell })));
}

/** Deadlines with the same setting make one sentence. */
function fitting(settings: readonly Setting[], deadlinesMs: readonly number[]): string[] {
  const within = new Map<string, number[]>();
  for (const deadlineMs of deadlinesMs.toSorted((a, b) => a - b)) {
    const sentence = fits(settings, deadlineMs);
    within.set(sentence, [...(within.get(sentence) ?? []), deadlineMs]);
  }
  return [...within].map(([sentence, deadlines]) => `within ${deadlines.join(', ')} ms: ${sentence}`);
}

function fits(settings: readonly Setting[], deadlineMs: number): string {
  const inTime = settings.filter(({ cell }) => RUNS_TO_ANSWER * cell.p99Ms <= deadlineMs);
  const best = most(inTime, ({ cell }) => cell.rowsPerSecond);
  if (best === undefined) {
    const quickest = most(settings, ({ cell }) => -cell.p99Ms) as Setting;
    return `nothing fits; the quickest run has p99 ${ms(quickest.cell.p99Ms)} (${nameOf(quickest)}), and a request may wait for one before its own: a faster device or provider, a smaller variant, or the hub`;
  }
  const { cell } = best;
  const guess = cell.runs < RUNS_FOR_P99 ? `, of only ${cell.runs} runs` : '';
  return `about ${rate(USABLE_SHARE * cell.rowsPerSecond)} requests per second with ${nameOf(best)} (70 % of ${rate(cell.rowsPerSecond)} measured; answers take up to 2 x p99 ${ms(cell.p99Ms)}${guess})`;
}

function batching(settings: readonly Setting[]): string[] {
  const single = most(
    settings.filter(({ cell }) => cell.batch === 1),
    ({ cell }) => cell.rowsPerSecond,
  );
  const batched = most(
    settings.filter(({ cell }) => cell.batch > 1),
    ({ cell }) => cell.rowsPerSecond,
  );
  if (single === undefined || batched === undefined) {
    return settings.every(({ cell }) => cell.batch === 1)
      ? [
          'batching: requests can not share a run of this graph (its first dimension is fixed, or batching.maxRows is 1)',
        ]
      : [];
  }
  const gain = batched.cell.rowsPerSecond / single.cell.rowsPerSecond;
  if (gain < WORTH_IT) return [`batching: gains nothing here (${times(gain)} at best), so one row a run is right`];
  return [
    `batching: ${times(gain)} the rows per second with batches of ${batched.cell.batch}; batching.maxRows should allow it where the deadline does`,
  ];
}

/** What more threads do to one run and to all of them; and so what to buy: bigger devices or more of them. */
function threads({ configurations }: GraphMeasure, cores: number): string[] {
  const onCpu = configurations.filter(({ provider, cells }) => provider === 'cpu' && cells.length > 0);
  const [one] = onCpu.filter((configuration) => configuration.threads === 1);
  const widest = most(onCpu, (configuration) => configuration.threads);
  if (one === undefined || widest === undefined || widest.threads === 1) {
    return ['next: one thread was measured; more --threads tell whether a bigger device or more devices would help'];
  }
  const alone = (configuration: ConfigurationMeasure): number =>
    configuration.cells.find(({ batch, streams }) => batch === 1 && streams === 1)?.p50Ms ?? Number.NaN;
  const all = (configuration: ConfigurationMeasure): number =>
    Math.max(...configuration.cells.map(({ rowsPerSecond }) => rowsPerSecond));
  const shorter = alone(one) / alone(widest);
  const more = all(widest) / all(one);
  const count = widest.threads;
  const found = `threads: with ${count} a single run takes ${ms(alone(widest))} instead of ${ms(alone(one))} (${times(shorter)} as fast), and the device answers ${times(more)} the rows per second`;
  const usable = Math.min(count, cores);
  if (shorter >= WORTH_IT && shorter >= SCALES_WELL * usable) {
    return [
      found,
      'next: a single request gains from cores, so a bigger device shortens it; more devices add requests per second',
    ];
  }
  const why =
    shorter < WORTH_IT
      ? 'threads do not shorten a single run'
      : 'threads shorten a single run by less than their number';
  return [
    found,
    `next: ${why}, so for more requests per second take more cores with --threads 1 or more devices; for a shorter answer a device with faster cores, another provider or a smaller variant`,
  ];
}

/** Where several packages or providers were given: which is the fastest. */
function fastest(graphs: readonly GraphMeasure[]): string[] {
  const rows = graphs.flatMap((graph) => {
    const providers = [...new Set(graph.configurations.map(({ provider }) => provider))];
    return providers.flatMap((provider) => {
      const own = settingsOf(graph).filter(({ configuration }) => configuration.provider === provider);
      const best = most(own, ({ cell }) => cell.rowsPerSecond);
      return best === undefined
        ? []
        : [{ name: `${graph.label} on ${provider}`, rowsPerSecond: best.cell.rowsPerSecond }];
    });
  });
  const [first, second] = rows.sort((a, b) => b.rowsPerSecond - a.rowsPerSecond);
  if (first === undefined || second === undefined || !comparable(graphs)) return [];
  const ratio = first.rowsPerSecond / second.rowsPerSecond;
  if (ratio < WORTH_IT) return [`compared: ${first.name} and ${second.name} are about as fast (${times(ratio)})`];
  return [`compared: ${first.name} is the fastest, ${times(ratio)} the rows per second of ${second.name}`];
}

/** Graphs of one package are its parts; they do not stand for one another. */
function comparable(graphs: readonly GraphMeasure[]): boolean {
  return new Set(graphs.map(({ label }) => label)).size === graphs.length;
}

function nameOf({ configuration: { provider, threads: count }, cell: { batch, streams } }: Setting): string {
  const on = provider === 'cpu' ? '' : ` on ${provider}`;
  return `${plural(count, 'thread')}${on}, ${batch === 1 ? 'no batching' : `batches of ${batch}`}, ${plural(streams, 'run')} at once`;
}

function most<T>(values: readonly T[], of: (value: T) => number): T | undefined {
  return values.reduce<T | undefined>(
    (best, value) => (best === undefined || of(value) > of(best) ? value : best),
    undefined,
  );
}

function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

function times(ratio: number): string {
  return `${ratio.toFixed(2)} times`;
}

function rate(perSecond: number): string {
  return perSecond >= 10 ? perSecond.toFixed(0) : perSecond.toFixed(1);
}

function ms(value: number): string {
  return `${value >= 10 ? value.toFixed(0) : value.toFixed(2)} ms`;
}
