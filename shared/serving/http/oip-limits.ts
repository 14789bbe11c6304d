// The limits of the protocol front. Each is named here once, with what happens beyond it.

export interface OipLimits {
  /** A request body, as sent and after inflation. Beyond: 413. */
  readonly bodyBytesMax: number;
  /** The JSON part of a body. JSON costs many times its size to read; large tensors go as binary data. Beyond: 413. */
  readonly jsonBytesMax: number;
  /** All bodies that are held at one time; small ones may take a sixteenth more. Beyond: 503, and the caller may come again. */
  readonly bodiesBytesMax: number;
  /** A request that asks for more time gets this much. */
  readonly timeoutMsMax: number;
  /** How long the rest of a refused body is read and thrown away, so that its sender gets to see the refusal. */
  readonly lingerMs: number;
}

const MIB = 1024 * 1024;

export const DEFAULT_OIP_LIMITS: OipLimits = {
  bodyBytesMax: 64 * MIB,
  jsonBytesMax: 16 * MIB,
  bodiesBytesMax: 256 * MIB,
  timeoutMsMax: 3_600_000,
  lingerMs: 2_000,
};
