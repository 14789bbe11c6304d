// Metrics that are read when they are scraped, from whoever keeps the count: nothing is counted twice.
import { Counter, Gauge, type Registry } from 'prom-client';

interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Adds a family whose samples are read when scraped: a counter where its name says so, else a gauge. */
export type AddFamily = (name: string, help: string, labelNames: string[], read: () => readonly Sample[]) => void;

export function scrapedFamilies(registry: Registry): AddFamily {
  return (name, help, labelNames, read) => {
    const options = { name, help, labelNames, registers: [], collect };
    const metric = name.endsWith('_total') ? new Counter(options) : new Gauge(options);
    function collect(): void {
      metric.reset();
      for (const { labels, value } of read()) metric.inc(labels, value);
    }
    registry.registerMetric(metric);
  };
}
