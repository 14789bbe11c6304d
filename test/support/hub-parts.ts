// What the hub's parts are made of, real and in a temporary folder, without ports.
import { Closing } from '@tidegate/cloud-hub/composition/closing.js';
import type { Parts } from '@tidegate/cloud-hub/composition/parts.js';
import { dataPaths } from '@tidegate/cloud-hub/config/data-folder.js';
import { HubEvents } from '@tidegate/cloud-hub/hub-events.js';
import { initKeys } from '@tidegate/cloud-hub/security/certificate-authority.js';
import { openTufRepository } from '@tidegate/cloud-hub/security/tuf-repository.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { readCgroupLimits } from '@tidegate/shared/system/cgroup-limits.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { hubSettings } from './running-hub.js';

export async function openHubParts(
  folder: string,
  flags: Readonly<Record<string, string>> = {},
): Promise<{ parts: Parts; closing: Closing }> {
  const base = { clock: systemClock, files: systemFiles, log: silentLog };
  const closing = new Closing(silentLog);
  const paths = dataPaths(folder);
  const db = await openSqlite(':memory:');
  closing.add('database', () => db.destroy());
  const runtime = new ExecutorRuntime(base);
  closing.add('runtime', () => runtime.close());
  const keys = await initKeys(paths.keys, systemFiles, systemClock);
  const tuf = await openTufRepository({ folder: paths.tuf }, { ...base, keys });
  closing.add('tuf', () => tuf.close());
  const content = await ContentStore.open({ folder: paths.content }, systemFiles);
  const events = new HubEvents(silentLog);
  return {
    parts: {
      ...base,
      settings: hubSettings(folder, flags),
      limits: await readCgroupLimits(systemFiles),
      paths,
      db,
      runtime,
      content,
      keys,
      tuf,
      events,
      tracing: undefined,
    },
    closing,
  };
}
