// The console's entry point.
import { render } from 'preact';
import { App } from './app.js';
import './style.css';

const root = document.getElementById('console');
if (root !== null) render(<App />, root);
