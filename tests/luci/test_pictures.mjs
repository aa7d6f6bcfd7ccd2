// Pictures of the pages, to be looked at: wide, on a phone, dark. They go to target/luci.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { device, inForce, mitigation, suspect } from './daemon.mjs';
import { CONFIG, dialog, eventually, press, says } from './world.mjs';

const FOLDER = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../target/luci');
const LOOKS = { wide: { viewport: { width: 1280, height: 800 } }, phone: { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true },
	dark: { viewport: { width: 1280, height: 800 }, colorScheme: 'dark' } };

const now = () => Math.floor(Date.now() / 1000);

function furnish(daemon) {
	daemon.mitigations = [
		mitigation(3, { requested: now() - 180 }),
		inForce(2, { target: { prefixes: [ '198.51.100.0/24' ], ports: [ '443', '8080-8090' ], protocols: [ 6, 17 ], fqdns: [], uris: [] },
			devices: [ suspect(21, 'exact', { name: 'Living room TV', chosen: true }) ], decision: { by: 'anna', at: now() - 3600, comment: 'until the update is in' } })
	];
	daemon.known = [ device(17, { name: 'Garage camera', state: 'free', mitigations: [ 3 ] }),
		device(21, { name: 'Living room TV', state: 'blocked', mitigations: [ 2 ], dropped: { packets: 251220, bytes: 25122000 } }),
		device(22, { name: 'Old printer', state: 'quarantined', mitigations: [], dropped: { packets: 812, bytes: 61000 } }),
		device(23, { name: 'Heat pump', state: 'exempt', mitigations: [] }), device(24, { name: 'Annas phone', state: 'free', mitigations: [] }) ];
	daemon.events = [ { time: now() - 180, event: 'requested', id: 3, peer: 'isp', mac: '02:00:00:00:00:11' },
		{ time: now() - 3600, event: 'approved', id: 2, peer: 'isp', by: 'anna', comment: 'until the update is in' },
		{ time: now() - 90000, event: 'quarantined', mac: '02:00:00:00:00:16', by: 'root' } ];
}

async function picture(page, name) {
	await page.screenshot({ path: path.join(FOLDER, `${name}.png`), fullPage: true });
	assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name} is wider than the window`);
}

export async function every_page_wide_and_on_a_phone_and_the_first_dark(world) {
	furnish(world.daemon);
	fs.mkdirSync(FOLDER, { recursive: true });
	for (const [ look, options ] of Object.entries(LOOKS)) {
		const page = await world.open('requests', options);

		await says(page, 'Garage camera', 'Verified');
		world.daemon.mitigations[1].dropped.pps = 3900;
		await eventually(() => page.locator('svg.chart').waitFor());
		await picture(page, `requests-${look}`);
		await press(page.locator('.card.wait'), 'Block this traffic');
		await page.screenshot({ path: path.join(FOLDER, `dialog-${look}.png`) });
		await press(dialog(page), 'Cancel');
		for (const other of look == 'dark' ? [] : [ 'services/dots-callhome/devices', 'services/dots-callhome/settings', 'status/overview' ]) {
			await page.goto(`${world.url}admin/${other}`);
			await says(page, other.includes('settings') ? 'Who decides' : 'Garage camera');
			await picture(page, `${other.split('/').pop()}-${look}`);
		}
		await page.context().close();
	}
}

/* What goes on without the provider, what does not hold, what is over: in the looks that differ. */
export async function what_a_person_has_to_know_first(world) {
	fs.mkdirSync(FOLDER, { recursive: true });
	world.configure(`${CONFIG}\toption display_name 'MyISP'\n\toption help_url 'https://myisp.example/infected'\n\toption help_phone '+49 30 1234'\n`);
	const scenes = {
		calm: () => {},
		own: daemon => {
			daemon.mitigations = [ inForce(2, { asked: false, until: 'ended', remaining: 0, action: 'quarantine' }),
				inForce(4, { verified: false, detail: 'traffic still passes: udp 192.168.1.21:4000 -> 198.51.100.7:443', devices: [ suspect(21, 'exact', { name: 'Living room TV' }) ] }) ];
			daemon.over = [ mitigation(5, { state: 'expired', asked: false, remaining: 0, dropped: { packets: 344586, bytes: 34458600, pps: 0, bps: 0 },
				devices: [ suspect(22, 'exact', { name: 'Old printer' }) ] }) ];
			daemon.incidents = [ { id: 3, peer: 'isp', requested: now() - 90000, ended: now() - 86400, devices: [ { mac: '02:00:00:00:00:11', name: 'Garage camera' } ],
				target: { prefixes: [ '203.0.113.80/32' ], ports: [ '53' ], protocols: [ 17 ] }, action: 'block', decision: { by: 'root', at: now() - 89000 },
				dropped: { packets: 344586, bytes: 1 }, outcome: 'expired' } ];
		}
	};

	for (const [ scene, make ] of Object.entries(scenes)) {
		make(world.daemon);
		for (const [ look, options ] of Object.entries(LOOKS)) {
			const page = await world.open('requests', options);

			await says(page, scene == 'calm' ? 'Connected to MyISP since' : 'MyISP no longer asks');
			await picture(page, `requests-${scene}-${look}`);
			await page.context().close();
		}
	}
}
