// A refusal by the device port: a status, and a body that names what was wrong (`deviceErrorSchema`).
import type { ServerResponse } from 'node:http';
import type { DeviceErrorBody } from '@tidegate/shared/wire/device-api.js';
import { DataError } from '../../data/data-error.js';
import { FleetError } from '../../fleet/fleet-error.js';
import { SecurityError, type SecurityErrorCode } from '../../security/security-error.js';
import { DATA_STATUS } from '../data-problem.js';

export class DeviceError extends Error {
  override readonly name = 'DeviceError';
  readonly status: number;
  readonly code: string;
  readonly field: string | undefined;
  /** When to come again; for what is only refused now. */
  readonly retryAfterSeconds: number | undefined;
  constructor(
    status: number,
    code: string,
    message: string,
    options: { cause?: unknown; field?: string; retryAfterSeconds?: number } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.status = status;
    this.code = code;
    this.field = options.field;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

const SECURITY_STATUS: Partial<Record<SecurityErrorCode, number>> = {
  'token-unknown': 401,
  'token-expired': 401,
  'token-used-up': 401,
  'key-invalid': 400,
  'proof-invalid': 401,
  'name-taken': 409,
  revoked: 403,
  'keys-missing': 503, // the key store was taken away: nobody can be certified now
};

/** By the status; a full hub stays full for a while. */
const RETRY_AFTER_SECONDS: Readonly<Record<number, number>> = { 503: 2, 507: 300 };

/** The refusal that an error stands for; undefined for one that is the hub's own fault. */
export function refusalOf(cause: unknown): DeviceError | undefined {
  if (cause instanceof DeviceError) return cause;
  if (cause instanceof FleetError && cause.code === 'unknown-device') {
    return new DeviceError(403, cause.code, cause.message, { cause });
  }
  if (cause instanceof FleetError && cause.code === 'duplicate-name') {
    return new DeviceError(409, 'name-taken', cause.message, { cause, field: 'name' });
  }
  if (cause instanceof DataError) {
    const retryAfterSeconds = RETRY_AFTER_SECONDS[DATA_STATUS[cause.code]];
    return new DeviceError(DATA_STATUS[cause.code], cause.code, cause.message, {
      cause,
      ...(cause.field === undefined ? {} : { field: cause.field }),
      ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    });
  }
  if (!(cause instanceof SecurityError)) return undefined;
  const status = SECURITY_STATUS[cause.code];
  if (status === undefined) return undefined;
  return new DeviceError(status, cause.code, cause.message, {
    cause,
    ...(cause.field === undefined ? {} : { field: cause.field }),
  });
}

export function sendRefusal(response: ServerResponse, refusal: DeviceError): void {
  const { status, code, message, field, retryAfterSeconds } = refusal;
  if (retryAfterSeconds !== undefined) response.setHeader('retry-after', retryAfterSeconds);
  const body: DeviceErrorBody = { error: message, code, ...(field === undefined ? {} : { field }) };
  sendJson(response, status, body);
}

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response
    .writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
    .end(text);
}
