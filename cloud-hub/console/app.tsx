// The frame: sign in with a token, then four pages.
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { JSX } from 'preact';
import { FleetPage } from './fleet-page.js';
import { HubClient } from './hub-client.js';
import { useLiveState } from './live-state.js';
import { ModelsPage } from './models-page.js';
import { PlaygroundPage } from './playground-page.js';
import { RolloutsPage } from './rollouts-page.js';
import { storedToken, storeToken } from './session.js';

const PAGES = ['fleet', 'rollouts', 'models', 'playground'] as const;
type PageName = (typeof PAGES)[number];

export function App(): JSX.Element {
  const [token, setToken] = useState(storedToken());
  const sign = (next: string | undefined): void => {
    storeToken(next);
    setToken(next);
  };
  return token === undefined ? <SignIn onToken={sign} /> : <Console token={token} onSignOut={() => sign(undefined)} />;
}

function SignIn({ onToken }: { onToken: (token: string) => void }): JSX.Element {
  const [token, setToken] = useState('');
  const [error, setError] = useState<string>();
  const submit = (event: Event): void => {
    event.preventDefault();
    new HubClient(token.trim()).models().then(
      () => onToken(token.trim()),
      (cause: unknown) => setError(cause instanceof Error ? cause.message : String(cause)),
    );
  };
  return (
    <main class="sign-in">
      <form onSubmit={submit}>
        <h1>
          <img src="/tide.svg" alt="" width="28" height="28" /> Tidegate
        </h1>
        <label>
          Access token
          <input
            type="password"
            autocomplete="off"
            value={token}
            onInput={(event) => setToken(event.currentTarget.value)}
            placeholder="the token that tidegate-hub init printed"
          />
        </label>
        <button type="submit" disabled={token.trim() === ''}>
          Sign in
        </button>
        {error !== undefined && <p class="error">{error}</p>}
      </form>
    </main>
  );
}

function pageOfPath(): PageName {
  const name = location.pathname.slice(1) as PageName;
  return PAGES.includes(name) ? name : 'fleet';
}

function Console({ token, onSignOut }: { token: string; onSignOut: () => void }): JSX.Element {
  const client = useMemo(() => new HubClient(token), [token]);
  const state = useLiveState(client);
  const [page, setPage] = useState<PageName>(pageOfPath());
  useEffect(() => {
    const onPop = (): void => setPage(pageOfPath());
    addEventListener('popstate', onPop);
    return () => removeEventListener('popstate', onPop);
  }, []);
  const go = (event: Event, name: PageName): void => {
    event.preventDefault();
    history.pushState(null, '', `/${name}`);
    setPage(name);
  };
  return (
    <>
      <header>
        <span class="brand">
          <img src="/tide.svg" alt="" width="22" height="22" /> Tidegate
        </span>
        <nav>
          {PAGES.map((name) => (
            <a
              key={name}
              href={`/${name}`}
              aria-current={name === page ? 'page' : undefined}
              onClick={(e) => go(e, name)}
            >
              {name}
            </a>
          ))}
        </nav>
        <span class={`live ${state.connected ? 'on' : 'off'}`}>{state.connected ? 'live' : 'reconnecting'}</span>
        <button class="quiet" onClick={onSignOut}>
          Sign out
        </button>
      </header>
      <main>
        {state.error !== undefined && <p class="error">{state.error}</p>}
        {page === 'fleet' && <FleetPage state={state} />}
        {page === 'rollouts' && <RolloutsPage state={state} client={client} />}
        {page === 'models' && <ModelsPage state={state} />}
        {page === 'playground' && <PlaygroundPage client={client} />}
      </main>
    </>
  );
}
