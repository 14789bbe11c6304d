// The broker port: MQTT between devices and the hub as a fast hint; HTTPS is the truth (design 6), so whatever is lost here is
// only late. Adapters: `aedes/` (embedded). An adapter authenticates devices by their certificates, holds the rules of
// device-acl.ts, and hands messages to device-messages.ts.
import type { DesiredPublisher, DeviceGateway } from '../fleet/fleet.js';

/** Largest packet that a device may send, its header included. */
export const LIMIT_PACKET_BYTES = 1024 * 1024;

export interface DeviceBrokerOptions {
  readonly host: string;
  readonly port: number;
  /** Names and addresses by which devices reach this hub; they go into its certificate. */
  readonly names: readonly string[];
}

export interface DeviceBroker extends DesiredPublisher {
  /** `127.0.0.1:9883` */
  readonly address: string;
  readonly port: number;
  /** Devices that are connected now. */
  connectedCount(): number;
  /** Ends a device's connection, where it has one: after it was revoked. */
  disconnect(deviceId: string): void;
  /** Stops accepting and ends all connections. */
  close(): Promise<void>;
}

/** What the broker needs of the fleet. */
export type BrokerGateway = Pick<DeviceGateway, 'desired' | 'reported' | 'telemetry' | 'presence'>;
