// A second, plain copy of what is active, beside the models: `models/active.json`, replaced atomically after each switch,
// commit and roll back. Read only when the state database had to be rebuilt, so that a broken database on a device without
// its hub still serves what it served before (field lessons B4, B24). What it names is verified like everything else.
import { join } from 'node:path';
import { z } from 'zod';
import type { Files } from '@tidegate/shared/system/files.js';
import { activeVersionSchema, type ActiveVersion } from './activations.js';
import { parseDocument } from './documents.js';

const mirrorSchema = z.record(z.string(), activeVersionSchema);

export class ActiveMirror {
  readonly #path: string;
  readonly #files: Files;

  constructor(dataDir: string, files: Files) {
    this.#path = join(dataDir, 'models', 'active.json');
    this.#files = files;
  }

  async write(active: ReadonlyMap<string, ActiveVersion>): Promise<void> {
    await this.#files.writeAtomic(
      'state.mirror',
      this.#path,
      `${JSON.stringify(Object.fromEntries(active), null, 2)}\n`,
    );
  }

  /** Empty where there is none, or where it is damaged too. */
  async read(): Promise<ReadonlyMap<string, ActiveVersion>> {
    if ((await this.#files.sizeBytes('state.mirror', this.#path)) === undefined) return new Map();
    const text = Buffer.from(await this.#files.read('state.mirror', this.#path)).toString('utf8');
    return new Map(Object.entries(parseDocument(text, mirrorSchema) ?? {}));
  }
}
