// A stand-in for LuCI's runtime: what its documentation promises and our pages use, and no more.
/* global LuCI */
'use strict';

function _(text, context) {
	return window.TR.strings[(context ? `${context}\u0001` : '') + text] ?? text;
}

function N_(n, one, many, context) {
	const form = Number(new Function('n', `return ${window.TR.plural}`)(n));

	return window.TR.strings[`${context ? `${context}\u0001` : ''}${one}\u0002${form}`] ?? (n == 1 ? one : many);
}

String.prototype.format = function(...args) {
	return this.replace(/%([sd%])/g, (all, kind) => kind == '%' ? '%' : kind == 'd' ? String(Math.trunc(args.shift())) : String(args.shift()));
};

/* Classes: extended with properties, and a method of the parent found by `super`. */
class Base {
	constructor(...args) {
		if (typeof this.__init__ == 'function')
			this.__init__(...args);
	}

	super(name, args) {
		const own = this[name];
		let at = this;

		while (at && at[name] === own)
			at = Object.getPrototypeOf(at);
		return at[name].apply(this, args);
	}

	static extend(properties) {
		const derived = class extends this {};

		Object.assign(derived.prototype, properties);
		return derived;
	}
}

const instances = new WeakMap();

const dom = {
	elem: node => node instanceof Node,

	attr(node, attributes) {
		for (const [ key, value ] of Object.entries(attributes ?? {}))
			if (typeof value == 'function')
				node.addEventListener(key, value);
			else if (value !== null && value !== undefined)
				node.setAttribute(key, typeof value == 'object' ? JSON.stringify(value) : value);
	},

	/* As documented: in a list text is text, but a string by itself is markup. */
	append(node, children) {
		if (Array.isArray(children)) {
			for (const child of children)
				if (child !== null && child !== undefined)
					node.append(dom.elem(child) ? child : document.createTextNode(String(child)));
		}
		else if (dom.elem(children))
			node.append(children);
		else if (children !== null && children !== undefined)
			node.innerHTML = String(children);
		return node.lastChild;
	},

	content(node, children) {
		node.replaceChildren();
		return dom.append(node, children);
	},

	create(tag, attributes, children) {
		if (attributes instanceof Array || dom.elem(attributes) || typeof attributes == 'string')
			[ attributes, children ] = [ null, attributes ];

		const node = Array.isArray(tag) ? document.createDocumentFragment() : document.createElement(tag);

		if (!Array.isArray(tag))
			dom.attr(node, attributes);
		dom.append(node, children);
		return node;
	},

	bindClassInstance(node, instance) { instances.set(node, instance); },
	findClassInstance(node) {
		for (; node; node = node.parentNode)
			if (instances.has(node))
				return instances.get(node);
		return null;
	},
	callClassMethod: (node, name, ...args) => dom.findClassInstance(node)[name](...args)
};

const E = dom.create;

const request = {
	async request(url, { method = 'GET', content } = {}) {
		const fresh = `${url}${url.includes('?') ? '&' : '?'}${Date.now()}`;
		const response = await fetch(content ? url : fresh, { method, body: content && JSON.stringify(content) });
		const text = await response.text();

		return { ok: response.ok, status: response.status, statusText: response.statusText, headers: response.headers,
			text: () => text, json: () => JSON.parse(text) };
	}
};

const poll = {
	queue: [],
	add(fn, interval) { this.queue.push({ fn, interval: interval ?? L.env.pollinterval, tick: 0 }); },
	stop() { clearInterval(this.timer); this.timer = null; },
	start() {
		this.timer ??= setInterval(() => {
			for (const entry of this.queue)
				if (++entry.tick % entry.interval == 0 && !entry.busy) {
					entry.busy = true;
					Promise.resolve(entry.fn()).catch(console.error).finally(() => { entry.busy = false; });
				}
		}, 1000 / (L.env.speed ?? 1));
	}
};

let id = 0;

const rpc = {
	async call(options, params) {
		let message;
		const name = `${options.object}/${options.method}`;
		const response = await request.request(L.env.ubuspath, { method: 'POST',
			content: { jsonrpc: '2.0', id: ++id, method: 'call', params: [ L.env.sessionid, options.object, options.method, params ] } });

		if (!response.ok)
			L.raise('RPCError', 'RPC call to %s failed with HTTP error %d: %s', name, response.status, response.statusText);
		message = response.json();
		if (message.error?.code == -32002 && !(await this.alive()))
			L.notifySessionExpiry();
		if (message.error)
			L.raise('RPCError', 'RPC call to %s failed with error %d: %s', name, message.error.code, message.error.message);
		if (options.reject && message.result[0])
			L.raise('RPCError', 'RPC call to %s failed with ubus code %d: %s', name, message.result[0], '?');
		return message.result[1] ?? message.result[0];
	},

	/* The objects of these names, with their methods. */
	async list(...patterns) {
		const response = await request.request(L.env.ubuspath, { method: 'POST',
			content: { jsonrpc: '2.0', id: ++id, method: 'list', params: patterns.length ? patterns : undefined } });

		return response.json().result;
	},

	alive: () => rpc.call({ object: 'session', method: 'access' }, { scope: 'ubus', object: 'uci', function: 'get' }).then(r => r.access),

	declare: options => async (...args) => {
		const params = {};

		(options.params ?? []).forEach((name, i) => { params[name] = args[i]; });
		let reply = await rpc.call(options, params);

		for (const [ key, fallback ] of Object.entries(options.expect ?? {})) {
			const value = key ? reply?.[key] : reply;
			reply = Object.prototype.toString.call(value) == Object.prototype.toString.call(fallback) ? value : fallback;
		}
		return reply;
	}
};

const fs = {
	declare: (method, params, expect) => rpc.declare({ object: 'file', method, params, expect, reject: true }),
	list: path => fs.declare('list', [ 'path' ], { entries: [] })(path),
	write: (path, data, mode) => fs.declare('write', [ 'path', 'data', 'mode' ])(path, data, mode),
	exec: (command, params) => fs.declare('exec', [ 'command', 'params' ])(command, params)
};

class View extends Base {
	__init__() {
		const node = document.getElementById('view');

		dom.content(node, E('div', { 'class': 'spinning' }, [ _('Loading view…') ]));
		this.ready = Promise.resolve(this.load()).then(data => this.render(data)).then(content => {
			dom.content(node, content);
			dom.append(node, this.addFooter());
		}).catch(error => { ui.addNotification(error.name, E('pre', {}, [ error.message ])); console.error(error); });
	}

	load() {}
	maps() { return [ ...document.querySelectorAll('#maincontent .cbi-map') ]; }
	handleSave() { return Promise.all(this.maps().map(map => dom.callClassMethod(map, 'save'))); }
	handleSaveApply(event, mode) { return this.handleSave(event).then(() => { ui.changes.apply(mode == '0'); }); }
	handleReset() { return Promise.all(this.maps().map(map => dom.callClassMethod(map, 'reset'))); }

	addFooter() {
		const dead = L.hasViewPermission() ? null : '';
		const button = (name, label, style) => this[name]
			? E('button', { 'class': `btn cbi-button cbi-button-${style}`, 'disabled': dead, 'click': ui.createHandlerFn(this, name) }, [ label ]) : '';

		return this.handleSave || this.handleSaveApply || this.handleReset ? E('div', { 'class': 'cbi-page-actions' }, [
			button('handleSaveApply', 'Save & Apply', 'apply'), button('handleSave', 'Save', 'save'), button('handleReset', 'Reset', 'reset') ]) : E([]);
	}
}

const overlay = E('div', { 'id': 'modal_overlay', 'tabindex': -1 }, [ E('div', { 'class': 'modal', 'role': 'dialog', 'aria-modal': true }) ]);

const ui = {
	showModal(title, children, ...classes) {
		overlay.firstChild.className = [ 'modal', ...classes ].join(' ');
		dom.content(overlay.firstChild, E('h4', {}, title));
		dom.append(overlay.firstChild, children);
		document.body.classList.add('modal-overlay-active');
		overlay.focus();
		return overlay.firstChild;
	},

	hideModal() { document.body.classList.remove('modal-overlay-active'); },

	addNotification(title, children, ...classes) {
		const node = E('div', { 'class': [ 'alert-message', ...classes ].join(' ') }, [ title == null ? '' : E('h4', {}, title) ]);

		dom.append(node, children);
		document.getElementById('maincontent').prepend(node);
		return node;
	},

	showIndicator(id, label, handler) {
		const bar = document.getElementById('indicators');
		const node = bar.querySelector(`[data-indicator="${id}"]`)
			?? bar.appendChild(E('span', { 'data-indicator': id, 'data-clickable': handler ? true : null, 'click': handler }, [ '' ]));

		node.textContent = label;
	},

	hideIndicator(id) { document.querySelector(`#indicators [data-indicator="${id}"]`)?.remove(); },

	createHandlerFn: (context, fn, ...args) => event => {
		const node = event.currentTarget;

		node.disabled = true;
		return Promise.resolve((typeof fn == 'string' ? context[fn] : fn).call(context, ...args, event)).finally(() => { node.disabled = false; });
	},

	changes: {
		apply() {
			ui.showModal('', E('p', { 'class': 'spinning' }, [ 'Applying configuration changes…' ]));
			return rpc.declare({ object: 'uci', method: 'apply', params: [ 'timeout', 'rollback' ] })(90, true)
				.then(() => { location.reload(); });
		}
	},

	instantiateView: path => L.require(path.includes('/') ? `view.${path.replaceAll('/', '.')}` : path)
};

const session = {
	getLocalData: key => JSON.parse(sessionStorage.getItem(key)),
	setLocalData: (key, value) => sessionStorage.setItem(key, JSON.stringify(value))
};

const loaded = { baseclass: Base, view: View, dom, poll, request, rpc, fs, session, ui };

class LuCI {
	constructor(env) {
		this.env = { base_url: env.resource, ...env };
		window.L = this;
		document.body.append(overlay);
		overlay.addEventListener('keydown', event => {
			if (event.key == 'Escape')
				overlay.querySelector('.right > button')?.click();
		});
		this.preload();
		poll.start();
	}

	/* LuCI inside of uhttpd does not find its preload folder (it asks for it relative to a root it is not told), but keeps
	   what it has found for the login. */
	preload() {
		if (!session.getLocalData('preload'))
			session.setLocalData('preload', []);
		for (const name of session.getLocalData('preload'))
			this.require(name);
	}

	/* Modules name what they need in their first lines. */
	require(name) {
		return Promise.resolve(loaded[name] ??= this.load(name));
	}

	async load(name) {
		const source = (await request.request(this.resource(`${name.replaceAll('.', '/')}.js`))).text();
		const head = source.slice(0, source.search(/^(?!\s*('|\/\/|\/\*|\*|$))/m));
		const needs = [ ...head.matchAll(/^'require (\S+?)(?: as (\S+?))?';$/gm) ].map(m => [ m[1], m[2] ?? m[1].replace(/[^a-zA-Z0-9_]/g, '_') ]);
		const values = await Promise.all(needs.map(([ module ]) => this.require(module)));
		const factory = new Function('window', 'document', 'L', ...needs.map(([ , as ]) => as), `${source}\n//# sourceURL=${name}`);
		const type = factory(window, document, this, ...values);

		return new type();
	}

	url(...parts) { return [ this.env.scriptname, ...parts ].join('/'); }
	resource(...parts) { return [ this.env.resource, ...parts ].join('/'); }
	isObject(value) { return value !== null && typeof value == 'object'; }
	resolveDefault(value, fallback) { return Promise.resolve(value).catch(() => fallback); }
	hasViewPermission() { return !this.env.nodespec.readonly; }

	raise(name, format, ...args) {
		throw Object.assign(new Error(format.format(...args)), { name });
	}

	notifySessionExpiry() {
		poll.stop();
		ui.showModal('Session expired', [ E('p', {}, [ 'A new login is required since the authentication session expired.' ]) ]);
		this.raise('SessionError', 'Login session is expired');
	}
}
