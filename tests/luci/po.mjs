// Translations, read from the same .po files that are shipped.

import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const FOLDER = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../luci-app/po');

/** The entries of a .po or .pot file: context, singular, plural, translations. */
export function entries(text) {
	const found = [];
	let entry, field;

	for (const line of text.split('\n')) {
		const start = /^(msgctxt|msgid|msgid_plural|msgstr(?:\[\d\])?) (".*")$/.exec(line);

		if (start) {
			if (start[1] == 'msgctxt' || (start[1] == 'msgid' && (!entry || entry.msgid !== undefined)))
				found.push(entry = {});
			field = start[1];
			entry[field] = JSON.parse(start[2]);
		}
		else if (line.startsWith('"'))
			entry[field] += JSON.parse(line);
	}
	return found;
}

/** All translations of a language: strings by context and source, and the rule for plurals. */
export function catalogue(language) {
	const file = path.join(FOLDER, language, 'dots-callhome.po');
	const strings = {};
	let plural = 'n != 1';

	if (fs.existsSync(file))
		for (const e of entries(fs.readFileSync(file, 'utf8'))) {
			const key = (e.msgctxt ? `${e.msgctxt}\u0001` : '') + e.msgid;

			if (e.msgid == '')
				plural = /plural=([^;]+);/.exec(e.msgstr)[1];
			else if (e.msgid_plural)
				for (let i = 0; e[`msgstr[${i}]`]; i++)
					strings[`${key}\u0002${i}`] = e[`msgstr[${i}]`];
			else if (e.msgstr)
				strings[key] = e.msgstr;
		}
	return { strings, plural };
}
