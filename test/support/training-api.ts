// The API of a training desk over real HTTP, with tokens that are called as their scopes.
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createApi, type Api } from '@tidegate/cloud-hub/api/api.js';
import { jobRoutes } from '@tidegate/cloud-hub/api/job-routes.js';
import { lineageRoutes } from '@tidegate/cloud-hub/api/lineage-routes.js';
import { modelRoutes } from '@tidegate/cloud-hub/api/model-routes.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import type { Scope } from '@tidegate/shared/wire/admin-api.js';
import type { TrainingDesk } from './training-desk.js';

export interface TrainingApi {
  readonly api: Api;
  readonly url: string;
  close(): Promise<void>;
}

export async function serveTraining({ training, registry }: TrainingDesk): Promise<TrainingApi> {
  const verify = async (text: string) => ({ actor: `token:${text}`, tokenId: text, scopes: [text as Scope] });
  const api = await createApi({ tokens: { verify }, log: silentLog, version: '1' }, [
    modelRoutes(registry.registry, registry.uploads),
    jobRoutes(training.jobs),
    lineageRoutes(training.trace),
  ]);
  const server = createServer((request, response) => api.routing(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    api,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await api.close();
    },
  };
}
