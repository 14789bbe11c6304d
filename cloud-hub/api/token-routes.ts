// Bearer tokens: make one (its text is in this answer only), list, revoke. Only an admin may: a token can't widen itself.
import { SCOPES, createTokenSchema, pageOf, pageQuerySchema } from '@tidegate/shared/wire/admin-api.js';
import { z } from 'zod';
import type { Tokens } from '../security/tokens.js';
import { idParamsSchema, page, type RouteDomain } from './api.js';
import { ApiError } from './problem.js';

const tokenInfoSchema = z.object({
  id: z.string(),
  name: z.string(),
  scopes: z.array(z.enum(SCOPES)),
  createdAt: z.string(),
  expiresAt: z.string().optional(),
  revokedAt: z.string().optional(),
});

export function tokenRoutes(tokens: Tokens): RouteDomain {
  return {
    tag: 'tokens',
    register: (api) => {
      api.get(
        '/api/v1/me',
        {
          config: { scope: 'any' },
          schema: { response: { 200: z.object({ actor: z.string(), scopes: z.array(z.enum(SCOPES)) }) } },
        },
        async ({ caller }) => ({ actor: caller.actor, scopes: [...caller.scopes] }),
      );
      api.post(
        '/api/v1/tokens',
        {
          config: { scope: 'admin' },
          schema: { body: createTokenSchema, response: { 201: tokenInfoSchema.extend({ token: z.string() }) } },
        },
        async (request, reply) => {
          const { token, info } = await tokens.create(request.body, request.caller.actor);
          return reply.code(201).send({ ...info, scopes: [...info.scopes], token });
        },
      );
      api.get(
        '/api/v1/tokens',
        {
          config: { scope: 'admin' },
          schema: { querystring: pageQuerySchema, response: { 200: pageOf(tokenInfoSchema) } },
        },
        async ({ query }) => {
          const rows = await tokens.list({
            limit: query.limit + 1,
            ...(query.cursor === undefined ? {} : { afterId: query.cursor }),
          });
          return page(
            rows.map((row) => ({ ...row, scopes: [...row.scopes] })),
            query.limit,
            (row) => row.id,
          );
        },
      );
      api.delete(
        '/api/v1/tokens/:id',
        { config: { scope: 'admin' }, schema: { params: idParamsSchema, response: { 204: z.undefined() } } },
        async (request, reply) => {
          if (!(await tokens.revoke(request.params.id, request.caller.actor))) {
            throw new ApiError(404, `no token ${request.params.id}`, { field: 'id' });
          }
          return reply.code(204).send();
        },
      );
    },
  };
}
