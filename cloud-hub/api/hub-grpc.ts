// The hub's gRPC port: inference for who has a token with the scope infer, as on `/v2`. Probes have none and need none.
import { startGrpcServer, type GrpcServer, type GrpcServerOptions } from '@tidegate/shared/serving/grpc/grpc-server.js';
import type { HubSettings } from '../config/settings-table.js';
import { bearerOf, mayUse, type Tokens } from '../security/tokens.js';

type HubGrpcModules = Omit<GrpcServerOptions, 'access' | 'listen'> & { readonly tokens: Pick<Tokens, 'verify'> };

/** Undefined where the port is off. Rejects with HttpServerError. */
export async function openHubGrpc(
  { host, grpcPort: port }: Pick<HubSettings, 'host' | 'grpcPort'>,
  { tokens, ...modules }: HubGrpcModules,
): Promise<GrpcServer | undefined> {
  if (port === 'off') return undefined;
  return startGrpcServer({
    ...modules,
    listen: { host, port },
    access: async ({ kind, authorization }) => {
      if (kind === 'health') return undefined;
      const token = bearerOf(authorization);
      const caller = token === undefined ? undefined : await tokens.verify(token);
      if (caller === undefined) return { status: 401, error: 'a valid bearer token with the scope infer is needed' };
      return mayUse(caller, 'infer')
        ? { identity: caller.actor }
        : { status: 403, error: 'the token lacks the scope infer' };
    },
  });
}
