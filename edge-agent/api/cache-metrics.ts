// The metrics of the answer cache: its layers, kept stages, the semantic layer, and what each model has of it.
import type { DeviceCache } from '../cache/device-cache.js';
import type { AddFamily } from './scraped-families.js';

const CACHE_FAMILIES = {
  tidegate_cache_hits_total: ['Answers given from the layer', 'hits'],
  tidegate_cache_misses_total: ['Lookups that the layer had nothing for', 'misses'],
  tidegate_cache_stale_total: ['Lookups for which the layer had only a too old answer', 'stale'],
  tidegate_cache_stores_total: ['Answers put into the layer', 'stores'],
  tidegate_cache_evictions_total: ['Answers that had to make room', 'evictions'],
  tidegate_cache_broken_total: ['Entries that were not what was written, and calls of the disk that failed', 'broken'],
  tidegate_cache_dropped_total: [
    'Answers that were to be written to disk, or offered to the hub, and were given up',
    'dropped',
  ],
  tidegate_cache_audits_total: ['Hits that were computed anyway, to see whether they are right', 'audits'],
  tidegate_cache_disagreements_total: ['Of the audits, those that differed', 'disagreements'],
  tidegate_cache_entries: ['Answers in the layer', 'entries'],
  tidegate_cache_size_bytes: ['Bytes that the layer holds', 'sizeBytes'],
  tidegate_cache_limit_bytes: ['Bytes that the layer may hold', 'limitBytes'],
} as const;

const CACHE_MODEL_FAMILIES = {
  tidegate_cache_model_misses_total: ['Requests that no layer had an answer for', 'misses'],
  tidegate_cache_model_stale_hits_total: ['Of the hits, those older than the TTL', 'staleHits'],
} as const;

const STAGE_FAMILIES = {
  tidegate_cache_stage_hits_total: ['Runs of a graph that were spared: its outputs were kept', 'hits'],
  tidegate_cache_stage_misses_total: ['Lookups of kept outputs that found none', 'misses'],
} as const;

const SEMANTIC_FAMILIES = {
  tidegate_cache_semantic_audits_total: ['Answers to similar inputs that were computed anyway', 'audits'],
  tidegate_cache_semantic_disagreements_total: ['Of those, the ones that turned out wrong', 'disagreements'],
  tidegate_cache_semantic_disagreement_ratio: ['Share of the audits of late that disagreed', 'disagreementRate'],
  tidegate_cache_semantic_off: ['1 where it has ended by itself: it disagreed too often', 'off'],
} as const;

export function addCache(add: AddFamily, cache: DeviceCache): void {
  for (const [name, [help, field]] of Object.entries(CACHE_FAMILIES)) {
    add(name, help, ['layer'], () =>
      Object.entries(cache.counts.layers).map(([layer, counts]) => ({
        labels: { layer },
        value: counts[field] ?? 0,
      })),
    );
  }
  add('tidegate_cache_model_hits_total', 'Answers given from a layer', ['model', 'layer'], () =>
    cache
      .modelCounts()
      .flatMap(({ model, hits }) =>
        Object.entries(hits).map(([layer, value]) => ({ labels: { model, layer }, value })),
      ),
  );
  for (const [name, [help, field]] of Object.entries(CACHE_MODEL_FAMILIES)) {
    add(name, help, ['model'], () =>
      cache.modelCounts().map(({ model, [field]: value }) => ({ labels: { model }, value })),
    );
  }
  for (const [name, [help, field]] of Object.entries(STAGE_FAMILIES)) {
    add(name, help, ['model', 'graph'], () =>
      (cache.stages?.counts ?? []).map(({ model, graph, [field]: value }) => ({ labels: { model, graph }, value })),
    );
  }
  for (const [name, [help, field]] of Object.entries(SEMANTIC_FAMILIES)) {
    add(name, help, ['model'], () =>
      (cache.semantic?.report() ?? []).map(({ model, [field]: value }) => ({
        labels: { model },
        value: Number(value),
      })),
    );
  }
  add('tidegate_cache_aside', '1 while the cache stands aside: it cost more than it saved', ['model'], () =>
    cache.modelCounts().map(({ model, aside }) => ({ labels: { model }, value: aside ? 1 : 0 })),
  );
  add('tidegate_cache_renewals_total', 'Stale answers that were to be renewed', ['result'], () =>
    Object.entries(cache.counts.renewals).map(([result, value]) => ({ labels: { result }, value })),
  );
  add('tidegate_cache_joined_total', 'Requests that waited for an equal one', [], () => [
    { labels: {}, value: cache.counts.joined },
  ]);
}
