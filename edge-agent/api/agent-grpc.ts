// The agent's gRPC port: the same service as over HTTP, under the same rule of who may call. grpc-js is loaded only where the
// port is wanted: its 12 MB are for nothing on a device that nobody asks over gRPC.
import type { GrpcServer, GrpcServerOptions } from '@tidegate/shared/serving/grpc/grpc-server.js';
import type { Settings } from '../config/settings-table.js';
import { decideAccess } from './access.js';

type AgentGrpcModules = Omit<GrpcServerOptions, 'access' | 'listen'>;

/** Undefined where the port is off. Rejects with HttpServerError. */
export async function openAgentGrpc(
  { host, grpcPort: port, apiToken }: Pick<Settings, 'host' | 'grpcPort' | 'apiToken'>,
  modules: AgentGrpcModules,
): Promise<GrpcServer | undefined> {
  if (port === 'off') return undefined;
  const { startGrpcServer } = await import('@tidegate/shared/serving/grpc/grpc-server.js');
  return startGrpcServer({
    ...modules,
    listen: { host, port },
    access: ({ authorization }) => {
      const headers = authorization === undefined ? {} : { authorization };
      const access = decideAccess({ headers }, { apiToken, unixSocket: false });
      return access.allowed ? undefined : access;
    },
  });
}
