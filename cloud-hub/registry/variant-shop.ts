// Makes, measures, stores and signs the variants of a checked version. fp32 is the published package itself and is always stored, so
// that a version whose optimising fails still rolls out. Storing goes first, signing second, and only then is the version ready:
// a device never sees a target whose files the hub does not hold.
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { hashFiles, listFiles } from '@tidegate/shared/package/list-files.js';
import {
  canonicalManifest,
  manifestDigest,
  variantTargetPath,
  type FileEntry,
  type VariantManifest,
} from '@tidegate/shared/wire/manifest.js';
import type { VariantReport } from '@tidegate/shared/wire/variant-report.js';
import type { Database } from '../storage/database.js';
import { UNOPTIMISED } from './choose-variant.js';
import type { MadeVariant, PackageOptimizer, TargetSigner } from './package-ports.js';
import type { PackageFolders } from './package-folders.js';
import { manifestOf, type VersionRow } from './version-rows.js';

interface VariantShopModules {
  readonly db: Database;
  readonly folders: PackageFolders;
  readonly optimizer: PackageOptimizer;
  readonly signer: TargetSigner;
  readonly clock: Clock;
  readonly log: Log;
  /** Where variants are built; emptied after each version. */
  readonly workRoot: string;
}

interface Built {
  readonly manifest: VariantManifest;
  readonly digest: string;
}

export class VariantShop {
  readonly #modules: VariantShopModules;

  constructor(modules: VariantShopModules) {
    this.#modules = modules;
  }

  /** Can be repeated. `onProgress` hears what is done. Returns what people should know although the version is fine; rejects on faults of the hub's own. */
  async makeAll(
    row: VersionRow,
    folder: string,
    signal: AbortSignal,
    onProgress: (what: string) => void,
  ): Promise<string | undefined> {
    const work = join(this.#modules.workRoot, randomBytes(6).toString('hex'));
    await fs.mkdir(work, { recursive: true });
    try {
      const { made, problem } = await this.#optimize(
        row,
        () => this.#modules.optimizer.optimize(folder, work, signal, onProgress),
        signal,
      );
      const built = new Map<string, Built>([[UNOPTIMISED, this.#manifest(row, UNOPTIMISED, manifestOf(row).files)]]);
      for (const { report, folder: variantFolder } of made) {
        if (variantFolder === undefined || report.variant === UNOPTIMISED || !OFFERED.has(report.outcome)) continue;
        const files = await hashFiles(variantFolder, await listFiles(variantFolder), signal);
        await this.#modules.folders.storeFolder(variantFolder, files);
        built.set(report.variant, this.#manifest(row, report.variant, files));
      }
      await this.#record(
        row,
        built,
        made.map((variant) => withDigest(variant, built)),
      );
      await this.#sign(row, built);
      return problem;
    } finally {
      await fs.rm(work, { recursive: true, force: true });
    }
  }

  async #optimize(
    row: VersionRow,
    optimize: () => Promise<readonly MadeVariant[]>,
    signal: AbortSignal,
  ): Promise<{ made: readonly MadeVariant[]; problem: string | undefined }> {
    try {
      return { made: await optimize(), problem: undefined };
    } catch (cause) {
      signal.throwIfAborted();
      this.#modules.log.error({ err: cause, version: `${row.model}@${row.version}` }, 'no variants could be made');
      const reason = cause instanceof Error ? cause.message : String(cause);
      return { made: [], problem: `only fp32: no variants could be made: ${reason}` };
    }
  }

  #manifest(row: VersionRow, variant: string, files: readonly FileEntry[]): Built {
    const manifest: VariantManifest = {
      kind: 'variant',
      model: row.model,
      parent: row.digest,
      variant,
      files: [...files],
    };
    return { manifest, digest: manifestDigest(manifest) };
  }

  async #record(row: VersionRow, built: ReadonlyMap<string, Built>, reports: readonly VariantReport[]): Promise<void> {
    const { db, clock } = this.#modules;
    const key = { model: row.model, version: row.version };
    const created_at = new Date(clock.nowMs()).toISOString();
    await db.transaction().execute(async (trx) => {
      for (const table of ['measurements', 'variants'] as const) {
        await trx.deleteFrom(table).where('model', '=', row.model).where('version', '=', row.version).execute();
      }
      for (const [variant, { manifest, digest }] of built) {
        const sizeBytes = manifest.files.reduce((sum, file) => sum + file.sizeBytes, 0);
        const text = canonicalManifest(manifest);
        await trx
          .insertInto('variants')
          .values({ ...key, variant, digest, manifest: text, size_bytes: sizeBytes, created_at, signed_at: null })
          .execute();
      }
      for (const [position, report] of reports.entries()) {
        const { variant, deviceClass, outcome } = report;
        await trx
          .insertInto('measurements')
          .values({ ...key, variant, device_class: deviceClass, position, outcome, report: JSON.stringify(report) })
          .execute();
      }
    });
  }

  /** All with one signature. */
  async #sign(row: VersionRow, built: ReadonlyMap<string, Built>): Promise<void> {
    const { db, signer, clock } = this.#modules;
    await signer.addTargets(
      [...built].map(([variant, { manifest, digest }]) => ({
        path: variantTargetPath(digest),
        bytes: Buffer.from(canonicalManifest(manifest)),
        custom: { model: row.model, version: row.version, versionDigest: row.digest, variant },
      })),
    );
    await db
      .updateTable('variants')
      .set({ signed_at: new Date(clock.nowMs()).toISOString() })
      .where('model', '=', row.model)
      .where('version', '=', row.version)
      .execute();
  }
}

/** Outcomes whose files a device may get; refused ones are only reported. */
const OFFERED: ReadonlySet<VariantReport['outcome']> = new Set(['chosen', 'kept']);

function withDigest(made: MadeVariant, built: ReadonlyMap<string, Built>): VariantReport {
  const found = built.get(made.report.variant);
  return found === undefined ? made.report : { ...made.report, variantDigest: found.digest };
}
