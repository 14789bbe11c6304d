// What every part of the hub is made of: settings, database, content, the runtime. Made by hub.ts before all else.
import type { ContentStore } from '@tidegate/shared/content/content-store.js';
import type { Runtime } from '@tidegate/shared/runtime/graph-runner.js';
import type { CgroupLimits } from '@tidegate/shared/system/cgroup-limits.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Files } from '@tidegate/shared/system/files.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { Tracing } from '@tidegate/shared/tracing/open-tracing.js';
import type { DataPaths } from '../config/data-folder.js';
import type { HubSettings } from '../config/settings-table.js';
import type { HubEvents } from '../hub-events.js';
import type { KeyStore } from '../security/key-store.js';
import type { TufRepository } from '../security/tuf-repository.js';
import type { Database } from '../storage/database.js';

export interface Parts {
  readonly settings: HubSettings;
  /** What the cgroup allows. */
  readonly limits: CgroupLimits;
  readonly paths: DataPaths;
  readonly clock: Clock;
  readonly files: Files;
  readonly log: Log;
  readonly db: Database;
  readonly runtime: Runtime;
  readonly content: ContentStore;
  readonly keys: KeyStore;
  readonly tuf: TufRepository;
  readonly events: HubEvents;
  /** Undefined = requests are not traced. */
  readonly tracing: Tracing | undefined;
}

/** Requests that may wait for one model on the hub. */
export const QUEUE_DEPTH = 256;
