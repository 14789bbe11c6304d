// Samples: find, look at, judge, ask the hub's model, delete. A sample is named by the hex of its body's digest.
import { pageOf, pageQuerySchema } from '@tidegate/shared/wire/admin-api.js';
import {
  labelSampleSchema,
  proposedSchema,
  sampleSchema,
  sampleSummarySchema,
} from '@tidegate/shared/wire/data-api.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import { z } from 'zod';
import type { SampleProposals } from '../data/sample-proposals.js';
import type { SampleService } from '../data/sample-service.js';
import type { Api, RouteDomain } from './api.js';
import { byteAnswer, sendBytes } from './byte-answer.js';
import { dataProblem } from './data-problem.js';
import { goneSignal } from './gone-signal.js';

const hex = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits');
const sampleParamsSchema = z.object({ hex });
const inputParamsSchema = sampleParamsSchema.extend({ name: z.string().min(1).max(128) });
const where = z
  .string()
  .optional()
  .transform((text) => (text?.trim() === '' ? undefined : text));
const whereSchema = z.object({ where });
const listQuerySchema = pageQuerySchema.extend({ where });
const manyQuerySchema = whereSchema.extend({ limit: pageQuerySchema.shape.limit });

const WHERE_TEXT =
  '`where`: conditions like `model=digits and confidence<0.8`, as in `tidegate dataset create --from`; without it all.';

/** Inputs and pictures come from devices: whatever they hold, a browser runs none of it. */
const UNTRUSTED = {
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; sandbox",
  'cache-control': 'private, no-cache',
};

export function sampleRoutes(samples: SampleService, proposals: SampleProposals): RouteDomain {
  return {
    tag: 'samples',
    register: (api) => {
      listRoutes(api, samples);
      readRoutes(api, samples);
      judgeRoutes(api, samples);
      proposalRoutes(api, proposals);
    },
    problemOf: dataProblem,
  };
}

function listRoutes(api: Api, samples: SampleService): void {
  api.get(
    '/api/v1/samples',
    {
      config: { scope: 'read' },
      schema: {
        description: `Newest first. ${WHERE_TEXT}`,
        querystring: listQuerySchema,
        response: { 200: pageOf(sampleSchema) },
      },
    },
    async ({ query }) => samples.list(query),
  );
  api.get(
    '/api/v1/samples/summary',
    {
      config: { scope: 'read' },
      schema: {
        description: `How many samples stand where. ${WHERE_TEXT}`,
        querystring: whereSchema,
        response: { 200: sampleSummarySchema },
      },
    },
    async ({ query }) => samples.summary(query.where),
  );
}

function readRoutes(api: Api, samples: SampleService): void {
  api.get(
    '/api/v1/samples/:hex',
    { config: { scope: 'read' }, schema: { params: sampleParamsSchema, response: { 200: sampleSchema } } },
    async ({ params }) => samples.get(idOf(params)),
  );
  api.get(
    '/api/v1/samples/:hex/inputs/:name',
    {
      config: { scope: 'read' },
      schema: {
        description: 'The raw little-endian elements; datatype and shape stand in the sample.',
        params: inputParamsSchema,
        response: { 200: byteAnswer('application/octet-stream') },
      },
    },
    async ({ params }, reply) => {
      const { data } = await samples.input(idOf(params), params.name);
      return sendBytes(reply.headers(UNTRUSTED), 'application/octet-stream', data);
    },
  );
  api.get(
    '/api/v1/samples/:hex/picture',
    {
      config: { scope: 'read' },
      schema: {
        description: 'The first input that is a picture; 404 where none is.',
        params: sampleParamsSchema,
        response: { 200: byteAnswer('image/png', 'image/jpeg', 'image/webp') },
      },
    },
    async ({ params }, reply) => {
      const { type, bytes } = await samples.picture(idOf(params));
      return sendBytes(reply.headers(UNTRUSTED), type, bytes);
    },
  );
}

function judgeRoutes(api: Api, samples: SampleService): void {
  api.put(
    '/api/v1/samples/:hex/label',
    {
      config: { scope: 'operate' },
      schema: {
        description: 'Sets the label; where the package names its classes, it must be one of them.',
        params: sampleParamsSchema,
        body: labelSampleSchema,
        response: { 200: sampleSchema },
      },
    },
    async (request) => samples.label(idOf(request.params), request.body.label, request.caller.actor),
  );
  const verbs = {
    reject: 'No dataset takes a rejected sample. Its label is kept, for when it is reopened.',
    reopen:
      'Takes the last decision back: a rejected sample has its label again, if it had one; a labelled one has none.',
    accept: "The proposal of the hub's model becomes the label; 409 where there is none.",
  } as const;
  for (const verb of ['reject', 'reopen', 'accept'] as const) {
    api.post(
      `/api/v1/samples/:hex/${verb}`,
      {
        config: { scope: 'operate' },
        schema: { description: verbs[verb], params: sampleParamsSchema, response: { 200: sampleSchema } },
      },
      async (request) => samples[verb](idOf(request.params), request.caller.actor),
    );
  }
  api.delete(
    '/api/v1/samples/:hex',
    {
      config: { scope: 'operate' },
      schema: {
        description: 'Row and body. Datasets that were frozen from it keep their copy.',
        params: sampleParamsSchema,
        response: { 204: z.undefined() },
      },
    },
    async (request, reply) => {
      await samples.delete(idOf(request.params), request.caller.actor);
      return reply.code(204).send();
    },
  );
}

function proposalRoutes(api: Api, proposals: SampleProposals): void {
  api.post(
    '/api/v1/samples/:hex/propose',
    {
      config: { scope: 'operate' },
      schema: {
        description: "Asks the hub's newest version of the model, unless it has been asked already.",
        params: sampleParamsSchema,
        response: { 200: sampleSchema },
      },
    },
    async (request, reply) => proposals.propose(idOf(request.params), request.caller.actor, goneSignal(reply)),
  );
  api.post(
    '/api/v1/samples/propose',
    {
      config: { scope: 'operate' },
      schema: {
        description: `Asks for the newest samples that have no proposal of the newest version, for 30 s at most. ${WHERE_TEXT}`,
        querystring: manyQuerySchema,
        response: { 200: proposedSchema },
      },
    },
    async (request, reply) => {
      const { where: text, limit } = request.query;
      return proposals.proposeMany(text, limit, request.caller.actor, goneSignal(reply));
    },
  );
}

function idOf({ hex: digits }: { readonly hex: string }): Digest {
  return `sha256:${digits}`;
}
