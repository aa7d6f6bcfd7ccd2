// What a test stands in: a bus, a daemon on it, a router's web server, a browser.
//
// With LUCI_URL the web server is a real one: LUCI_BUS names the socket of its ubusd, LUCI_ROOT the root of its files
// (default /), and it must have the users below.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { Bridge } from './bridge.mjs';
import { Daemon } from './daemon.mjs';
import { Bus } from './ubus.mjs';

const ROOT = path.join(path.dirname(fileURLToPath(import.meta.url)), '../..');
const TOOLS = path.join(ROOT, 'target/tools');
const { chromium } = createRequire(`${TOOLS}/node/`)('playwright-core');

const FLAGS = [ '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
	'--disable-component-update', '--disable-sync' ];

export const USERS = [ { name: 'root', password: '', writes: true }, { name: 'anna', password: 'anna', writes: true },
	{ name: 'guest', password: 'guest', writes: false }, { name: 'stranger', password: 'stranger', writes: false, granted: false } ];

export const CONFIG = `config globals 'globals'
	option enabled '1'
	option consent 'ask'

config peer 'isp'
	option name 'callhome.isp.example'
	option auth 'certificate'
`;

const sleep = milliseconds => new Promise(done => setTimeout(done, milliseconds));

/** How long is waited for what must happen: busy machines are slow. */
const PATIENCE = 120000;

/** Waits until `check` no longer throws, and gives what it gave. */
export async function eventually(check) {
	const ends = Date.now() + PATIENCE;

	for (;;) {
		try {
			return await check();
		}
		catch (error) {
			if (Date.now() > ends)
				throw error;
			await sleep(50);
		}
	}
}

export class World {
	/** Whether the web server is our own, and can be told to misbehave. */
	get own() { return !process.env.LUCI_URL; }

	inits = []; errors = [];

	/** A world with a bus of its own, for a daemon of ours. */
	static async create() {
		const world = new World();

		world.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'dots-luci-'));
		world.root = world.own ? path.join(world.folder, 'root') : process.env.LUCI_ROOT ?? '/';
		world.socket = world.own ? path.join(world.folder, 'ubus.sock') : process.env.LUCI_BUS;
		if (world.own)
			await world.startBroker();
		return world.furnish();
	}

	/** A world around a daemon that runs already. `init` is what its service script does. */
	static around({ socket, root, init }) {
		return Object.assign(new World(), { socket, root, init }).furnish();
	}

	async furnish() {
		fs.mkdirSync(path.join(this.root, 'etc/config'), { recursive: true });
		fs.mkdirSync(path.join(this.root, 'etc/dots-callhome'), { recursive: true });
		if (this.own) {
			fs.writeFileSync(path.join(this.root, 'etc/config/network'), 'config interface \'wan\'\n\toption proto \'pppoe\'\n\toption password \'secret\'\n');
			this.bridge = new Bridge({ bus: this.socket, root: this.root, users: USERS, init: action => this.init(action),
				program: params => this.program(params) });
			this.bridge.speed = 10;
			await this.bridge.start();
		}
		this.url = process.env.LUCI_URL ?? this.bridge.url;
		this.browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
		return this;
	}

	async startBroker() {
		this.broker = spawn(path.join(TOOLS, 'bin/ubusd'), [ '-s', this.socket ], { stdio: 'ignore' });
		await eventually(() => Bus.connect(this.socket).then(bus => bus.close()));
	}

	async stopBroker() {
		const gone = new Promise(done => this.broker.on('exit', done));

		this.broker.kill();
		await gone;
	}

	/* What the service's script is asked to do. */
	async init(action) {
		this.inits.push(action);
		if (action == 'start' && !this.daemon.bus)
			await this.daemon.start();
	}

	/** What the service's program is asked to do with a profile. */
	program(params) {
		this.programs.push(params);
		return this.profile ?? { code: 0, stdout: '' };
	}

	/** A fresh daemon and configuration. */
	async reset() {
		await this.daemon?.stop();
		for (const context of this.browser.contexts())
			await context.close();
		this.inits = [];
		this.programs = [];
		this.profile = null;
		this.errors = [];
		this.configure(CONFIG);
		this.tell('config notify \'notify\'\n');
		if (this.own) {
			Object.assign(this.bridge, { delivered: 'none\n', language: 'en', clockAhead: 0, timeout: 20000 });
			this.bridge.sessions.endAll();
		}
		this.daemon = await eventually(() => new Daemon(this.socket).start());
	}

	configure(text) {
		fs.writeFileSync(path.join(this.root, 'etc/config/dots-callhome'), text);
	}

	config() {
		return fs.readFileSync(path.join(this.root, 'etc/config/dots-callhome'), 'utf8');
	}

	/** Sets how people are told. */
	tell(text) {
		fs.writeFileSync(path.join(this.root, 'etc/config/dots-callhome-notify'), text);
	}

	/** How people are told. */
	ways() {
		return fs.readFileSync(path.join(this.root, 'etc/config/dots-callhome-notify'), 'utf8');
	}

	/** A browser window of somebody who has logged in, on one of the pages. */
	async open(page, { user = 'root', ...options } = {}) {
		const { name, password } = USERS.find(u => u.name == user);
		const context = await this.browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
		context.setDefaultTimeout(PATIENCE);
		const window = await context.newPage();

		window.on('pageerror', error => this.errors.push(error.message));
		window.on('dialog', dialog => { this.errors.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
		await context.request.post(this.url, { form: { luci_username: name, luci_password: password }, maxRedirects: 0 });
		await window.goto(this.url + (page.includes('/') ? page : `admin/services/dots-callhome/${page}`));
		return window;
	}

	/** The calls of one method that the daemon has received, without the session. */
	calls(method) {
		return this.daemon.calls.filter(([ name ]) => name == method).map(([ , { ubus_rpc_session: _, ...args } ]) => args);
	}

	async close() {
		await this.browser.close();
		await this.daemon?.stop();
		this.bridge?.stop();
		this.broker?.kill();
		if (this.folder)
			fs.rmSync(this.folder, { recursive: true });
	}
}

/** Text of the page as a person sees it. */
export const seen = async page => (await page.locator('#maincontent').innerText()).replaceAll('\u00a0', ' ');

export async function says(page, ...texts) {
	await eventually(async () => {
		const text = await seen(page);

		for (const wanted of texts)
			assert.ok(wanted instanceof RegExp ? wanted.test(text) : text.includes(wanted), `"${wanted}" is not on the page:\n${text}`);
	});
}

export const card = (page, text) => page.locator('.dots .card', { hasText: text });
export const press = (scope, name) => scope.getByRole('button', { name, exact: true }).click();
export const dialog = page => page.locator('#modal_overlay .modal');

export async function closed(page) {
	await eventually(async () => assert.equal(await dialog(page).isVisible(), false, 'the dialog stays'));
}
