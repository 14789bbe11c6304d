import { describe, expect, it } from 'vitest';
import { receive } from '@tidegate/cloud-hub/broker/device-messages.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { deviceTopics } from '@tidegate/shared/wire/device-api.js';
import { RecordingGateway, recordOf, reportOf } from '../../support/device-hub.js';

const own = deviceTopics('cam-1');
const message = (topic: string, document: unknown) => ({
  deviceId: 'cam-1',
  topic,
  payload: Buffer.from(typeof document === 'string' ? document : JSON.stringify(document)),
});

describe('messages from a device', () => {
  it('go to the fleet by topic; telemetry is acknowledged', async () => {
    const gateway = new RecordingGateway();
    expect(await receive(message(own.reported, reportOf('cam-1', 3)), gateway, silentLog)).toBe(undefined);
    expect(gateway.reports).toEqual([['cam-1', reportOf('cam-1', 3)]]);
    await receive(message(own.presence, { connectionId: 'c1', online: true }), gateway, silentLog);
    expect(gateway.presences).toEqual([['cam-1', { connectionId: 'c1', online: true }]]);
    const answer = await receive(message(own.telemetry, recordOf('cam-1', 7)), gateway, silentLog);
    expect(gateway.records).toEqual([['cam-1', recordOf('cam-1', 7)]]);
    expect(answer).toEqual({ topic: own.telemetryAck, payload: '{"seq":7}' });
  });

  it('are not acknowledged when the fleet could not store them', async () => {
    const gateway = new RecordingGateway();
    gateway.telemetry = () => Promise.reject(new Error('database is locked'));
    expect(await receive(message(own.telemetry, recordOf('cam-1', 7)), gateway, silentLog)).toBe(undefined);
  });

  it.each([
    ['no JSON', own.reported, 'hello'],
    ['a missing field', own.reported, { ...reportOf('cam-1', 1), bootId: undefined }],
    ['an unknown field', own.presence, { connectionId: 'c', online: true, extra: 1 }],
    ["another device's report", own.reported, reportOf('cam-2', 1)],
    ["another device's telemetry", own.telemetry, recordOf('cam-2', 1)],
  ])('are dropped and logged: %s', async (_name, topic, document) => {
    const gateway = new RecordingGateway();
    const logged: object[] = [];
    const log: Log = { ...silentLog, warn: (fields) => void logged.push(fields) };
    expect(await receive(message(topic, document), gateway, log)).toBe(undefined);
    expect([...gateway.reports, ...gateway.records, ...gateway.presences]).toEqual([]);
    expect(logged).toMatchObject([{ deviceId: 'cam-1', topic }]);
  });
});
