// Rollouts: start, watch, pause, resume, abort.
import { createRolloutSchema, pageOf, pageQuerySchema, rolloutSchema } from '@tidegate/shared/wire/admin-api.js';
import { RolloutError, type RolloutErrorCode } from '../rollouts/rollout-error.js';
import type { RolloutService } from '../rollouts/rollout-service.js';
import { idParamsSchema, type RouteDomain } from './api.js';
import { ApiError, problem } from './problem.js';

const STATUS: Readonly<Record<RolloutErrorCode, number>> = { invalid: 400, 'not-found': 404, conflict: 409 };

export function rolloutRoutes(rollouts: RolloutService): RouteDomain {
  return {
    tag: 'rollouts',
    register: (api) => {
      api.post(
        '/api/v1/rollouts',
        { config: { scope: 'operate' }, schema: { body: createRolloutSchema, response: { 201: rolloutSchema } } },
        async (request, reply) => reply.code(201).send(await rollouts.create(request.body, request.caller.actor)),
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
