// All texts of the page that are to be translated, found in the sources. Run by itself it writes the template.

import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const APP = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../luci-app');

export const TEMPLATE = path.join(APP, 'po/templates/dots-callhome.pot');

const TEXT = '\'((?:[^\'\\\\]|\\\\.)*)\'';
const ONE = new RegExp(`(?<![\\w.])_\\(\\s*${TEXT}(?:\\s*,\\s*${TEXT})?\\s*\\)`, 'g');
const MANY = new RegExp(`(?<![\\w.])N_\\([^,']+,\\s*${TEXT}\\s*,\\s*${TEXT}(?:\\s*,\\s*${TEXT})?\\s*\\)`, 'g');
const ANY = /(?<![\w.])N?_\(/g;

/** The files with texts. */
export const files = () => fs.readdirSync(APP, { recursive: true }).filter(f => /\.(js|json)$/.test(f)).sort();

const plain = text => text?.replace(/\\(.)/g, '$1');

/** Each text with the files it stands in: context, singular, plural. Lines would make every edit change the template. */
export function texts() {
	const found = new Map();
	const add = (file, msgid, plural, context) => {
		const key = `${context ?? ''}\u0001${msgid}`;
		const entry = found.get(key) ?? { msgid, plural, context, places: new Set() };

		entry.plural ??= plural;
		entry.places.add(`luci-app/${file}`);
		found.set(key, entry);
	};

	for (const file of files()) {
		const source = fs.readFileSync(path.join(APP, file), 'utf8');

		if (file.endsWith('.json'))
			for (const m of source.matchAll(/"(?:title|description)": "([^"]*)"/g))
				add(file, m[1]);
		for (const m of source.matchAll(ONE))
			add(file, plain(m[1]), undefined, plain(m[2]));
		for (const m of source.matchAll(MANY))
			add(file, plain(m[1]), plain(m[2]), plain(m[3]));
		if ((source.match(ANY)?.length ?? 0) != [ ...source.matchAll(ONE), ...source.matchAll(MANY) ].length)
			throw new Error(`${file} marks a text that can't be found: it is no plain string`);
	}
	return [ ...found.values() ];
}

/** The template. */
export function template() {
	const quote = text => JSON.stringify(text);

	return `msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8"\n\n${texts().map(t => [
		...[ ...t.places ].map(p => `#: ${p}`),
		...t.context ? [ `msgctxt ${quote(t.context)}` ] : [],
		`msgid ${quote(t.msgid)}`,
		...t.plural ? [ `msgid_plural ${quote(t.plural)}`, 'msgstr[0] ""', 'msgstr[1] ""' ] : [ 'msgstr ""' ]
	].join('\n')).join('\n\n')}\n`;
}

if (process.argv[1] == fileURLToPath(import.meta.url))
	fs.writeFileSync(TEMPLATE, template());
