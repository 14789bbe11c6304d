import { createHash, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createServer, connect, type TLSSocket } from 'node:tls';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { initKeys, openCertificateAuthority } from '@tidegate/cloud-hub/security/certificate-authority.js';
import { KeyStore } from '@tidegate/cloud-hub/security/key-store.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('ca');
const openIn = async (folder: string) =>
  openCertificateAuthority({ keys: await initKeys(folder, systemFiles, systemClock), clock: systemClock });
const deviceKey = () => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    publicPem: publicKey.export({ format: 'pem', type: 'spki' }).toString(),
    privatePem: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
  };
};

describe('the certificate authority', () => {
  it('stays the same over restarts, and names itself by its fingerprint', async () => {
    const folder = newFolder();
    const first = await openIn(folder);
    const second = await openIn(folder);
    expect(second.certificatePem).toBe(first.certificatePem);
    const raw = new X509Certificate(first.certificatePem).raw;
    expect(first.fingerprint).toBe(createHash('sha256').update(raw).digest('hex'));
  });

  it('certifies a device: its id, client use, one year', async () => {
    const ca = await openIn(newFolder());
    const issued = await ca.issueDevice('cam-1', deviceKey().publicPem);
    const certificate = new X509Certificate(issued.pem);
    expect(certificate.subject).toBe('CN=cam-1');
    expect(certificate.ca).toBe(false);
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']); // clientAuth
    expect(certificate.serialNumber.toLowerCase()).toBe(issued.serial);
    const days = (Date.parse(certificate.validTo) - Date.now()) / 86_400_000;
    expect(days).toBeGreaterThan(364);
    expect(days).toBeLessThan(366);
    expect(ca.issued(certificate)).toBe(true);
    expect((await openIn(newFolder())).issued(certificate)).toBe(false);
  });

  it('makes a server and a device that OpenSSL believes, each for its own purpose only', async () => {
    const ca = await openIn(newFolder());
    const identity = await ca.issueServer(['localhost', '127.0.0.1', '127.0.0.1']);
    const key = deviceKey();
    const device = await ca.issueDevice('cam-1', key.publicPem);
    const tls = { key: identity.keyPem, cert: identity.chainPem, ca: identity.caPem };
    const accepted = async (client: { key: string; cert: string }): Promise<string> => {
      const server = createServer({ ...tls, requestCert: true, rejectUnauthorized: true }, (socket: TLSSocket) =>
        socket.end(`hello ${socket.getPeerX509Certificate()?.subject}`),
      );
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const port = (server.address() as AddressInfo).port;
      server.on('tlsClientError', () => undefined); // the client's side of it is what the test reads
      try {
        return await new Promise<string>((resolve) => {
          const socket = connect({ host: '127.0.0.1', port, ca: identity.caPem, ...client });
          socket.on('data', (data) => resolve(data.toString()));
          socket.on('error', (error) => resolve(`refused: ${error.message}`));
          socket.on('close', () => resolve('refused: closed'));
        });
      } finally {
        server.close();
      }
    };
    expect(await accepted({ key: key.privatePem, cert: device.pem })).toBe('hello CN=cam-1');
    const asClient = { key: identity.keyPem, cert: identity.chainPem };
    expect(await accepted(asClient)).toContain('refused'); // a server's certificate is no device's
  });

  it.each([
    [
      'an RSA key',
      generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'pem', type: 'spki' }),
    ],
    [
      'a P-384 key',
      generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ format: 'pem', type: 'spki' }),
    ],
    ['no key', 'hello'],
  ])('refuses %s', async (_name, pem) => {
    const ca = await openIn(newFolder());
    await expect(ca.issueDevice('cam-1', pem.toString())).rejects.toMatchObject({
      code: 'key-invalid',
      field: 'publicKeyPem',
    });
  });

  it('says what is missing or damaged', async () => {
    const folder = newFolder();
    const modules = { keys: new KeyStore(folder, systemFiles), clock: systemClock };
    await expect(openCertificateAuthority(modules)).rejects.toMatchObject({ code: 'keys-missing' });
    await initKeys(folder, systemFiles, systemClock);
    writeFileSync(join(folder, 'ca.crt'), 'no certificate');
    await expect(openCertificateAuthority(modules)).rejects.toMatchObject({ code: 'keys-damaged' });
  });
});
