import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { enrol } from '@tidegate/edge-agent/identity/enrol.js';
import { initKeys, openCertificateAuthority } from '@tidegate/cloud-hub/security/certificate-authority.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { decodeToken, encodeToken, type EnrolResponse } from '@tidegate/shared/wire/enrolment.js';
import { failingFiles } from '../../support/failing-files.js';
import { startDeviceHub, type DeviceHub } from '../../support/device-hub.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('enrol');
const never = new AbortController().signal;
const modules = { files: systemFiles, clock: systemClock };
let hub: DeviceHub;

beforeAll(async () => {
  hub = await startDeviceHub(newFolder());
});
afterAll(() => hub.close());

/** A server that is not the hub, and what it was told. */
async function otherServer(
  tls: { key: string; cert: string },
  answer?: (body: string) => unknown,
): Promise<{ url: string; heard: string[]; close(): Promise<void> }> {
  const heard: string[] = [];
  const server = createServer(tls, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      heard.push(Buffer.concat(chunks).toString());
      response.writeHead(201).end(JSON.stringify(answer?.(heard.at(-1)!) ?? {}));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    heard,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe('enrolling with a good token', () => {
  it('makes an identity that only its owner can read', async () => {
    const dataDir = newFolder();
    const identity = await enrol({ dataDir, token: await hub.newToken(), name: 'cam-1' }, modules, never);
    expect(identity).toMatchObject({ deviceId: 'cam-1', group: 'field', deviceUrl: hub.url, mqttUrl: hub.mqttUrl });
    expect(identity.tufRoot).toBe(hub.tuf.root());
    expect(hub.gateway.enrolments.at(-1)).toMatchObject({ id: 'cam-1', group: 'field' });
    expect(readdirSync(join(dataDir, 'identity')).sort()).toEqual(['identity.json', 'key.pem']);
    for (const name of ['identity.json', 'key.pem']) {
      expect(statSync(join(dataDir, 'identity', name)).mode & 0o777).toBe(0o600);
    }
    expect(readFileSync(join(dataDir, 'identity', 'identity.json'), 'utf8')).not.toContain('PRIVATE KEY');
  });

  it('again with the same token: the same identity, nothing asked', async () => {
    const dataDir = newFolder();
    const token = await hub.newToken();
    const first = await enrol({ dataDir, token }, modules, never);
    expect(await enrol({ dataDir, token, hub: 'https://127.0.0.1:1' }, modules, never)).toEqual(first);
  });

  it('interrupted before its files were written: repeated, it is the same device with one use', async () => {
    const dataDir = newFolder();
    const token = await hub.newToken(1);
    const files = failingFiles();
    files.failNext('identity.write', 'ENOSPC');
    await expect(enrol({ dataDir, token }, { ...modules, files }, never)).rejects.toMatchObject({ code: 'storage' });
    expect(existsSync(join(dataDir, 'identity', 'identity.json'))).toBe(false);
    const { deviceId } = await enrol({ dataDir, token }, modules, never);
    expect(hub.gateway.enrolments.slice(-2).map(({ id }) => id)).toEqual([deviceId, deviceId]);
  });

  it('takes the address that the operator gives over the one of the token', async () => {
    const wrong = encodeToken({ ...decodeToken(await hub.newToken())!, deviceUrl: 'https://127.0.0.1:1' });
    await expect(enrol({ dataDir: newFolder(), token: wrong }, modules, never)).rejects.toMatchObject({
      code: 'unreachable',
    });
    const local = hub.url.replace('127.0.0.1', 'localhost');
    const identity = await enrol({ dataDir: newFolder(), token: wrong, hub: local }, modules, never);
    expect(identity.deviceUrl).toBe(local);
    expect(new URL(identity.mqttUrl).hostname).toBe('localhost');
  });

  it.each([
    ['1970', 0, 'behind'],
    ['2040', Date.UTC(2040, 0, 1), 'ahead'],
  ])('works under a clock at %s, and says so (B1)', async (_name, wallMs, said) => {
    const clocks: string[] = [];
    const other = { files: systemFiles, clock: new ManualClock(wallMs), onClock: (c: string) => void clocks.push(c) };
    await enrol({ dataDir: newFolder(), token: await hub.newToken() }, other, never);
    expect(clocks).toEqual([said]);
  });
});

describe('refusals leave no identity', () => {
  const refused = async (promise: Promise<unknown>, dataDir: string, expected: object): Promise<void> => {
    await expect(promise).rejects.toMatchObject({ name: 'IdentityError', ...expected });
    expect(existsSync(join(dataDir, 'identity', 'identity.json'))).toBe(false);
  };

  it.each(['', 'hello', 'tg1.', 'tg1.aGVsbG8', 'tg2.aGVsbG8'])('what is no token: %j', async (token) => {
    const dataDir = newFolder();
    await refused(enrol({ dataDir, token }, modules, never), dataDir, { code: 'token-malformed' });
  });

  it('the hub says no: expired, used up, unknown, name taken', async () => {
    const dataDir = newFolder();
    const used = await hub.newToken(1);
    await enrol({ dataDir: newFolder(), token: used }, modules, never);
    await refused(enrol({ dataDir, token: used }, modules, never), dataDir, {
      code: 'refused',
      hubCode: 'token-used-up',
    });
    const good = await hub.newToken();
    const guessed = encodeToken({ ...decodeToken(good)!, secret: 'guessed' });
    await refused(enrol({ dataDir, token: guessed }, modules, never), dataDir, { hubCode: 'token-unknown' });
    const taken = enrol({ dataDir, token: good, name: 'cam-1' }, modules, never);
    await refused(taken, dataDir, { hubCode: 'name-taken' });
    hub.clock.setWall(hub.clock.nowMs() + 3_600_001);
    await refused(enrol({ dataDir, token: good }, modules, never), dataDir, { hubCode: 'token-expired' });
    await enrol({ dataDir, token: await hub.newToken() }, modules, never); // a good one after the bad ones
  });

  it('a second enrolment over the first, which stays', async () => {
    const dataDir = newFolder();
    const { deviceId } = await enrol({ dataDir, token: await hub.newToken() }, modules, never);
    await expect(enrol({ dataDir, token: await hub.newToken() }, modules, never)).rejects.toMatchObject({
      code: 'already-enrolled',
      message: expect.stringContaining(deviceId),
    });
  });

  it('nobody there', async () => {
    const dataDir = newFolder();
    const token = await hub.newToken();
    const asked = enrol({ dataDir, token, hub: 'https://127.0.0.1:1' }, modules, never);
    await refused(asked, dataDir, { code: 'unreachable' });
  });
});

describe('somebody else in place of the hub', () => {
  it('is told nothing, whatever its certificate', async () => {
    const foreign = await openCertificateAuthority({
      keys: await initKeys(newFolder(), systemFiles, systemClock),
      clock: systemClock,
    });
    const identity = await foreign.issueServer(['127.0.0.1']);
    const server = await otherServer({ key: identity.keyPem, cert: identity.chainPem });
    // The real CA sent along does not help: it did not sign the certificate whose key the server has.
    const disguised = await otherServer({ key: identity.keyPem, cert: identity.chainPem + hub.ca.certificatePem });
    // An enrolled device is no server, though the same CA signed its certificate.
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const device = await hub.ca.issueDevice('evil', publicKey.export({ format: 'pem', type: 'spki' }).toString());
    const key = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    const asDevice = await otherServer({ key, cert: device.pem + hub.ca.certificatePem });
    for (const other of [server, disguised, asDevice]) {
      const asked = enrol({ dataDir: newFolder(), token: await hub.newToken(), hub: other.url }, modules, never);
      await expect(asked).rejects.toMatchObject({ code: 'foreign-hub' });
      expect(other.heard).toEqual([]);
      await other.close();
    }
  });

  it.each([
    ['a certificate for another key', { certificatePem: 'other-key' }, /another key/],
    ['another CA', { caPem: 'other-ca' }, /CA/],
    ['another device in the certificate', { deviceId: 'someone' }, /another device/],
    ['a CA that is no certificate', { caPem: 'x' }, /none/],
    ['no update root', { tufRoot: '{}' }, /update root/],
    ['a missing field', { group: undefined }, /group/],
  ])('an answer with %s is not taken', async (_name, change, message) => {
    const identity = await hub.ca.issueServer(['127.0.0.1']);
    const otherCa = await openCertificateAuthority({
      keys: await initKeys(newFolder(), systemFiles, systemClock),
      clock: systemClock,
    });
    const otherKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({
      format: 'pem',
      type: 'spki',
    });
    const forOtherKey = await hub.ca.issueDevice('cam-9', otherKey.toString());
    let own = '';
    const server = await otherServer({ key: identity.keyPem, cert: identity.chainPem }, () => {
      const good: EnrolResponse = {
        deviceId: 'cam-9',
        certificatePem: own,
        caPem: hub.ca.certificatePem,
        group: 'field',
        deviceUrl: hub.url,
        mqttUrl: hub.mqttUrl,
        tufRoot: hub.tuf.root(),
      };
      const changed = { ...good, ...change };
      if (changed.certificatePem === 'other-key') changed.certificatePem = forOtherKey.pem;
      if (changed.caPem === 'other-ca') changed.caPem = otherCa.certificatePem;
      return changed;
    });
    const dataDir = newFolder();
    const token = await hub.newToken();
    // The key is made at the first try; the second one's answer carries a certificate for it.
    own = forOtherKey.pem;
    await expect(enrol({ dataDir, token, hub: server.url }, modules, never)).rejects.toMatchObject({
      code: 'invalid-answer',
    });
    const { publicKeyPem } = JSON.parse(server.heard[0]!) as { publicKeyPem: string };
    own = (await hub.ca.issueDevice('cam-9', publicKeyPem)).pem;
    await expect(enrol({ dataDir, token, hub: server.url }, modules, never)).rejects.toMatchObject({
      code: 'invalid-answer',
      message: expect.stringMatching(message),
    });
    await server.close();
    await enrol({ dataDir, token }, modules, never);
  });
});
