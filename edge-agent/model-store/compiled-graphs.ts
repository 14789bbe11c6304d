// The engine cache as the model store sees it: graphs that executors compiled for this machine (shared/runtime/executor/
// compiled-cache.ts), each entry naming the variant that it was made from. They can be made again at any time, so they go with
// their variant, before a download is refused for want of space, and where a self-test fails over one. Who has an entry open keeps it until its executor ends.
import { join } from 'node:path';
import { COMPILED_MANIFEST } from '@tidegate/shared/runtime/engine.js';
import type { Files } from '@tidegate/shared/system/files.js';

export function compiledFolder(dataDir: string): string {
  return join(dataDir, 'engine-cache');
}

/** Removes the entries of the variants that `isGone` names; one that doesn't say whose it is goes too. Returns how many went. */
export async function removeCompiled(
  folder: string,
  isGone: (variantDigest: string) => boolean,
  files: Pick<Files, 'list' | 'read' | 'remove'>,
): Promise<number> {
  let removed = 0;
  for (const name of await files.list('compiled.list', folder)) {
    if (name.startsWith('.')) continue; // being made
    const entry = join(folder, name);
    const variant = await variantOf(entry, files);
    if (variant !== undefined && !isGone(variant)) continue;
    await files.remove('compiled.collect', entry);
    removed += 1;
  }
  return removed;
}

/** The variant's digest, as serving named the graph: `DIGEST FILE`. */
async function variantOf(entry: string, files: Pick<Files, 'read'>): Promise<string | undefined> {
  try {
    const text = Buffer.from(await files.read('compiled.manifest', join(entry, COMPILED_MANIFEST))).toString('utf8');
    const { content } = JSON.parse(text) as { content?: unknown };
    return typeof content === 'string' ? content.split(' ')[0] : undefined;
  } catch {
    return undefined; // torn: of no use to anybody
  }
}
