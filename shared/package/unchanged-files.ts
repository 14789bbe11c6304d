// Whether files of an open package still hold what was hashed when it was opened: a graph that is loaded again, hours after its model
// was, must not be another one under the same digest. A file that lies as it lay when it was last hashed is not hashed again.
import { join } from 'node:path';
import { hashFiles, lieOf } from './list-files.js';
import type { ModelPackage } from './model-package.js';
import { PackageError } from './package-error.js';

export class UnchangedFiles {
  readonly #pack: Pick<ModelPackage, 'folder' | 'files'>;
  readonly #paths: ReadonlySet<string>;
  /** How each lay when its content was found to be right. */
  readonly #seen: Map<string, string>;

  /** `paths`: those of the package's files that matter. */
  constructor(pack: Pick<ModelPackage, 'folder' | 'files' | 'lies'>, paths: readonly string[]) {
    this.#pack = pack;
    this.#paths = new Set(paths);
    this.#seen = new Map(pack.lies);
  }

  /** Rejects with PackageError `invalid-file`, naming the file, where one was changed or can't be read. */
  async check(): Promise<void> {
    const { folder, files } = this.#pack;
    for (const { path, digest } of files) {
      if (!this.#paths.has(path)) continue;
      try {
        const lies = await lieOf(join(folder, path)); // before it is hashed: a change meanwhile is seen the next time
        if (this.#seen.get(path) === lies) continue;
        const [now] = await hashFiles(folder, [path]);
        if (now?.digest !== digest) throw new Error('its content is another one');
        this.#seen.set(path, lies);
      } catch (cause) {
        const reason = cause instanceof Error ? cause.message : String(cause);
        const text = `was changed since the model was opened (${reason}); have the model loaded anew`;
        throw new PackageError('invalid-file', text, { file: path }, { cause });
      }
    }
  }
}
