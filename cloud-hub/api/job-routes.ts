// Training jobs: create, watch, cancel, and the points that their charts draw. A job's progress also comes on the live channel.
import { pageOf, pageQuerySchema } from '@tidegate/shared/wire/admin-api.js';
import { modelNameSchema } from '@tidegate/shared/wire/model-yaml.js';
import { createJobSchema, JOB_STATES, jobPointSchema, jobSchema } from '@tidegate/shared/wire/training-api.js';
import { z } from 'zod';
import { JobError, type JobErrorCode } from '../training/jobs/job-error.js';
import type { JobService } from '../training/jobs/job-service.js';
import { idParamsSchema, page, type RouteDomain } from './api.js';
import { onceHeadersSchema } from './idempotency-key.js';
import { ApiError, problem } from './problem.js';

const STATUS: Readonly<Record<JobErrorCode, number>> = { 'not-found': 404, invalid: 422, conflict: 409 };

const jobsQuerySchema = pageQuerySchema.extend({
  cursor: z
    .string()
    .regex(/^j[0-9a-z]{1,40}$/, 'is none that the hub gave')
    .optional(),
  state: z.enum(JOB_STATES).optional(),
  model: modelNameSchema.optional(),
});
const pointsQuerySchema = z.object({ limit: z.coerce.number().int().min(2).max(5000).default(500) });

type Jobs = Pick<JobService, 'create' | 'list' | 'get' | 'points' | 'cancel'>;

export function jobRoutes(jobs: Jobs): RouteDomain {
  return {
    tag: 'jobs',
    register: (api) => {
      api.post(
        '/api/v1/jobs',
        {
          config: { scope: 'publish' },
          schema: {
            description:
              'Queues a training job. What can be known to be wrong is said here, and nothing is queued then. With an `Idempotency-Key` the ' +
              'same request may be sent again: 200 with the job that it made, instead of a second one; 422 where the key came with another.',
            headers: onceHeadersSchema,
            body: createJobSchema,
            response: { 200: jobSchema, 201: jobSchema },
          },
        },
        async (request, reply) => {
          const key = request.headers['idempotency-key'];
          const { job, added } = await jobs.create(request.body, request.caller.actor, key);
          return reply.code(added ? 201 : 200).send(job);
        },
      );
      api.get(
        '/api/v1/jobs',
        { config: { scope: 'read' }, schema: { querystring: jobsQuerySchema, response: { 200: pageOf(jobSchema) } } },
        async ({ query }) => page(await jobs.list({ ...query, limit: query.limit + 1 }), query.limit, ({ id }) => id),
      );
      api.get(
        '/api/v1/jobs/:id',
        { config: { scope: 'read' }, schema: { params: idParamsSchema, response: { 200: jobSchema } } },
        async ({ params }) => {
          const job = await jobs.get(params.id);
          if (job === undefined) throw new ApiError(404, `no job ${params.id}`, { field: 'id' });
          return job;
        },
      );
      api.get(
        '/api/v1/jobs/:id/points',
        {
          config: { scope: 'read' },
          schema: {
            description: 'Loss, metric and learning rate by step, oldest first, thinned evenly to at most `limit`.',
            params: idParamsSchema,
            querystring: pointsQuerySchema,
            response: { 200: z.object({ items: z.array(jobPointSchema) }) },
          },
        },
        async ({ params, query }) => ({ items: await jobs.points(params.id, query.limit) }),
      );
      api.post(
        '/api/v1/jobs/:id/cancel',
        { config: { scope: 'publish' }, schema: { params: idParamsSchema, response: { 200: jobSchema } } },
        async (request) => jobs.cancel(request.params.id, request.caller.actor),
      );
    },
    problemOf: (error) =>
      error instanceof JobError ? problem(STATUS[error.code], error.message, error.field) : undefined,
  };
}
