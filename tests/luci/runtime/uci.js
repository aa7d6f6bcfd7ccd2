'use strict';
'require baseclass';
'require rpc';

const call = (method, params) => rpc.declare({ object: 'uci', method: method, params: params, reject: true });
const get = call('get', [ 'config' ]), set = call('set', [ 'config', 'section', 'values' ]);
const add = call('add', [ 'config', 'type', 'name', 'values' ]), remove = call('delete', [ 'config', 'section', 'options' ]);

let count = 0;

return baseclass.extend({
	__init__() {
		this.values = {};
		this.creates = {};
		this.changes = {};
		this.deletes = {};
	},

	load(config) {
		return this.values[config] ? Promise.resolve() : get(config).then(reply => { this.values[config] = reply.values; });
	},

	section(config, sid) {
		if (this.deletes[config]?.[sid] === true)
			return null;

		const saved = this.creates[config]?.[sid] ?? this.values[config]?.[sid];

		if (!saved)
			return null;

		const section = Object.assign({}, saved, this.changes[config]?.[sid]);

		for (const option of Object.keys(this.deletes[config]?.[sid] ?? {}))
			delete section[option];
		return section;
	},

	sections(config, type) {
		return Object.keys(Object.assign({}, this.values[config], this.creates[config])).map(sid => this.section(config, sid))
			.filter(s => s && (!type || s['.type'] == type));
	},

	get(config, sid, option) {
		const section = this.section(config, sid);

		return option ? section?.[option] ?? null : section;
	},

	set(config, sid, option, value) {
		if (value === null || value === undefined || value === '')
			return this.unset(config, sid, option);
		delete this.deletes[config]?.[sid]?.[option];
		if (this.creates[config]?.[sid])
			this.creates[config][sid][option] = value;
		else
			((this.changes[config] ??= {})[sid] ??= {})[option] = value;
	},

	unset(config, sid, option) {
		delete this.changes[config]?.[sid]?.[option];
		delete this.creates[config]?.[sid]?.[option];
		if (this.values[config]?.[sid]?.[option] !== undefined)
			((this.deletes[config] ??= {})[sid] ??= {})[option] = true;
	},

	add(config, type, name) {
		const sid = name || 'new%d'.format(++count);

		(this.creates[config] ??= {})[sid] = { '.type': type, '.name': sid, '.anonymous': !name, '.create': name };
		return sid;
	},

	remove(config, sid) {
		if (this.creates[config]?.[sid])
			delete this.creates[config][sid];
		else
			(this.deletes[config] ??= {})[sid] = true;
	},

	save() {
		const tasks = [];
		const each = (what, fn) => Object.entries(what).forEach(([ config, sections ]) =>
			Object.entries(sections).forEach(([ sid, value ]) => tasks.push(fn(config, sid, value))));
		const touched = [ this.deletes, this.creates, this.changes ].flatMap(what => Object.keys(what));

		each(this.deletes, (config, sid, what) => remove(config, sid, what === true ? undefined : Object.keys(what)));
		each(this.creates, (config, sid, s) => add(config, s['.type'], s['.create'],
			Object.fromEntries(Object.entries(s).filter(([ k ]) => k[0] != '.'))));
		each(this.changes, (config, sid, values) => set(config, sid, values));
		this.deletes = {};
		this.creates = {};
		this.changes = {};
		for (const config of touched)
			delete this.values[config];
		return Promise.all(tasks).then(() => Promise.all(touched.map(config => this.load(config))));
	}
});
