// What rpcd's `uci` object does, on a folder of configuration files: changes are staged for each session, then applied.

import fs from 'node:fs';
import path from 'node:path';

import { Refused } from './ubus.mjs';

function parse(text) {
	const sections = [];
	let section;

	for (const line of text.split('\n')) {
		const words = [ ...line.matchAll(/'([^']*)'|"([^"]*)"|([^\s'"#]+)|#.*/g) ].filter(m => !m[0].startsWith('#'))
			.map(m => m[1] ?? m[2] ?? m[3]);

		switch (words[0]) {
		case 'config':
			section = { '.type': words[1], '.anonymous': !words[2], '.name': words[2] ?? `cfg${sections.length}` };
			sections.push(section);
			break;
		case 'option': section[words[1]] = words[2] ?? ''; break;
		case 'list': section[words[1]] = (section[words[1]] ?? []).concat(words[2] ?? ''); break;
		}
	}
	return sections;
}

function print(sections) {
	const quote = value => `'${String(value).replaceAll('\'', '\'\\\'\'')}'`;

	return sections.map(section => {
		const name = section['.anonymous'] ? '' : ` ${quote(section['.name'])}`;
		const options = Object.entries(section).filter(([ k ]) => k[0] != '.').map(([ k, v ]) => Array.isArray(v)
			? v.map(item => `\tlist ${k} ${quote(item)}\n`).join('') : `\toption ${k} ${quote(v)}\n`);

		return `config ${section['.type']}${name}\n${options.join('')}`;
	}).join('\n');
}

/** The methods; `may(sid, config, right)` tells the rights of a session, `applied(configs)` is told what was written. */
export function uci(folder, may, applied) {
	const staged = new Map();
	const file = config => path.join(folder, path.basename(config));

	const read = (sid, config) => {
		const mine = staged.get(sid)?.get(config);
		if (mine)
			return mine.sections;
		if (!fs.existsSync(file(config)))
			throw new Refused(4);
		return parse(fs.readFileSync(file(config), 'utf8'));
	};

	const change = (args, what) => {
		if (!may(args.ubus_rpc_session, args.config, 'write'))
			throw new Refused(6);
		const mine = staged.get(args.ubus_rpc_session) ?? new Map();
		const entry = mine.get(args.config) ?? { sections: read(args.ubus_rpc_session, args.config), log: [] };
		const reply = what(entry);
		mine.set(args.config, entry);
		staged.set(args.ubus_rpc_session, mine);
		return reply;
	};

	const find = (sections, name) => {
		const section = sections.find(s => s['.name'] == name);
		if (!section)
			throw new Refused(4);
		return section;
	};

	const write = (entry, section, values) => {
		for (const [ option, value ] of Object.entries(values ?? {})) {
			section[option] = value;
			entry.log.push([ 'set', section['.name'], option, value ]);
		}
	};

	return {
		get(args) {
			if (!may(args.ubus_rpc_session, args.config, 'read'))
				throw new Refused(6);
			return { values: Object.fromEntries(read(args.ubus_rpc_session, args.config)
				.map((s, i) => [ s['.name'], { ...s, '.index': i } ])) };
		},
		set: args => change(args, entry => write(entry, find(entry.sections, args.section), args.values)),
		add: args => change(args, entry => {
			const name = args.name || `cfg${Math.random().toString(16).slice(2, 8)}`;
			const section = { '.type': args.type, '.anonymous': !args.name, '.name': name };
			entry.sections.push(section);
			entry.log.push([ 'add', name, args.type ]);
			write(entry, section, args.values);
			return { section: name };
		}),
		delete: args => change(args, entry => {
			const section = find(entry.sections, args.section);
			for (const option of args.options ?? [])
				delete section[option];
			if (!args.options)
				entry.sections.splice(entry.sections.indexOf(section), 1);
			entry.log.push([ 'remove', args.section ]);
		}),
		order: () => ({}),
		changes: args => ({ changes: Object.fromEntries([ ...staged.get(args.ubus_rpc_session) ?? [] ]
			.map(([ config, entry ]) => [ config, entry.log ])) }),
		async apply(args) {
			const mine = staged.get(args.ubus_rpc_session);
			if (!mine)
				throw new Refused(5);
			for (const [ config, entry ] of mine)
				fs.writeFileSync(file(config), print(entry.sections));
			staged.delete(args.ubus_rpc_session);
			await applied([ ...mine.keys() ]);
		},
		confirm: () => ({})
	};
}
