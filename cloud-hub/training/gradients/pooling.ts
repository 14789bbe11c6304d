// Pooling. MaxPool gives dY to the element that won (its Indices output); averages spread dY evenly over their window.
import type { GradientRule } from './gradient-rule.js';
import { checkWindow, spread, windowOf } from './convolution.js';

export const maxPool: GradientRule = {
  secondOutput: true,
  check: (n) => {
    if (n.int('storage_order', 0) !== 0) n.refuse('column-major indices');
  },
  backward: (b, n, dY) => [b.scatterAdd(dY, n.y(1), n.x(0))],
};

export const averagePool: GradientRule = {
  check: (n) => {
    checkWindow(n);
    if (n.int('ceil_mode', 0) !== 0) n.refuse('ceil_mode');
  },
  backward: (b, n, dY) => {
    const kernel = n.ints('kernel_shape') ?? n.refuse('no kernel_shape');
    const w = windowOf(n, kernel.length);
    const area = b.float(kernel.reduce((a, k) => a * k, 1));
    const alone = (value: string): string =>
      b.op('Reshape', [value, b.op('Concat', [b.ints(-1, 1), b.spatial(value)], { axis: 0n })]);
    const image = alone(n.x(0));
    let share = b.div(alone(dY), area);
    if (n.int('count_include_pad', 0) === 0 && w.pads.some((p) => p > 0)) {
      const shape = b.op('Concat', [b.ints(1, 1), b.spatial(n.x(0))], { axis: 0n });
      const covered = b.op('AveragePool', [b.op('Expand', [b.float(1), shape])], {
        kernel_shape: kernel.map(BigInt),
        strides: w.strides.map(BigInt),
        pads: w.pads.map(BigInt),
        count_include_pad: 1n,
      });
      share = b.div(share, covered); // covered: the part of the window that lies inside the image
    }
    const spreadOut = spread(b, share, b.float(1, [1, 1, ...kernel]), image, w, 1);
    return [b.reshapeLike(spreadOut, n.x(0))];
  },
};

export const globalAveragePool: GradientRule = {
  backward: (b, n, dY) => [b.op('Expand', [b.div(dY, b.ratio(n.x(0), n.y())), b.shape(n.x(0))])],
};
