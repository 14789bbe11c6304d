// Datasets: list, look into, compare, freeze from a query, import, and hand out for export. An export reads the manifest and the shards,
// both of which stand under their digests, so what arrives can be held against the version.
import { pageOf, pageQuerySchema } from '@tidegate/shared/wire/admin-api.js';
import {
  createDatasetSchema,
  datasetDiffSchema,
  datasetItemSchema,
  datasetNameSchema,
  datasetReadSchema,
  datasetVersionSchema,
  importDatasetSchema,
  importMissingSchema,
  importQuestionSchema,
  importTakenSchema,
  importTargetSchema,
} from '@tidegate/shared/wire/data-api.js';
import { digestSchema } from '@tidegate/shared/wire/digest.js';
import { packagePathSchema } from '@tidegate/shared/wire/manifest.js';
import { modelNameSchema } from '@tidegate/shared/wire/model-yaml.js';
import { LIMIT_FRAMES, LIMIT_FRAMES_BYTES } from '@tidegate/shared/wire/sample-frames.js';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import type { DatasetImport } from '../data/dataset-import.js';
import type { DatasetService, MadeDataset } from '../data/dataset-service.js';
import type { DatasetThroughput } from '../data/dataset-throughput.js';
import { page, type Api, type RouteDomain } from './api.js';
import { byteAnswer, sendBytes } from './byte-answer.js';
import { dataProblem } from './data-problem.js';
import { goneSignal } from './gone-signal.js';

const OCTETS = 'application/octet-stream';
/** 200,000 items of about 120 bytes. */
const LIMIT_IMPORT_BYTES = 32 * 1024 * 1024;

const nameParamsSchema = z.object({ name: datasetNameSchema });
const version = z.string().regex(/^([1-9][0-9]{0,8}|latest)$/, 'must be a number or latest');
const versionParamsSchema = nameParamsSchema.extend({ version });
const shard = z
  .string()
  .regex(/^(0|[1-9][0-9]{0,8})$/, 'must be a whole number')
  .transform(Number);
const shardParamsSchema = versionParamsSchema.extend({ shard });
const datasetsQuerySchema = pageQuerySchema.extend({ cursor: datasetNameSchema.optional() });
const versionsQuerySchema = pageQuerySchema.extend({ cursor: z.coerce.number().int().positive().optional() });
const itemsQuerySchema = pageQuerySchema.extend({ cursor: digestSchema.optional() });
const diffQuerySchema = z.object({ from: version, to: version.default('latest') });
const readQuerySchema = z.object({
  loss: z.enum(['cross-entropy', 'mse']).default('cross-entropy'),
  graph: packagePathSchema.optional(),
});

export interface DatasetModules {
  readonly datasets: DatasetService;
  readonly imports: DatasetImport;
  readonly throughput: DatasetThroughput;
}

export function datasetRoutes(modules: DatasetModules): RouteDomain {
  return {
    tag: 'datasets',
    register: (api) => {
      listRoutes(api, modules.datasets);
      contentRoutes(api, modules.datasets);
      changeRoutes(api, modules);
      importRoutes(api, modules.imports);
    },
    problemOf: dataProblem,
  };
}

function listRoutes(api: Api, datasets: DatasetService): void {
  api.get(
    '/api/v1/datasets',
    {
      config: { scope: 'read' },
      schema: {
        description: 'The newest version of each dataset, by name.',
        querystring: datasetsQuerySchema,
        response: { 200: pageOf(datasetVersionSchema) },
      },
    },
    async ({ query: { limit, cursor } }) => {
      return page(await datasets.list({ limit: limit + 1, afterName: cursor }), limit, ({ name }) => name);
    },
  );
  api.get(
    '/api/v1/datasets/:name/versions',
    {
      config: { scope: 'read' },
      schema: {
        description: 'Newest first.',
        params: nameParamsSchema,
        querystring: versionsQuerySchema,
        response: { 200: pageOf(datasetVersionSchema) },
      },
    },
    async ({ params: { name }, query: { limit, cursor } }) => {
      const versions = await datasets.versions({ name, limit: limit + 1, beforeVersion: cursor });
      return page(versions, limit, (one) => String(one.version));
    },
  );
  api.get(
    '/api/v1/datasets/:name/versions/:version',
    { config: { scope: 'read' }, schema: { params: versionParamsSchema, response: { 200: datasetVersionSchema } } },
    async ({ params }) => datasets.get(params.name, params.version),
  );
  api.get(
    '/api/v1/datasets/:name/versions/:version/items',
    {
      config: { scope: 'read' },
      schema: {
        description: 'By id. Where a body lies stands in the item: its shard, and its place there.',
        params: versionParamsSchema,
        querystring: itemsQuerySchema,
        response: { 200: pageOf(datasetItemSchema) },
      },
    },
    async ({ params, query: { limit, cursor } }) => {
      const items = await datasets.items(params.name, params.version, { limit: limit + 1, afterId: cursor });
      return page(items, limit, ({ id }) => id);
    },
  );
  api.get(
    '/api/v1/datasets/:name/diff',
    {
      config: { scope: 'read' },
      schema: {
        description: 'What version `to` has that version `from` hasn’t, and the other way round.',
        params: nameParamsSchema,
        querystring: diffQuerySchema,
        response: { 200: datasetDiffSchema },
      },
    },
    async ({ params, query }) => datasets.diff(params.name, query.from, query.to),
  );
}

function contentRoutes(api: Api, datasets: DatasetService): void {
  api.get(
    '/api/v1/datasets/:name/versions/:version/manifest',
    {
      config: { scope: 'read' },
      schema: {
        description: 'Canonical JSON; its SHA-256 is the version’s digest.',
        params: versionParamsSchema,
        response: { 200: byteAnswer('application/json') },
      },
    },
    async ({ params }, reply) => {
      return sendBytes(reply, 'application/json', await datasets.manifestBytes(params.name, params.version));
    },
  );
  api.get(
    '/api/v1/datasets/:name/versions/:version/shards/:shard',
    {
      config: { scope: 'read' },
      schema: {
        description: 'Sample bodies; the manifest says where each one begins. `shard`: its place in the manifest.',
        params: shardParamsSchema,
        response: { 200: byteAnswer(OCTETS) },
      },
    },
    async ({ params }, reply) => {
      const { data, sizeBytes } = await datasets.shard(params.name, params.version, params.shard);
      return reply
        .type(OCTETS)
        .header('content-length', sizeBytes)
        .header('x-content-type-options', 'nosniff')
        .send(data);
    },
  );
}

function changeRoutes(api: Api, { datasets, throughput }: DatasetModules): void {
  api.post(
    '/api/v1/datasets',
    {
      config: { scope: 'operate' },
      schema: {
        description:
          'Freezes the labelled samples that the query picks: 201 with a new version, or 200 with the newest one where it holds just this. ' +
          'Of equal inputs under different labels, the sample that came last decides.',
        body: createDatasetSchema,
        response: { 200: datasetVersionSchema, 201: datasetVersionSchema },
      },
    },
    async (request, reply) => {
      return sendMade(reply, await datasets.create(request.body, request.caller.actor));
    },
  );
  api.delete(
    '/api/v1/datasets/:name/versions/:version',
    {
      config: { scope: 'operate' },
      schema: {
        description:
          'For good, with its files; its number is never given again, and lineage goes on naming it. 409 while a training job that has not ' +
          'ended uses it.',
        params: versionParamsSchema,
        response: { 204: z.undefined() },
      },
    },
    async ({ params, caller }, reply) => {
      await datasets.delete(params.name, params.version, caller.actor);
      return reply.code(204).send();
    },
  );
  api.post(
    '/api/v1/datasets/:name/versions/:version/read',
    {
      config: { scope: 'operate' },
      schema: {
        description: 'Reads and prepares all samples once, as training does, and says how fast that was.',
        params: versionParamsSchema,
        querystring: readQuerySchema,
        response: { 200: datasetReadSchema },
      },
    },
    async ({ params, query }, reply) => throughput.measure(params.name, params.version, query, goneSignal(reply)),
  );
}

function importRoutes(api: Api, imports: DatasetImport): void {
  api.get(
    '/api/v1/datasets/:name/import',
    {
      config: { scope: 'operate' },
      schema: {
        description: 'What a sample of the model is made of: the inputs of its newest ready version.',
        params: nameParamsSchema,
        querystring: z.object({ model: modelNameSchema }),
        response: { 200: importTargetSchema },
      },
    },
    async ({ query }) => imports.target(query.model),
  );
  api.post(
    '/api/v1/datasets/:name/import/missing',
    {
      config: { scope: 'operate' },
      schema: {
        description: 'Which of these samples the hub has not. Labels that the model doesn’t know are refused here.',
        params: nameParamsSchema,
        body: importQuestionSchema,
        response: { 200: importMissingSchema },
      },
    },
    async ({ body }) => ({ missing: await imports.missing(body) }),
  );
  api.post(
    '/api/v1/datasets/:name/import',
    {
      config: { scope: 'operate' },
      bodyLimit: LIMIT_IMPORT_BYTES,
      schema: {
        description:
          'Freezes exactly these samples, which the hub must have: 201 with a new version, or 200 with the newest one where it holds just ' +
          'this. Their labels become the samples’ own.',
        params: nameParamsSchema,
        body: importDatasetSchema,
        response: { 200: datasetVersionSchema, 201: datasetVersionSchema },
      },
    },
    async (request, reply) => {
      return sendMade(reply, await imports.freeze(request.params.name, request.body, request.caller.actor));
    },
  );
  // Bodies are binary. Only this scope has the parser.
  void api.register(async (scoped) => {
    scoped.removeAllContentTypeParsers();
    scoped.addContentTypeParser(OCTETS, { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
    (scoped as unknown as Api).post(
      '/api/v1/datasets/:name/import/samples',
      {
        config: { scope: 'operate' },
        bodyLimit: LIMIT_FRAMES_BYTES,
        schema: {
          description:
            `Up to ${LIMIT_FRAMES} samples with their labels (\`application/octet-stream\`): for each the label's length as u32, little-endian, ` +
            'the label, the length of the sample, the sample. All are taken or none; sending them again is harmless.',
          consumes: [OCTETS],
          params: nameParamsSchema,
          response: { 200: importTakenSchema },
        },
      },
      async ({ params, body }) => imports.take((body ?? new Uint8Array()) as Uint8Array, params.name),
    );
  });
}

/** 201 where it was made, 200 where the newest version is that already. */
function sendMade(reply: FastifyReply, { version: made, added }: MadeDataset): FastifyReply {
  return reply.code(added ? 201 : 200).send(made);
}
