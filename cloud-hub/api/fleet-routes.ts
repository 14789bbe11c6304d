// The fleet: devices, settings of groups, tokens by which devices enrol.
import {
  createEnrolmentTokenSchema,
  deviceSchema,
  enrolmentTokenCreatedSchema,
  groupConfigSchema,
  pageOf,
  pageQuerySchema,
  telemetryRowSchema,
} from '@tidegate/shared/wire/admin-api.js';
import { z } from 'zod';
import type { FleetService } from '../fleet/fleet-service.js';
import { idParamsSchema, type RouteDomain } from './api.js';
import { ApiError } from './problem.js';

/** Makes enrolment tokens; the trust side implements it (security/enrolment.ts). */
export interface EnrolmentTokens {
  create(
    request: z.infer<typeof createEnrolmentTokenSchema>,
    actor: string,
  ): Promise<z.infer<typeof enrolmentTokenCreatedSchema>>;
}

/** Shuts a device out of both device ports at once; false for an unknown one. Idempotent. */
export type RevokeDevice = (deviceId: string, actor: string) => Promise<boolean>;

const groupParamsSchema = z.object({ group: createEnrolmentTokenSchema.shape.group });

export function fleetRoutes(fleet: FleetService, tokens: EnrolmentTokens, revoke: RevokeDevice): RouteDomain {
  return {
    tag: 'fleet',
    register: (api) => {
      api.get(
        '/api/v1/devices',
        {
          config: { scope: 'read' },
          schema: {
            querystring: pageQuerySchema.extend({ group: z.string().optional() }),
            response: { 200: pageOf(deviceSchema) },
          },
        },
        async ({ query }) =>
          fleet.devices({
            limit: query.limit,
            ...(query.group === undefined ? {} : { group: query.group }),
            ...(query.cursor === undefined ? {} : { cursor: query.cursor }),
          }),
      );
      api.get(
        '/api/v1/devices/:id',
        { config: { scope: 'read' }, schema: { params: idParamsSchema, response: { 200: deviceSchema } } },
        async ({ params }) => {
          const device = await fleet.device(params.id);
          if (device === undefined) throw new ApiError(404, `no device ${params.id}`, { field: 'id' });
          return device;
        },
      );
      api.delete(
        '/api/v1/devices/:id',
        { config: { scope: 'operate' }, schema: { params: idParamsSchema, response: { 204: z.undefined() } } },
        async (request, reply) => {
          const device = await fleet.device(request.params.id);
          if (device === undefined || !(await revoke(device.id, request.caller.actor))) {
            throw new ApiError(404, `no device ${request.params.id}`, { field: 'id' });
          }
          return reply.code(204).send();
        },
      );
      api.get(
        '/api/v1/devices/:id/telemetry',
        {
          config: { scope: 'read' },
          schema: { params: idParamsSchema, response: { 200: z.object({ items: z.array(telemetryRowSchema) }) } },
        },
        async ({ params }) => ({ items: await fleet.recentTelemetry(params.id) }),
      );
      api.put(
        '/api/v1/groups/:group/config',
        {
          config: { scope: 'operate' },
          schema: { params: groupParamsSchema, body: groupConfigSchema, response: { 200: groupConfigSchema } },
        },
        async (request) => {
          await fleet.configureGroup(request.params.group, request.body, request.caller.actor);
          return request.body;
        },
      );
      api.post(
        '/api/v1/enrolment-tokens',
        {
          config: { scope: 'operate' },
          schema: { body: createEnrolmentTokenSchema, response: { 201: enrolmentTokenCreatedSchema } },
        },
        async (request, reply) => reply.code(201).send(await tokens.create(request.body, request.caller.actor)),
      );
    },
  };
}
