// What lies in the data folder: room and the right to write, the state database, the models against their manifests, the key.
// Reads; the one thing written is a probe file, which is removed again.
import { createHash, X509Certificate } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Files } from '@tidegate/shared/system/files.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import type { VariantManifest } from '@tidegate/shared/wire/manifest.js';
import { identityPaths, loadIdentity } from '../identity/identity.js';
import { renewalDue } from '../identity/renewal.js';
import { parseManifest, variantPaths } from '../model-store/model-store.js';
import { ActiveMirror } from '../state/active-mirror.js';
import { checkDatabase } from '../state/check-database.js';
import { fail, fine, messageOf, warn, type Verdict } from './finding.js';

const FREE_LEAST_BYTES = 64 * 2 ** 20;
const FREE_COMFORTABLE_BYTES = 512 * 2 ** 20;
const OTHERS_MAY = 0o007;
const GROUP_MAY = 0o070;

/** Of a folder that isn't there yet, the one is looked at in which it will be made. Rejects where nothing can be written. */
export async function checkDataFolder(dataDir: string, files: Files): Promise<Verdict> {
  const there = await nearestFolder(dataDir, files);
  const probe = join(there, '.doctor');
  await files.writeAtomic('doctor.probe', probe, 'written by doctor');
  await files.remove('doctor.probe', probe);
  const freeBytes = await files.freeBytes('doctor.free', there);
  const missing = there === dataDir ? '' : `; ${dataDir} is not there yet`;
  const found = `${(freeBytes / 2 ** 20).toFixed(0)} MiB free in ${there}, writable${missing}`;
  const mend = 'make room on that volume, or set --data-dir to a larger one: models need room for two versions each';
  if (freeBytes < FREE_LEAST_BYTES) return fail(found, mend);
  return freeBytes < FREE_COMFORTABLE_BYTES ? warn(found, mend) : fine(found);
}

async function nearestFolder(path: string, files: Files): Promise<string> {
  const parent = dirname(path);
  const here = parent === path || (await files.sizeBytes('doctor.folder', path)) !== undefined;
  return here ? path : nearestFolder(parent, files);
}

export function checkStateDatabase(dataDir: string): Verdict {
  const health = checkDatabase(join(dataDir, 'state.db'));
  switch (health.state) {
    case 'none':
      return fine('none yet: `run` makes it');
    case 'sound':
      return fine('sound');
    case 'in-use':
      return fine('in use by a running agent, which checked it at its start');
    case 'broken':
      return fail(
        `broken: ${health.reason}`,
        '`run` sets it aside and rebuilds it; look at the disk (smartctl, dmesg) too',
      );
  }
}

/** Every file of every model that is active, read whole against its digest. */
export async function checkModels(dataDir: string, files: Files): Promise<Verdict> {
  const active = [...(await new ActiveMirror(dataDir, files).read())];
  if (active.length === 0) return fine('none installed');
  const damaged: string[] = [];
  let count = 0;
  for (const [name, { running }] of active) {
    const paths = variantPaths(dataDir, running.variantDigest);
    const manifest = await manifestOf(paths.manifest, running.variantDigest, files);
    if (typeof manifest === 'string') {
      damaged.push(`${name}: ${manifest}`);
      continue;
    }
    for (const file of manifest.files) {
      count += 1;
      const digest = await digestOf(join(paths.packageFolder, file.path), files);
      if (digest !== file.digest) damaged.push(`${name}: ${file.path}`);
    }
  }
  if (damaged.length === 0) return fine(`${active.length} active, ${count} files as their manifests say`);
  const mend =
    'restart the agent: it verifies at its start and fetches what changed from the hub; look at the disk too';
  return fail(`changed or missing: ${damaged.join(', ')}`, mend);
}

/** The manifest, or why there is none. */
async function manifestOf(path: string, digest: Digest, files: Files): Promise<VariantManifest | string> {
  try {
    return parseManifest(digest, await files.read('doctor.manifest', path));
  } catch (error) {
    return `its manifest is of no use: ${messageOf(error)}`;
  }
}

async function digestOf(path: string, files: Files): Promise<string | undefined> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of files.stream('doctor.verify', path)) hash.update(chunk as Uint8Array);
  } catch {
    return undefined; // not there or not readable: not what the manifest says
  }
  return `sha256:${hash.digest('hex')}`;
}

/** Rejects with IdentityError where it is damaged. */
export async function checkIdentity(dataDir: string, files: Files, nowMs: number): Promise<Verdict> {
  const paths = identityPaths(dataDir);
  if ((await files.sizeBytes('doctor.identity', paths.document)) === undefined) {
    return fine('not enrolled: only `serve` works, and needs none');
  }
  const { deviceId, certificatePem } = await loadIdentity(dataDir, files);
  const { validTo } = new X509Certificate(certificatePem);
  const found = `${deviceId}, certificate until ${new Date(validTo).toISOString()}`;
  const mode = process.platform === 'win32' ? 0 : (await stat(paths.key)).mode;
  const mend = `chmod 600 ${paths.key}`;
  if ((mode & OTHERS_MAY) !== 0) return fail(`${found}; everybody on this machine may open its key`, mend);
  if ((mode & GROUP_MAY) !== 0) return warn(`${found}; its group may open its key`, mend);
  const renew = 'a running agent renews it by itself as soon as the hub answers; see the checks of the hub';
  if (Date.parse(validTo) < nowMs) return warn(`${found}: it has expired`, renew);
  return renewalDue(certificatePem, nowMs) ? warn(`${found}: renewal is due`, renew) : fine(found);
}
