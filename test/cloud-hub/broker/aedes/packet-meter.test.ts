import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PacketMeter } from '@tidegate/cloud-hub/broker/aedes/packet-meter.js';

/** A packet with a body of that length, as MQTT 3.1.1 section 2.2.3 encodes it. */
function packet(bodyBytes: number): Buffer {
  const length: number[] = [];
  let rest = bodyBytes;
  do {
    length.push((rest % 128) | (rest >= 128 ? 0x80 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Buffer.concat([Buffer.from([0x30, ...length]), Buffer.alloc(bodyBytes, 0xff)]);
}

describe('the packet meter', () => {
  it('accepts packets up to the limit however they are cut, and none above', () => {
    const limit = 20_000;
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.nat(300), fc.nat(25_000)), { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 1, max: 5000 }),
        (bodies, cut) => {
          const packets = bodies.map(packet);
          const stream = Buffer.concat(packets);
          const meter = new PacketMeter(limit);
          let accepted = true;
          for (let at = 0; at < stream.length && accepted; at += cut)
            accepted = meter.accepts(stream.subarray(at, at + cut));
          expect(accepted).toBe(packets.every((one) => one.length <= limit));
        },
      ),
    );
  });

  it('refuses at the header, before the body comes', () => {
    expect(new PacketMeter(1000).accepts(packet(200_000).subarray(0, 5))).toBe(false);
  });

  it('refuses a length of more than four bytes', () => {
    expect(new PacketMeter(1e9).accepts(Buffer.from([0x30, 0x80, 0x80, 0x80, 0x80, 0x01]))).toBe(false);
  });
});
