// Enrolment: the device makes its key, proves that it holds it, and gets a certificate. Nothing, not even the token's secret, is
// said before the server has shown the CA whose fingerprint the token carries; and nothing of the answer is believed that
// does not fit that CA and the key. The key is kept before the first word, so that an enrolment that was interrupted is
// repeated with the same key, which the hub answers with the same identity.
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto';
import { request } from 'undici';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Files } from '@tidegate/shared/system/files.js';
import { BUILD_TIME_MS } from '@tidegate/shared/tuf/trusted-time.js';
import { deviceErrorSchema, devicePaths } from '@tidegate/shared/wire/device-api.js';
import {
  decodeToken,
  enrolProofText,
  enrolResponseSchema,
  type EnrolmentToken,
  type EnrolRequest,
  type EnrolResponse,
} from '@tidegate/shared/wire/enrolment.js';
import { fingerprintOf } from './hub-certificate.js';
import { hubDispatcher, type HubTrust } from './hub-transport.js';
import { identityPaths, loadIdentity, storeIdentity, type Identity } from './identity.js';
import { IdentityError } from './identity-error.js';

const TIMEOUT_MS = 30_000;
const LIMIT_ANSWER_BYTES = 1024 * 1024;

interface EnrolOptions {
  readonly dataDir: string;
  /** The text that the operator handed over. */
  readonly token: string;
  /** Base URL of the hub's device port, where the token's is not how this device reaches it. */
  readonly hub?: string;
  /** Wished name. */
  readonly name?: string;
}

interface EnrolModules {
  readonly files: Files;
  readonly clock: Clock;
  readonly onClock?: HubTrust['onClock'];
}

/**
 * Resolves with the identity, which is then on disk; at once where this token has enrolled this device already. Rejects with
 * IdentityError, or the signal's reason; then there is no identity, or the one from before.
 */
export async function enrol(options: EnrolOptions, modules: EnrolModules, signal: AbortSignal): Promise<Identity> {
  const token = decodeToken(options.token);
  if (token === undefined) {
    throw new IdentityError('token-malformed', 'the token is no enrolment token; it begins with tg1. and is one line');
  }
  const known = await knownIdentity(options.dataDir, token, modules.files);
  if (known !== undefined) return known;
  const keyPem = await deviceKey(options.dataDir, modules.files);
  const hub = options.hub ?? token.deviceUrl;
  const answer = await ask(hub, requestOf(token, keyPem, options.name), token, modules, signal);
  checkAnswer(answer, token, keyPem);
  await storeIdentity(
    options.dataDir,
    {
      deviceId: answer.deviceId,
      group: answer.group,
      certificatePem: answer.certificatePem,
      caPem: answer.caPem,
      deviceUrl: options.hub ?? answer.deviceUrl,
      mqttUrl: options.hub === undefined ? answer.mqttUrl : withHostOf(answer.mqttUrl, options.hub),
      tufRoot: answer.tufRoot,
      tokenId: token.id,
    },
    modules.files,
  );
  return loadIdentity(options.dataDir, modules.files);
}

/** The identity where this very token made it; undefined where there is none. */
async function knownIdentity(dataDir: string, token: EnrolmentToken, files: Files): Promise<Identity | undefined> {
  let identity: Identity;
  try {
    identity = await loadIdentity(dataDir, files);
  } catch (cause) {
    if (cause instanceof IdentityError && cause.code === 'not-enrolled') return undefined;
    if (cause instanceof IdentityError && cause.code === 'damaged') return undefined; // enrolling anew is the way out
    throw cause;
  }
  const sameHub = fingerprintOf(new X509Certificate(identity.caPem)) === token.caFingerprint;
  if (sameHub && identity.tokenId === token.id) return identity;
  const where = sameHub ? 'at this hub' : 'at another hub';
  throw new IdentityError(
    'already-enrolled',
    `${dataDir} is enrolled ${where} as ${identity.deviceId}; use another --data-dir, or remove its folder identity/ first`,
  );
}

/** Reads the device's key, making it the first time. */
async function deviceKey(dataDir: string, files: Files): Promise<string> {
  const path = identityPaths(dataDir).key;
  try {
    if ((await files.sizeBytes('identity.stat', path)) !== undefined) {
      const pem = Buffer.from(await files.read('identity.read', path)).toString('utf8');
      if (isPrivateKey(pem)) return pem;
    }
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    await files.writeAtomic('identity.key', path, pem, 0o600);
    return pem;
  } catch (cause) {
    throw new IdentityError('storage', `the device's key could not be stored: ${(cause as Error).message}`, { cause });
  }
}

function isPrivateKey(pem: string): boolean {
  try {
    return createPrivateKey(pem).asymmetricKeyType === 'ec';
  } catch {
    return false; // damaged: a new one is made
  }
}

function requestOf(token: EnrolmentToken, keyPem: string, name: string | undefined): EnrolRequest {
  const nonce = randomBytes(24).toString('base64url');
  return {
    tokenId: token.id,
    secret: token.secret,
    publicKeyPem: createPublicKey(keyPem).export({ format: 'pem', type: 'spki' }).toString(),
    nonce,
    proof: sign('sha256', Buffer.from(enrolProofText(token.id, nonce)), keyPem).toString('base64'),
    ...(name === undefined ? {} : { name }),
  };
}

async function ask(
  hub: string,
  body: EnrolRequest,
  token: EnrolmentToken,
  modules: EnrolModules,
  signal: AbortSignal,
): Promise<EnrolResponse> {
  const dispatcher = hubDispatcher({
    ca: { fingerprint: token.caFingerprint },
    clock: modules.clock,
    floorMs: () => BUILD_TIME_MS,
    ...(modules.onClock === undefined ? {} : { onClock: modules.onClock }),
  });
  try {
    const { statusCode, text } = await post(new URL(devicePaths.enrol, hub).href, body, dispatcher, signal);
    if (statusCode !== 201 && statusCode !== 200) throw refusalOf(hub, statusCode, text);
    const parsed = enrolResponseSchema.safeParse(jsonOf(text));
    if (parsed.success) return parsed.data;
    const field = parsed.error.issues[0]?.path.join('.') ?? '';
    throw new IdentityError(
      'invalid-answer',
      `the hub's answer can't be read: ${field} ${parsed.error.issues[0]?.message}`,
    );
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof IdentityError) throw cause;
    throw new IdentityError('unreachable', `the hub at ${hub} can't be reached: ${reasonOf(cause)}`, { cause });
  } finally {
    await dispatcher.destroy();
  }
}

/** POSTs JSON; the answer is bounded in size and time. */
export async function post(
  url: string,
  body: unknown,
  dispatcher: ReturnType<typeof hubDispatcher>,
  signal: AbortSignal,
): Promise<{ readonly statusCode: number; readonly text: string }> {
  const response = await request(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    dispatcher,
    signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
  });
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > LIMIT_ANSWER_BYTES) throw new IdentityError('invalid-answer', "the hub's answer is too large");
    chunks.push(chunk);
  }
  return { statusCode: response.statusCode, text: Buffer.concat(chunks).toString('utf8') };
}

/** The hub's own words where it gave some. */
export function refusalOf(hub: string, statusCode: number, text: string): IdentityError {
  const parsed = deviceErrorSchema.safeParse(jsonOf(text));
  if (!parsed.success) return new IdentityError('refused', `the hub at ${hub} answered ${statusCode}`);
  return new IdentityError('refused', parsed.data.error, { hubCode: parsed.data.code });
}

export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the schema that reads it says what is missing
  }
}

function checkAnswer(answer: EnrolResponse, token: EnrolmentToken, keyPem: string): void {
  const refuse = (message: string): never => {
    throw new IdentityError('invalid-answer', `the hub's answer was not taken: ${message}`);
  };
  const ca = certificateOf(answer.caPem, refuse);
  if (fingerprintOf(ca) !== token.caFingerprint) refuse('its CA is not the one of the token');
  checkCertificate(answer.certificatePem, ca, answer.deviceId, keyPem, refuse);
  const root = jsonOf(answer.tufRoot) as { signed?: { _type?: unknown } } | undefined;
  if (root?.signed?._type !== 'root') refuse('its update root is none');
}

/** The certificate is of this CA, for this key and this device. */
export function checkCertificate(
  pem: string,
  ca: X509Certificate,
  deviceId: string,
  keyPem: string,
  refuse: (message: string) => never,
): void {
  const certificate = certificateOf(pem, refuse);
  if (!certificate.checkIssued(ca) || !certificate.verify(ca.publicKey))
    refuse('the certificate is not signed by the CA');
  if (!certificate.checkPrivateKey(createPrivateKey(keyPem))) refuse('the certificate is for another key');
  if (certificate.subject !== `CN=${deviceId}`) refuse('the certificate is for another device');
}

function certificateOf(pem: string, refuse: (message: string) => never): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    return refuse('a certificate in it is none');
  }
}

function withHostOf(url: string, hub: string): string {
  const result = new URL(url);
  result.hostname = new URL(hub).hostname;
  return result.href;
}

function reasonOf(cause: unknown): string {
  const error = cause as { message?: string; code?: string; cause?: { message?: string } };
  return error.message || error.cause?.message || error.code || String(cause);
}
