// Links within the console: the browser's history moves, the page is not loaded again. A click that asks for a new tab stays the
// browser's.
import type { ComponentChildren, JSX } from 'preact';
import { hrefOf, type Route } from './route.js';

/** The frame hears it as if the reader had gone there by the browser's own buttons. */
export function go(route: Route): void {
  history.pushState(null, '', hrefOf(route));
  dispatchEvent(new PopStateEvent('popstate'));
}

export function Link(props: {
  to: Route;
  class?: string;
  current?: boolean;
  label?: string;
  children: ComponentChildren;
}): JSX.Element {
  const follow = (event: MouseEvent): void => {
    if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(props.to);
  };
  return (
    <a
      href={hrefOf(props.to)}
      class={props.class}
      aria-current={props.current === true ? 'page' : undefined}
      aria-label={props.label}
      onClick={follow}
    >
      {props.children}
    </a>
  );
}
