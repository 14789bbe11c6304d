// The hub's own certificate authority: one P-256 root, no intermediates. It certifies devices (common name = device id, one
// year, client use only) and the hub's own ports (names and addresses as given, server use only). Its certificate's
// fingerprint travels in the enrolment token, which is why it is never made anew while its key is there.
// oxlint-disable-next-line import/no-unassigned-import -- @peculiar/x509 resolves its providers through this polyfill
import 'reflect-metadata';
import { createPublicKey, randomBytes, X509Certificate, createHash, generateKeyPairSync, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Files } from '@tidegate/shared/system/files.js';
import { KeyStore } from './key-store.js';
import { SecurityError } from './security-error.js';

const DAY_MS = 86_400_000;
const CA_DAYS = 20 * 365;
const DEVICE_DAYS = 365;
const SERVER_DAYS = 397;
/** Certificates begin this much before they are made, for devices whose clocks run behind. */
const BACKDATE_DAYS = 1;
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const CA_FILE = 'ca.crt';

export interface IssuedCertificate {
  readonly pem: string;
  /** Hexadecimal. */
  readonly serial: string;
  readonly notAfterMs: number;
}

/** What a TLS server needs; the chain carries the CA, so that an enrolling device can find it by its fingerprint. */
export interface ServerIdentity {
  readonly keyPem: string;
  readonly chainPem: string;
  readonly caPem: string;
}

interface CertificateAuthorityModules {
  readonly keys: KeyStore;
  readonly clock: Clock;
}

/** Makes the keys and the CA's certificate that are not there yet: what `tidegate-hub init` calls. */
export async function initKeys(folder: string, files: Files, clock: Clock): Promise<KeyStore> {
  const keys = new KeyStore(folder, files);
  await keys.makeMissing();
  await openCertificateAuthority({ keys, clock });
  return keys;
}

/** Reads the CA, making its certificate at the first time. Rejects with SecurityError `keys-missing` or `keys-damaged`. */
export async function openCertificateAuthority(modules: CertificateAuthorityModules): Promise<CertificateAuthority> {
  const { keys, clock } = modules;
  let pem = await keys.publicFile(CA_FILE);
  if (pem === undefined) {
    pem = await selfSigned(await signingKey(keys), clock.nowMs());
    await keys.writePublicFile(CA_FILE, pem);
  }
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch (cause) {
    throw new SecurityError('keys-damaged', `${CA_FILE} is no certificate`, { cause });
  }
  return new CertificateAuthority(certificate, modules);
}

export class CertificateAuthority {
  readonly #certificate: X509Certificate;
  readonly #modules: CertificateAuthorityModules;

  constructor(certificate: X509Certificate, modules: CertificateAuthorityModules) {
    this.#certificate = certificate;
    this.#modules = modules;
  }

  get certificatePem(): string {
    return this.#certificate.toString();
  }

  /** SHA-256 of the certificate's DER, as the enrolment token carries it. */
  get fingerprint(): string {
    return createHash('sha256').update(this.#certificate.raw).digest('hex');
  }

  /** Whether this CA signed the certificate; says nothing about its validity in time or its revocation. */
  issued(certificate: X509Certificate): boolean {
    return certificate.checkIssued(this.#certificate) && certificate.verify(this.#certificate.publicKey);
  }

  /** Rejects with SecurityError `key-invalid` for anything but a P-256 public key in PEM. */
  async issueDevice(deviceId: string, publicKeyPem: string): Promise<IssuedCertificate> {
    return this.#issue({
      commonName: deviceId,
      publicKeyDer: publicKeyDer(publicKeyPem),
      days: DEVICE_DAYS,
      extensions: [new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth], false)],
    });
  }

  /** A new key and certificate for the hub's ports. `hosts` are names and addresses by which devices reach it. */
  async issueServer(hosts: readonly string[]): Promise<ServerIdentity> {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const names = [...new Set(hosts)].map((host) => ({ type: isIP(host) === 0 ? 'dns' : 'ip', value: host }) as const);
    const { pem } = await this.#issue({
      commonName: 'tidegate-hub',
      publicKeyDer: publicKey.export({ format: 'der', type: 'spki' }),
      days: SERVER_DAYS,
      extensions: [
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth], false),
        new x509.SubjectAlternativeNameExtension(names),
      ],
    });
    return {
      keyPem: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
      chainPem: pem + this.certificatePem,
      caPem: this.certificatePem,
    };
  }

  async #issue(wanted: {
    commonName: string;
    publicKeyDer: Uint8Array;
    days: number;
    extensions: x509.Extension[];
  }): Promise<IssuedCertificate> {
    const nowMs = this.#modules.clock.nowMs();
    const notAfterMs = nowMs + wanted.days * DAY_MS;
    const serial = newSerial();
    const publicKey = await webcrypto.subtle.importKey('spki', wanted.publicKeyDer, ALGORITHM, true, ['verify']);
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: serial,
      subject: [{ CN: [wanted.commonName] }],
      issuer: new x509.X509Certificate(this.#certificate.raw).subjectName.toJSON(),
      notBefore: new Date(nowMs - BACKDATE_DAYS * DAY_MS),
      notAfter: new Date(notAfterMs),
      signingKey: await signingKey(this.#modules.keys),
      publicKey,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        ...wanted.extensions,
        new x509.AuthorityKeyIdentifierExtension(keyIdentifier(this.#certificate.publicKey)),
      ],
    });
    return { pem: pemOf(certificate), serial, notAfterMs };
  }
}

async function selfSigned(privateKey: webcrypto.CryptoKey, nowMs: number): Promise<string> {
  const jwk = await webcrypto.subtle.exportKey('jwk', privateKey);
  const publicJwk = { kty: jwk.kty, crv: jwk.crv, x: jwk.x, y: jwk.y } as webcrypto.JsonWebKey;
  const publicKey = await webcrypto.subtle.importKey('jwk', publicJwk, ALGORITHM, true, ['verify']);
  const subjectKey = createPublicKey({ key: publicJwk as never, format: 'jwk' });
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: [{ CN: ['Tidegate hub CA'] }],
    notBefore: new Date(nowMs - BACKDATE_DAYS * DAY_MS),
    notAfter: new Date(nowMs + CA_DAYS * DAY_MS),
    keys: { privateKey, publicKey },
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      new x509.SubjectKeyIdentifierExtension(keyIdentifier(subjectKey)),
    ],
  });
  return pemOf(certificate);
}

async function signingKey(keys: KeyStore): Promise<webcrypto.CryptoKey> {
  const der = (await keys.privateKey('ca')).export({ format: 'der', type: 'pkcs8' });
  return webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, true, ['sign']);
}

function publicKeyDer(pem: string): Uint8Array {
  try {
    const key = createPublicKey(pem);
    if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1') {
      return key.export({ format: 'der', type: 'spki' });
    }
  } catch (cause) {
    throw new SecurityError('key-invalid', 'publicKeyPem is no public key', { cause, field: 'publicKeyPem' });
  }
  throw new SecurityError('key-invalid', 'publicKeyPem is not a P-256 key', { field: 'publicKeyPem' });
}

/** 16 random bytes, positive. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString('hex');
}

/** SHA-1 of the public key (RFC 5280, 4.2.1.2): an identifier, not a protection. */
function keyIdentifier(key: ReturnType<typeof createPublicKey>): string {
  const { x, y } = key.export({ format: 'jwk' });
  const point = Buffer.concat([
    Buffer.from([4]),
    Buffer.from(String(x), 'base64url'),
    Buffer.from(String(y), 'base64url'),
  ]);
  return createHash('sha1').update(point).digest('hex');
}

function pemOf(certificate: x509.X509Certificate): string {
  return new X509Certificate(Buffer.from(certificate.rawData)).toString();
}
