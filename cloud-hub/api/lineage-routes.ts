// What a version was made from: from the version, or from an answer, which carries the digests of version and variant.
import { modelNameSchema } from '@tidegate/shared/wire/model-yaml.js';
import { lineageSchema, type Lineage } from '@tidegate/shared/wire/training-api.js';
import { z } from 'zod';
import type { RouteDomain } from './api.js';

const paramsSchema = z.object({ model: modelNameSchema, version: z.string().min(1).max(80) });

/** Rejects with RegistryError where there is no such version. */
export type TraceLineage = (model: string, spec: string) => Promise<Lineage>;

export function lineageRoutes(trace: TraceLineage): RouteDomain {
  return {
    tag: 'models',
    register: (api) => {
      api.get(
        '/api/v1/models/:model/versions/:version/lineage',
        {
          config: { scope: 'read' },
          schema: {
            description:
              'The job, parents, datasets and samples behind a version. `version`: its number, its label, or the beginning of its digest or of a variant’s, as an answer’s `model_digest` and `variant_digest` say them.',
            params: paramsSchema,
            response: { 200: lineageSchema },
          },
        },
        async ({ params }) => trace(params.model, params.version),
      );
    },
  };
}
