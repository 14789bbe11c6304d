// Is the hub there, and what is it? Open to all, and says nothing that an attacker could use.
import { z } from 'zod';
import type { RouteDomain } from './api.js';
import { docsPage } from './docs-page.js';

const healthSchema = z.object({ status: z.enum(['ok', 'draining']), version: z.string() });

export function healthRoutes(version: string, draining: () => boolean): RouteDomain {
  return {
    tag: 'hub',
    register: (api) => {
      api.get(
        '/api/v1/health',
        { config: { scope: 'public' }, schema: { response: { 200: healthSchema } } },
        async () => ({ status: draining() ? ('draining' as const) : ('ok' as const), version }),
      );
      api.get('/api/docs', { config: { scope: 'public' }, schema: { hide: true } }, async (_request, reply) =>
        reply
          .type('text/html; charset=utf-8')
          .header('content-security-policy', docsPage.contentSecurityPolicy)
          .send(docsPage.html),
      );
    },
  };
}
