import { describe, expect, it } from 'vitest';
import { CompiledShapes } from '@tidegate/shared/runtime/compiled-shapes.js';
import { tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';

const feeds = (...shape: number[]): NamedTensor[] => [
  tensor('x', 'UINT8', shape, new Uint8Array(shape.reduce((a, b) => a * b, 1))),
];

describe('compiled shapes (B19)', () => {
  it('takes a shape for new until a run of it has ended, whatever its size', () => {
    const shapes = new CompiledShapes();
    expect(shapes.isNew(feeds(2, 3))).toBe(true);
    expect(shapes.isNew(feeds(2, 3))).toBe(true);
    shapes.ran(feeds(2, 3));
    expect(shapes.isNew(feeds(2, 3))).toBe(false);
    expect(shapes.isNew(feeds(3, 2))).toBe(true);
  });

  it('is bounded: beyond 1024 shapes none is new', () => {
    const shapes = new CompiledShapes();
    for (let width = 1; width <= 2000; width++) shapes.ran(feeds(width));
    expect([shapes.isNew(feeds(1024)), shapes.isNew(feeds(2001))]).toEqual([false, false]);
  });
});
