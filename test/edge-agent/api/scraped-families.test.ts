import { Registry } from 'prom-client';
import { expect, it } from 'vitest';
import { scrapedFamilies } from '@tidegate/edge-agent/api/scraped-families.js';

it('reads samples anew at each scrape: a counter where the name says so, else a gauge', async () => {
  const registry = new Registry();
  const add = scrapedFamilies(registry);
  const counts = new Map([['m', 3]]);
  const samples = () => [...counts].map(([model, value]) => ({ labels: { model }, value }));
  add('runs_total', 'Runs', ['model'], samples);
  add('waiting', 'Waiting', ['model'], samples);
  const first = await registry.metrics();
  expect(first).toContain('# TYPE runs_total counter\nruns_total{model="m"} 3');
  expect(first).toContain('# TYPE waiting gauge\nwaiting{model="m"} 3');
  counts.clear();
  counts.set('n', 1);
  const second = await registry.metrics();
  expect(second).toContain('runs_total{model="n"} 1');
  expect(second).not.toContain('model="m"');
});
