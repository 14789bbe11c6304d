// Which version an answer came from. An answer says the version's digest and its variant's, so the version of a path may be either, besides
// a number and a label; a variant's digest leads to the version that it was made from.
import { RegistryError } from '../../registry/registry-error.js';
import type { Registry } from '../../registry/registry.js';
import { resolveSpec } from '../../registry/resolve-spec.js';
import type { Database } from '../../storage/database.js';

/** Rejects with RegistryError `not-found`, or `ambiguous` for a beginning that fits several. */
export async function resolveAnswer(
  { db, registry }: { readonly db: Database; readonly registry: Pick<Registry, 'version'> },
  model: string,
  spec: string,
): Promise<number> {
  const version = await registry.version(model, spec);
  if (version !== undefined) return version.version;
  const rows = await db.selectFrom('variants').select(['version', 'digest']).where('model', '=', model).execute();
  const variants = rows.map((row) => ({ ...row, label: null }));
  const found = resolveSpec(model, spec, variants);
  if (found !== undefined) return found.version;
  throw new RegistryError('not-found', `no version ${spec} of a model ${model}`, { field: 'version' });
}
