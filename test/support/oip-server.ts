// A real HTTP server around the protocol front and an echo service, for tests.
import { createOipHandler, type OipHandler } from '@tidegate/shared/serving/http/oip-handler.js';
import { DEFAULT_OIP_LIMITS, type OipLimits } from '@tidegate/shared/serving/http/oip-limits.js';
import { startHttpServer, type HttpServer } from '@tidegate/shared/serving/http/http-server.js';
import { CountedService } from '@tidegate/shared/serving/counted-service.js';
import { InferenceStatistics } from '@tidegate/shared/serving/inference-statistics.js';
import { SharedMemoryRegions } from '@tidegate/shared/serving/shared-memory.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { EchoService } from './echo-service.js';

export interface OipServer {
  readonly service: EchoService;
  readonly handler: OipHandler;
  readonly logControl: { level: string };
  /** Codes of the refusals that the handler told of, `unread` behind those before the body. */
  readonly refused: string[];
  readonly http: HttpServer;
  readonly url: string;
  close(): Promise<void>;
}

export async function startOipServer(limits: Partial<OipLimits> = {}, memoryFolder?: string): Promise<OipServer> {
  const service = new EchoService();
  const statistics = new InferenceStatistics();
  const logControl = { level: 'info' };
  const refused: string[] = [];
  const sharedMemory = new SharedMemoryRegions(memoryFolder);
  const handler = createOipHandler({
    service: new CountedService(service, { statistics, own: 'edge', clock: systemClock }),
    logControl,
    sharedMemory,
    onRefused: (code, tookMs, unread) =>
      void refused.push(tookMs < 0 ? 'before its time' : `${code}${unread ? ' unread' : ''}`),
    limits: { ...DEFAULT_OIP_LIMITS, lingerMs: 500, ...limits },
    defaultTimeoutMs: 30_000,
    clock: systemClock,
    log: silentLog,
    serverName: 'echo',
    serverVersion: '0.0.1',
  });
  const http = await startHttpServer({
    handler: (request, response) => {
      if (handler(request, response)) return;
      response.writeHead(404);
      response.end('another route');
    },
    listen: { host: '127.0.0.1', port: 0 },
    flag: '--http-port',
  });
  return { service, handler, logControl, refused, http, url: `http://${http.address}`, close: () => http.close(1000) };
}
