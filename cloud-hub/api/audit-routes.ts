// The audit log, newest first.
import { auditRowSchema, pageOf, pageQuerySchema } from '@tidegate/shared/wire/admin-api.js';
import { z } from 'zod';
import { listAudit } from '../security/audit.js';
import type { Database } from '../storage/database.js';
import { page, type RouteDomain } from './api.js';

const auditQuerySchema = pageQuerySchema.extend({
  cursor: z.coerce.number().int().positive().optional(),
  /** The beginning of the subject: `ocr-line`, `ocr-line@3`. */
  subject: z.string().max(200).optional(),
});

export function auditRoutes(db: Database): RouteDomain {
  return {
    tag: 'audit',
    register: (api) => {
      api.get(
        '/api/v1/audit',
        {
          config: { scope: 'read' },
          schema: { querystring: auditQuerySchema, response: { 200: pageOf(auditRowSchema) } },
        },
        async ({ query }) => {
          const rows = await listAudit(db, {
            limit: query.limit + 1,
            ...(query.cursor === undefined ? {} : { beforeId: query.cursor }),
            ...(query.subject === undefined ? {} : { subject: query.subject }),
          });
          return page(rows, query.limit, (row) => String(row.id));
        },
      );
    },
  };
}
