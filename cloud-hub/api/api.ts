// The admin API's frame: authentication, scopes, problem documents, OpenAPI 3.1. Domains add their routes to it.
//
// How to add a domain (api/token-routes.ts is a small example to copy):
//   export function rolloutRoutes(rollouts: Rollouts): RouteDomain {
//     return {
//       tag: 'rollouts',
//       register: (api) => {
//         api.get('/api/v1/rollouts/:id', {
//           config: { scope: 'read' },                        // required: who may call; 'public' for nobody in particular
//           schema: { params: z.object({ id: z.string() }), response: { 200: rolloutSchema } },
//         }, async (request) => { ... return rollout });      // request.caller.actor goes into the audit row
//       },
//       problemOf: (error) => error instanceof RolloutError ? problem(409, error.message, error.field) : undefined,
//     };
//   }
// and hand it to createApi in hub.ts. Changes write their audit row in their own transaction, in the domain, not here. Only
// success responses are declared: problem responses are added to each route's documentation here, and are sent past the response
// schemas (a declared 400 of another shape would turn each validation error into a 500).
import swagger from '@fastify/swagger';
import { problemSchema, type Problem, type Scope } from '@tidegate/shared/wire/admin-api.js';
import type { Log } from '@tidegate/shared/system/log.js';
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type RouteOptions,
} from 'fastify';
import {
  jsonSchemaTransform,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { z } from 'zod';
import { bearerOf, mayUse, type Caller, type Tokens } from '../security/tokens.js';
import { PROBLEM_TYPE, frameworkProblem, problem } from './problem.js';

const LIMIT_JSON_BODY_BYTES = 4 * 1024 * 1024;

export type Api = FastifyInstance<Server, IncomingMessage, ServerResponse, FastifyBaseLogger, ZodTypeProvider>;

export interface RouteDomain {
  /** The group that its routes have in the documentation. */
  readonly tag: string;
  register(api: Api): void;
  /** Translates the domain's own errors; undefined for others. */
  problemOf?(error: unknown): Problem | undefined;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may call: a scope, `any` valid token, or everybody (`public`). `admin` may call everything. */
    scope?: Scope | 'any' | 'public';
  }
  interface FastifyRequest {
    /** Set before any handler of a route that is not public runs. */
    caller: Caller;
  }
}

const NOBODY: Caller = { actor: 'anonymous', tokenId: '', scopes: [] };

interface ApiModules {
  readonly tokens: Pick<Tokens, 'verify'>;
  readonly log: Log;
  readonly version: string;
}

/** Routes all of `/api`. The hub's server hands requests over with `api.routing(request, response)`. */
export async function createApi(modules: ApiModules, domains: readonly RouteDomain[]): Promise<Api> {
  const app = Fastify({
    bodyLimit: LIMIT_JSON_BODY_BYTES,
    requestTimeout: 0,
    forceCloseConnections: false,
    // A path that can't be decoded reaches no route and no error handler.
    frameworkErrors: (error, _request, reply) =>
      sendProblem(reply, frameworkProblem(error) ?? problem(400, 'bad request')),
  });
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Tidegate hub', version: modules.version, description: 'The admin API of a Tidegate hub.' },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
    },
    transform: (input) => {
      const { schema, url } = jsonSchemaTransform(input as Parameters<typeof jsonSchemaTransform>[0]);
      return { url, schema: withProblems(schema) };
    },
  });
  app.decorateRequest('caller', null as never); // set by authenticate, before any handler
  app.addHook('onRequest', (request) => authenticate(modules.tokens, request));
  app.setErrorHandler((error, request, reply) => answerError(modules.log, domains, error, request, reply));
  app.setNotFoundHandler((request, reply) =>
    sendProblem(reply, problem(404, `no ${request.method} ${request.url.split('?')[0]}`)),
  );
  await registerRoutes(app, domains);
  app.get('/api/openapi.json', { schema: { hide: true }, config: { scope: 'public' } }, () => app.swagger());
  await app.ready();
  return app as unknown as Api;
}

/** Each domain within a context of its own, so that its routes are known, also those of contexts within; one without a scope stops the start. */
async function registerRoutes(app: FastifyInstance, domains: readonly RouteDomain[]): Promise<void> {
  for (const domain of domains) {
    await app.register(async (api) => {
      api.addHook('onRoute', (route) => {
        const scope = route.config?.scope;
        if (scope === undefined) throw new Error(`${String(route.method)} ${route.url} states no scope`);
        if (route.method !== 'HEAD') documentRoute(route, domain.tag, scope);
      });
      domain.register(api.withTypeProvider<ZodTypeProvider>() as unknown as Api);
    });
  }
}

function documentRoute(route: RouteOptions, tag: string, scope: Scope | 'any' | 'public'): void {
  const schema = (route.schema ??= {}) as {
    tags?: string[];
    security?: object[];
    description?: string;
    response?: Record<string, unknown>;
  };
  schema.tags = [tag];
  if (scope === 'public') return;
  schema.security = [{ token: [] }];
  schema.description =
    `${schema.description ?? ''}\n\n${scope === 'any' ? 'Needs a token' : `Needs the scope \`${scope}\``}.`.trim();
}

/** Says in the documentation what every route may answer instead; not a response schema, see above. */
function withProblems(schema: object): object {
  const response = (schema as { response?: object }).response;
  if (response === undefined) return schema;
  const content = { [PROBLEM_TYPE]: { schema: PROBLEM_JSON_SCHEMA } };
  return { ...schema, response: { ...response, default: { description: 'RFC 9457 problem', content } } };
}

const { $schema: _dialect, ...PROBLEM_JSON_SCHEMA } = z.toJSONSchema(problemSchema, { io: 'output' });

async function authenticate(tokens: Pick<Tokens, 'verify'>, request: FastifyRequest): Promise<void> {
  const scope = request.routeOptions.config.scope;
  request.caller = NOBODY;
  if (scope === undefined || scope === 'public') return; // undefined: no such route
  const token = bearerOf(request.headers.authorization);
  const caller = token === undefined ? undefined : await tokens.verify(token);
  if (caller === undefined) throw new AuthError(401, 'a valid bearer token is needed (tidegate login)');
  if (scope !== 'any' && !mayUse(caller, scope)) throw new AuthError(403, `the token lacks the scope ${scope}`);
  request.caller = caller;
}

/** Thrown before any handler runs: no valid token, or one without the route's scope. */
export class AuthError extends Error {
  override readonly name = 'AuthError';
  readonly status: 401 | 403;
  constructor(status: 401 | 403, message: string) {
    super(message);
    this.status = status;
  }
}

function answerError(
  log: Log,
  domains: readonly RouteDomain[],
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  if (error instanceof AuthError) {
    if (error.status === 401) reply.header('www-authenticate', 'Bearer realm="tidegate"');
    sendProblem(reply, problem(error.status, error.message, 'authorization'));
    return;
  }
  for (const domain of domains) {
    const known = domain.problemOf?.(error);
    if (known !== undefined) {
      sendProblem(reply, known);
      return;
    }
  }
  const known = frameworkProblem(error);
  if (known === undefined) log.error({ err: error, method: request.method, url: request.url }, 'a request failed');
  sendProblem(reply, known ?? problem(500, 'the hub failed; its log says why'));
}

/** Past the response schemas: a problem is checked by its own. */
function sendProblem(reply: FastifyReply, body: Problem): void {
  const text = JSON.stringify(problemSchema.parse(body));
  void reply
    .code(body.status)
    .type(PROBLEM_TYPE)
    .serializer(() => text)
    .send(text);
}

/** What every list's query says; a cursor is the key of the last item. */
export function page<T>(
  rows: readonly T[],
  limit: number,
  cursorOf: (row: T) => string,
): { items: T[]; nextCursor?: string } {
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  return rows.length > limit && last !== undefined ? { items, nextCursor: cursorOf(last) } : { items };
}

export const idParamsSchema = z.object({ id: z.string().min(1).max(100) });
