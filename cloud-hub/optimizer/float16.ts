// IEEE 754 binary16 from FP32, rounding to nearest, ties to even. (Node 20 has no Float16Array.)

/** Largest finite value; larger ones would become infinite. */
export const FLOAT16_MAX = 65504;

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

/** Bits of the nearest half; beyond FLOAT16_MAX infinity. */
export function float16Bits(value: number): number {
  scratch[0] = value;
  const bits = scratchBits[0] ?? 0;
  const sign = (bits >>> 16) & 0x8000;
  const exponent = (bits >>> 23) & 0xff;
  const mantissa = bits & 0x7fffff;
  if (exponent === 0xff) return sign | 0x7c00 | (mantissa === 0 ? 0 : 0x200);
  const half = exponent - 112; // bias 127 -> 15
  if (half >= 31) return sign | 0x7c00;
  if (half <= 0) {
    if (half < -10) return sign;
    // Subnormal: the implicit bit becomes explicit and everything moves right.
    return sign | roundShift(mantissa | 0x800000, 14 - half);
  }
  return sign | roundShift((half << 23) | mantissa, 13); // a carry out of the mantissa rightly moves into the exponent
}

function roundShift(value: number, shift: number): number {
  const kept = value >>> shift;
  const lost = value & ((1 << shift) - 1);
  const middle = 1 << (shift - 1);
  return lost > middle || (lost === middle && (kept & 1) === 1) ? kept + 1 : kept;
}
