// A real gRPC server around the echo service, and a client for it, for tests.
import { startGrpcServer, type GrpcServer } from '@tidegate/shared/serving/grpc/grpc-server.js';
import type { Access } from '@tidegate/shared/serving/grpc/guarded-call.js';
import { BodyBudget } from '@tidegate/shared/serving/http/body-budget.js';
import { DEFAULT_OIP_LIMITS, type OipLimits } from '@tidegate/shared/serving/http/oip-limits.js';
import { CountedService } from '@tidegate/shared/serving/counted-service.js';
import { InferenceStatistics } from '@tidegate/shared/serving/inference-statistics.js';
import { SharedMemoryRegions } from '@tidegate/shared/serving/shared-memory.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { EchoService } from './echo-service.js';
import { GrpcClient } from './grpc-client.js';

export interface OipGrpcServer {
  readonly service: EchoService;
  readonly server: GrpcServer;
  readonly budget: BodyBudget;
  readonly client: GrpcClient;
  close(): Promise<void>;
}

export async function startOipGrpcServer(
  limits: Partial<OipLimits> = {},
  access: Access = () => undefined,
  memoryFolder?: string,
): Promise<OipGrpcServer> {
  const service = new EchoService();
  const all = { ...DEFAULT_OIP_LIMITS, ...limits };
  const budget = new BodyBudget(all.bodiesBytesMax);
  const statistics = new InferenceStatistics();
  const logControl = { level: 'info' };
  const sharedMemory = memoryFolder === undefined ? undefined : new SharedMemoryRegions(memoryFolder);
  const server = await startGrpcServer({
    service: new CountedService(service, { statistics, own: 'edge', clock: systemClock }),
    access,
    logControl,
    sharedMemory,
    limits: all,
    budget,
    defaultTimeoutMs: 30_000,
    clock: systemClock,
    log: silentLog,
    serverName: 'echo',
    serverVersion: '0.0.1',
    listen: { host: '127.0.0.1', port: 0 },
  });
  const client = new GrpcClient(server.address);
  const close = async (): Promise<void> => {
    client.close();
    await server.close(1000);
  };
  return { service, server, budget, client, close };
}
