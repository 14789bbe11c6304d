// A whole hub in this process on free ports, in a temporary folder, with its first admin token; and the command line's client for it.
import { join } from 'node:path';
import { HUB_SETTINGS, type HubSettings } from '@tidegate/cloud-hub/config/settings-table.js';
import { HubClient } from '@tidegate/cloud-hub/cli/hub-client.js';
import { startHub, type Hub } from '@tidegate/cloud-hub/hub.js';
import { initHub } from '@tidegate/cloud-hub/init-hub.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { readSettings } from '@tidegate/shared/system/settings.js';

export interface RunningHub {
  readonly hub: Hub;
  /** `http://127.0.0.1:PORT`. */
  readonly url: string;
  readonly token: string;
  readonly dataDir: string;
  readonly client: HubClient;
  /** Drains and starts again on the same data. */
  restart(): Promise<RunningHub>;
}

export function hubSettings(dataDir: string, flags: Readonly<Record<string, string>> = {}): HubSettings {
  return readSettings(HUB_SETTINGS, {
    flags: { dataDir, httpPort: '0', grpcPort: '0', devicePort: '0', mqttPort: '0', drainTimeout: '2000', ...flags },
    environment: {},
  });
}

export async function runHub(folder: string, flags: Readonly<Record<string, string>> = {}): Promise<RunningHub> {
  const dataDir = join(folder, 'hub');
  const { token } = await initHub(dataDir, systemClock, systemFiles);
  return startOn(dataDir, token, flags);
}

async function startOn(dataDir: string, token: string, flags: Readonly<Record<string, string>>): Promise<RunningHub> {
  const hub = await startHub(hubSettings(dataDir, flags), { clock: systemClock, files: systemFiles, log: silentLog });
  const url = `http://${/http=(\S+)/.exec(hub.readyLine)?.[1]}`;
  return {
    hub,
    url,
    token,
    dataDir,
    client: new HubClient({ hub: url, token }),
    restart: async () => {
      await hub.drain();
      return startOn(dataDir, token, flags);
    },
  };
}
