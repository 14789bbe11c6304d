// Rollouts: start, watch, pause, resume, abort.
import { createRolloutSchema, pageOf, pageQuerySchema, rolloutSchema } from '@tidegate/shared/wire/admin-api.js';
import { RolloutError, type RolloutErrorCode } from '../rollouts/rollout-error.js';
import type { RolloutService } from '../rollouts/rollout-service.js';
import { idParamsSchema, type RouteDomain } from './api.js';
import { onceHeadersSchema } from './idempotency-key.js';
import { ApiError, problem } from './problem.js';

const STATUS: Readonly<Record<RolloutErrorCode, number>> = { invalid: 400, 'not-found': 404, conflict: 409 };

export function rolloutRoutes(rollouts: RolloutService): RouteDomain {
  return {
    tag: 'rollouts',
    register: (api) => {
      api.post(
        '/api/v1/rollouts',
        {
          config: { scope: 'operate' },
          schema: {
            description:
              'Starts a rollout. With an `Idempotency-Key` the same request may be sent again: 200 with the rollout that it made, as it is by ' +
              'now, instead of a second one; 400 where the key came with another.',
            headers: onceHeadersSchema,
            body: createRolloutSchema,
            response: { 200: rolloutSchema, 201: rolloutSchema },
          },
        },
        async ({ headers, body, caller }, reply) => {
          const key = headers['idempotency-key'];
          if (key === undefined) return reply.code(201).send(await rollouts.create(body, caller.actor));
          const { rollout, added } = await rollouts.createOnce(body, caller.actor, key);
          return reply.code(added ? 201 : 200).send(rollout);
        },
      );
      api.get(
        '/api/v1/rollouts',
        {
          config: { scope: 'read' },
          schema: { querystring: pageQuerySchema, response: { 200: pageOf(rolloutSchema) } },
        },
        async ({ query }) => rollouts.list(query.limit, query.cursor),
      );
      api.get(
        '/api/v1/rollouts/:id',
        { config: { scope: 'read' }, schema: { params: idParamsSchema, response: { 200: rolloutSchema } } },
        async ({ params }) => {
          const rollout = await rollouts.get(params.id);
          if (rollout === undefined) throw new ApiError(404, `no rollout ${params.id}`, { field: 'id' });
          return rollout;
        },
      );
      for (const verb of ['pause', 'resume', 'abort'] as const) {
        api.post(
          `/api/v1/rollouts/:id/${verb}`,
          { config: { scope: 'operate' }, schema: { params: idParamsSchema, response: { 200: rolloutSchema } } },
          async (request) => rollouts[verb](request.params.id, request.caller.actor),
        );
      }
    },
    problemOf: (error) =>
      error instanceof RolloutError ? problem(STATUS[error.code], error.message, error.field) : undefined,
  };
}
