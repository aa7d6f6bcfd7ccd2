// What stands between a browser and the bus on a router: uhttpd's ubus bridge with rpcd's sessions and rights, and the
// pages LuCI would build. Only for tests and the demo, only on the loopback address.

import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { catalogue } from './po.mjs';
import { Bus, Refused } from './ubus.mjs';
import { uci } from './uci.mjs';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const APP = path.join(HERE, '../../luci-app');
const BASE = '/cgi-bin/luci';
const NOBODY = '0'.repeat(32);
const ERRORS = { parse: [ -32700, 'Parse error' ], method: [ -32601, 'Method not found' ],
	params: [ -32602, 'Invalid parameters' ], object: [ -32000, 'Object not found' ],
	access: [ -32002, 'Access denied' ], timeout: [ -32003, 'ubus request timed out' ] };

/* What luci-base grants to everybody who has logged in, as far as the page needs it. */
const BASE_ACL = {
	read: { file: { '/': [ 'list' ], '/*': [ 'list' ] }, ubus: { file: [ 'list' ], uci: [ 'changes', 'get' ], session: [ 'access' ] } },
	write: { ubus: { uci: [ 'add', 'apply', 'confirm', 'delete', 'order', 'set' ] } }
};

/* Pages that are not ours. */
const OTHERS = { 'admin/status/overview': 'overview', 'admin/status/processes': 'processes' };

const readJson = file => JSON.parse(fs.readFileSync(file, 'utf8'));
const MENU = readJson(path.join(APP, 'root/usr/share/luci/menu.d/luci-app-dots-callhome.json'));
const [ [ APP_ACL, APP_RIGHTS ] ] = Object.entries(readJson(path.join(APP, 'root/usr/share/rpcd/acl.d/luci-app-dots-callhome.json')));

const glob = pattern => new RegExp(`^${pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')}$`);
const escape = text => text.replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`);

class Sessions {
	#all = new Map();

	constructor(users) { this.users = users; }

	login(name, password) {
		const user = this.users.find(u => u.name == name && u.password == password);
		if (!user)
			return null;
		const sid = crypto.randomBytes(16).toString('hex');
		const rights = user.granted === false ? {} : APP_RIGHTS;
		this.#all.set(sid, { user, scopes: [ BASE_ACL.read, rights.read, ...user.writes ? [ BASE_ACL.write, rights.write ] : [] ] });
		return sid;
	}

	end(sid) { this.#all.delete(sid); }

	endAll() { this.#all.clear(); }

	get(sid) { return this.#all.get(sid); }

	may(sid, scope, object, right) {
		return (this.#all.get(sid)?.scopes ?? []).some(rights => {
			const objects = rights?.[scope] ?? {};
			if (Array.isArray(objects))
				return objects.includes(object) && right == (rights == APP_RIGHTS.write ? 'write' : 'read');
			return Object.entries(objects).some(([ o, rs ]) => glob(o).test(object) && rs.some(r => glob(r).test(right)));
		});
	}
}

export class Bridge {
	/**
	 * `bus`: the socket; `root`: the folder that is `/` to the page, with `etc/config`; `users`: name, password, writes;
	 * `init(action)`: what the service script does; `host`: an object by MAC as `luci-rpc getHostHints` tells.
	 */
	constructor({ bus, root, users, init, program, hosts }) {
		Object.assign(this, { busPath: bus, root, init: init ?? (() => {}), program: program ?? (() => ({ code: 1 })), hosts: hosts ?? {}, timeout: 20000 });
		this.sessions = new Sessions(users);
		this.language = 'en';
		this.local = {
			uci: uci(path.join(root, 'etc/config'), (sid, config, right) => this.sessions.may(sid, 'uci', config, right),
				configs => this.#applied(configs)),
			file: this.#file()
		};
	}

	async start(port = 0) {
		this.server = http.createServer((request, response) => this.#serve(request, response).catch(error => {
			response.writeHead(500).end(String(error));
		}));
		await new Promise(done => this.server.listen(port, '127.0.0.1', done));
		this.url = `http://127.0.0.1:${this.server.address().port}${BASE}/`;
		await this.#join().catch(() => {});
		return this;
	}

	stop() {
		this.bus?.close();
		this.server.closeAllConnections();
		this.server.close();
	}

	/* rpcd's own objects, for the daemon to ask. */
	async #join() {
		if (this.bus && !this.bus.closed)
			return this.bus;
		const bus = await Bus.connect(this.busPath);
		await bus.publish('session', {
			get: args => ({ values: { username: this.sessions.get(args.ubus_rpc_session)?.user.name ?? '' } })
		});
		for (const name of [ 'loopback', 'lan', 'wan', 'wan6' ])
			await bus.publish(`network.interface.${name}`, { status: () => ({}) });
		await bus.publish('luci-rpc', { getHostHints: () => this.hosts });
		return this.bus = bus;
	}

	async #applied(configs) {
		await this.init('reload');
		for (const config of configs)
			await this.bus?.call('service', 'event', { type: 'config.change', data: { package: config } }).catch(() => {});
	}

	#file() {
		const allowed = (args, right, name = args.path) => {
			if (!this.sessions.may(args.ubus_rpc_session, 'file', name, right))
				throw new Refused(6);
			return path.join(this.root, path.posix.resolve('/', name));
		};

		return {
			list: args => {
				const folder = args.path.startsWith('/www/') ? path.join(APP, 'htdocs', args.path.slice(4)) : allowed(args, 'list');
				if (!fs.existsSync(folder))
					throw new Refused(4);
				return { entries: fs.readdirSync(folder, { withFileTypes: true }).map(e => {
					const { size, mtimeMs } = fs.statSync(path.join(folder, e.name));
					return { name: e.name, type: e.isFile() ? 'file' : 'directory', size, mtime: Math.floor(mtimeMs / 1000) };
				}) };
			},
			write: args => {
				const file = allowed(args, 'write');
				fs.writeFileSync(file, args.data, { mode: args.mode });
			},
			exec: async args => {
				allowed(args, 'exec', [ args.command, ...args.params ?? [] ].join(' '));
				if (args.command.endsWith('/sbin/dots-callhome'))
					return this.program(args.params);
				if (args.command.endsWith('/notify'))
					return { code: 0, stdout: this.delivered };
				await this.init(args.params[0]);
				return { code: 0 };
			}
		};
	}

	async #call(id, params) {
		const [ sid, object, method, args ] = Array.isArray(params) ? params : [];
		const error = name => ({ jsonrpc: '2.0', id, error: { code: ERRORS[name][0], message: ERRORS[name][1] } });

		if (typeof args != 'object')
			return error('parse');
		if (object == 'session' && method == 'access')
			return { jsonrpc: '2.0', id, result: [ 0, { access: this.sessions.may(sid, args.scope, args.object, args.function) } ] };

		const bus = this.local[object] ? null : await this.#join().catch(() => null);
		const there = this.local[object] || await bus?.call(object, '-').then(() => true, e => e.status != 4 && e.status != 10);
		if (!there)
			return error('object');
		if (!this.sessions.may(sid, 'ubus', object, method))
			return error('access');
		if ('ubus_rpc_session' in args)
			return error('params');

		const full = { ...args, ubus_rpc_session: sid };
		const late = Symbol();
		try {
			const reply = await Promise.race([
				this.local[object] ? this.local[object][method]?.(full) : bus.call(object, method, full),
				new Promise(done => setTimeout(done, this.timeout, late).unref())
			]);
			if (reply === late)
				return error('timeout');
			return { jsonrpc: '2.0', id, result: reply ? [ 0, reply ] : [ 0 ] };
		}
		catch (e) {
			return { jsonrpc: '2.0', id, result: [ e.status ?? 9 ] };
		}
	}

	async #list(id, patterns) {
		const bus = await this.#join().catch(() => null);
		const found = await Promise.all(patterns.map(pattern => bus?.paths(pattern) ?? []));
		return { jsonrpc: '2.0', id, result: Object.fromEntries(found.flat().map(path => [ path, {} ])) };
	}

	async #rpc(request, response) {
		const chunks = [];
		for await (const chunk of request)
			chunks.push(chunk);
		const one = message => message.method == 'call' ? this.#call(message.id, message.params)
			: message.method == 'list' ? this.#list(message.id, message.params ?? [ '*' ])
			: { jsonrpc: '2.0', id: message.id, error: { code: ERRORS.method[0], message: ERRORS.method[1] } };
		const body = JSON.parse(Buffer.concat(chunks));
		const answer = Array.isArray(body) ? await Promise.all(body.map(one)) : await one(body);
		response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer));
	}

	async #serve(request, response) {
		const { pathname } = new URL(request.url, 'http://localhost');

		if (pathname.startsWith('/ubus'))
			return this.#rpc(request, response);
		if (pathname.startsWith('/luci-static/resources/'))
			return this.#resource(pathname.slice('/luci-static/resources/'.length), response);
		if (!pathname.startsWith(BASE))
			return response.writeHead(302, { Location: `${BASE}/` }).end();
		return this.#page(pathname.slice(BASE.length + 1).replace(/\/$/, ''), request, response);
	}

	#resource(name, response) {
		const file = [ path.join(APP, 'htdocs/luci-static/resources'), path.join(HERE, 'runtime') ]
			.map(folder => path.join(folder, path.posix.resolve('/', name))).find(f => fs.existsSync(f));
		const type = { '.js': 'text/javascript', '.css': 'text/css' }[path.extname(name)] ?? 'text/plain';

		if (!file)
			return response.writeHead(404).end();
		response.writeHead(200, { 'Content-Type': `${type}; charset=utf-8`,
			'Date': new Date(Date.now() + (this.clockAhead ?? 0) * 1000).toUTCString() }).end(fs.readFileSync(file));
	}

	async #page(node, request, response) {
		const cookie = /sysauth_http=(\w+)/.exec(request.headers.cookie ?? '')?.[1];
		let session = this.sessions.get(cookie);

		if (request.method == 'POST') {
			let body = '';
			for await (const chunk of request)
				body += chunk;
			const form = new URLSearchParams(body);
			const sid = this.sessions.login(form.get('luci_username'), form.get('luci_password'));
			if (sid)
				return response.writeHead(302, { 'Set-Cookie': `sysauth_http=${sid}; path=/cgi-bin/luci/`, Location: request.url }).end();
		}
		if (!session)
			return response.writeHead(403, { 'Content-Type': 'text/html; charset=utf-8', 'X-LuCI-Login-Required': 'yes' }).end(LOGIN);

		if (!node || node == 'admin')
			node = 'admin/status/overview';
		if (MENU[node]?.action.type == 'firstchild')
			node = Object.keys(MENU).find(n => n.startsWith(`${node}/`));

		const view = OTHERS[node] ?? MENU[node]?.action.path;
		const readonly = !this.sessions.may(cookie, 'uci', 'dots-callhome', 'write');
		const granted = session.user.granted !== false;

		if (!view || (MENU[node] && !granted))
			return response.writeHead(404).end('No such page');
		response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(
			this.#html(node, view, { sessionid: cookie, readonly, language: this.language }));
	}

	#html(node, view, { sessionid, readonly, language }) {
		const env = { resource: '/luci-static/resources', scriptname: BASE, ubuspath: '/ubus', sessionid, pollinterval: 5, speed: this.speed,
			requestpath: node.split('/'), nodespec: { satisfied: true, readonly, title: MENU[node]?.title ?? 'Overview' } };
		const tabs = Object.entries(MENU).filter(([ , item ]) => item.action.type == 'view');
		const translate = catalogue(language);
		const link = (n, title) => `<li${n == node ? ' class="active"' : ''}><a href="${BASE}/${n}">${escape(translate.strings[title] ?? title)}</a></li>`;

		return `<!DOCTYPE html><html lang="${language}"><head><meta charset="utf-8"><title>OpenWrt - ${escape(env.nodespec.title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" href="/luci-static/resources/theme.css">
<script>window.TR = ${JSON.stringify(translate).replaceAll('<', '\\u003c')}</script><script src="/luci-static/resources/luci.js"></script></head>
<body><header><a class="brand" href="${BASE}/">OpenWrt</a>
<ul class="nav">${link('admin/status/overview', 'Overview')}${link(Object.keys(MENU)[0], 'DDoS Call Home')}</ul><div id="indicators"></div></header>
<div id="maincontent" class="container"><div id="tabmenu">${MENU[node] ? `<ul class="tabs">${tabs.map(([ n, item ]) => link(n, item.title)).join('')}</ul>` : ''}</div>
<div id="view"></div></div><script>L = new LuCI(${JSON.stringify(env)}); L.require('ui').then(ui => ui.instantiateView('${view}'));</script></body></html>`;
	}
}

const LOGIN = `<!DOCTYPE html><title>Login</title><form method="post"><input name="luci_username" value="root">
<input name="luci_password" type="password"><button class="btn cbi-button-positive">Log in</button></form>`;

/* `node bridge.mjs BUS ROOT PID` serves the page for a daemon that runs already, until its input ends. */
if (process.argv[1] == fileURLToPath(import.meta.url)) {
	const [ bus, root, pid ] = process.argv.slice(2);
	const bridge = await new Bridge({ bus, root, users: [ { name: 'root', password: '', writes: true } ],
		init: () => process.kill(+pid, 'SIGHUP') }).start();

	console.log(`${bridge.url} (user root, no password)`);
	process.stdin.resume().on('end', () => process.exit());
}
