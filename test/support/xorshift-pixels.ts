// Pixels that any language makes alike: xorshift32, as make.py beside the fixtures of test/fixtures/opencv-resize and text-boxes.
export function xorshiftPixels(seed: number, count: number): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length: count }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 24) & 0xff;
  });
}
