// The discrete Fourier transform of real numbers, for lengths that are even products of 2, 3, 5 and 7 (400 and 512 among them). A real
// transform of n is a complex one of n / 2 (Numerical Recipes 12.3); that one is Stockham's, which needs no bit reversal and takes a
// factor a pass. Double precision, and all tables and work space are made once: a run allocates nothing. Not reentrant.

/** One factor of the complex transform. */
interface Pass {
  readonly radix: number;
  /** Of this pass: how many butterflies stand side by side, and in how many groups. */
  readonly groups: number;
  readonly stride: number;
  /** cos and -sin of 2 pi p k / (radix * groups), by p * radix + k. */
  readonly cosines: Float64Array;
  readonly sines: Float64Array;
}

const RADICES = [4, 2, 3, 5, 7];

/** Can a transform of this length be made? */
export function hasFourier(length: number): boolean {
  return length >= 2 && length % 2 === 0 && factorsOf(length / 2) !== undefined;
}

export class RealFourier {
  readonly #half: number;
  readonly #passes: readonly Pass[];
  #re: Float64Array;
  #im: Float64Array;
  #nextRe: Float64Array;
  #nextIm: Float64Array;
  /** Of one butterfly of an odd radix. */
  readonly #sumRe = new Float64Array(4);
  readonly #sumIm = new Float64Array(4);
  readonly #gapRe = new Float64Array(4);
  readonly #gapIm = new Float64Array(4);
  readonly #cosines: Float64Array;
  readonly #sines: Float64Array;
  readonly #roots = new Map(RADICES.map((radix) => [radix, circle(radix, radix)]));

  /** `length`: one that hasFourier takes. */
  constructor(length: number) {
    this.#half = length / 2;
    this.#passes = passesOf(this.#half);
    const work = (): Float64Array => new Float64Array(this.#half);
    [this.#re, this.#im, this.#nextRe, this.#nextIm] = [work(), work(), work(), work()];
    ({ cosines: this.#cosines, sines: this.#sines } = circle(length, this.#half + 1));
  }

  /** `values`: n real numbers. Writes the n / 2 + 1 squared magnitudes of the transform, from frequency 0 up. */
  power(values: Float64Array, out: Float64Array): void {
    for (let i = 0; i < this.#half; i += 1) {
      this.#re[i] = values[2 * i]!;
      this.#im[i] = values[2 * i + 1]!;
    }
    for (const pass of this.#passes) this.#run(pass);
    const [all, allIm, half] = [this.#re, this.#im, this.#half];
    for (let k = 0; k <= half; k += 1) {
      const a = k === half ? 0 : k;
      const b = k === 0 ? 0 : half - k;
      const evenRe = (all[a]! + all[b]!) / 2;
      const evenIm = (allIm[a]! - allIm[b]!) / 2;
      const oddRe = (allIm[a]! + allIm[b]!) / 2;
      const oddIm = (all[b]! - all[a]!) / 2;
      const cos = this.#cosines[k]!;
      const sin = this.#sines[k]!;
      const re = evenRe + cos * oddRe - sin * oddIm;
      const im = evenIm + cos * oddIm + sin * oddRe;
      out[k] = re * re + im * im;
    }
  }

  #run(pass: Pass): void {
    if (pass.radix === 2) this.#runTwo(pass);
    else if (pass.radix === 4) this.#runFour(pass);
    else this.#runOdd(pass);
    [this.#re, this.#nextRe] = [this.#nextRe, this.#re];
    [this.#im, this.#nextIm] = [this.#nextIm, this.#im];
  }

  #runTwo({ groups, stride, cosines, sines }: Pass): void {
    const [re, im, nextRe, nextIm] = [this.#re, this.#im, this.#nextRe, this.#nextIm];
    for (let p = 0; p < groups; p += 1) {
      const [cos, sin] = [cosines[p * 2 + 1]!, sines[p * 2 + 1]!];
      for (let q = 0; q < stride; q += 1) {
        const a = q + stride * p;
        const b = a + stride * groups;
        const to = q + stride * 2 * p;
        const differenceRe = re[a]! - re[b]!;
        const differenceIm = im[a]! - im[b]!;
        nextRe[to] = re[a]! + re[b]!;
        nextIm[to] = im[a]! + im[b]!;
        nextRe[to + stride] = differenceRe * cos - differenceIm * sin;
        nextIm[to + stride] = differenceRe * sin + differenceIm * cos;
      }
    }
  }

  #runFour({ groups, stride, cosines, sines }: Pass): void {
    const [re, im, nextRe, nextIm] = [this.#re, this.#im, this.#nextRe, this.#nextIm];
    const apart = stride * groups;
    for (let p = 0; p < groups; p += 1) {
      const [c1, s1, c2, s2] = [cosines[p * 4 + 1]!, sines[p * 4 + 1]!, cosines[p * 4 + 2]!, sines[p * 4 + 2]!];
      const [c3, s3] = [cosines[p * 4 + 3]!, sines[p * 4 + 3]!];
      for (let q = 0; q < stride; q += 1) {
        const a = q + stride * p;
        const to = q + stride * 4 * p;
        const b = a + apart;
        const c = b + apart;
        const d = c + apart;
        const sumRe = re[a]! + re[c]!;
        const sumIm = im[a]! + im[c]!;
        const oddRe = re[b]! + re[d]!;
        const oddIm = im[b]! + im[d]!;
        const leftRe = re[a]! - re[c]!;
        const leftIm = im[a]! - im[c]!;
        const turnRe = im[b]! - im[d]!;
        const turnIm = re[d]! - re[b]!;
        nextRe[to] = sumRe + oddRe;
        nextIm[to] = sumIm + oddIm;
        const re1 = leftRe + turnRe;
        const im1 = leftIm + turnIm;
        const re2 = sumRe - oddRe;
        const im2 = sumIm - oddIm;
        const re3 = leftRe - turnRe;
        const im3 = leftIm - turnIm;
        nextRe[to + stride] = re1 * c1 - im1 * s1;
        nextIm[to + stride] = re1 * s1 + im1 * c1;
        nextRe[to + 2 * stride] = re2 * c2 - im2 * s2;
        nextIm[to + 2 * stride] = re2 * s2 + im2 * c2;
        nextRe[to + 3 * stride] = re3 * c3 - im3 * s3;
        nextIm[to + 3 * stride] = re3 * s3 + im3 * c3;
      }
    }
  }

  /** An odd radix: terms from both ends go together, as their roots are conjugate. */
  #runOdd({ radix, groups, stride, cosines, sines }: Pass): void {
    const roots = this.#roots.get(radix)!;
    const half = (radix - 1) / 2;
    const [re, im, nextRe, nextIm] = [this.#re, this.#im, this.#nextRe, this.#nextIm];
    const [sumRe, sumIm, gapRe, gapIm] = [this.#sumRe, this.#sumIm, this.#gapRe, this.#gapIm];
    for (let p = 0; p < groups; p += 1) {
      for (let q = 0; q < stride; q += 1) {
        const from = q + stride * p;
        const to = q + stride * radix * p;
        let allRe = re[from]!;
        let allIm = im[from]!;
        for (let j = 1; j <= half; j += 1) {
          const a = from + stride * groups * j;
          const b = from + stride * groups * (radix - j);
          sumRe[j] = re[a]! + re[b]!;
          sumIm[j] = im[a]! + im[b]!;
          gapRe[j] = re[a]! - re[b]!;
          gapIm[j] = im[a]! - im[b]!;
          allRe += sumRe[j]!;
          allIm += sumIm[j]!;
        }
        nextRe[to] = allRe;
        nextIm[to] = allIm;
        for (let k = 1; k <= half; k += 1) {
          let evenRe = re[from]!;
          let evenIm = im[from]!;
          let oddRe = 0;
          let oddIm = 0;
          for (let j = 1, root = k; j <= half; j += 1, root = root + k < radix ? root + k : root + k - radix) {
            const cos = roots.cosines[root]!;
            const sin = roots.sines[root]!;
            evenRe += sumRe[j]! * cos;
            evenIm += sumIm[j]! * cos;
            oddRe -= gapIm[j]! * sin;
            oddIm += gapRe[j]! * sin;
          }
          const c1 = cosines[p * radix + k]!;
          const s1 = sines[p * radix + k]!;
          const c2 = cosines[p * radix + radix - k]!;
          const s2 = sines[p * radix + radix - k]!;
          nextRe[to + stride * k] = (evenRe + oddRe) * c1 - (evenIm + oddIm) * s1;
          nextIm[to + stride * k] = (evenRe + oddRe) * s1 + (evenIm + oddIm) * c1;
          nextRe[to + stride * (radix - k)] = (evenRe - oddRe) * c2 - (evenIm - oddIm) * s2;
          nextIm[to + stride * (radix - k)] = (evenRe - oddRe) * s2 + (evenIm - oddIm) * c2;
        }
      }
    }
  }
}

/** Undefined where another factor is left. */
function factorsOf(length: number): number[] | undefined {
  const factors: number[] = [];
  let left = length;
  for (const radix of RADICES) {
    for (; left % radix === 0; left /= radix) factors.push(radix);
  }
  return left === 1 ? factors : undefined;
}

function passesOf(length: number): Pass[] {
  let [left, stride] = [length, 1];
  return (factorsOf(length) ?? []).map((radix) => {
    const [groups, from] = [left / radix, left];
    const [cosines, sines] = [new Float64Array(from), new Float64Array(from)];
    for (let at = 0; at < from; at += 1) {
      const angle = (-2 * Math.PI * Math.floor(at / radix) * (at % radix)) / from;
      cosines[at] = Math.cos(angle);
      sines[at] = Math.sin(angle);
    }
    const pass = { radix, groups, stride, cosines, sines };
    [left, stride] = [groups, stride * radix];
    return pass;
  });
}

/** The first `count` of the `length` roots of unity, clockwise from 1. */
function circle(length: number, count: number): { cosines: Float64Array; sines: Float64Array } {
  const angle = (_: unknown, k: number): number => (-2 * Math.PI * k) / length;
  const angles = Array.from({ length: count }, angle);
  return { cosines: Float64Array.from(angles, Math.cos), sines: Float64Array.from(angles, Math.sin) };
}
