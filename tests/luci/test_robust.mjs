// What strangers send, what breaks, and what is too much.

import assert from 'node:assert/strict';

import { device, inForce, mitigation, suspect } from './daemon.mjs';
import { CONFIG, card, closed, dialog, eventually, press, says, seen } from './world.mjs';

const MARKUP = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script><b>bold</b>';
const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };

const EVIL = [ MARKUP, '"><svg onload=window.pwned=1>', '\u202egnp.exe', 'שלום עולם', 'x'.repeat(400), '%s%d%h', '{{ 7*7 }}', '</style><script>window.pwned=1</script>', '\u0000\n\t' ];

function evilWorld(daemon) {
	const strange = (n, text) => suspect(n, 'exact', { name: text, addresses: [ text ], interface: text,
		evidence: [ { flow: text, packets: 1e15, bytes: 1e18, pps: 1e9, bps: 1e12, seen: 1 } ] });

	daemon.mitigations = EVIL.flatMap((text, i) => {
		const more = { peer: text, cuid: text, detail: text, target: { prefixes: [ text ], ports: [ text ], protocols: [ 253 ], fqdns: [ text ], uris: [ text ] },
			decision: { by: text, at: 1, comment: text } };
		return [ mitigation(3 * i, { ...more, devices: [ strange(i + 1, text) ] }), mitigation(3 * i + 1, { ...more, devices: [ strange(i + 1, text), strange(i + 21, text) ] }),
			inForce(3 * i + 2, { ...more, verified: false, devices: [ strange(i + 1, text) ] }) ];
	});
	daemon.known = EVIL.map((text, i) => device(i + 1, { name: text, addresses: [ text ], interface: text, state: text.slice(0, 20), mitigations: [] }));
	daemon.events = EVIL.map((text, i) => ({ time: 1, event: text, id: 3 * i, peer: text, mac: `02:00:00:00:00:0${i + 1}`, by: text, comment: text }));
	daemon.notKept = EVIL.join(' ');
	daemon.notRead = EVIL.join(' ');
	daemon.peers = EVIL.map(text => ({ name: text, state: 'waiting', since: 1, retry_in: 1, last_error: text, address: text, transport: text }));
}

async function untouched(page) {
	// An image of ours that can't be loaded tells so after those that were there before.
	await page.evaluate(() => new Promise(done => { Object.assign(new Image(), { onerror: done }).src = '/nothing'; }));
	assert.equal(await page.evaluate(() => window.pwned), undefined, 'a stranger ran a script');
	assert.deepEqual(await page.locator('#view :is(img, b, script[src], [onerror], [onload])').evaluateAll(nodes => nodes.map(n => n.outerHTML)), [],
		'a stranger made an element');
}

export async function nothing_of_a_stranger_is_interpreted(world) {
	evilWorld(world.daemon);
	const page = await world.open('requests');

	await says(page, MARKUP, '{{ 7*7 }}', '%s%d%h');
	await untouched(page);
	await page.evaluate(() => document.querySelectorAll('.dots details').forEach(d => { d.open = true; }));
	await untouched(page);
	for (const name of [ 'Block this traffic', 'Quarantine device', 'This is legitimate', 'End now' ]) {
		await page.getByRole('button', { name, exact: true }).last().click();
		await untouched(page);
		await press(dialog(page), 'Cancel');
		await closed(page);
	}
	for (const other of [ 'admin/services/dots-callhome/devices', 'admin/services/dots-callhome/settings', 'admin/status/overview' ]) {
		await page.goto(world.url + other);
		await says(page, '{{ 7*7 }}');
		await untouched(page);
	}
}

export async function the_texts_of_strangers_stay_in_their_place(world) {
	evilWorld(world.daemon);
	const page = await world.open('requests');

	await says(page, MARKUP);
	const loose = await page.evaluate(() => {
		const walker = document.createTreeWalker(document.querySelector('.dots'), NodeFilter.SHOW_TEXT);
		const found = [];

		while (walker.nextNode())
			if (/[\u202e\u0590-\u05ff]/.test(walker.currentNode.data) && !walker.currentNode.parentElement.closest('bdi, p, span, div.small'))
				found.push(walker.currentNode.data);
		return found;
	});
	assert.deepEqual(loose, []);
}

export async function a_phone_shows_all_of_it_without_scrolling_sideways(world) {
	evilWorld(world.daemon);
	const page = await world.open('requests', PHONE);

	for (const other of [ 'requests', 'devices', 'settings' ]) {
		if (other != 'requests')
			await page.goto(`${world.url}admin/services/dots-callhome/${other}`);
		await says(page, '{{ 7*7 }}');
		const wide = await page.evaluate(() => [ ...document.querySelectorAll('.dots *') ].filter(n => n.getBoundingClientRect().right > innerWidth + 1 && !n.closest('.said')).map(n => n.outerHTML.slice(0, 80)));
		assert.deepEqual(wide, [], `${other} is wider than the phone`);
	}
}

export async function hundreds_of_requests_and_devices_are_no_burden(world) {
	world.daemon.mitigations = Array.from({ length: 400 }, (_, i) => i % 2 ? mitigation(i, { devices: [ suspect(i % 200, 'exact', { name: `device ${i}` }) ] })
		: inForce(i, { devices: [ suspect(i % 200, 'exact', { name: `device ${i}` }) ] }));
	world.daemon.known = Array.from({ length: 600 }, (_, i) => device(i % 250, { mac: `02:00:00:00:${(i >> 8).toString(16).padStart(2, '0')}:${(i & 255).toString(16).padStart(2, '0')}`,
		name: `device ${i}`, state: 'free' }));
	const page = await world.open('requests');

	await says(page, /Waiting for your decision\s+200/, 'Show more (180 are not shown)');
	assert.equal(await page.locator('.dots .card').count(), 40);
	await page.getByRole('button', { name: /Show more/ }).first().click();
	await says(page, 'Show more (160 are not shown)');
	/* Fresh figures make no card anew. */
	await page.evaluate(() => document.querySelectorAll('.dots .card').forEach(node => { node.old = true; }));
	world.daemon.mitigations.forEach(m => { m.remaining = 120; });
	await says(page, 'ends in 2 minutes');
	assert.equal(await page.locator('.dots .card').evaluateAll(nodes => nodes.filter(n => !n.old).length), 0);
	await page.goto(`${world.url}admin/services/dots-callhome/devices`);
	await says(page, 'Show more (550 are not shown)');
	await page.getByRole('searchbox').fill('device 599');
	await eventually(async () => assert.equal(await page.locator('.dots .card').count(), 1));
}

export async function a_daemon_that_is_gone_for_a_moment_alarms_nobody(world) {
	world.daemon.mitigations = [ mitigation(1) ];
	const page = await world.open('requests');

	await says(page, 'Garage camera');
	await world.daemon.stop();
	await says(page, 'The service is restarting…', 'Garage camera');
	await world.daemon.start();
	await eventually(async () => assert.doesNotMatch(await seen(page), /restarting/));
	await says(page, 'Garage camera');
}

export async function a_daemon_that_stays_away_is_told_and_can_be_started(world) {
	world.daemon.mitigations = [ mitigation(1) ];
	const page = await world.open('requests');

	await says(page, 'Garage camera');
	await world.daemon.stop();
	await says(page, 'The service is restarting…');
	await page.clock.setSystemTime(Date.now() + 60000);
	await says(page, 'The service is not running', 'Blocks that are in force stay until they time out.');
	assert.doesNotMatch(await seen(page), /Garage camera/, 'old requests are no longer offered');
	if (!world.own)
		return;
	await press(page, 'Start the service');
	await says(page, 'Garage camera');
	assert.deepEqual(world.inits, [ 'start' ]);
}

export async function a_service_that_is_switched_off_says_how_to_switch_it_on(world) {
	world.configure(CONFIG.replace('enabled \'1\'', 'enabled \'0\''));
	await world.daemon.stop();
	const page = await world.open('requests');

	await says(page, 'DDoS Call Home is switched off');
	await page.getByRole('link', { name: 'Switch it on in the settings' }).click();
	await says(page, 'Who decides');
}

export async function without_a_provider_the_way_to_the_settings_is_shown(world) {
	world.daemon.peers = [];
	const page = await world.open('requests');

	await says(page, 'No provider is set up yet.', 'Go to the settings');
}

export async function a_bus_that_vanishes_is_survived(world) {
	if (!world.own)
		return 'skipped';
	world.daemon.mitigations = [ mitigation(1) ];
	const page = await world.open('requests');

	await says(page, 'Garage camera');
	await world.stopBroker();
	await says(page, 'The service is restarting…');
	await world.startBroker();
	await world.daemon.start();
	await eventually(async () => assert.doesNotMatch(await seen(page), /restarting/));
	await press(page, 'Block this traffic');
	await press(dialog(page), 'Block this traffic');
	await closed(page);
	await says(page, 'In force');
}

export async function a_router_that_does_not_answer_is_told(world) {
	world.daemon.mitigations = [ mitigation(1) ];
	const page = await world.open('requests');

	await says(page, 'Garage camera');
	await page.route(/\/ubus/, route => route.abort());
	await says(page, 'The router does not answer', 'What is shown below may be outdated.', 'Garage camera');
	await page.unroute(/\/ubus/);
	await eventually(async () => assert.doesNotMatch(await seen(page), /does not answer/));
}

export async function a_slow_answer_is_not_taken_for_a_refusal(world) {
	if (!world.own)
		return 'skipped';
	world.daemon.mitigations = [ mitigation(1) ];
	const page = await world.open('requests');

	await press(page, 'Block this traffic');
	world.bridge.timeout = 200;
	world.daemon.delay = 1000;
	await press(dialog(page), 'Block this traffic');
	await eventually(async () => assert.match(await dialog(page).innerText(), /did not answer in time. Look whether it has acted/));
	world.daemon.delay = 0;
	world.bridge.timeout = 20000;
	await eventually(async () => assert.ok(await dialog(page).getByRole('button', { name: 'Block this traffic' }).isEnabled(), 'it can be tried again'));
}

export async function a_login_that_has_expired_asks_for_a_new_one(world) {
	if (!world.own)
		return 'skipped';
	world.daemon.mitigations = [ mitigation(1) ];
	const page = await world.open('requests');

	await says(page, 'Garage camera');
	world.bridge.sessions.endAll();
	await eventually(async () => assert.match(await dialog(page).innerText(), /Session expired/));
	assert.deepEqual(world.calls('approve'), []);
}

export async function times_are_told_by_the_clock_of_the_router(world) {
	if (!world.own)
		return 'skipped';
	const ahead = 86400 * 400, router = Math.floor(Date.now() / 1000) + ahead;
	world.bridge.clockAhead = ahead;
	world.daemon.mitigations = [ mitigation(1, { requested: router - 600 }) ];
	const page = await world.open('requests');

	await says(page, 'isp, 10 minutes ago', 'The clocks of the router and of this computer differ by 400 days.');
}

export async function replies_of_another_version_are_survived(world) {
	world.daemon.mitigations = [ { id: 1, state: 'pending' }, { id: 2, state: 'active' }, { id: 3, state: 'dreaming' }, mitigation(4, { devices: [ {} ], remaining: null }) ];
	world.daemon.events = [ {} ];
	world.daemon.peers = [ {} ];
	world.daemon.known = [ { mac: '02:00:00:00:00:11' } ];
	const page = await world.open('requests');

	await says(page, 'Waiting for your decision', 'Unknown device');
	await page.goto(`${world.url}admin/services/dots-callhome/devices`);
	await says(page, '02:00:00:00:00:11');
}

export async function what_somebody_has_unfolded_and_focused_stays(world) {
	world.daemon.mitigations = [ mitigation(1) ];
	const page = await world.open('requests');

	await page.getByText('Evidence: 1 connection').click();
	await page.getByRole('button', { name: 'This is legitimate' }).focus();
	world.daemon.mitigations.push(mitigation(2, { devices: [ suspect(18) ] }));
	world.daemon.mitigations[0].devices[0].evidence[0].packets = 900000;
	await says(page, '900,000 packets', 'device-18');
	assert.ok(await page.evaluate(() => document.activeElement.textContent == 'This is legitimate'));
	await eventually(async () => assert.equal(await page.locator('.said').first().textContent(), '2 requests wait for your decision'));
}

export async function the_keyboard_suffices(world) {
	world.daemon.mitigations = [ mitigation(1) ];
	const page = await world.open('requests');

	await says(page, 'Garage camera');
	await page.getByRole('button', { name: 'Block this traffic' }).focus();
	await page.keyboard.press('Enter');
	await eventually(async () => assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Cancel'));
	await page.keyboard.press('Escape');
	await closed(page);
	assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Block this traffic', 'the focus comes back');
	await page.keyboard.press('Enter');
	await eventually(async () => assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Cancel'));
	await page.keyboard.press('Tab');
	await page.keyboard.press('Enter');
	await closed(page);
	assert.equal(world.calls('approve').length, 1);
}

export async function a_screen_reader_finds_names_for_everything(world) {
	world.daemon.mitigations = [ mitigation(1), mitigation(2, { devices: [ suspect(18), suspect(19) ] }), inForce(3) ];
	world.daemon.known = Array.from({ length: 10 }, (_, i) => device(i + 1, { state: 'free' }));
	const page = await world.open('requests');

	await says(page, 'Garage camera');
	for (const other of [ 'requests', 'devices' ]) {
		if (other != 'requests')
			await page.goto(`${world.url}admin/services/dots-callhome/${other}`);
		await eventually(() => page.locator('.dots .card').first().waitFor());
		const nameless = await page.evaluate(() => [ ...document.querySelectorAll('.dots :is(button, input, select, svg, summary)') ]
			.filter(n => !(n.textContent.trim() || n.getAttribute('aria-label') || n.labels?.length)).map(n => n.outerHTML));
		assert.deepEqual(nameless, []);
	}
	await page.getByRole('button', { name: 'Quarantine', exact: true }).first().click();
	assert.equal(await page.getByRole('dialog', { name: 'Quarantine the device?' }).count(), 1);
}

export async function the_dark_theme_is_legible(world) {
	world.daemon.mitigations = [ mitigation(1), inForce(2) ];
	const page = await world.open('requests', { colorScheme: 'dark' });

	await says(page, 'Garage camera');
	const contrast = await page.evaluate(() => {
		const light = text => {
			const [ r, g, b ] = text.match(/[\d.]+/g).map(v => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
			return 0.2126 * r + 0.7152 * g + 0.0722 * b;
		};
		const back = light(getComputedStyle(document.body).backgroundColor);
		return Math.min(...[ ...document.querySelectorAll('.dots :is(p, dt, dd, h4, .mark)') ].map(n => {
			const own = light(getComputedStyle(n).color) * getComputedStyle(n).opacity;
			return (Math.max(own, back) + 0.05) / (Math.min(own, back) + 0.05);
		}));
	});
	assert.ok(contrast >= 4.5, `contrast ${contrast}`);
}
