export const RATE: number;
export const FRAME: number;
export function readWav(bytes: Uint8Array): Float32Array<ArrayBuffer>;
export function frames(samples: Float32Array): Generator<Float32Array<ArrayBuffer>>;
