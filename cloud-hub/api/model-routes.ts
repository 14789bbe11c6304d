// Models and versions (read), and publishing by resumable upload: POST creates it, PUT appends a piece of a file, POST complete makes
// the version; validation and optimising then go on in the background and are seen on the version and on the live channel.
import {
  createUploadSchema,
  modelSchema,
  pageOf,
  pageQuerySchema,
  uploadSchema,
  versionSchema,
  type Problem,
} from '@tidegate/shared/wire/admin-api.js';
import { modelNameSchema } from '@tidegate/shared/wire/model-yaml.js';
import { z } from 'zod';
import { RegistryError, type RegistryErrorCode } from '../registry/registry-error.js';
import type { RegistryService } from '../registry/registry-service.js';
import type { Uploads } from '../registry/uploads.js';
import { idParamsSchema, page, type Api, type RouteDomain } from './api.js';
import { ApiError, problem } from './problem.js';

/** Longest piece of a file in one request; a client that sends larger ones splits them. */
const LIMIT_PIECE_BYTES = 4 * 1024 ** 3;
const OCTETS = 'application/octet-stream';

const STATUS: Readonly<Record<RegistryErrorCode, number>> = {
  'not-found': 404,
  ambiguous: 400,
  invalid: 422,
  conflict: 409,
  'too-large': 413,
  'no-space': 507,
};

const modelParamsSchema = z.object({ model: modelNameSchema });
const versionParamsSchema = modelParamsSchema.extend({ version: z.string().min(1).max(80) });
const pieceParamsSchema = idParamsSchema.extend({
  hex: z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits'),
});
const pieceQuerySchema = z.object({ offset: z.coerce.number().int().min(0).default(0) });
const receivedSchema = z.object({ receivedBytes: z.int(), complete: z.boolean() });

export function modelRoutes(registry: RegistryService, uploads: Uploads): RouteDomain {
  return {
    tag: 'models',
    register: (api) => {
      readRoutes(api, registry);
      uploadRoutes(api, registry, uploads);
    },
    problemOf: registryProblem,
  };
}

function registryProblem(error: unknown): Problem | undefined {
  return error instanceof RegistryError ? problem(STATUS[error.code], error.message, error.field) : undefined;
}

function readRoutes(api: Api, registry: RegistryService): void {
  api.get(
    '/api/v1/models',
    { config: { scope: 'read' }, schema: { querystring: pageQuerySchema, response: { 200: pageOf(modelSchema) } } },
    async ({ query }) => {
      const { limit, cursor } = query;
      const rows = await registry.models({ limit: limit + 1, ...(cursor === undefined ? {} : { afterName: cursor }) });
      return page(rows, limit, (row) => row.name);
    },
  );
  api.get(
    '/api/v1/models/:model',
    { config: { scope: 'read' }, schema: { params: modelParamsSchema, response: { 200: modelSchema } } },
    async ({ params }) => {
      const [found] = await registry.models({ limit: 1, name: params.model });
      if (found === undefined) throw new ApiError(404, `no model ${params.model}`, { field: 'model' });
      return found;
    },
  );
  api.get(
    '/api/v1/models/:model/versions',
    {
      config: { scope: 'read' },
      schema: {
        params: modelParamsSchema,
        querystring: pageQuerySchema.extend({ cursor: z.coerce.number().int().positive().optional() }),
        response: { 200: pageOf(versionSchema) },
      },
    },
    async ({ params, query }) => {
      const { limit, cursor } = query;
      const rows = await registry.versions({
        model: params.model,
        limit: limit + 1,
        ...(cursor === undefined ? {} : { beforeVersion: cursor }),
      });
      return page(rows, limit, (row) => String(row.version));
    },
  );
  api.get(
    '/api/v1/models/:model/versions/:version',
    {
      config: { scope: 'read' },
      schema: {
        description:
          '`version`: its number, its label, the beginning of its digest, or `latest` (the newest ready one).',
        params: versionParamsSchema,
        response: { 200: versionSchema },
      },
    },
    async ({ params: { model, version } }) => {
      const found =
        (await registry.version(model, version)) ?? (version === 'latest' ? await registry.latest(model) : undefined);
      if (found === undefined)
        throw new ApiError(404, `no version ${version} of a model ${model}`, { field: 'version' });
      return found;
    },
  );
}

function uploadRoutes(api: Api, registry: RegistryService, uploads: Uploads): void {
  api.post(
    '/api/v1/uploads',
    { config: { scope: 'publish' }, schema: { body: createUploadSchema, response: { 201: uploadSchema } } },
    async (request, reply) => reply.code(201).send(await uploads.create(request.body, request.caller.actor)),
  );
  api.get(
    '/api/v1/uploads/:id',
    { config: { scope: 'publish' }, schema: { params: idParamsSchema, response: { 200: uploadSchema } } },
    async ({ params }) => uploads.show(params.id),
  );
  api.post(
    '/api/v1/uploads/:id/complete',
    { config: { scope: 'publish' }, schema: { params: idParamsSchema, response: { 202: versionSchema } } },
    async (request, reply) => reply.code(202).send(await registry.publish(request.params.id, request.caller.actor)),
  );
  // The piece is read as a stream, straight to disk. Only this scope has the parser.
  void api.register(async (scoped) => {
    scoped.removeAllContentTypeParsers();
    scoped.addContentTypeParser(OCTETS, (_request, payload, done) => done(null, payload));
    (scoped as unknown as Api).put(
      '/api/v1/uploads/:id/files/:hex',
      {
        config: { scope: 'publish' },
        bodyLimit: LIMIT_PIECE_BYTES,
        schema: {
          description:
            'Appends a piece (`application/octet-stream`) at `offset`, which must be what the hub has received so far.',
          consumes: [OCTETS],
          params: pieceParamsSchema,
          querystring: pieceQuerySchema,
          response: { 200: receivedSchema },
        },
      },
      async (request) => {
        const { id, hex } = request.params;
        const piece = (request.body ?? []) as AsyncIterable<Uint8Array>;
        return uploads.receive(id, hex, request.query.offset, piece);
      },
    );
  });
}
