// The texts: complete, translated, and nothing in the sources that LuCI's build would break.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { inForce, mitigation, suspect } from './daemon.mjs';
import { catalogue, entries } from './po.mjs';
import { TEMPLATE, files, template, texts } from './pot.mjs';
import { eventually, says } from './world.mjs';

const APP = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../luci-app');
const read = file => fs.readFileSync(path.join(APP, file), 'utf8');
const holders = text => (text.match(/%[sd]/g) ?? []).join('');

export function the_template_has_every_text() {
	assert.equal(fs.readFileSync(TEMPLATE, 'utf8'), template(), 'run: node tests/luci/pot.mjs');
}

export function german_and_french_are_complete_and_fit() {
	for (const language of [ 'de', 'fr' ]) {
		const there = new Map(entries(read(`po/${language}/dots-callhome.po`)).map(e => [ `${e.msgctxt ?? ''}\u0001${e.msgid}`, e ]));

		for (const t of texts()) {
			const e = there.get(`${t.context ?? ''}\u0001${t.msgid}`);
			const forms = t.plural ? [ e?.['msgstr[0]'], e?.['msgstr[1]'] ] : [ e?.msgstr ];

			for (const form of forms) {
				assert.ok(form, `${language}: "${t.msgid}" is not translated`);
				assert.equal(holders(form), holders(t.msgid), `${language}: "${form}" fills in other values than "${t.msgid}"`);
			}
		}
		assert.equal(there.size, texts().length + 1, `${language} has texts that nothing shows`);
	}
}

export function plurals_follow_the_language() {
	const form = (language, n) => new Function('n', `return Number(${catalogue(language).plural})`)(n);

	assert.deepEqual([ 0, 1, 2 ].map(n => form('de', n)), [ 1, 0, 1 ]);
	assert.deepEqual([ 0, 1, 2 ].map(n => form('fr', n)), [ 0, 0, 1 ]);
}

/* jsmin mistakes a regular expression after these for a division; sfh() of LuCI stumbles over characters beyond the BMP. */
export function the_sources_survive_the_build() {
	for (const file of files().filter(f => f.endsWith('.js'))) {
		const source = read(file);

		assert.doesNotMatch(source, /(return|=>)\s*\/(?![/*])/, `${file}: a regular expression where jsmin breaks it`);
		assert.doesNotMatch(source, /[\u{10000}-\u{10ffff}]/u, `${file}: a character that LuCI cannot look up`);
		assert.doesNotMatch(source, /innerHTML|outerHTML|insertAdjacentHTML|document\.write/, `${file}: markup out of text`);
		assert.match(source, /^'use strict';\n'require /, `${file}: LuCI expects its header`);
		assert.doesNotMatch(source, /^ /m, `${file}: tabs, please`);
	}
}

async function speaks(world, language, expected) {
	world.bridge.language = language;
	world.daemon.mitigations = [ mitigation(1), mitigation(2, { devices: [ suspect(18), suspect(19, 'possible') ] }), inForce(3) ];
	const page = await world.open('requests');

	await says(page, ...expected);
	await eventually(async () => assert.match(await page.locator('#indicators').textContent(), /2/));
	return page;
}

export async function the_page_speaks_german(world) {
	if (!world.own)
		return 'skipped';
	const page = await speaks(world, 'de', [ 'Belegt etwa 3,3 Mbit/s des Uploads (4.200 Pakete je Sekunde) an 203.0.113.80, UDP-Port 53, Dauer etwa 3 Minuten.', 'vor 3 Minuten',
		'2 Geräte können gemeint sein', '251.220 Pakete (25,1 MB)', 'Belege: 1 Verbindung' ]);

	for (const rest of [ 'devices', 'settings' ]) {
		await page.goto(`${world.url}admin/services/dots-callhome/${rest}`);
		await eventually(() => page.locator('h2').waitFor());
		await eventually(async () => assert.doesNotMatch(await page.locator('#view').innerText(), /\b(the|and|your|device|provider)\b/i));
	}
}

export async function the_page_speaks_french(world) {
	if (!world.own)
		return 'skipped';
	await speaks(world, 'fr', [ 'depuis environ 3 minutes.', 'il y a 3 minutes', '2 appareils sont peut-être visés', 'Indices : 1 connexion' ]);
}
