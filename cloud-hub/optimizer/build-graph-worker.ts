// Entry point of the worker thread that builds one graph: pure JavaScript, so ending it in the middle is safe.
import { parentPort, workerData } from 'node:worker_threads';
import { buildGraph, type BuildGraphOrder } from './build-graph.js';

parentPort?.postMessage(await buildGraph(workerData as BuildGraphOrder), []);
