import { describe, expect, it } from 'vitest';
import { connectRefusal, publishRefusal, subscribeRefusal } from '@tidegate/cloud-hub/broker/device-acl.js';
import { deviceTopics } from '@tidegate/shared/wire/device-api.js';

const own = deviceTopics('cam-1');
const other = deviceTopics('cam-2');
const message = { qos: 1, retain: false };

describe('what a device may publish', () => {
  it.each([own.reported, own.telemetry, own.presence])('%s', (topic) => {
    expect(publishRefusal('cam-1', { topic, ...message })).toBe(undefined);
  });

  it.each([
    own.desired,
    own.telemetryAck,
    other.reported,
    other.telemetry,
    other.presence,
    other.desired,
    `${own.reported}/more`,
    'tidegate/v1/devices/cam-1',
    'tidegate/v1/devices/cam-1x/reported',
    '$SYS/broker',
    '',
  ])('not %s', (topic) => {
    expect(publishRefusal('cam-1', { topic, ...message })).toContain('may not publish');
  });

  it('and nothing that the broker would have to keep', () => {
    expect(publishRefusal('cam-1', { topic: own.reported, qos: 1, retain: true })).toContain('retain');
    expect(publishRefusal('cam-1', { topic: own.reported, qos: 2, retain: false })).toContain('QoS 2');
  });
});

describe('what a device may subscribe to', () => {
  it.each([own.desired, own.telemetryAck])('%s', (topic) => {
    expect(subscribeRefusal('cam-1', topic)).toBe(undefined);
  });

  it.each([
    '#',
    '+/#',
    'tidegate/v1/devices/cam-1/#',
    'tidegate/v1/devices/+/desired',
    other.desired,
    other.telemetryAck,
    own.reported,
    '$SYS/#',
    '$share/g/tidegate/v1/devices/cam-1/desired',
  ])('not %s', (topic) => {
    expect(subscribeRefusal('cam-1', topic)).toContain('may not subscribe');
  });
});

describe('how a device may connect', () => {
  const will = { topic: own.presence, ...message, payload: Buffer.from('{"connectionId":"c1","online":false}') };
  const good = { clientId: 'cam-1', clean: true, will };

  it('under its own id, with a clean session and a will that names its connection', () => {
    expect(connectRefusal('cam-1', good)).toBe(undefined);
    expect(connectRefusal('cam-1', { clientId: 'cam-1', clean: true })).toBe(undefined);
  });

  it.each([
    ['another id', { clientId: 'cam-2' }, /client id/],
    ['a session to be kept', { clean: false }, /clean/],
    ["another device's will", { will: { ...will, topic: other.presence } }, /will must go to/],
    ['a will as report', { will: { ...will, topic: own.reported } }, /will must go to/],
    ['a retained will', { will: { ...will, retain: true } }, /retain/],
    ['a will without connection', { will: { ...will, payload: Buffer.from('{"online":false}') } }, /connectionId/],
    [
      'a will that says online',
      { will: { ...will, payload: Buffer.from('{"connectionId":"c","online":true}') } },
      /will/,
    ],
    ['a will that is no JSON', { will: { ...will, payload: Buffer.from('gone') } }, /will/],
  ])('not with %s', (_name, change, message) => {
    expect(connectRefusal('cam-1', { ...good, ...change })).toMatch(message);
  });
});
