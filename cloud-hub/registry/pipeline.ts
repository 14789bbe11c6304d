// What happens to a version after it was published, in the background, one version at a time: check the package (refuse with the
// reason, or go on), make and measure variants, store and sign them, ready. Each state is persisted before its work begins and
// every step can be done again, so a hub that was killed goes on where it was. A fault of the hub's own (no space, no
// executor) is tried again a few times; a fault of the package is not.
import { delay, type Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { HubEvents } from '../hub-events.js';
import { recordAudit } from '../security/audit.js';
import type { Database } from '../storage/database.js';
import { PackageRefused, type PackageChecker } from './package-ports.js';
import type { PackageFolders } from './package-folders.js';
import type { VariantShop } from './variant-shop.js';
import { manifestOf, showVersion, versionRow, type VersionRow } from './version-rows.js';

const ATTEMPTS = 3;
const RETRY_DELAY_MS = 2_000;
const ACTOR = 'system:registry';

interface PipelineModules {
  readonly db: Database;
  readonly folders: PackageFolders;
  readonly checker: PackageChecker;
  readonly variants: VariantShop;
  readonly events: HubEvents;
  readonly clock: Clock;
  readonly log: Log;
}

export class Pipeline {
  readonly #modules: PipelineModules;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #again = false;

  constructor(modules: PipelineModules) {
    this.#modules = modules;
  }

  /** Looks for work; call it at the start and after each publish. */
  wake(): void {
    this.#again = true;
    if (this.#running !== undefined || this.#stop.signal.aborted) return;
    this.#running = this.#drain()
      .catch((cause: unknown) => this.#modules.log.error({ err: cause }, 'the publishing pipeline failed'))
      .finally(() => {
        this.#running = undefined;
        if (this.#again) this.wake();
      });
  }

  /** Resolves when nothing is left to do. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  /** Ends the work under way; it is taken up again at the next start. */
  async close(): Promise<void> {
    this.#stop.abort(new Error('the hub stops'));
    await this.#running;
  }

  async #drain(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      this.#again = false;
      const next = await this.#modules.db
        .selectFrom('versions')
        .selectAll()
        .where('state', 'in', ['validating', 'optimizing'])
        .orderBy('created_at')
        .orderBy('version')
        .executeTakeFirst();
      if (next === undefined) return;
      await this.#finish(next);
    }
  }

  async #finish(row: VersionRow): Promise<void> {
    const { clock, log } = this.#modules;
    const subject = `${row.model}@${row.version}`;
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#advance(row);
        return;
      } catch (cause) {
        if (this.#stop.signal.aborted) return;
        if (cause instanceof PackageRefused) {
          await this.#set(row, 'refused', cause.message);
          return;
        }
        log.error({ err: cause, version: subject, attempt }, 'a version could not be processed');
        if (attempt < ATTEMPTS) {
          await delay(clock, RETRY_DELAY_MS * attempt, this.#stop.signal).catch(() => undefined); // stopping: seen above
          continue;
        }
        await this.#set(
          row,
          'refused',
          `the hub failed ${ATTEMPTS} times: ${messageOf(cause)}; publish again to retry`,
        );
        return;
      }
    }
  }

  async #advance(row: VersionRow): Promise<void> {
    const { db, folders, checker, variants } = this.#modules;
    const { signal } = this.#stop;
    const folder = await folders.folderOf(row.digest, manifestOf(row).files);
    const now = await versionRow(db, row.model, row.version);
    if (now?.state === 'validating') {
      await this.#set(row, 'validating', 'checking the graphs and the goldens');
      await checker.check(folder, signal);
      await this.#set(row, 'optimizing', 'making and measuring variants');
    }
    const notes = new Notes((text) => this.#set(row, 'optimizing', text));
    const outcome = await variants.makeAll(row, folder, signal, (what) => notes.add(what));
    await notes.written();
    signal.throwIfAborted();
    await this.#set(row, 'ready', outcome);
  }

  async #set(row: VersionRow, state: VersionRow['state'], detail: string | undefined): Promise<void> {
    const { db, clock, events } = this.#modules;
    const before = await versionRow(db, row.model, row.version);
    await db.transaction().execute(async (trx) => {
      await trx
        .updateTable('versions')
        .set({ state, detail: detail ?? null })
        .where('model', '=', row.model)
        .where('version', '=', row.version)
        .execute();
      if (before?.state === state) return;
      const entry = { actor: ACTOR, action: `model.${state}`, subject: `${row.model}@${row.version}` };
      await recordAudit(trx, detail === undefined ? entry : { ...entry, detail: { detail } }, clock.nowMs());
    });
    const after = await versionRow(db, row.model, row.version);
    if (after !== undefined) events.emit({ kind: 'version', version: await showVersion(db, after) });
  }
}

/** Progress is told without waiting, and written in order; none may come after the last word. */
class Notes {
  readonly #write: (text: string) => Promise<void>;
  #last: Promise<void> = Promise.resolve();

  constructor(write: (text: string) => Promise<void>) {
    this.#write = write;
  }

  add(text: string): void {
    this.#last = this.#last.then(() => this.#write(text));
    this.#last.catch(() => undefined); // `written` says it
  }

  written(): Promise<void> {
    return this.#last;
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
