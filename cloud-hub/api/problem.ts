// Errors of the admin API as RFC 9457 problem documents (`application/problem+json`). `field` is the JSON pointer or the name of
// what is wrong. Domains translate their own errors (RouteDomain.problemOf); what nobody knows is a 500 without inner detail.
import { STATUS_CODES } from 'node:http';
import { isDiskFull } from '@tidegate/shared/content/content-error.js';
import type { Problem } from '@tidegate/shared/wire/admin-api.js';
import type { FastifyError } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';

export const PROBLEM_TYPE = 'application/problem+json';

/** Thrown by routes that have no domain error to translate. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly field: string | undefined;
  constructor(status: number, message: string, options: { cause?: unknown; field?: string } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.status = status;
    this.field = options.field;
  }
}

export function problem(status: number, detail: string, field?: string): Problem {
  return {
    type: 'about:blank',
    title: STATUS_CODES[status] ?? 'Error',
    status,
    detail,
    ...(field === undefined || field === '' ? {} : { field }),
  };
}

/** What is wrong where Fastify itself refuses a request. */
const FRAMEWORK_FIELDS: Readonly<Record<string, string>> = {
  FST_ERR_BAD_URL: 'path',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'body',
  FST_ERR_CTP_INVALID_JSON_BODY: 'body',
  FST_ERR_CTP_BODY_TOO_LARGE: 'body',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'content-length',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'content-type',
};

/** Problems that Fastify and the schemas make; undefined for an error that isn't theirs. */
export function frameworkProblem(error: unknown): Problem | undefined {
  if (error instanceof ApiError) return problem(error.status, error.message, error.field);
  if (hasZodFastifySchemaValidationErrors(error)) {
    const first = error.validation[0];
    const where = error.validationContext ?? 'request';
    const unknownKey = (first?.params as { keys?: readonly string[] } | undefined)?.keys?.[0];
    const path = [...(first?.instancePath ?? '').split('/'), unknownKey].filter((part) => part);
    return problem(
      400,
      `${where}: ${first?.message ?? 'does not fit the schema'}`,
      path.length === 0 ? where : path.join('/'),
    );
  }
  if (isDiskFull(error))
    return problem(507, "the hub's disk is full; free some space, nothing that it has stored is lost");
  if (error instanceof Error && 'statusCode' in error) {
    const { code, statusCode, message } = error as FastifyError;
    if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
      return problem(statusCode, message, FRAMEWORK_FIELDS[code]);
  }
  return undefined;
}
