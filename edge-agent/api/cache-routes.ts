// `/agent/v1/cache`: what the layers hold and gave, by model, and what an operator takes out of them.
import type { DeviceCache } from '../cache/device-cache.js';

interface JsonAnswer {
  readonly status: number;
  readonly body: object;
}

export function cacheReport(cache: DeviceCache): object {
  const stages = cache.stages?.counts ?? [];
  return { ...cache.counts, models: cache.models(), stages, semantic: cache.semantic?.report() ?? [] };
}

/**
 * The answer to `DELETE /agent/v1/cache?model=&tag=`: drops the entries of the model, with the tag, or with both; all where
 * neither is given. Another parameter, or an empty or repeated one, changes nothing: a slip must not empty the cache.
 */
export function dropFromCache(search: string, cache: DeviceCache): JsonAnswer {
  const given = new URLSearchParams(search);
  for (const name of given.keys()) {
    if (name !== 'model' && name !== 'tag') return refused(name, 'unknown; model and tag are known');
    if (given.getAll(name).length > 1) return refused(name, 'given twice');
    if (given.get(name) === '') return refused(name, 'empty; leave it out to mean any');
  }
  const selection = { model: given.get('model') ?? undefined, tag: given.get('tag') ?? undefined };
  return { status: 200, body: { removed: cache.drop(selection) } };
}

function refused(name: string, why: string): JsonAnswer {
  return { status: 400, body: { error: `query ${name}: ${why}` } };
}
