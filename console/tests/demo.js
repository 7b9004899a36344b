// A demo of our own: started, asked, stopped.

import { spawn, execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const PROJECT = new URL('../..', import.meta.url).pathname;
const PROGRAM = process.env.WATTLE ?? join(process.env.CARGO_TARGET_DIR ?? join(PROJECT, 'target'), 'debug/wattle');
const START_MS = 180_000;
const run = promisify(execFile);

/** Starts a demo and waits until it has kept its promises and goes on running. */
export async function start() {
  const room = await mkdtemp(join(tmpdir(), 'wattle-console-'));
  const directory = join(room, 'demo');
  const child = spawn(PROGRAM, ['demo', '--json', '--readings', '340', '--speedup', '40000', '--dir', directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => { child.once('exit', resolve); });
  try {
    const report = JSON.parse(await report_of(child, ended));
    return new Demo(child, ended, room, directory, report);
  } catch (error) {
    child.kill('SIGTERM');
    throw error;
  }
}

async function report_of(child, ended) {
  const timer = setTimeout(() => child.kill('SIGTERM'), START_MS);
  let text = '';
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      text += `${line}\n`;
      if (line === '}') return text;
    }
    throw new Error(`the demo ended with ${await ended} before it reported`);
  } finally {
    clearTimeout(timer);
  }
}

class Demo {
  constructor(child, ended, room, directory, report) {
    Object.assign(this, { child, ended, room, directory, base: report.http[0], broker: report.broker });
  }

  /** The key file of a node: its wallet has an account. */
  key(node) { return join(this.directory, node, 'node.key'); }

  /** Runs a command of the program. */
  wattle(...args) { return run(PROGRAM, args); }

  /** Publishes one value over MQTT. */
  async publish(device, kind, value) {
    const file = join(this.room, 'one.csv');
    await writeFile(file, `time_ms,device,${kind}\n${Date.now()},${device},${value}\n`);
    await this.wattle('replay', file, '--broker', this.broker, '--site', 'z1');
  }

  async stop() {
    this.child.kill('SIGTERM');
    await this.ended;
    await rm(this.room, { recursive: true, force: true });
  }
}
