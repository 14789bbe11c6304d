// The examples and rules of W3C Trace Context, section 3.2.
import { readTraceContext, traceHeaders } from '@tidegate/shared/tracing/trace-context.js';
import { describe, expect, test } from 'vitest';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';

describe('reading', () => {
  test('takes what a caller sends', () => {
    expect(readTraceContext({ traceparent: `00-${TRACE}-${SPAN}-01`, tracestate: 'congo=t61rcWkgMzE' })).toEqual({
      traceId: TRACE,
      spanId: SPAN,
      sampled: true,
      state: 'congo=t61rcWkgMzE',
    });
    expect(readTraceContext({ traceparent: `00-${TRACE}-${SPAN}-00` })).toMatchObject({ sampled: false });
    expect(readTraceContext({ traceparent: `00-${TRACE}-${SPAN}-03` })).toMatchObject({ sampled: true });
    expect(readTraceContext({})).toBeUndefined();
  });

  test('takes versions that are still to come, with what they add', () => {
    expect(readTraceContext({ traceparent: `cc-${TRACE}-${SPAN}-01` })).toMatchObject({ traceId: TRACE });
    expect(readTraceContext({ traceparent: `cc-${TRACE}-${SPAN}-01-what-comes` })).toMatchObject({ traceId: TRACE });
  });

  test.each([
    ['a forbidden version', `ff-${TRACE}-${SPAN}-01`],
    ['a trace of zeros', `00-${'0'.repeat(32)}-${SPAN}-01`],
    ['a span of zeros', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['capitals', `00-${TRACE.toUpperCase()}-${SPAN}-01`],
    ['more than version 00 has', `00-${TRACE}-${SPAN}-01-more`],
    ['too little', `00-${TRACE}-${SPAN}`],
    ['nonsense', 'yes'],
  ])('takes %s for no trace', (_what, traceparent) => {
    expect(readTraceContext({ traceparent })).toBeUndefined();
  });

  test('leaves out a state that is too long or no text', () => {
    const traceparent = `00-${TRACE}-${SPAN}-01`;
    expect(readTraceContext({ traceparent, tracestate: 'x'.repeat(513) })?.state).toBeUndefined();
    expect(readTraceContext({ traceparent, tracestate: 'a=\u0000' })?.state).toBeUndefined();
    expect(readTraceContext({ traceparent, tracestate: ['a=1', 'b=2'] })?.state).toBe('a=1,b=2');
  });
});

test('what is passed on reads back', () => {
  for (const sampled of [true, false]) {
    for (const state of [undefined, 'a=1']) {
      const context = { traceId: TRACE, spanId: SPAN, sampled, state };
      expect(readTraceContext(traceHeaders(context))).toEqual(context);
    }
  }
});
