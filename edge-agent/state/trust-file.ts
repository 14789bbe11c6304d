// `executor-trust.json` in the data folder: which graphs have proven themselves here, so that they share an executor from the
// next start on, and which end their executors. A plain file, written whole and seldom (a graph is proven once): where it is
// damaged or gone, or another release wrote it, whose engine may do what this one's didn't, the graphs prove themselves anew.
import { join } from 'node:path';
import { z } from 'zod';
import type { KnownGraph, TrustStore } from '@tidegate/shared/runtime/trust-ledger.js';
import type { Files } from '@tidegate/shared/system/files.js';
import { parseDocument } from './documents.js';

const BYTES_MAX = 1 << 20;

const trustSchema = z.strictObject({
  release: z.string(),
  graphs: z.record(
    z.string(),
    z.strictObject({ proven: z.boolean(), crashed: z.boolean(), runUs: z.number().nonnegative() }),
  ),
});

export class TrustFile implements TrustStore {
  readonly #path: string;
  readonly #release: string;
  readonly #files: Pick<Files, 'read' | 'sizeBytes' | 'writeAtomic'>;

  constructor(dataDir: string, release: string, files: Pick<Files, 'read' | 'sizeBytes' | 'writeAtomic'>) {
    this.#path = join(dataDir, 'executor-trust.json');
    this.#release = release;
    this.#files = files;
  }

  async read(): Promise<ReadonlyMap<string, KnownGraph>> {
    const sizeBytes = await this.#files.sizeBytes('state.trust', this.#path);
    if (sizeBytes === undefined || sizeBytes > BYTES_MAX) return new Map();
    const text = Buffer.from(await this.#files.read('state.trust', this.#path)).toString('utf8');
    const stored = parseDocument(text, trustSchema);
    return new Map(stored?.release === this.#release ? Object.entries(stored.graphs) : []);
  }

  write(known: ReadonlyMap<string, KnownGraph>): Promise<void> {
    const document = { release: this.#release, graphs: Object.fromEntries(known) };
    return this.#files.writeAtomic('state.trust', this.#path, `${JSON.stringify(document)}\n`);
  }
}
